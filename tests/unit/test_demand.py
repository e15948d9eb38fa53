"""The names that packages take from the ecosystem most often: how many of them there are."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from formers import dropin
from formers.dropin.doctor import reason

# Shares of package-uses, in percent, which only ever go up; `demanded_names.tsv` has the names that three
# packages or more take.
LEAST = {"class": 97.9, "function": 100, "module path": 96.3, "peft": 100}


def test_the_share_of_names_that_are_there_does_not_fall():
    with (Path(__file__).parent / "demanded_names.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    wanted: Counter[str] = Counter()
    there: Counter[str] = Counter()
    with dropin.using("4.57.6", dropin.PACKAGES):
        for row in rows:
            path = (row["module"], row["name"]) if row["module"] else (row["name"],)
            wanted[row["kind"]] += int(row["packages"])
            there[row["kind"]] += 0 if reason(*path) else int(row["packages"])
    shares = {kind: 100 * there[kind] / count for kind, count in wanted.items()}
    assert {kind: share >= LEAST[kind] for kind, share in shares.items()} == dict.fromkeys(LEAST, True), (
        shares
    )
