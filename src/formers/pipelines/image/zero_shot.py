"""Zero-shot image classification: labels that a call names, by a model that compares texts and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from formers.pipelines.image.base import ImagePipeline
from formers.pipelines.labels import APPLIED, candidates, hypotheses, ranked


class ZeroShotImageClassificationPipeline(ImagePipeline):
    """Labels of the caller's own for pictures: `pipeline("zero-shot-image-classification")`.

        pipe("cat.jpg", candidate_labels=["cat", "dog"])     [{"label": "cat", "score": 0.9}, ...]
        pipe(["cat.jpg", image], candidate_labels=[...])     a list of such lists

    All labels are scored, the best first; scores add up to 1, unless the model judges every pair of a text
    and a picture by itself.

    Args:
        model: a model that compares texts and pictures, such as CLIP.
        tokenizer: its tokenizer.
        **kwargs: those of `ImagePipeline`, and as defaults for every call:

            candidate_labels: a list of labels, or one string with commas between them.
            hypothesis_template: what is said of a picture, with {} for the label.
            tokenizer_kwargs: keywords of the tokenizer's call in a mapping.
    """

    default_task: ClassVar[str] = "zero-shot-image-classification"
    _load_tokenizer: ClassVar[bool | None] = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        candidate_labels: Any = None,
        hypothesis_template: str | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        on_error: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        labels = {} if candidate_labels is None else {"labels": candidates(candidate_labels)}
        forward: dict[str, Any] = {**labels}
        if hypothesis_template is not None:
            forward["template"] = hypothesis_template
        if tokenizer_kwargs is not None:
            forward["tokenizer_kwargs"] = dict(tokenizer_kwargs)
        return self._reading(timeout, on_error), forward, labels

    def __call__(
        self, inputs: Any = None, candidate_labels: Any = None, *, images: Any = None, **kwargs: Any
    ) -> Any:
        """Score the labels for one picture or many.

        Args:
            inputs: a picture, a list of them, or a generator or dataset; `image` and `images` are the same.
            candidate_labels: see the class.
            images: see `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Raises:
            ValueError: without labels.
        """
        if candidate_labels is not None:
            kwargs["candidate_labels"] = candidate_labels
        images = kwargs.pop("image", images)
        return super().__call__(inputs if images is None else images, **kwargs)

    @property
    def _pairwise(self) -> bool:
        return bool(getattr(self.model.config, "pairwise", False))

    def _forward(
        self,
        model_inputs: Any,
        labels: Sequence[str] = (),
        template: str = "This is a photo of {}.",
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Any:
        """Scores of all labels for the pictures of a batch: the texts are read once for all of them."""
        given: dict[str, Any] = {"padding": True}
        if self._pairwise:  # those are trained on texts of one length
            length = self.model.config.text_config.max_position_embeddings
            given = {"padding": "max_length", "max_length": length, "truncation": True}
        given |= tokenizer_kwargs or {}
        texts = self.tokenizer(hypotheses(labels, template), return_tensors="pt", **given).to(self.device)
        return {"logits": self.model(**texts, **model_inputs, **params).logits_per_image}

    def postprocess(self, model_outputs: Any, labels: Sequence[str] = (), **params: Any) -> Any:
        """The labels of one picture, the best first."""
        scores = APPLIED["sigmoid" if self._pairwise else "softmax"](model_outputs["logits"].float().numpy())
        return ranked(scores, list(labels), None)[0]
