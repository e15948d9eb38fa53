"""What the server asks of a model that answers texts in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Ranked = list[tuple[str, float]]  # (label, score), the best first


class Prepared(Protocol):
    """One tokenised text."""

    @property
    def length(self) -> int:
        """Tokens that the model will read."""


class Model(Protocol):
    """What the engine runs. Both methods are called from one thread, never at the same time.

    A `max_batch_tokens` attribute, where there is one, is the token budget that the model prefers.
    """

    revision: str | None
    max_length: int | None

    def prepare(self, texts: list[Any]) -> Sequence[Prepared]:
        """Tokenise texts, in order."""

    def run(self, prepared: list[Any]) -> Sequence[Any]:
        """Answer tokenised texts, in order."""


class Classifier(Model, Protocol):
    """What `/classify` asks."""

    labels: Sequence[str]

    def run(self, prepared: list[Any]) -> Sequence[Ranked]:
        """Score tokenised texts, in order: every label with its score (0 to 1), best first."""
