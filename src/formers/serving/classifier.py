"""What the server asks of a model, and how a text-classification pipeline gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from formers.serving.settings import DEFAULT_THRESHOLD, Settings

Ranked = list[tuple[str, float]]  # (label, score), the best first


class Prepared(Protocol):
    """One tokenised text."""

    @property
    def length(self) -> int:
        """Tokens that the model will read."""


class Classifier(Protocol):
    """What the engine runs. Both methods are called from one thread, never at the same time.

    A `max_batch_tokens` attribute, where there is one, is the token budget that the classifier prefers.
    """

    revision: str | None
    max_length: int | None
    labels: Sequence[str]

    def prepare(self, texts: list[str]) -> Sequence[Prepared]:
        """Tokenise texts, in order."""

    def run(self, prepared: list[Any]) -> Sequence[Ranked]:
        """Score tokenised texts, in order: every label with its score (0 to 1), best first."""


class Threshold:
    """The least confidence that is answered without a person, by label; None: always a person."""

    def __init__(self, default: float, by_label: Mapping[str, float | None] | None = None) -> None:
        self.default = default
        self.by_label = dict(by_label or {})

    def of(self, label: str) -> float | None:
        """The threshold of `label`."""
        return self.by_label.get(label, self.default)

    @classmethod
    def choose(cls, settings: Settings, labels: Sequence[str], place: Any = None) -> Threshold:
        """Take the thresholds from the settings, else from `thresholds.json` at `place`, else the default.

        Raises:
            ValueError: the settings name a label that the model does not have, or the file is broken.
        """
        given = settings.threshold
        if isinstance(given, Mapping):
            if strange := sorted(set(given) - set(labels)):
                raise ValueError(f"thresholds for {strange}, but the model's labels are {sorted(labels)}")
            return cls(DEFAULT_THRESHOLD, given)
        if given is not None:
            return cls(float(given))
        if place is not None:
            from formers.evaluation.thresholds import Thresholds

            found = Thresholds.load(place)
            if found is not None:
                return cls(found.default, {record.label: record.threshold for record in found.labels})
        return cls(DEFAULT_THRESHOLD)
