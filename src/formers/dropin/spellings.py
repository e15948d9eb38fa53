"""All older names of the ecosystem beside those of today, from wherever each is declared."""

from __future__ import annotations

import functools

from formers.core.older_names import TABLE, Older
from formers.models.table import OLDER_NAMES


@functools.cache
def table() -> tuple[Older, ...]:
    """Every older name once, with what it means and since when there is another."""
    from formers.training.arguments.spellings import rows

    held = {one.old for one in TABLE if one.kind == "class"}
    classes = (Older("class", "", old, new, "4.20") for old, new in OLDER_NAMES.items() if old not in held)
    return (*TABLE, *rows(), *classes)


def markdown() -> str:
    """The table as Markdown, for the documentation."""
    kinds: dict[str, list[Older]] = {}
    for one in table():
        kinds.setdefault(one.kind, []).append(one)
    said = {
        "same": "works, means the newer",
        "noticed": "works, without effect, which is said",
        "refused": "refused",
    }
    lines = []
    for kind, rows in kinds.items():
        lines += [
            f"### {kind.capitalize()}s",
            "",
            "| where | older | today | since | here |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {one.where} | `{one.old}` | {one.new} | {one.since} | {said[one.done]} |" for one in rows
        ]
        lines.append("")
    return "\n".join(lines)
