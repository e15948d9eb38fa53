"""Files that know nothing of models: JSON records, text, and the collector at rest around a load."""

from __future__ import annotations

import dataclasses
import gc
import gzip
from enum import Enum
from pathlib import Path

import pytest
import torch

from formers.core.collector import resting
from formers.core.jsonfile import BadJson, JsonRecord, plain, read_json, read_json_object
from formers.core.textfile import read_text
from formers.hub import Pushable, push_saved


@dataclasses.dataclass
class Place(JsonRecord):
    town: str = "Oslo"
    people: int = 7

    def to_dict(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values, /):
        return cls(**values)


def test_a_record_comes_back_from_its_file(tmp_path):
    Place("Bergen", 3).to_json_file(tmp_path / "place.json")
    assert Place.from_json_file(tmp_path / "place.json") == Place("Bergen", 3)


@pytest.mark.parametrize("error", [OSError, ValueError])
@pytest.mark.parametrize(("text", "words"), [("{", "not a valid JSON file"), ("[1]", "holds a JSON list")])
def test_a_file_that_is_no_object_is_refused_with_its_name(tmp_path, text, words, error):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(error, match=f"x.json.*{words}") as refused:
        read_json_object(tmp_path / "x.json")
    assert isinstance(refused.value, BadJson)


def test_values_become_what_json_holds():
    class Size(Enum):
        SMALL = "s"

    class Box:
        def to_dict(self):
            return {"size": Size.SMALL}

    given = {1: (2, {3}), "of": [torch.float16, Box(), None], "bias": {(1, 2): 0.5}}
    assert plain(given) == {"1": [2, [3]], "of": ["float16", {"size": "s"}, None], "bias": [[[1, 2], 0.5]]}
    assert plain([object, 1.5], lambda value: value.__name__) == ["object", 1.5]


def test_what_saves_itself_goes_to_the_hub_from_a_folder_of_its_own(monkeypatch, tmp_path):
    sent = []

    def push_folder(folder, repo_id, **options):
        sent.append((repo_id, sorted(path.name for path in Path(folder).iterdir()), options))
        return "https://hub"

    class Note(Pushable):
        _saving_keywords = ("loud",)

        def save_pretrained(self, save_directory, loud=False):
            (Path(save_directory) / "note.txt").write_text("NOTE" if loud else "note")

    monkeypatch.setattr("formers.hub.pushable.push_folder", push_folder)
    assert Note().push_to_hub("me/notes", loud=True, private=True) == "https://hub"
    assert sent.pop() == ("me/notes", ["note.txt"], {"private": True})
    with pytest.raises(TypeError, match="'privat'; did you mean 'private'"):
        Note().push_to_hub("me/notes", privat=True)
    push_saved(tmp_path, {"token": "t"}, files=["a"])
    assert sent.pop() == (tmp_path.name, [], {"token": "t", "files": ["a"]})


def test_any_json_is_read_and_a_missing_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("[1, null]")
    assert read_json(tmp_path / "x.json") == [1, None]
    with pytest.raises(FileNotFoundError, match="y.json"):
        read_json(tmp_path / "y.json")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_text_is_read_plain_and_packed(tmp_path, name):
    content = "\ufeffæ\r\nø\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_text(tmp_path / name) == "æ\r\nø\n"


def test_a_broken_archive_and_other_bytes_are_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text")[:-3])
    (tmp_path / "a.txt").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match="no whole gzip file"):
        read_text(tmp_path / "a.gz")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_text(tmp_path / "a.txt")
    assert read_text(tmp_path / "a.txt", "latin-1") == "é"


def test_the_collector_is_as_it_was_also_after_a_failure():
    def fail():
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError), resting():
        fail()
    assert gc.isenabled()
    gc.disable()
    try:
        with resting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
