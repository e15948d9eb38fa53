"""Vocabulary files that are read in more than one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def merges_of(given: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Read the merges of BPE, the first to apply first, as values or from a merges.txt.

    Raises:
        TypeError: when none are given.
        ValueError: for a merge that is not of two tokens.
    """
    if "merges" in given:
        merges = [
            tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in given["merges"]
        ]
    elif "merges_file" in given:
        lines = Path(given["merges_file"]).read_text(encoding="utf-8").split("\n")
        lists = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        # fastBPE writes behind each merge how often it was found
        merges = [tuple(line[:2] if len(line) == 3 and line[2].isdigit() else line) for line in lists]
    else:
        raise TypeError(
            f"{where}() needs the merges too: merges_file= (merges.txt) or merges=; without them text falls "
            "apart"
        )
    for merge in merges:
        if len(merge) != 2:
            raise ValueError(f"{where}: a merge is two tokens, but found {merge!r}")
    return [(left, right) for left, right in merges]


def japanese_vocabulary(file: Path) -> tuple[dict[str, int], list[str]]:
    """Read a vocab.txt whose lines hold spellings of one piece: word -> id, and id -> its name."""
    ids: dict[str, int] = {}
    spelt: dict[str, None] = {}
    lines = file.read_text(encoding="utf-8").split("\n")
    for index, line in enumerate(lines[:-1] if lines[-1] == "" else lines):
        words = line.split(",") if line != "," or index + 1 < len(lines) else [line]
        ids |= dict.fromkeys(words, index)
        spelt[line if words[0] in spelt or not words[0] else words[0]] = None
    return ids, list(spelt)
