"""How commands print: tables, and text that must not be taken for markup."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console(*, stderr: bool = False) -> Console:
    """The console of standard output, or of standard error: progress and remarks go to the latter."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A remark to the person who waits; standard output stays free for results."""
    console(stderr=True).print(text, markup=False)


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Print rows under `columns`, given as (head, "left" or "right")."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, box=None, show_header=any(head for head, _ in columns), pad_edge=False)
    for head, side in columns:
        made.add_column(head, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    console().print(made)


def write_csv(stream: TextIO, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of text as CSV that every reader takes apart again; each is on its way when it is made."""
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        # with this line end Python before 3.13 leaves a lone carriage return unquoted, which ends a row
        (quoted if any("\r" in cell for cell in row) else plain).writerow(row)
        stream.flush()


def shortened(text: str, width: int = 72) -> str:
    """`text` on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
