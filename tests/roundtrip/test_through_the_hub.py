"""Models go up to a Hub on loopback and come back the same: by revision, from a subfolder, and offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.shapes import write_checkpoint


def same(one: Any, other: Any) -> None:
    expected, found = one.state_dict(), other.state_dict()
    assert sorted(found) == sorted(expected)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """A classifier that the reference wrote into `tmp_path / "made"`."""
    return write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path / "made")


def files(folder: Path, under: str = "") -> dict[str, bytes]:
    return {under + path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_is_pushed_and_comes_back(hub: Any, theirs: Any, tmp_path: Path) -> None:
    ours = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "made")
    url = ours.push_to_hub("somebody/router", token="hf_reader", commit_message="First router")

    assert url.startswith(hub.url)
    repo = hub.repos["models", "somebody/router"]
    assert "First router" in repo.messages.values()
    assert {"config.json", "model.safetensors"} <= set(repo.files())
    again = formers.AutoModelForSequenceClassification.from_pretrained("somebody/router")
    same(theirs, again)
    assert again.name_or_path == "somebody/router"
    same(theirs, transformers.AutoModelForSequenceClassification.from_pretrained("somebody/router"))


def test_saving_may_push_too(hub: Any, theirs: Any, tmp_path: Path) -> None:
    ours = formers.BertForSequenceClassification.from_pretrained(tmp_path / "made")
    ours.save_pretrained(
        tmp_path / "saved", push_to_hub=True, repo_id="somebody/saved", token="hf_reader", private=True
    )
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    assert hub.repos["models", "somebody/saved"].private
    same(theirs, formers.BertForSequenceClassification.from_pretrained("somebody/saved", token="hf_reader"))


def test_revisions_are_different_models_and_the_commit_is_kept(hub: Any, theirs: Any, tmp_path: Path) -> None:
    newer = write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path / "newer", seed=1)
    repo = hub.add("somebody/router", files(tmp_path / "made"), revision="v1")
    hub.add("somebody/router", files(tmp_path / "newer"))

    one = formers.AutoModelForSequenceClassification.from_pretrained("somebody/router", revision="v1")
    two = formers.AutoModelForSequenceClassification.from_pretrained("somebody/router")
    same(theirs, one)
    same(newer, two)
    assert one.config.commit_hash == repo.resolve("v1")
    assert two.config.commit_hash == repo.resolve("main")


def test_a_subfolder_holds_a_model_of_its_own(hub: Any, theirs: Any, tmp_path: Path) -> None:
    hub.add("somebody/many", {**files(tmp_path / "made", "router/"), "README.md": b"# Many\n"})
    ours = formers.AutoModelForSequenceClassification.from_pretrained("somebody/many", subfolder="router")
    same(theirs, ours)
    with pytest.raises(OSError, match=r"config\.json"):
        formers.AutoModelForSequenceClassification.from_pretrained("somebody/many", subfolder="absent")


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "local_files_only", "again"])
def test_what_was_downloaded_loads_without_asking_again(
    hub: Any, theirs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    hub.add("somebody/router", files(tmp_path / "shards"))
    formers.AutoModelForSequenceClassification.from_pretrained("somebody/router")
    hub.forget()

    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv(how, "1")
    options = {"local_files_only": True} if how == "local_files_only" else {}
    again = formers.AutoModelForSequenceClassification.from_pretrained("somebody/router", **options)
    same(theirs, again)
    assert hub.requests == []


def test_a_repository_without_weights_says_what_it_has(hub: Any, theirs: Any, tmp_path: Path) -> None:
    held = files(tmp_path / "made")
    hub.add("somebody/bare", {"config.json": held["config.json"]})
    with pytest.raises(OSError, match=r"model\.safetensors"):
        formers.AutoModelForSequenceClassification.from_pretrained("somebody/bare")


def test_a_model_class_can_be_told_its_config_from_elsewhere(hub: Any, theirs: Any, tmp_path: Path) -> None:
    hub.add("somebody/router", files(tmp_path / "made"))
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    config["id2label"] = {str(i): name for i, name in enumerate("abcde")}
    config["label2id"] = {name: i for i, name in enumerate("abcde")}
    (tmp_path / "made" / "config.json").write_text(json.dumps(config))
    edited = formers.AutoConfig.from_pretrained(tmp_path / "made")
    ours = formers.AutoModelForSequenceClassification.from_pretrained("somebody/router", config=edited)
    same(theirs, ours)
    assert ours.config.id2label[4] == "e"
    assert edited.id2label is not ours.config.id2label
