"""Image features: the last states of a model, or its pooled vector, for a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.pipelines.image.base import ImagePipeline


class ImageFeatureExtractionPipeline(ImagePipeline):
    """What a model makes of pictures: `pipeline("image-feature-extraction")`.

        pipe("cat.jpg")                       nested lists of floats, the first of the model's outputs
        pipe("cat.jpg", pool=True)            the pooled vector, [1, E]
        pipe("cat.jpg", return_tensors=True)  the same as a tensor

    Args:
        model: any model that reads pictures.
        **kwargs: those of `ImagePipeline`, and as defaults for every call: `pool`, `return_tensors`, and
            `image_processor_kwargs`, settings of the processor in a mapping.
    """

    default_task: ClassVar[str] = "image-feature-extraction"

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        image_processor_kwargs: Mapping[str, Any] | None = None,
        return_tensors: bool | None = None,
        pool: bool | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given = {"return_tensors": return_tensors, "pool": pool}
        postprocess = {name: value for name, value in given.items() if value is not None}
        return {**(image_processor_kwargs or {}), **self._reading(timeout, on_error)}, {}, postprocess

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The features of one picture.

        Raises:
            ValueError: for a pooled vector of a model that has none.
        """
        return self._features(model_outputs, **params)

    def _features(self, model_outputs: Any, pool: bool = False, return_tensors: bool = False) -> Any:
        if pool and model_outputs.get("pooler_output") is None:
            raise ValueError(f"{type(self.model).__name__} has no pooler: leave pool out")
        found = model_outputs["pooler_output"] if pool else next(iter(model_outputs.values()))
        return found if return_tensors else found.tolist()
