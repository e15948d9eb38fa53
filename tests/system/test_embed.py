"""`formers embed`: files in, vectors out, whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import formers
import tiny
from formers.jobs import vectors
from system.cli_command import in_this_process

# the encoder declares no pooling, which is noticed once
pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")

LINES = ["my card was charged again", "late", "the parcel is lost"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def command(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


@pytest.fixture(scope="module")
def expected(folder):
    return formers.pipeline("sentence-embeddings", model=str(folder)).encode(LINES)


def test_a_file_of_texts_becomes_a_file_of_vectors_of_each_kind(command, folder, expected, tmp_path):
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(LINES))
    read = {
        "npy": np.load,
        "safetensors": lambda path: load_file(path)["embeddings"],
        "jsonl": lambda path: [json.loads(line)["embedding"] for line in path.read_text().splitlines()],
    }
    for ending, load in read.items():
        output = tmp_path / f"out.{ending}"
        status, _, said = command("embed", folder, "--file", source, "--output", output)
        assert status == 0, said
        assert "3 vectors of 32 numbers" in said
        np.testing.assert_allclose(load(output), expected, atol=1e-5)


def test_standard_input_becomes_json_lines(command, folder, expected):
    status, out, said = command("embed", folder, "--dimensions", "4", "--normalize", stdin="\n".join(LINES))
    assert status == 0, said
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == LINES
    cut = expected[:, :4] / np.linalg.norm(expected[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose([row["embedding"] for row in rows], cut, atol=1e-5)


def test_nothing_is_left_half_written(tmp_path):
    def rows():
        yield "a", np.zeros(4, np.float32)
        raise KeyboardInterrupt

    for ending in ("npy", "safetensors", "jsonl"):
        with pytest.raises(KeyboardInterrupt):
            vectors.write(rows(), 4, tmp_path / f"out.{ending}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"ends in none of \.npy"):
        vectors.check(tmp_path / "out.txt")


def test_a_file_of_no_or_many_rows_has_the_same_head(tmp_path):
    for count in (0, 1, 1234):
        given = ((str(i), np.full(3, i, np.float32)) for i in range(count))
        assert vectors.write(given, 3, tmp_path / "out.npy") == count
        assert np.load(tmp_path / "out.npy").shape == (count, 3)
