"""A registry of versions: what it keeps, what it refuses, and what is left of a change that was killed."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from formers.desk.registry import Changed, Registry, RegistryError, Stages


def model(folder: Path, says: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"says": "{says}"}}')
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "optimizer.pt").write_text("no part of the model")
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry(tmp_path / "registry")
    for number in (1, 2, 3):
        found.add(model(tmp_path / f"model-{number}", str(number)), note=f"number {number}")
    found.promote("v1")
    return found


def spoil(registry: Registry, name: str) -> None:
    file = registry.folder(name) / "config.json"
    file.chmod(0o644)
    file.write_text('{"says": "other"}')


def test_versions_are_copied_once_with_the_hashes_of_their_files(registry: Registry, tmp_path: Path) -> None:
    assert list(registry.verify("v2").files) == ["config.json"]
    (tmp_path / "model-2" / "config.json").write_text("{}")  # the registry has its own
    assert registry.verify("v2").note == "number 2"
    again, new = registry.add(model(tmp_path / "again", "3"))
    assert (again.name, new) == ("v3", False)
    named, new = registry.add(tmp_path / "model-2", name="empty")
    assert (named.name, new, registry.add(model(tmp_path / "more", "5"))[0].name) == ("empty", True, "v5")


def test_stages_follow_promotes_and_go_back_step_by_step(registry: Registry) -> None:
    registry.promote("v2", 0.1)
    assert registry.promote("v3", shadow=True).stages == Stages("v1", "v2", 0.1, "v3")
    assert registry.rollback().stages == Stages("v1", shadow="v3")
    registry.promote("v2")
    assert registry.promote("v3").stages == Stages("v3")
    assert registry.rollback().stages == Stages("v2")
    assert registry.rollback().stages == Stages("v1")
    assert registry.rollback("v3").stages == Stages("v3")
    assert [event["revision"] for event in registry.state().history] == list(range(1, 13))


REFUSED = {
    "an unknown version": (lambda one: one.promote("v4"), "there is no version 'v4'"),
    "the current version": (lambda one: one.promote("v1"), "v1 is the current version already"),
    "no share": (lambda one: one.promote("v2", 0), "a share lies above 0"),
    "too large a share": (lambda one: one.promote("v2", 1.1), "a share lies above 0"),
    "back without a step": (lambda one: one.rollback(), "nothing to go back to"),
    "no shadow": (lambda one: one.end_shadow(), "there is no shadow"),
    "a bad name": (lambda one: one.add(one.folder("v1"), name="../v9"), "no name of a version"),
    "a taken name": (lambda one: one.add(one.path.parent / "other", name="v1"), "there is a version 'v1'"),
    "no model": (lambda one: one.add(one.path.parent), "is no folder of a model"),
    "no registry": (lambda one: Registry(one.path / "x").state(), "is no registry"),
    "another folder": (lambda one: Registry(one.folder("v1")).add(one.folder("v2")), "something else"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    registry: Registry, case: str, tmp_path: Path
) -> None:
    model(tmp_path / "other", "other")
    before = registry.file.read_bytes()
    do, said = REFUSED[case]
    with pytest.raises(RegistryError, match=said):
        do(registry)
    assert registry.file.read_bytes() == before


@pytest.mark.parametrize("how", ["changed", "is gone", "is new"])
def test_a_version_whose_files_are_not_what_was_added_gets_no_stage(registry: Registry, how: str) -> None:
    registry.promote("v2")
    file = registry.folder("v1") / "config.json"
    if how == "changed":
        spoil(registry, "v1")
    elif how == "is gone":
        file.unlink()
    else:
        (registry.folder("v1") / "more.json").write_text("{}")
    for change in (lambda: registry.promote("v1", 0.5), registry.rollback):
        with pytest.raises(Changed, match=f"json {how}"):
            change()
    assert registry.state().stages == Stages("v2")


def test_of_many_promotes_at_once_none_is_lost(registry: Registry) -> None:
    before = registry.state().revision
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda turn: registry.promote(f"v{2 + turn % 2}", 0.1 + turn / 100), range(24)))
    state = registry.state()
    assert state.revision == before + 24
    assert [event["revision"] for event in state.history] == list(range(1, before + 25))


def test_a_promote_that_is_killed_changes_nothing_and_holds_nobody_up(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.file.read_bytes()
    if not (child := os.fork()):
        monkeypatch.setattr(os, "replace", lambda *paths: os.kill(os.getpid(), signal.SIGKILL))
        registry.promote("v2")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert registry.file.read_bytes() == before
    assert registry.promote("v2").stages == Stages("v2")
    registry.add(registry.folder("v1"))
    assert not list(registry.path.glob(".registry.json*"))  # what it had begun to write


def test_what_an_add_left_behind_that_was_killed_goes(registry: Registry, tmp_path: Path) -> None:
    model(registry.folder("v4"), "moved, and never written down")
    added, _ = registry.add(model(tmp_path / "four", "4"))
    assert (added.name, registry.verify("v4").files) == ("v4", added.files)


def test_the_command_does_what_the_registry_does(registry: Registry, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from formers.cli.app import app

    def formers(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["registry", *map(str, arguments)])
        assert done.exit_code == 0, done.output
        return done.stdout

    folder = registry.path
    assert formers("add", folder, model(tmp_path / "four", "4"), "--note", "fourth") == "v4\n"
    assert formers("promote", folder, "v4", "--share", 0.25) == ("current v1; v4 gets 0.25 of the requests\n")
    assert formers("promote", folder, "v2", "--shadow").endswith("shadow v2\n")
    told = json.loads(formers("list", folder, "--json"))
    assert told["stages"] == {"current": "v1", "candidate": "v4", "share": 0.25, "shadow": "v2"}
    assert "fourth" in formers("list", folder)
    assert "config.json" in formers("show", folder, "v4")
    assert formers("rollback", folder) == "current v1; shadow v2\n"
    assert formers("end-shadow", folder) == "current v1\n"
    assert "took the share of v4 back" in formers("show", folder)
