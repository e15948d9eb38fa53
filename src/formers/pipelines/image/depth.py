"""Depth estimation: how far away every pixel of a picture is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from formers.core.extras import need
from formers.pipelines.frame import Call
from formers.pipelines.image.base import PlainImagePipeline


class DepthEstimationPipeline(PlainImagePipeline):
    """Depths of pictures: `pipeline("depth-estimation")`.

        pipe("street.jpg")    {"predicted_depth": tensor [height, width], "depth": a grey Pillow image}

    Args:
        model: a model with a depth-estimation head.
        **kwargs: those of `ImagePipeline`.
    """

    default_task: ClassVar[str] = "depth-estimation"
    _sized = True

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Pictures by themselves, where those of a batch have a say in each other's answers."""
        kinds = getattr(self.model.config, "bin_configurations", None) or ()
        if len(kinds) < 2:
            return super()._run(prepared, call)
        return [super(DepthEstimationPipeline, self)._run([one], call)[0] for one in prepared]

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The depths of one picture, from the nearest (black) to the farthest of what the model calls far."""
        size = model_outputs["target_size"]
        depths = self.image_processor.post_process_depth_estimation(model_outputs, size)[0]["predicted_depth"]
        seen = depths.float()
        low, high = seen.min(), seen.max()
        grey = (seen - low) / (high - low) * 255 if high > low else seen * 0
        image = need("PIL.Image", "vision").fromarray(grey.cpu().numpy().astype("uint8"))
        return {"predicted_depth": depths, "depth": image}
