"""Versions of a model in a folder, and which of them a server answers with.

One file, `registry.json`, says all: what versions there are, the hash of each of their files, and their
stages. It is replaced as a whole, under a lock that the system gives back when its holder dies; so a reader
sees the state before a change or after it, and of two changes at once one comes after the other.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from formers.checkpoints.contents import content_hash, files_of, hashes_of
from formers.core.atomic import refuse_unwritable, sync_file, sync_folder, temporary_beside, write_text
from formers.core.extras import need
from formers.core.jsonfile import read_json_object
from formers.core.notices import did_you_mean
from formers.evaluation.records import built
from formers.hub import Source

FILE = "registry.json"
_FORMAT = 1
_LOCK = ".registry.lock"
_SECONDS = 60.0  # that a change waits for another one
_LONGEST_COPY = 24 * 3600.0  # seconds
_KEPT = 200  # events
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OTHERS = (".h5", ".msgpack", ".ot", ".tflite")  # weights of other frameworks, in repositories of the Hub


class RegistryError(ValueError):
    """What a registry cannot do, in one line."""


class Changed(RegistryError):
    """The files of a version are not those that were added."""


@dataclass(frozen=True)
class Version:
    """One version.

    Attributes:
        name: what commands call it.
        hash: over all of its files.
        files: file -> SHA-256.
        added: when, in ISO 8601, UTC.
        source: the folder or repository that it was copied from, with the commit where there is one.
        note: what whoever added it said.
    """

    name: str
    hash: str
    files: dict[str, str]
    added: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Stages:
    """Which versions answer.

    Attributes:
        current: gets all requests but those of the candidate.
        candidate: gets a share of them.
        share: 0 to 1.
        shadow: is asked the same, and nobody gets its answers.
    """

    current: str | None = None
    candidate: str | None = None
    share: float = 0.0
    shadow: str | None = None

    def __str__(self) -> str:
        told = [f"current {self.current or 'none'}"]
        if self.candidate:
            told.append(f"{self.candidate} gets {self.share:.3g} of the requests")
        return "; ".join([*told, *([f"shadow {self.shadow}"] if self.shadow else [])])


@dataclass(frozen=True)
class State:
    """All that a registry says.

    Attributes:
        revision: how often it was changed.
        versions: by name, in the order in which they were added.
        stages: which of them answer.
        before: versions that were current, the latest last.
        history: the latest events: "at", "did" and "revision" of each.
    """

    revision: int = 0
    versions: dict[str, Version] = field(default_factory=dict)
    stages: Stages = Stages()
    before: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()

    def version(self, name: str) -> Version:
        """A version by name.

        Raises:
            RegistryError: there is none.
        """
        if name not in self.versions:
            near = did_you_mean(name, self.versions) or f"; there are {', '.join(self.versions) or 'none'}"
            raise RegistryError(f"there is no version {name!r}{near}")
        return self.versions[name]


class Registry:
    """A registry of versions of one model.

    Args:
        path: its folder; made by the first `add`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @property
    def file(self) -> Path:
        """The file that says all."""
        return self.path / FILE

    def folder(self, name: str) -> Path:
        """Where the files of a version lie."""
        return self.path / "versions" / name

    def state(self) -> State:
        """What the registry says now.

        Raises:
            RegistryError: there is none, or its file is none of a registry.
        """
        if not self.file.is_file():
            raise RegistryError(f"{self.path} is no registry: `formers registry add` begins one")
        found = read_json_object(self.file)
        if found.pop("format", None) != _FORMAT:
            raise RegistryError(f"{self.file} is no file of a registry, or of a later one")
        try:
            versions = {
                name: built(Version, one, f"version {name}") for name, one in found["versions"].items()
            }
            stages = built(Stages, found["stages"], "stages")
            return State(
                int(found["revision"]), versions, stages, tuple(found["before"]), tuple(found["history"])
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RegistryError(f"{self.file} is broken: {error!r}") from error

    def verify(self, name: str) -> Version:
        """A version whose files are those that were added.

        Raises:
            Changed: they are not; it names one.
            RegistryError: there is no such version.
        """
        version = self.state().version(name)
        folder = self.folder(name)
        found = hashes_of(Source.of(folder)) if folder.is_dir() else {}
        for file in sorted({*found, *version.files}):
            if found.get(file) != version.files.get(file):
                how = "is gone" if file not in found else "changed" if file in version.files else "is new"
                raise Changed(f"version {name} is not what was added: {file} {how} in {folder}")
        return version

    # --- changes -----------------------------------------------------------------------------------------

    def add(self, model: str | Path, name: str | None = None, note: str = "") -> tuple[Version, bool]:
        """Copy a model into the registry.

        Args:
            model: folder, or Hub id.
            name: of the version; v1, v2, ... when left out.
            note: what it is.

        Returns:
            The version, and whether it is new: files that are there already are not copied again.

        Raises:
            OSError: the model cannot be read, or the folder not written.
            RegistryError: it is no model, or the name is taken or no name.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise RegistryError(f"{name!r} is no name of a version: letters, digits, '.', '_' and '-'")
        source = Source.of(model)
        files = [one for one in files_of(source) if source.is_local or not one.endswith(_OTHERS)]
        if source.gguf_file or not {"config.json", "modules.json"} & {*files}:
            raise RegistryError(f"{model} is no folder of a model: it has no config.json")
        self._refuse_strange()
        (self.path / "versions").mkdir(parents=True, exist_ok=True)
        part = temporary_beside(self.folder(name or "new"))
        try:  # without the lock: nobody who goes back waits for a copy
            for file in files:
                _copy(source.get(file), part / file)
            hashes = hashes_of(Source.of(part))
            with self._changing() as state:
                self._tidy(state)
                known = next((one for one in state.versions.values() if one.files == hashes), None)
                if known is not None:
                    return known, False
                chosen = name or _next(state)
                if chosen in state.versions:
                    raise RegistryError(f"there is a version {chosen!r} already, with other files")
                part.rename(self.folder(chosen))
                sync_folder(self.folder(chosen).parent)
                told = f"{model}@{source.commit}" if source.commit else str(model)
                version = Version(chosen, content_hash(hashes), hashes, _now(), told, note)
                versions = {**state.versions, chosen: version}
                self._write(replace(state, versions=versions), f"added {chosen} from {told}")
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return version, True

    def promote(self, name: str, share: float = 1.0, *, shadow: bool = False) -> State:
        """Give a version a stage: all requests, a share of them, or a copy of them.

        Args:
            name: the version.
            share: 1 makes it the current one; less makes it the candidate, in place of any other.
            shadow: it is asked what others are asked; `share` is not looked at.

        Raises:
            Changed: its files are not those that were added.
            RegistryError: there is no such version, or it cannot have that stage.
        """
        if not 0 < share <= 1:
            raise RegistryError(f"a share lies above 0 and is at most 1, not {share:g}")
        self.verify(name)
        with self._changing() as state:
            stages = state.stages
            if name == stages.current:
                raise RegistryError(f"{name} is the current version already: rollback takes others away")
            if shadow:
                if name == stages.candidate:
                    raise RegistryError(f"{name} has a share of the requests: it cannot be the shadow, too")
                new, did = replace(stages, shadow=name), f"made {name} the shadow"
                return self._write(replace(state, stages=new), did)
            stages = replace(stages, shadow=None if stages.shadow == name else stages.shadow)
            if share < 1:
                if stages.current is None:
                    raise RegistryError("no version is current yet: promote one without a share first")
                new, did = replace(stages, candidate=name, share=share), f"gave {name} a share of {share:.3g}"
                return self._write(replace(state, stages=new), did)
            before = (*state.before, *([stages.current] if stages.current else []))
            new = replace(stages, current=name, candidate=None, share=0.0)
            return self._write(replace(state, stages=new, before=before), f"made {name} the current version")

    def rollback(self, to: str | None = None) -> State:
        """Take the last step back: away with a candidate, else back to the version that was current before.

        Args:
            to: a version that becomes current instead; a candidate goes, too.

        Raises:
            Changed: the files of the version that would be current are not those that were added.
            RegistryError: there is nothing to go back to.
        """
        with self._changing() as state:
            stages, before = state.stages, state.before
            if to is None and stages.candidate:
                new = replace(stages, candidate=None, share=0.0)
                return self._write(replace(state, stages=new), f"took the share of {stages.candidate} back")
            back = to or (before[-1] if before else None)
            if back is None or (to is not None and to == stages.current and not stages.candidate):
                raise RegistryError("there is nothing to go back to")
            self.verify(back)
            if to is None:
                before = before[:-1]
            elif to != stages.current and stages.current:
                before = (*before, stages.current)
            new = Stages(back, shadow=None if stages.shadow == back else stages.shadow)
            did = f"went back from {stages.current} to {back}"
            return self._write(replace(state, stages=new, before=before), did)

    def end_shadow(self) -> State:
        """Take the shadow away.

        Raises:
            RegistryError: there is none.
        """
        with self._changing() as state:
            if state.stages.shadow is None:
                raise RegistryError("there is no shadow")
            new = replace(state.stages, shadow=None)
            return self._write(replace(state, stages=new), f"ended the shadow {state.stages.shadow}")

    # --- files -------------------------------------------------------------------------------------------

    def _refuse_strange(self) -> None:
        """Refuse a folder that holds something else."""
        there = {one.name for one in self.path.iterdir()} if self.path.is_dir() else set()
        if there - {_LOCK, "versions"} and FILE not in there:
            raise RegistryError(f"{self.path} holds something else than a registry: name another folder")
        refuse_unwritable(self.path)

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """The state, while nobody else changes it."""
        locks = need("filelock", "serve", "a registry")
        if not (self.path / "versions").is_dir():
            self.state()  # says that there is none
        try:
            with locks.FileLock(self.path / _LOCK, timeout=_SECONDS):
                yield self.state() if self.file.is_file() else State()
        except locks.Timeout:
            raise RegistryError(
                f"another change of {self.path} has not ended within {_SECONDS:g} s"
            ) from None

    def _write(self, state: State, did: str) -> State:
        revision = state.revision + 1
        event = {"at": _now(), "did": did, "revision": revision}
        new = replace(state, revision=revision, history=(*state.history, event)[-_KEPT:])
        told: Mapping[str, Any] = {"format": _FORMAT, **asdict(new)}
        write_text(self.file, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return new

    def _tidy(self, state: State) -> None:
        """Remove what an `add` that was killed left behind; a copy that still goes on is young."""
        for one in (self.path / "versions").iterdir():
            copying = one.name.startswith(".") and time.time() - one.stat().st_mtime < _LONGEST_COPY
            if one.name not in state.versions and not copying:
                shutil.rmtree(one, ignore_errors=True)
        for part in self.path.glob(f".{FILE}.*.partial"):
            part.unlink(missing_ok=True)


def is_registry(path: str | Path) -> bool:
    """Whether a folder is a registry."""
    return (Path(path).expanduser() / FILE).is_file()


def _next(state: State) -> str:
    number = len(state.versions) + 1
    while f"v{number}" in state.versions:
        number += 1
    return f"v{number}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    sync_file(target)
    target.chmod(0o444)  # a version is never written to again


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
