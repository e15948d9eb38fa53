"""How commands print: tables, and text that must not be taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from formers.core.notices import printable

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console(*, stderr: bool = False) -> Console:
    """The console of standard output, or of standard error: progress and remarks go to the latter."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """A remark to the person who waits; standard output stays free for results."""
    console(stderr=True).print(printable(text), markup=False)


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under `columns`, given as (head, "left" or "right")."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=any(head for head, _ in columns), pad_edge=False)
    for head, side in columns:
        made.add_column(head, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(printable(str(cell), kept="")) for cell in row))
    console().print(made)
