"""The Hub side of loading and saving, against a server on loopback and the real client."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import hf_hub_download, snapshot_download

import formers
import tiny
from formers.checkpoints import TensorFiles, find_weights, save
from formers.configs import GenerationConfig, PretrainedConfig
from formers.export import export_model
from formers.hub import HubError, Source, push_folder
from formers.hub.card import licence_of

CONFIG = json.dumps({"model_type": "tiny", "hidden_size": 8})


class TinyConfig(PretrainedConfig):
    model_type = "tiny"
    hidden_size: int = 4


def test_a_repository_is_downloaded_once_and_then_never_asked_for_again(hub):
    hub.add("owner/tiny", {"config.json": CONFIG})
    assert TinyConfig.from_pretrained("owner/tiny").hidden_size == 8
    hub.forget()

    again = TinyConfig.from_pretrained("owner/tiny")
    absent = Source.of("owner/tiny").find("tokenizer_config.json")

    assert again.hidden_size == 8
    assert absent is None
    assert hub.requests == []


def test_the_commit_is_known_and_pins_the_files(hub):
    repo = hub.add("owner/tiny", {"config.json": CONFIG, "vocab.txt": "a"})
    source = Source.of("owner/tiny")
    source.get("config.json")
    hub.add("owner/tiny", {"config.json": "{}", "vocab.txt": "changed"})

    assert source.get("vocab.txt").read_text() == "a"
    assert source.commit in repo.commits
    assert TinyConfig.from_pretrained("owner/tiny").commit_hash == source.commit


def test_force_download_fetches_what_has_changed(hub):
    hub.add("owner/tiny", {"config.json": CONFIG})
    TinyConfig.from_pretrained("owner/tiny")
    hub.add("owner/tiny", {"config.json": json.dumps({"model_type": "tiny", "hidden_size": 16})})

    assert TinyConfig.from_pretrained("owner/tiny").hidden_size == 8
    assert TinyConfig.from_pretrained("owner/tiny", force_download=True).hidden_size == 16
    assert TinyConfig.from_pretrained("owner/tiny").hidden_size == 16


def test_revisions_and_subfolders_are_found(hub):
    hub.add("owner/tiny", {"config.json": CONFIG})
    wide = json.dumps({"model_type": "tiny", "hidden_size": 99})
    hub.add("owner/tiny", {"config.json": CONFIG, "encoder/config.json": wide}, revision="v2")

    assert TinyConfig.from_pretrained("owner/tiny", revision="v2", subfolder="encoder").hidden_size == 99
    assert Source.of("owner/tiny", revision="v2").listing() == ["config.json", "encoder/config.json"]
    assert Source.of("owner/tiny", revision="v2", subfolder="encoder").listing() == ["config.json"]


def test_a_revision_that_does_not_exist_is_named(hub):
    hub.add("owner/tiny", {"config.json": CONFIG})
    with pytest.raises(OSError, match="no revision 'v9'"):
        TinyConfig.from_pretrained("owner/tiny", revision="v9")


def test_old_bare_names_follow_the_redirect_and_either_name_is_found_in_the_cache(hub, monkeypatch):
    hub.add("google-bert/bert-base-uncased", {"config.json": CONFIG})
    hub.aliases["bert-base-uncased"] = "google-bert/bert-base-uncased"
    assert TinyConfig.from_pretrained("bert-base-uncased").hidden_size == 8

    TinyConfig.from_pretrained("google-bert/bert-base-uncased")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert TinyConfig.from_pretrained("bert-base-uncased").hidden_size == 8


def test_an_old_bare_name_is_found_under_its_owner_in_the_cache(hub, monkeypatch):
    hub.add("openai-community/gpt2", {"config.json": CONFIG})
    TinyConfig.from_pretrained("openai-community/gpt2")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert TinyConfig.from_pretrained("gpt2").hidden_size == 8


@pytest.mark.parametrize("keyword", ["token", "use_auth_token"])
def test_a_private_repository_needs_a_token(hub, keyword):
    hub.add("owner/secret", {"config.json": CONFIG}, private=True)
    with pytest.raises(OSError, match=r"neither a folder here nor a repository .* token="):
        TinyConfig.from_pretrained("owner/secret")
    assert TinyConfig.from_pretrained("owner/secret", **{keyword: "hf_reader"}).hidden_size == 8


def test_the_token_of_the_environment_is_read_when_it_is_needed(hub, monkeypatch):
    hub.add("owner/secret", {"config.json": CONFIG}, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert TinyConfig.from_pretrained("owner/secret").hidden_size == 8


def test_a_gated_repository_says_where_to_ask(hub):
    hub.add("owner/gated", {"config.json": CONFIG}, gated=True)
    with pytest.raises(OSError, match="is gated: ask for access at"):
        TinyConfig.from_pretrained("owner/gated")


def test_a_name_that_nobody_has_is_refused_with_advice(hub):
    with pytest.raises(OSError, match=r"'owner/typo' is neither a folder here nor a repository"):
        TinyConfig.from_pretrained("owner/typo")


def test_a_file_that_the_repository_lacks_is_named(hub):
    hub.add("owner/bare", {"README.md": "# hello"})
    with pytest.raises(OSError, match=r"has no file config.json"):
        TinyConfig.from_pretrained("owner/bare")


@pytest.mark.parametrize(
    ("setting", "keyword"),
    [({"HF_HUB_OFFLINE": "1"}, {}), ({"TRANSFORMERS_OFFLINE": "yes"}, {}), ({}, {"local_files_only": True})],
)
def test_offline_never_asks_and_says_why_when_the_cache_lacks_the_model(hub, monkeypatch, setting, keyword):
    hub.add("owner/tiny", {"config.json": CONFIG})
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HubError, match=r"not in the cache .*internet connection"):
        TinyConfig.from_pretrained("owner/tiny", **keyword)
    assert hub.requests == []


def test_a_cache_written_by_the_client_alone_works_offline(hub, tmp_path, monkeypatch):
    hub.add("owner/tiny", {"config.json": CONFIG})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    source = Source.of("owner/tiny")
    assert source.get("config.json").is_file()
    assert source.find("generation_config.json") is None
    assert hub.requests == []


def test_weights_that_the_cache_lacks_are_not_said_to_be_absent_from_the_repository(
    hub, tmp_path, monkeypatch
):
    hub.add("owner/tiny", {"config.json": CONFIG, "model.safetensors": b"0"})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="weights of owner/tiny .* are not in the cache"):
        find_weights(Source.of("owner/tiny"))
    with pytest.raises(OSError, match="is not in the cache"):
        Source.of("owner/tiny").get("model.safetensors")


def test_an_absence_that_the_client_recorded_costs_no_request(hub, tmp_path):
    from huggingface_hub.errors import EntryNotFoundError

    hub.add("owner/tiny", {"config.json": CONFIG})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("owner/tiny", "merges.txt", cache_dir=tmp_path / "cache", endpoint=hub.url)
    hub.forget()

    assert Source.of("owner/tiny").find("merges.txt") is None
    assert hub.requests == []


def test_our_cache_serves_the_client(hub, tmp_path):
    hub.add("owner/tiny", {"config.json": CONFIG})
    TinyConfig.from_pretrained("owner/tiny")
    path = hf_hub_download(
        "owner/tiny", "config.json", cache_dir=tmp_path / "cache", local_files_only=True, endpoint=hub.url
    )
    assert json.loads(Path(path).read_text())["hidden_size"] == 8
    assert snapshot_download("owner/tiny", cache_dir=tmp_path / "cache", local_files_only=True)


def test_without_a_connection_a_cached_model_loads_and_an_absent_file_counts_as_absent(
    hub, tmp_path, monkeypatch
):
    hub.add("owner/tiny", {"config.json": CONFIG})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    source = Source.of("owner/tiny")
    assert source.get("config.json").is_file()
    assert source.find("generation_config.json") is None


def test_a_model_that_was_cached_before_it_became_private_still_loads(hub, tmp_path):
    repo = hub.add("owner/tiny", {"config.json": CONFIG})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    repo.private = True
    hub.forget()

    source = Source.of("owner/tiny")
    assert source.get("config.json").is_file()
    assert source.find("generation_config.json") is None
    assert source.find("tokenizer_config.json") is None
    assert hub.count("/api/models") == 1


def test_without_a_connection_a_model_that_is_not_cached_says_so(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"could not (reach|be reached)"):
        TinyConfig.from_pretrained("owner/tiny")


def test_a_server_that_is_out_of_order_is_a_clear_error(hub):
    hub.fail_with = 418
    with pytest.raises(OSError, match="answered 418"):
        TinyConfig.from_pretrained("owner/tiny")


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HOME": "home"}, "home/hub"),
        ({"HF_HUB_CACHE": "cache", "HF_HOME": "home"}, "cache"),
        ({"TRANSFORMERS_CACHE": "old"}, "old"),
    ],
)
def test_the_environment_says_where_downloads_lie(hub, tmp_path, monkeypatch, variables, place):
    monkeypatch.delenv("HF_HUB_CACHE")
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    hub.add("owner/tiny", {"config.json": CONFIG})
    TinyConfig.from_pretrained("owner/tiny")
    assert (tmp_path / place / "models--owner--tiny" / "snapshots").is_dir()


def test_a_licence_is_read_when_a_model_is_downloaded_and_costs_a_cached_one_no_request(hub, tmp_path):
    hub.add("owner/tiny", {"config.json": CONFIG, "README.md": "---\nlicense: mit\n---\n"})
    hf_hub_download("owner/tiny", "config.json", cache_dir=tmp_path / "cache", endpoint=hub.url)
    hub.forget()
    cached = Source.of("owner/tiny")
    cached.get("config.json")
    assert licence_of(cached) is None
    assert hub.requests == []

    fresh = Source.of("owner/tiny", force_download=True)
    fresh.get("config.json")
    assert licence_of(fresh) == "mit"
    assert licence_of(Source.of("owner/tiny")) == "mit"


def test_shards_are_downloaded_and_read_as_one(hub, tmp_path):
    tensors = {f"layer.{i}.weight": torch.randn(16, 16) for i in range(4)}
    save(tensors, tmp_path / "made", max_shard_size=1200)
    hub.add("owner/big", {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()})

    paths = find_weights(Source.of("owner/big"))
    files = TensorFiles.of(paths)

    assert len(paths) == 4
    assert all(torch.equal(files.tensor(name), tensor) for name, tensor in tensors.items())
    hub.forget()
    find_weights(Source.of("owner/big"))
    assert hub.requests == []


def test_weights_of_another_framework_are_named(hub):
    hub.add("owner/tf", {"config.json": CONFIG, "tf_model.h5": b"0"})
    with pytest.raises(OSError, match=r"tf_model.h5: weights of another framework"):
        find_weights(Source.of("owner/tf"))


def test_a_folder_is_pushed_as_one_commit_and_comes_back_the_same(hub, tmp_path):
    save({"weight": torch.arange(6.0)}, tmp_path / "out")
    TinyConfig(hidden_size=32).save_pretrained(tmp_path / "out")

    url = push_folder(tmp_path / "out", "mine", token="hf_reader", commit_message="first", private=True)

    repo = hub.repos["models", "somebody/mine"]
    assert url.startswith(hub.url)
    assert repo.private
    assert list(repo.messages.values())[-1] == "first"
    assert TinyConfig.from_pretrained("somebody/mine", token="hf_reader").hidden_size == 32
    path = find_weights(Source.of("somebody/mine", token="hf_reader"))[0]
    assert path.read_bytes() == (tmp_path / "out" / "model.safetensors").read_bytes()


def test_pushing_again_changes_the_repository_and_a_branch_is_made(hub, tmp_path):
    TinyConfig(hidden_size=1).push_to_hub("somebody/mine", token="hf_reader")
    TinyConfig(hidden_size=2).push_to_hub("somebody/mine", token="hf_reader")
    GenerationConfig(max_new_tokens=7).push_to_hub("somebody/mine", token="hf_reader", revision="next")

    repo = hub.repos["models", "somebody/mine"]
    assert json.loads(repo.files()["config.json"])["hidden_size"] == 2
    assert "generation_config.json" not in repo.files()
    assert json.loads(repo.files("next")["generation_config.json"])["max_new_tokens"] == 7


def test_a_pull_request_leaves_the_branch_alone(hub, tmp_path):
    TinyConfig(hidden_size=1).push_to_hub("somebody/mine", token="hf_reader")
    url = TinyConfig(hidden_size=2).push_to_hub("somebody/mine", token="hf_reader", create_pr=True)
    repo = hub.repos["models", "somebody/mine"]
    assert "discussions" in url
    assert json.loads(repo.files()["config.json"])["hidden_size"] == 1


def test_pushing_without_a_token_is_refused_with_advice(hub, tmp_path):
    with pytest.raises(OSError, match="token="):
        TinyConfig().push_to_hub("somebody/mine")


def test_an_interrupted_download_leaves_nothing_that_looks_whole(hub, tmp_path):
    hub.add("owner/tiny", {"config.json": CONFIG, "model.safetensors": os.urandom(1000)})
    source = Source.of("owner/tiny")
    source.get("config.json")
    hub.fail_with = 418
    with pytest.raises(OSError):
        source.get("model.safetensors")
    hub.fail_with = None
    assert source.get("model.safetensors").stat().st_size == 1000


def test_an_exported_model_of_the_hub_keeps_its_tokenizer(hub, tmp_path):
    saved = tiny.save_classifier(tmp_path / "saved")
    hub.add("owner/router", {one.name: one.read_bytes() for one in saved.iterdir() if one.is_file()})
    model = formers.AutoModelForSequenceClassification.from_pretrained("owner/router")
    hub.forget()

    export_model(model.eval(), tmp_path / "graphs")

    assert formers.AutoTokenizer.from_pretrained(tmp_path / "graphs")("a word").input_ids
    with pytest.warns(UserWarning, match="gets no tokenizer and no processor, since .*gone"):
        export_model(model.eval(), tmp_path / "without", beside=tmp_path / "gone")
