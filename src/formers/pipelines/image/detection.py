"""Object detection: what a picture shows, and where."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.pipelines.frame import number
from formers.pipelines.image.base import ImagePipeline


class ObjectDetectionPipeline(ImagePipeline):
    """Objects of pictures: `pipeline("object-detection")`.

        pipe("street.jpg")    [{"score": 0.99, "label": "cat",
                                "box": {"xmin": 13, "ymin": 52, "xmax": 314, "ymax": 470}}, ...]

    Boxes are in pixels of the picture as it came. Objects come in the order of the model's queries.

    Args:
        model: a model that finds objects.
        **kwargs: those of `ImagePipeline`, and as a default for every call:

            threshold: least probability of an object's label, 0.5.
    """

    default_task: ClassVar[str] = "object-detection"
    _sized = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self, threshold: float | None = None, timeout: float | None = None, on_error: str | None = None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        postprocess = {} if threshold is None else {"threshold": number("threshold", threshold)}
        return self._reading(timeout, on_error), {}, postprocess

    def postprocess(self, model_outputs: Any, threshold: float = 0.5, **params: Any) -> Any:
        """The objects of one picture."""
        how, names = self.image_processor.post_process_object_detection, self.model.config.id2label
        found = how(model_outputs, threshold=threshold, target_sizes=model_outputs["target_size"])[0]
        each = (found[key].tolist() for key in ("scores", "labels"))
        corners = ("xmin", "ymin", "xmax", "ymax")
        return [
            {"score": score, "label": names[label], "box": dict(zip(corners, box, strict=True))}
            for score, label, box in zip(*each, found["boxes"].int().tolist(), strict=True)
        ]
