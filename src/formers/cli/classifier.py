"""A classifier as the commands use it: the pipeline, and the thresholds beside the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formers.evaluation.thresholds import Thresholds


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
class Classifier:
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
    def load(cls, name: str, **options: Any) -> Classifier:
        """Load the model `name` (folder or Hub id); `options` are keywords of `pipeline`.

        Raises:
            OSError: when there is no such model.
        """
        refuse_a_missing_folder(name)
        from formers import pipeline
        from formers.evaluation.thresholds import Thresholds

        pipe = pipeline("text-classification", model=name, **options)
        named = pipe.model.config.id2label
        labels = [str(named[i]) for i in range(len(named))]
        return cls(name, pipe, labels, Thresholds.load(name))

    def logits(self, texts: Sequence[str], **options: Any) -> Any:
        """The model's outputs for `texts`, [N, K], in the order of the texts and of `labels`."""
        return self.pipe.logits(list(texts), **options)

    def scores(self, logits: Any) -> Any:
        """Probabilities [N, K] of `logits`, calibrated where a calibration lies beside the model."""
        from formers.evaluation.calibration import Calibration

        many = self.pipe.model.config.problem_type == "multi_label_classification"
        calibration = self.pipe.calibration or Calibration(1.0, "sigmoid" if many else "softmax")
        return calibration.apply(logits)

    def answer(self, texts: Iterable[str]) -> Iterator[Answer]:
        """Answers in the order of `texts`, which may be a stream of any length."""
        waiting: deque[str] = deque()

        def noted() -> Iterator[str]:
            for text in texts:
                waiting.append(text)
                yield text

        for entries in self.pipe(noted(), top_k=None):
            ranked = [(entry["label"], entry["score"]) for entry in entries]
            accepted = self.thresholds.accepts(*ranked[0]) if self.thresholds is not None else None
            yield Answer(waiting.popleft(), ranked, accepted)

    def predict(self, texts: Sequence[str]) -> Any:
        """Every label with its score, best first: what golden files record."""
        return self.pipe(list(texts), top_k=None)


def refuse_a_missing_folder(name: str) -> None:
    """Refuse a path that is not there before anything asks the Hub for it.

    Raises:
        FileNotFoundError: when `name` can only be a path and does not exist.
    """
    path = Path(name)
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")
    if path.is_file():
        raise NotADirectoryError(f"{name} is a file; a model is a folder with its config.json, or a Hub id")
    if looks_like_path and not path.is_dir():
        raise FileNotFoundError(f"there is no folder {name}; --model takes a folder or a Hub id")
