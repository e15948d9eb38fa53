"""Folders and names: what a source is, and what it says when something is not there."""

from __future__ import annotations

import pytest

from formers.core.notices import Notice
from formers.hub import HUB_KEYWORDS, Source, default_cache, split_hub_keywords
from formers.hub.cache import legacy_owner
from formers.hub.source import looks_like_a_path


def test_a_folder_always_wins_over_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}")
    source = Source.of("gpt2")
    assert source.is_local
    assert source.commit is None
    assert source.get("config.json").read_text() == "{}"
    assert source.find("vocab.json") is None


def test_a_subfolder_and_the_listing_are_relative_to_it(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x.txt").write_text("x")
    assert Source.of(tmp_path, subfolder="a").listing() == ["b/x.txt"]
    assert Source.of(tmp_path, subfolder="a/b").get("x.txt").read_text() == "x"


def test_a_missing_file_of_a_folder_is_named_with_what_is_there(tmp_path):
    (tmp_path / "weights.txt").write_text("")
    with pytest.raises(OSError, match=r"has no file config.json. It holds: weights.txt"):
        Source.of(tmp_path).get("config.json")


@pytest.mark.parametrize("name", ["./x", "/x/y", "~/x", "../x", "a/b/c", "a\\b", "x/", "C:\\models"])
def test_what_can_only_be_a_path_is_never_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # beside which there is no x
    assert looks_like_a_path(name)
    with pytest.raises(OSError, match="there is no folder"):
        Source.of(name)


@pytest.mark.parametrize("name", ["gpt2", "owner/name", "bert-base-uncased"])
def test_what_can_be_a_repository_is_taken_for_one(name):
    assert not looks_like_a_path(name)
    assert not Source.of(name).is_local


def test_a_file_is_refused_with_the_folder_to_give(tmp_path):
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(OSError, match="is a file; give the folder"):
        Source.of(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["", None, 3])
def test_what_names_nothing_is_refused(name):
    with pytest.raises((OSError, TypeError)):
        Source.of(name)


def test_hub_keywords_are_parted_from_the_rest():
    hub, rest = split_hub_keywords({"revision": "v1", "use_auth_token": "t", "num_labels": 3})
    assert (hub, rest) == ({"revision": "v1", "use_auth_token": "t"}, {"num_labels": 3})
    assert {"token", "cache_dir", "local_files_only", "force_download", "subfolder"} <= HUB_KEYWORDS


def test_a_keyword_that_has_become_needless_is_noticed_and_dropped():
    with pytest.warns(Notice, match="downloads always resume"):
        assert split_hub_keywords({"resume_download": True}) == ({}, {})


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home" / "hub"
    monkeypatch.setenv("TRANSFORMERS_CACHE", str(tmp_path / "old"))
    assert default_cache() == tmp_path / "old"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "new"))
    assert default_cache() == tmp_path / "new"


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("gpt2", "openai-community/gpt2"),
        ("gpt2-medium", "openai-community/gpt2-medium"),
        ("t5-small", "google-t5/t5-small"),
        ("distilgpt2", "distilbert/distilgpt2"),
        ("roberta-base", "FacebookAI/roberta-base"),
        ("my-model", None),
        ("owner/bert-base", None),
    ],
)
def test_old_bare_names_have_owners_now(name, owner):
    assert legacy_owner(name) == owner
