"""Write the figures of a benchmark into RESULTS.md, with the machine and the versions they were taken on.

A section is replaced by the next run of the same name. From a script:

    record.section("Import", table, command="python benchmarks/import_time.py --record", notes="...")

where `table` is a list of rows of strings and the first row is the head.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

Table = Sequence[Sequence[Any]]


def show(table: Table) -> None:
    """Print `table` with its columns aligned, the first to the left and the others to the right."""
    rows = [[str(cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())


def markdown(table: Table) -> str:
    """Render `table` as a Markdown table."""
    head, *body = [[str(cell).replace("|", "\\|") for cell in row] for row in table]
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def circumstances() -> Mapping[str, str]:
    """The machine and the versions that figures depend on."""
    from formers.core.environment import environment

    found = environment()
    hardware, versions = found["hardware"], found["packages"]
    names = ("torch", "transformers", "tokenizers", "onnxruntime", "accelerate")
    installed = (f"{name} {versions[name]}" for name in names if versions.get(name))
    return {
        "machine": ", ".join(
            [
                f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB",
                *found["accelerators"],
            ]
        ),
        "versions": f"Python {found['python']}, formers {versions['formers']}, " + ", ".join(installed),
        "date": datetime.date.today().isoformat(),
    }


def section(name: str, table: Table, *, command: str, notes: str = "", results: Path = RESULTS) -> None:
    """Write the section `name` of `results`, in the place of an earlier one or at the end."""
    about = circumstances()
    parts = [
        f"## {name}",
        f"`{command}`",
        markdown(table),
        *([notes.strip()] if notes.strip() else []),
        f"{about['date']}; {about['machine']}; {about['versions']}.",
    ]
    text = "\n\n".join(parts) + "\n"
    old = results.read_text() if results.exists() else ""
    earlier = re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if earlier.search(old):
        new = earlier.sub(lambda _: text + "\n", old, count=1)
    else:
        new = (old.rstrip() + "\n\n" if old.strip() else "") + text
    results.write_text(new.rstrip() + "\n")
    print(f"written to {results.name}: {name}")
