"""Files that know nothing of models: JSON records, text, and the collector at rest around a load."""

from __future__ import annotations

import dataclasses
import gc
import gzip

import pytest

from formers.core.collector import resting
from formers.core.jsonfile import BadJson, JsonRecord, read_json, read_json_object
from formers.core.textfile import read_text


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
