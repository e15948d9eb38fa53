"""Tables out: rows of text as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO


def write_csv(stream: TextIO, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of text as CSV that every reader takes apart again; each is on its way when it is made."""
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        # with this line end Python before 3.13 leaves a lone carriage return unquoted, which ends a row
        (quoted if any("\r" in cell for cell in row) else plain).writerow(row)
        stream.flush()
