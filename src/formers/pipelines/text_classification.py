"""Text classification: one or more labels with their scores for each text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from formers.assemblies.base import BaseModel
from formers.core.batching import plan
from formers.core.notices import did_you_mean, refuse_unknown
from formers.pipelines.frame import FRAME_KEYWORDS
from formers.pipelines.inputs import Prepared
from formers.pipelines.text import TEXT_KEYWORDS, TextPipeline
from formers.tasks.table import task_of

if TYPE_CHECKING:
    from formers.evaluation.calibration import Calibration

Scores = npt.NDArray[np.float32]

_AGGREGATES: dict[str, Callable[[Scores], Scores]] = {
    "mean": lambda windows: np.mean(windows, axis=0),
    "max": lambda windows: np.max(windows, axis=0),
    "first": lambda windows: windows[0],
}


class ClassificationFunction(str, Enum):
    """What turns logits into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


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
    run_keywords: ClassVar[tuple[str, ...]] = (
        "aggregate",
        "calibrated",
        "function_to_apply",
        "return_all_scores",
        "top_k",
    )

    def __init__(
        self, model: Any, tokenizer: Any = None, *, calibration: Calibration | None = None, **kwargs: Any
    ) -> None:
        super().__init__(model, tokenizer, **kwargs)
        _refuse_other_heads(self.model, self.task)
        self.calibration = calibration if calibration is not None else _calibration_beside(self.model)

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of the model's outputs."""
        names = self.model.config.id2label
        return [names[index] for index in range(len(names))]

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
            postprocess |= {"top_k": _checked_top_k(given["top_k"]), "_legacy": False}
        elif everything is not None:
            postprocess["top_k"] = None if everything else 1
        if given.get("function_to_apply") is not None:
            postprocess["function_to_apply"] = _checked_function(given["function_to_apply"])
        if given.get("calibrated") is not None:
            postprocess["calibrated"] = bool(given["calibrated"])
        if given.get("aggregate") is not None:
            postprocess["aggregate"] = _checked_aggregate(given["aggregate"])
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
        prepared = self.prepare(inputs, **options)
        found: Scores = np.zeros((len(prepared), len(self.labels)), dtype=np.float32)
        for batch in plan([item.length for item in prepared], max_tokens=self.max_batch_tokens):
            found[batch] = self._logits([prepared[index] for index in batch], _checked_aggregate(aggregate))
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
        windows = model_outputs["logits"].float().numpy()
        logits = _AGGREGATES[aggregate](windows)[None] if len(windows) > 1 else windows
        return self._answers_of(
            logits, function_to_apply=function_to_apply, top_k=top_k, _legacy=_legacy, calibrated=calibrated
        )[0]

    def _kept_beside(self) -> tuple[Any, ...]:
        return () if self.calibration is None else (self.calibration,)

    def _run(self, prepared: Sequence[Prepared], params: Mapping[str, Any]) -> list[Any]:
        params = dict(params)
        return self._answers_of(self._logits(prepared, params.pop("aggregate", "mean")), **params)

    def _logits(self, prepared: Sequence[Prepared], aggregate: str) -> Scores:
        """One row of logits for each input of a batch, [B, C]."""
        windows = self._outputs(prepared)
        if len(windows) == len(prepared):
            return windows
        joined = np.empty((len(prepared), windows.shape[1]), dtype=np.float32)
        at = 0
        for row, item in zip(joined, prepared, strict=True):
            row[:] = _AGGREGATES[aggregate](windows[at : at + len(item.windows)])
            at += len(item.windows)
        return joined

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
        function = (_checked_function(function_to_apply) if function_to_apply else None) or self._function()
        if calibrated and self.calibration is not None and function == self.calibration.function:
            logits = logits / np.float32(self.calibration.temperature)
        scores = _apply(logits, function)
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
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]  # [B, k]
        ranked = np.take_along_axis(scores, order, axis=1)
        return [
            [{"label": labels[index], "score": score} for index, score in zip(places, row, strict=True)]
            for places, row in zip(order.tolist(), ranked.tolist(), strict=True)
        ]

    def _function(self) -> ClassificationFunction:
        """What the model's own problem type asks for."""
        config = self.model.config
        if config.problem_type == "regression":
            return ClassificationFunction.NONE
        if config.problem_type == "multi_label_classification" or len(self.labels) == 1:
            return ClassificationFunction.SIGMOID
        return ClassificationFunction.SOFTMAX

    def __repr__(self) -> str:
        shown = super().__repr__()
        if self.calibration is None:
            return shown
        return f"{shown[:-1]}, temperature={self.calibration.temperature:.4g})"


def _apply(logits: Scores, function: ClassificationFunction) -> Scores:
    if function is ClassificationFunction.NONE:
        return logits
    if function is ClassificationFunction.SIGMOID:
        # The half that cannot overflow, mirrored: float32 exp overflows beyond 88.
        small = np.exp(-np.abs(logits))
        scores: Scores = np.where(logits >= 0, np.float32(1), small) / (1 + small)
        return scores
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def _checked_top_k(top_k: Any) -> int | None:
    if top_k is None:
        return None
    if isinstance(top_k, bool) or not hasattr(top_k, "__index__") or top_k < 1:
        raise ValueError(
            f"top_k must be a number of labels, at least 1, or None for all of them, got {top_k!r}"
        )
    return int(top_k)


def _checked_function(function: Any) -> ClassificationFunction | None:
    """The function of that name; None for "default"."""
    name = str(getattr(function, "value", function)).lower()
    if name == "default":
        return None
    choices = [one.value for one in ClassificationFunction]
    if name not in choices:
        raise ValueError(
            f"function_to_apply must be one of {[*choices, 'default']}, got {function!r}"
            f"{did_you_mean(name, choices)}"
        )
    return ClassificationFunction(name)


def _checked_aggregate(aggregate: Any) -> str:
    if aggregate not in _AGGREGATES:
        raise ValueError(
            f"aggregate must be one of {list(_AGGREGATES)}, got {aggregate!r}"
            f"{did_you_mean(str(aggregate), _AGGREGATES)}"
        )
    return str(aggregate)


def _refuse_other_heads(model: Any, task: str) -> None:
    """Refuse a model of this library with another head: its outputs are no scores of labels."""
    task_here = task_of(model)
    other = task_here is None and isinstance(model, BaseModel)
    if other or (task_here is not None and task_here.key != "sequence_classification"):
        raise ValueError(
            f"{task!r} needs a model with a sequence-classification head, got {type(model).__name__}: "
            "load it with AutoModelForSequenceClassification.from_pretrained(...)"
        )


def _calibration_beside(model: Any) -> Calibration | None:
    """The calibration in the folder or repository that the model came from."""
    name = getattr(model, "name_or_path", None) or getattr(model.config, "name_or_path", None)
    if not name:
        return None
    from formers.evaluation.calibration import Calibration
    from formers.hub import Source

    if Path(name).is_dir():
        return Calibration.load(Path(name))
    commit = getattr(model.config, "commit_hash", None)
    return Calibration.load(Source.of(name, revision=commit, local_files_only=True)) if commit else None
