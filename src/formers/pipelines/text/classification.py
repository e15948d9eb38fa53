"""Text classification: one or more labels with their scores for each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from formers.core.batching import plan
from formers.core.notices import refuse_unknown
from formers.pipelines.frame import FRAME_KEYWORDS, whole_number
from formers.pipelines.labels import (
    APPLIED,
    ClassificationFunction,
    Scores,
    checked_function,
    function_of,
    labels_of,
    ranked,
)
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.inputs import one_of

if TYPE_CHECKING:
    from formers.evaluation.calibration import Calibration

_AGGREGATES: dict[str, Callable[[Scores], Scores]] = {
    "mean": lambda windows: np.mean(windows, axis=0),
    "max": lambda windows: np.max(windows, axis=0),
    "first": lambda windows: windows[0],
}
_LABELS = "labels, at least 1, or None for all of them"


class TextClassificationPipeline(TextPipeline):
    """Labels and scores for texts: `pipeline("text-classification")`, also called "sentiment-analysis".

        pipe("a text")                       [{"label": "POSITIVE", "score": 0.99}]
        pipe(["a text", "another"])          [{"label": ..., "score": ...}, {...}]
        pipe("a text", top_k=None)           every label, the best first
        pipe({"text": "a", "text_pair": "b"})  {"label": ..., "score": ...}

    Scores are the softmax of the logits; their sigmoid where labels are independent
    (`problem_type="multi_label_classification"`) or there is only one; the logit itself for a regression.
    A `calibration.json` beside the model (see `formers.evaluation.fit_temperature`) is used unless
    `calibrated=False`: its temperature divides the logits.

    Args:
        model: a model with a sequence-classification head.
        tokenizer: its tokenizer.
        calibration: a `Calibration`; None takes the one beside the model, where there is one.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many labels, the best first; None for all. With it each answer is a list.
            return_all_scores: the older spelling of `top_k=None`; labels stay in the model's order.
            function_to_apply: "softmax", "sigmoid", "none" or "default".
            calibrated: whether the calibration is used.
            aggregate: how the logits of a long text's windows are joined: "mean", "max" or "first".
            long_text, stride, truncation, max_length, padding, ...: see `TextPipeline`.

    Raises:
        ValueError: for a model with another kind of head.
    """

    default_task: ClassVar[str] = "text-classification"
    run_keywords = ("aggregate", "calibrated", "function_to_apply", "return_all_scores", "top_k")

    def __init__(
        self, model: Any, tokenizer: Any = None, *, calibration: Calibration | None = None, **kwargs: Any
    ) -> None:
        super().__init__(model, tokenizer, **kwargs)
        self.calibration = calibration if calibration is not None else _calibration_beside(self.model)

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of the model's outputs."""
        return labels_of(self.model.config)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not TextClassificationPipeline._sanitize_parameters:
            return super().keywords()
        return frozenset([*cls.run_keywords, *TEXT_KEYWORDS]) | cls._constructor_keywords()

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        refuse_unknown(given, [*self.run_keywords, *TEXT_KEYWORDS, *FRAME_KEYWORDS], type(self).__name__)
        preprocess = {name: given[name] for name in TEXT_KEYWORDS if name in given}
        postprocess: dict[str, Any] = {}
        everything = given.get("return_all_scores")
        if "top_k" in given and given["top_k"] != "":
            postprocess |= {"top_k": whole_number("top_k", given["top_k"], _LABELS), "_legacy": False}
        elif everything is not None:
            postprocess["top_k"] = None if everything else 1
        if given.get("function_to_apply") is not None:
            postprocess["function_to_apply"] = checked_function(given["function_to_apply"])
        if given.get("calibrated") is not None:
            postprocess["calibrated"] = bool(given["calibrated"])
        if given.get("aggregate") is not None:
            postprocess["aggregate"] = one_of("aggregate", given["aggregate"], list(_AGGREGATES))
        return preprocess, {}, postprocess

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classify one text or many.

        Args:
            inputs: a string, `{"text": ..., "text_pair": ...}`, a list of these or of pairs (a list of
                answers), or a generator or dataset (an iterator of answers).
            **kwargs: see the class, and `Pipeline.__call__` for `batch_size` and `progress`.

        Returns:
            For one string a list of `{"label", "score"}`; for many a list with one answer each, which is
            such a dictionary, or a list of them when `top_k` is given.
        """
        answer = super().__call__(inputs, **kwargs)
        return [answer] if isinstance(inputs, str) and "top_k" not in kwargs else answer

    def logits(self, inputs: Sequence[Any], *, aggregate: str = "mean", **options: Any) -> Scores:
        """The head's outputs before any function or calibration, [N, C] float32, batched as calls are.

        Args:
            inputs: what a call takes as a list.
            aggregate: how the windows of a long text are joined.
            **options: those of `prepare`.
        """
        aggregate = one_of("aggregate", aggregate, list(_AGGREGATES))
        prepared = self.prepare(inputs, **options)
        found: Scores = np.zeros((len(prepared), len(self.labels)), dtype=np.float32)
        for places in plan([item.length for item in prepared], max_tokens=self.max_batch_tokens):
            batch = [prepared[place] for place in places]
            rows = [len(item.windows) for item in batch]
            found[places] = self._logits_of(self.forward_batch(batch), rows, aggregate)
        return found

    def postprocess(
        self,
        model_outputs: Any,
        function_to_apply: ClassificationFunction | str | None = None,
        top_k: int | None = 1,
        _legacy: bool = True,
        calibrated: bool = True,
        aggregate: str = "mean",
        **kwargs: Any,
    ) -> Any:
        """The answer for one text from the model's outputs."""
        refuse_unknown(kwargs, self.run_keywords, f"{type(self).__name__}.postprocess")
        logits = self._logits_of(model_outputs, [len(model_outputs["logits"])], aggregate)
        return self._answers_of(
            logits, function_to_apply=function_to_apply, top_k=top_k, _legacy=_legacy, calibrated=calibrated
        )[0]

    def postprocess_batch(
        self, outputs: Any, prepared: Sequence[Any], aggregate: str = "mean", **params: Any
    ) -> list[Any]:
        """The answers for a batch of texts."""
        logits = self._logits_of(outputs, [self._rows(one) for one in prepared], aggregate)
        return self._answers_of(logits, **params)

    def _logits_of(self, outputs: Any, rows: Sequence[int], aggregate: str) -> Scores:
        """One row of logits for each input, [B, C], from those of its windows."""
        windows: Scores = outputs["logits"].float().numpy()
        if len(windows) == len(rows):
            return windows
        parts = np.split(windows, np.cumsum(rows)[:-1])
        return np.stack([_AGGREGATES[aggregate](part) for part in parts])

    def _kept_beside(self) -> tuple[Any, ...]:
        return () if self.calibration is None else (self.calibration,)

    def _answers_of(
        self,
        logits: Scores,
        *,
        function_to_apply: ClassificationFunction | str | None = None,
        top_k: int | None = 1,
        _legacy: bool = True,
        calibrated: bool = True,
    ) -> list[Any]:
        """One answer for each row of `logits` [B, C]."""
        function = (checked_function(function_to_apply) if function_to_apply else None) or function_of(
            self.model.config
        )
        if calibrated and self.calibration is not None and function == self.calibration.function:
            logits = logits / np.float32(self.calibration.temperature)
        scores = APPLIED[function.value](logits)
        labels = self.labels
        if top_k == 1 and _legacy:
            best = scores.argmax(axis=1)
            chosen = scores[np.arange(len(best)), best]
            pairs = zip(best.tolist(), chosen.tolist(), strict=True)
            return [{"label": labels[index], "score": score} for index, score in pairs]
        if _legacy:  # return_all_scores leaves the labels in the model's order
            return [
                [{"label": label, "score": score} for label, score in zip(labels, row, strict=True)]
                for row in scores.tolist()
            ]
        return ranked(scores, labels, top_k)

    def __repr__(self) -> str:
        shown = super().__repr__()
        if self.calibration is None:
            return shown
        return f"{shown[:-1]}, temperature={self.calibration.temperature:.4g})"


def _calibration_beside(model: Any) -> Calibration | None:
    """The calibration in the folder or repository that the model came from."""
    from formers.evaluation.calibration import Calibration
    from formers.evaluation.records import beside

    return Calibration.load(beside(model))
