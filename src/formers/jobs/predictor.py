"""A saved classifier, ready to answer: the pipeline, and the thresholds beside the model."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.notices import printable
from formers.hub import gguf
from formers.hub.source import looks_like_a_path

if TYPE_CHECKING:
    from formers.evaluation.thresholds import Thresholds


class NoAnswer(ArithmeticError):
    """A model gave something that is no answer, such as NaN for a score: nothing can go on from it."""


@dataclass(frozen=True)
class Answer:
    """One text with its labels, best first, and whether the best one stands without a person."""

    text: str
    ranked: list[tuple[str, float]]
    accepted: bool | None

    @property
    def label(self) -> str:
        """The best label."""
        return self.ranked[0][0]

    @property
    def score(self) -> float:
        """Its score."""
        return self.ranked[0][1]


@dataclass(frozen=True)
class Predictor:
    """A loaded model.

    Attributes:
        name: folder or Hub id.
        pipe: the text-classification pipeline.
        labels: the labels, in the order of the model's outputs.
        thresholds: which answers stand without a person; None when nothing lies beside the model.
    """

    name: str
    pipe: Any
    labels: list[str]
    thresholds: Thresholds | None

    @classmethod
    def load(cls, name: str, **options: Any) -> Predictor:
        """Load the model `name` (folder or Hub id); `options` that are not None are keywords of `pipeline`.

        Raises:
            OSError: when there is no such model.
        """
        name = model_name(name)
        from formers import pipeline
        from formers.evaluation.thresholds import Thresholds

        given = {key: value for key, value in options.items() if value is not None}
        pipe = pipeline("text-classification", model=name, **given)
        return cls(name, pipe, pipe.labels, Thresholds.load(name))

    def refuse_other_than_one_label(self, work: str) -> None:
        """Refuse a regression, and a model of several labels at once, for `work` that cannot judge them.

        Raises:
            ValueError: naming what the model is.
        """
        kind = self.pipe.model.config.problem_type
        if kind == "regression":
            found = "is a regression: its outputs are no labels"
        elif kind == "multi_label_classification":
            found = "gives a text several labels at once"
        elif len(self.labels) < 2:
            found = f"knows a single label, {self.labels}"
        else:
            return
        raise ValueError(
            f"{work} judges models that give each text one of several labels; {self.name} {found}. "
            "Judge it in Python: formers.evaluation.metrics"
        )

    def logits(self, texts: Sequence[str], **options: Any) -> Any:
        """The model's outputs for `texts`, [N, K], in the order of the texts and of `labels`."""
        return self.pipe.logits(list(texts), **options)

    def scores(self, logits: Any) -> Any:
        """Probabilities [N, K] of `logits`, calibrated where a calibration lies beside the model."""
        from formers.evaluation.calibration import Calibration

        many = self.pipe.model.config.problem_type == "multi_label_classification"
        calibration = self.pipe.calibration or Calibration(1.0, "sigmoid" if many else "softmax")
        return calibration.apply(logits)

    def answer(self, blocks: Iterable[Iterable[str]]) -> Iterator[Answer]:
        """Answers to the texts of `blocks`, in their order; a list is answered before the next is asked for.

        Raises:
            NoAnswer: when the model gives a score that is no number.
        """
        before = 0
        for block in blocks:
            for text, entries in self._paired(block, before):
                yield self._answer(text, [(entry["label"], entry["score"]) for entry in entries])
            before += len(block) if isinstance(block, list) else 0

    def _paired(self, block: Iterable[str], before: int) -> Iterator[tuple[str, Any]]:
        """Each text of a block with the pipeline's answer; anything but a list is read as a stream."""
        if isinstance(block, list):
            try:
                answers = self.pipe(block, top_k=None)
            except ValueError as error:  # it may name a place in the block
                if not before:
                    raise
                raise ValueError(f"{error} (counted from text {before + 1})") from error
            yield from zip(block, answers, strict=True)
            return
        waiting: deque[str] = deque()

        def noted() -> Iterator[str]:
            for text in block:
                waiting.append(text)
                yield text

        for entries in self.pipe(noted(), top_k=None):
            yield waiting.popleft(), entries

    def _answer(self, text: str, ranked: list[tuple[str, float]]) -> Answer:
        bad = next((label for label, score in ranked if not math.isfinite(score)), None)
        if bad is not None:
            raise NoAnswer(
                f"the model {self.name} gave {dict(ranked)[bad]} as the score of {bad!r} for the text "
                f"{shortened(text)!r}: its weights are broken (did training diverge?) or too large for its "
                "dtype"
            )
        accepted = self.thresholds.accepts(*ranked[0]) if self.thresholds is not None else None
        return Answer(text, ranked, accepted)

    def predict(self, texts: Sequence[str]) -> Any:
        """Every label with its score, best first: what golden files record."""
        return self.pipe(list(texts), top_k=None)


def shortened(text: str, width: int = 72) -> str:
    """`text` on one line of at most `width` characters; control characters are written out, as in Python."""
    line = printable(" ".join(text.split())[: width + 1], kept="")
    return line if len(line) <= width else line[: width - 1] + "…"


def model_name(name: str) -> str:
    """`name` with a leading ~ as the folder it stands for: shells leave that of --model=~/x as it is.

    A path that is not there is refused before anything asks the Hub for it.

    Raises:
        FileNotFoundError: when `name` can only be a path and does not exist.
    """
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix == gguf.ENDING:
            return str(path)
        if path.name == "model.onnx":
            return str(path.parent)
        raise NotADirectoryError(f"{name} is a file; a model is a folder with its config.json, or a Hub id")
    if looks_like_a_path(name) and not path.is_dir():
        raise FileNotFoundError(f"there is no folder {name}; a model is a folder or a Hub id")
    return str(path) if name.startswith("~") else name
