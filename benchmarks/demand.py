"""How many of the names that packages take from transformers and peft there are, counted by who takes them.

    python benchmarks/demand.py table.tsv --missing missing.tsv

The table has a row for each name: name, module paths ("a.b(3) | a(1)"), kind, number of packages. A name
counts once for each package.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

from formers import dropin
from formers.dropin.doctor import reason

KINDS = {"constant": "function", "peft class": "peft", "peft function": "peft", "peft constant": "peft"}
COUNTED = ("class", "function", "module path", "peft")


def main() -> None:
    """Print the shares, and write what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument(
        "--missing", type=Path, help="file for the names that are not there, with the reasons"
    )
    given = parser.parse_args()
    with given.table.open() as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    wanted: Counter[str] = Counter()
    there: Counter[str] = Counter()
    missing = []
    with dropin.using(packages=dropin.PACKAGES):
        for name, paths, kind, packages, *_ in rows:
            kind = KINDS.get(kind, kind)
            module = paths.partition("|")[0].strip().rpartition("(")[0]
            if kind not in COUNTED or (kind != "module path" and not module.startswith(dropin.PACKAGES)):
                continue
            why = reason(name) if kind == "module path" else reason(module, name)
            wanted[kind] += int(packages)
            if why:
                missing.append((int(packages), kind, f"{module}.{name}".lstrip("."), why))
            else:
                there[kind] += int(packages)
    for kind in COUNTED:
        share = there[kind] / max(wanted[kind], 1)
        print(f"{kind:<12} {there[kind]:>5} of {wanted[kind]:>5} package-uses ({share:.1%})")
    if given.missing:
        missing.sort(key=lambda one: -one[0])
        given.missing.write_text("".join("\t".join(map(str, one)) + "\n" for one in missing))


if __name__ == "__main__":
    main()
