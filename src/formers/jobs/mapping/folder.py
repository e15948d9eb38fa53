"""The folder that answers are written to: a file for each block, whole or not there, and a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from formers.checkpoints.contents import content_hash, hashes_of
from formers.checkpoints.weight_file import file_hash
from formers.core.atomic import refuse_unwritable, write_text
from formers.core.jsonfile import read_json_object
from formers.hub import Source
from formers.jobs.mapping.inputs import Block, blocks_of, kind_of

MANIFEST = "manifest.json"
_VERSION = 2


class Input(NamedTuple):
    """A file that is read.

    Attributes:
        path: where it lies.
        size: in bytes.
        changed: when it was last written, in ns.
        digest: SHA-256 of what it holds, once a plan needs it.
    """

    path: str
    size: int
    changed: int
    digest: str = ""

    @classmethod
    def at(cls, path: str) -> Input:
        """The file at a path, unread."""
        found = Path(path).stat()
        return cls(path, found.st_size, found.st_mtime_ns)

    def hashed(self) -> Input:
        """The same with its digest."""
        return self._replace(digest=file_hash(Path(self.path)))

    def as_before(self, before: Input) -> bool:
        """Whether it holds what it held; it is read only where it was written since."""
        if (self.path, self.size) != (before.path, before.size):
            return False
        return self.changed == before.changed or self.hashed().digest == before.digest


@dataclass(frozen=True)
class Plan:
    """What is to be answered.

    Attributes:
        settings: all that the answers depend on, as JSON holds it.
        inputs: every file.
        blocks: in the order of the inputs.
    """

    settings: dict[str, Any]
    inputs: tuple[Input, ...]
    blocks: tuple[Block, ...]

    @property
    def rows(self) -> int:
        """How many rows all files have."""
        return sum(block.rows for block in self.blocks)

    def files_of(self, block: Block) -> list[str]:
        """The file of a block; its files where rows are files."""
        last = block.first + (1 if kind_of(self.inputs[block.first].path) else block.rows)
        return [one.path for one in self.inputs[block.first : last]]


def cut(inputs: Sequence[Input], rows: int) -> tuple[Block, ...]:
    """The blocks of files, each of at most `rows` rows: the one pass in which text files are read whole.

    Raises:
        ValueError: for a file that cannot be read as what its name says, or no row at all.
    """
    found: list[Block] = []
    if kind_of(inputs[0].path):
        for first, one in enumerate(inputs):
            for places in blocks_of(one.path, rows):
                found.append(Block(len(found), first, *places))
    else:
        for first in range(0, len(inputs), rows):
            found.append(Block(len(found), first, 0, min(rows, len(inputs) - first)))
    if not found:
        raise ValueError(f"there are no rows in {', '.join(one.path for one in inputs[:3])}")
    return tuple(found)


def revision_of(model: str, revision: str | None) -> str:
    """What tells a model's weights from others': the commit, or a hash over the files of a folder.

    Raises:
        OSError: where there is no such model.
    """
    source = Source.of(model, revision=revision)
    if not source.is_local:
        source.get("config.json")
        return source.commit or source.revision
    return content_hash(hashes_of(source))


@dataclass(frozen=True)
class Folder:
    """The folder of one run."""

    path: Path

    def block(self, index: int) -> Path:
        """Where the answers of a block lie."""
        return self.path / f"block-{index:07d}.jsonl"

    def known(self) -> Mapping[str, Any] | None:
        """The manifest; None where there is none yet.

        Raises:
            ValueError: for a folder with other files, or a manifest that nobody here wrote.
        """
        file = self.path / MANIFEST
        if file.is_file():
            found = read_json_object(file)
            if found.get("version") != _VERSION or not {"settings", "inputs", "blocks"} <= found.keys():
                raise ValueError(f"{file} is no manifest of formers map: name another folder")
            return found
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ValueError(f"{self.path} holds something else than answers of formers map: name another")
        refuse_unwritable(self.path)
        return None

    def plan(self, settings: dict[str, Any], paths: Sequence[str], rows: int) -> Plan:
        """The plan of a run: made and kept, or that of the run which is gone on with.

        Raises:
            ValueError: where that run had other settings, or other inputs.
        """
        known, inputs = self.known(), tuple(map(Input.at, paths))
        if known is None or not any(self.path.glob("block-*")):  # one that failed before its first answer
            plan = Plan(settings, tuple(one.hashed() for one in inputs), cut(inputs, rows))
            told = {
                "version": _VERSION, "settings": settings, "rows": plan.rows, "inputs": plan.inputs,
                "blocks": [astuple(block) for block in plan.blocks],
            }  # fmt: skip
            write_text(
                self.path / MANIFEST, json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"
            )
            return plan
        then = known["settings"]
        other = [
            f"{name} was {_shown(then.get(name))}, and is {_shown(settings.get(name))}"
            for name in sorted({*then, *settings})
            if then.get(name) != settings.get(name)
        ]
        before = {one.path: one for one in (Input(*told) for told in known["inputs"])}
        strange = {*before} ^ {*paths} or {one.path for one in inputs if not one.as_before(before[one.path])}
        if strange:
            other.append(f"the inputs are others, or changed since ({min(strange)})")
        if other:
            raise ValueError(
                f"{self.path} holds answers of another run: {'; '.join(other)}. Name another folder"
            )
        return Plan(settings, inputs, tuple(Block(*places) for places in known["blocks"]))

    def left(self, plan: Plan) -> list[Block]:
        """The blocks that are not answered yet."""
        there = {one.name for one in self.path.iterdir()}
        return [block for block in plan.blocks if self.block(block.index).name not in there]

    def write(self, block: Block, rows: list[dict[str, Any]]) -> int:
        """Write the answers of a block, whole or not at all; returns how many bytes."""
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        return write_text(self.block(block.index), text).stat().st_size

    def begin(self, block: Block, most: int) -> None:
        """Note that a block is begun, by a worker that may die of it.

        Raises:
            RuntimeError: where it was begun `most` times since `tidy`, and never written.
        """
        note = self._begun(block)
        with note.open("ab") as file:
            file.write(b".")
        if note.stat().st_size > most:
            raise RuntimeError(
                f"workers died {most} times over block {block.index} (rows {block.row} to "
                f"{block.row + block.rows - 1} of input {block.first}): is there memory enough for its rows?"
            )

    def end(self, block: Block) -> None:
        """Forget that a block was begun."""
        self._begun(block).unlink(missing_ok=True)

    def _begun(self, block: Block) -> Path:
        return self.path / f".block-{block.index:07d}.begun"

    def tidy(self) -> None:
        """Remove what workers that died left half done."""
        for ending in ("partial", "begun"):
            for part in self.path.glob(f".block-*.{ending}"):
                part.unlink(missing_ok=True)


def answers_of(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The answers that `map_files` wrote into a folder, in the order of the rows.

    Yields:
        {"source": file, "row": place in it, "answer": ...}, or with "error" in the place of "answer".

    Raises:
        ValueError: where no run wrote there, or blocks are still missing.
    """
    there = Folder(Path(folder).expanduser())
    known = there.known()
    if known is None:
        raise ValueError(f"{folder} holds no answers of formers map")
    plan = Plan(known["settings"], (), tuple(Block(*places) for places in known["blocks"]))
    if left := there.left(plan):
        raise ValueError(
            f"{folder} lacks {len(left)} of {len(plan.blocks)} blocks: the command that was stopped goes on"
        )
    return (
        json.loads(line) for block in plan.blocks for line in there.block(block.index).open(encoding="utf-8")
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
