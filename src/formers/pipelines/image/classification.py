"""Image classification: the best labels of a picture, with their scores."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.pipelines.frame import whole_number
from formers.pipelines.image.base import ImagePipeline
from formers.pipelines.labels import (
    APPLIED,
    ClassificationFunction,
    checked_function,
    function_of,
    labels_of,
    ranked,
)


class ImageClassificationPipeline(ImagePipeline):
    """Labels and scores for pictures: `pipeline("image-classification")`.

        pipe("cat.jpg")              [{"label": "tabby", "score": 0.9}, ...], the best five
        pipe(["cat.jpg", image])     a list of such lists

    Args:
        model: a model with an image-classification head.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            top_k: how many labels, the best first.
            function_to_apply: "softmax", "sigmoid", "none" or "default", which the problem type decides.
    """

    default_task: ClassVar[str] = "image-classification"

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        top_k: int | None = None,
        function_to_apply: ClassificationFunction | str | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        postprocess: dict[str, Any] = {}
        if top_k is not None:
            postprocess["top_k"] = whole_number("top_k", top_k, "labels, at least 1")
        if function_to_apply is not None:
            postprocess["function_to_apply"] = checked_function(function_to_apply)
        return self._reading(timeout, on_error), {}, postprocess

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The best labels of one picture."""
        return self._answer(model_outputs, **params)

    def _answer(
        self,
        model_outputs: Any,
        top_k: int | None = 5,
        function_to_apply: ClassificationFunction | None = None,
    ) -> list[dict[str, Any]]:
        config = self.model.config
        function = function_to_apply or function_of(config)
        scores = APPLIED[function.value](model_outputs["logits"].float().numpy())
        return ranked(scores, labels_of(config), top_k)[0]
