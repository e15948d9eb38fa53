"""Zero-shot audio classification: labels that a call names, by a model that compares texts and sounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from formers.pipelines.audio.classification import AudioClassificationPipeline
from formers.pipelines.labels import APPLIED, candidates, hypotheses, ranked


class ZeroShotAudioClassificationPipeline(AudioClassificationPipeline):
    """Labels of the caller's own for sounds: `pipeline("zero-shot-audio-classification")`.

        pipe("bark.wav", candidate_labels=["a dog", "rain"])     [{"label": "a dog", "score": 0.9}, ...]
        pipe(["bark.wav", array], candidate_labels=[...])        a list of such lists

    All labels are scored, the best first; scores add up to 1.

    Args:
        model: a model that compares texts and sounds, such as CLAP.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            candidate_labels: a list of labels, or one string with commas between them.
            hypothesis_template: what is said of a sound, with {} for the label.
            timeout: seconds for an address to answer.
    """

    default_task: ClassVar[str] = "zero-shot-audio-classification"
    _load_tokenizer: ClassVar[bool | None] = True

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        candidate_labels: Any = None,
        hypothesis_template: str | None = None,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        labels = {} if candidate_labels is None else {"labels": candidates(candidate_labels)}
        template = {} if hypothesis_template is None else {"template": hypothesis_template}
        return {} if timeout is None else {"timeout": timeout}, {**labels, **template}, labels

    def __call__(
        self, inputs: Any = None, candidate_labels: Any = None, *, audios: Any = None, **kwargs: Any
    ) -> Any:
        """Score the labels for one sound or many.

        Args:
            inputs: a sound, a list of them, or a generator or dataset; `audios` is the same.
            candidate_labels: see the class.
            audios: see `inputs`.
            **kwargs: see the class, and `Pipeline.__call__`.

        Raises:
            ValueError: without labels.
        """
        if candidate_labels is not None:
            kwargs["candidate_labels"] = candidate_labels
        return super().__call__(inputs if audios is None else audios, **kwargs)

    def _forward(
        self,
        model_inputs: Any,
        labels: Sequence[str] = (),
        template: str = "This is a sound of {}.",
        **params: Any,
    ) -> Any:
        """Scores of all labels for the sounds of a batch: the texts are read once for all of them."""
        texts = self.tokenizer(hypotheses(labels, template), return_tensors="pt", padding=True)
        return {"logits": self.model(**texts.to(self.device), **model_inputs, **params).logits_per_audio}

    def postprocess(  # type: ignore[override]  # all of its keywords are named
        self, model_outputs: Any, labels: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The labels of one sound, the best first."""
        return ranked(APPLIED["softmax"](model_outputs["logits"].float().numpy()), list(labels), None)[0]
