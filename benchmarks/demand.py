"""How many of the names that packages take from transformers and peft there are, counted by who takes them.

    python benchmarks/demand.py table.tsv --missing missing.tsv

The table has a row for each name: name, module paths ("a.b(3) | a(1)"), kind, number of packages, and what
transformers 5.23 and older releases have. A name counts once for each package. Members, fields, keywords
and overridden methods are tried on tiny objects (`demand_members.py`); what no release has is not counted.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import tempfile
from collections import Counter
from pathlib import Path

import demand_members as members
from formers import dropin
from formers.dropin.doctor import reason

KINDS = {"constant": "function", "peft class": "peft", "peft function": "peft", "peft constant": "peft"}
COUNTED = ("class", "function", "module path", "peft")
OF_OBJECTS = ("keyword", "override", "output field", "GenerationConfig field", "config attribute")


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
    missing += of_objects(rows)
    if given.missing:
        missing.sort(key=lambda one: -one[0])
        given.missing.write_text("".join("\t".join(map(str, one)) + "\n" for one in missing))


def of_objects(rows: list[list[str]]) -> list[tuple[int, str, str, str]]:
    """Print the shares of what packages take of objects; returns what is not there."""
    counts: dict[str, Counter[str]] = {}
    missing = []
    with dropin.using(packages=dropin.PACKAGES), tempfile.TemporaryDirectory() as folder:
        library = importlib.import_module("transformers")
        held = members.specimens(library, folder)
        for name, owner, kind, packages, *more in rows:
            own = more[3].startswith("no") and more[4] in ("", "no")  # no release of the ecosystem's has it
            if own or not (kind in OF_OBJECTS or kind.endswith((" member", "TrainingArguments attribute"))):
                continue
            what = members.judged(library, held, kind, name, owner)
            counts.setdefault(kind, Counter())[what] += int(packages)
            if what in (members.ABSENT, members.OPEN):
                missing.append((int(packages), kind, f"{owner}.{name}", what))
    for kind, found in sorted(counts.items()):
        known = sum(found.values()) - found[members.UNKNOWN]
        share = found[members.THERE] / max(known, 1)
        print(
            f"{kind:<32} {found[members.THERE]:>5} of {known:>5} package-uses ({share:.1%}), "
            f"{found[members.OPEN]} open, {found[members.UNKNOWN]} of packages' own objects"
        )
    return missing


if __name__ == "__main__":
    main()
