"""One task: what classes, Auto classes, names, tags and losses are derived from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        key: its name, as families spell it in their heads.
        home: module under `formers.tasks` and class that computes it.
        auto: the Auto class that takes it; empty for none.
        says: that class's docstring.
        tag: what the Hub calls it, or None.
        labelled: its labels are shown on the model card.
        shifts: label i + 1 is what place i predicts.
        alone: it reads one text for each picture, not several.
        framed: a text that it goes on with has the special tokens around it.
    """

    key: str
    home: tuple[str, str]
    auto: str
    says: str
    tag: str | None = None
    labelled: bool = False
    shifts: bool = False
    alone: bool = False
    framed: bool = False
