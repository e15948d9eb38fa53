"""Tables of every kind for `formers map`, and what their answers must be."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

TASK = "text-classification"


def write_csv(path, texts):
    """A table with the columns "id" and "text"."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], *([i, text] for i, text in enumerate(texts))])


def save_each_kind(folder, texts):
    """Make a folder with the texts in one file of each kind; the first file has every sixth, and so on."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir()
    parts = [texts[start::6] for start in range(6)]
    parquet.write_table(pyarrow.table({"text": parts[0]}), folder / "a.parquet", row_group_size=7)
    write_csv(folder / "b.csv", parts[1])
    (folder / "c.jsonl").write_text("\n\n".join(json.dumps({"text": text}) for text in parts[2]))
    (folder / "d.json").write_text(json.dumps([{"text": text} for text in parts[3]], indent=1))
    with gzip.open(folder / "e.csv.gz", "wt") as stream:
        stream.write("text\n" + "\n".join(parts[4]))
    lines = "".join(f"1\t{text}\r\n" for text in parts[5])
    (folder / "f.tsv").write_bytes(b"\xef\xbb\xbfid\ttext\r\n" + lines.encode())


def said_alone(model, texts):
    """What the bare pipeline says of each text alone."""
    from formers import pipeline

    pipe = pipeline(TASK, model=str(model), device="cpu")
    return {text: pipe(text)[0] for text in texts}


def held(found, texts, expected):
    """Hold the answers to what `save_each_kind` saved: one for each text, in the order of the files."""
    assert len({(row["source"], row["row"]) for row in found}) == len(found) == len(texts)
    for row, text in zip(found, [text for start in range(6) for text in texts[start::6]], strict=True):
        assert row["answer"]["label"] == expected[text]["label"]
        assert row["answer"]["score"] == pytest.approx(expected[text]["score"], abs=1e-5)
