"""The folder that a training writes to: what it may replace or remove there, and what it leaves alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formers.core.atomic import refuse_unwritable, write_text
from formers.core.jsonfile import read_json_object

# files that are known by their sums, which lie among the facts of a split
SUMMED = ("held-out.csv", "held-out.jsonl", "report.md")
SPLIT = "split.json"  # what was trained on which rows: beside the checkpoints, in the end beside the model
RECORDS = ("calibration.json", "thresholds.json", "drift-baseline.json", "metrics.json")
# What saving a model and its tokenizer may write.
_SAVED = (
    *("config.json", "*.safetensors", "*.index.json", "generation_config.json", "training_args.*"),
    *("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "modules.json", "config_sentence_transformers.json"),
    "sentence_*_config.json",
)
_CHECKPOINT = re.compile(r"\.?checkpoint-\d+\b.*")  # those half written or half removed begin with a dot
_ELSEWHERE = "move it away, or name another --output"


@dataclass(frozen=True)
class Output:
    """The output folder of a training."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Where training keeps its checkpoints until the model is saved; it may be a link."""
        return self.folder / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether it holds a model."""
        return "model_type" in _object(self.folder / "config.json")

    @property
    def unfinished(self) -> bool:
        """Whether a training that did not come to its end left something to go on from."""
        return any(self.checkpoints.glob("checkpoint-*"))

    def refuse(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse to train over a model or an unfinished training unasked, and to go on from nothing.

        Raises:
            OSError: when nothing can be written there.
            ValueError: saying which options there are.
        """
        if resume and overwrite:
            raise ValueError(
                "--resume goes on with a training, --overwrite starts it again: give one of them"
            )
        if resume and not self.unfinished:
            found = "a finished model, and no checkpoint" if self.finished else "no checkpoint"
            again = "give --overwrite to train again" if self.finished else "leave --resume out to start"
            raise ValueError(f"{self.folder} holds {found} to go on from: {again}")
        if self.finished and not (resume or overwrite):
            raise ValueError(
                f"{self.folder} holds a model already: --overwrite trains again, or name another --output"
            )
        if self._split_of(self.checkpoints) and self.unfinished and not (resume or overwrite):
            raise ValueError(
                f"{self.folder} holds a training that was interrupted: --resume goes on with it, --overwrite "
                "starts again"
            )
        refuse_unwritable(self.folder)

    def refuse_loss(self, data: Path, model: str, facts: dict[str, Any]) -> None:
        """Refuse what no training wrote where this one would replace or remove it, its own input included.

        Args:
            data: the table that is read.
            model: folder or Hub id of the model that is read.
            facts: those of the split, as `start` keeps them.

        Raises:
            ValueError: naming the file.
        """
        kept = self.checkpoints
        if os.path.lexists(kept) and not kept.is_dir():
            found = "a link to nothing" if kept.is_symlink() else "a file"
            raise ValueError(f"{kept} is {found}, where training keeps its checkpoints: {_ELSEWHERE}")
        for option, source in (("--data", data), ("--model", Path(model))):
            if source.exists() and (
                source.resolve().is_relative_to(kept.resolve())
                or any(path.exists() and path.samefile(source) for path in (self.folder, *self._written()))
            ):
                raise ValueError(f"training would replace its own {option} {source}: name another --output")
        then, before = self._split_of(kept), self._split_of(self.folder)
        strange = [path for path in _entries(kept) if not (then and _is_checkpoint(path))]
        for path in self._written():
            if path.name in SUMMED:
                sums = [known.get(path.name) for known in (facts, then, before)]
                ours = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() in sums
            elif path.name == SPLIT:
                ours = bool(before)
            elif path.name in RECORDS:
                ours = "version" in _object(path)
            else:
                ours = path.is_file() and bool(self.finished or then)
            strange += [] if ours else [path]
        if strange:
            raise ValueError(
                f"{strange[0]} was not written by formers train, which would replace or remove it: "
                f"{_ELSEWHERE}"
            )

    def start(self, facts: dict[str, Any]) -> None:
        """Make the folder of the checkpoints, with the facts of the split and nothing of another training."""
        self._remove_checkpoints()
        write_text(self.checkpoints / SPLIT, _text(facts))

    def resume(self, data: Path, now: dict[str, Any]) -> dict[str, Any]:
        """The facts beside the checkpoints, where they are of this split.

        Of another one, rows that were trained on would be held out. The numbers of the labels are those that
        the checkpoints have.

        Raises:
            ValueError: when they differ from `now`, or none are there.
        """
        kept = self.checkpoints
        then = self._split_of(kept)
        if not then or now.keys() - then.keys():
            raise ValueError(
                f"{kept / SPLIT} cannot be read, so that it is not known which rows {kept} was trained on: "
                f"remove {kept} to start again"
            )
        if other := [f"{name} {then[name]}" for name in now if name[:2] == "--" and then[name] != now[name]]:
            raise ValueError(
                f"{kept} was trained with {', '.join(other)}: --resume goes on with the same alone, since "
                "another split would hold out rows that were trained on; --overwrite starts again"
            )
        if then["rows"] != now["rows"] or sorted(then["labels"]) != sorted(now["labels"]):
            raise ValueError(
                f"the rows of {data} are not those that {kept} was trained on (another file or column, or "
                "changed since?): --resume goes on with the same rows alone; --overwrite starts again"
            )
        return then

    def forget_the_old_model(self) -> None:
        """Remove what was measured of an earlier model: a new one must not come to lie beside it."""
        for name in (*RECORDS, *SUMMED):
            (self.folder / name).unlink(missing_ok=True)

    def finish(self, facts: dict[str, Any], files: Mapping[str, str]) -> None:
        """Keep the facts of the split and further files beside the model, and remove the checkpoints."""
        sums = {name: hashlib.sha256(files[name].encode()).hexdigest() for name in files if name in SUMMED}
        write_text(self.folder / SPLIT, _text({**facts, **sums}))
        for name, text in files.items():
            write_text(self.folder / name, text)
        self._remove_checkpoints()

    def _remove_checkpoints(self) -> None:
        """Remove the checkpoints and their folder; a link stays, and a folder with anything else in it."""
        for path in _entries(self.checkpoints):
            if path.name == SPLIT:
                path.unlink()
            elif _is_checkpoint(path):
                shutil.rmtree(path, ignore_errors=True)
        if self.checkpoints.is_dir() and not self.checkpoints.is_symlink():
            with suppress(OSError):
                self.checkpoints.rmdir()

    def _written(self) -> list[Path]:
        """What lies there under names that a training writes to."""
        names = (*RECORDS, *SUMMED, SPLIT, *_SAVED)
        return [path for path in _entries(self.folder) if any(path.match(name) for name in names)]

    @staticmethod
    def _split_of(folder: Path) -> dict[str, Any]:
        """The facts that lie in a folder; empty where there are none."""
        found = _object(folder / SPLIT)
        return found if {"rows", "labels"} <= found.keys() else {}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_checkpoint(path: Path) -> bool:
    return path.name == SPLIT or (path.is_dir() and _CHECKPOINT.fullmatch(path.name) is not None)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        return read_json_object(path)
    except OSError:
        return {}


def _text(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
