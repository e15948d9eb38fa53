"""The example data is what its README says."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples/data"
PACKED = FOLDER / "cpython-changelog.csv.gz"


@pytest.fixture(scope="module")
def raw():
    return gzip.decompress(PACKED.read_bytes())


@pytest.fixture(scope="module")
def readme():
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_readme_states_the_checksum_and_the_licence(raw, readme):
    assert hashlib.sha256(raw).hexdigest() in readme
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in readme
    assert "2023 Python Software Foundation; All Rights Reserved" in readme


def test_the_readme_states_the_counts(raw, readme):
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    assert list(rows[0]) == ["text", "label", "version"]
    assert len({row["text"] for row in rows}) == len(rows) == 8618
    for label, count in Counter(row["label"] for row in rows).items():
        assert f"| {label} | {count:,} | {100 * count / len(rows):.1f} % |" in readme
    series = Counter(".".join(row["version"].split()[1].split(".")[:2]) for row in rows)
    for name, count in series.items():
        assert f"{name}: {count:,}" in readme


def test_the_archive_has_no_time_stamp():
    assert PACKED.read_bytes()[4:8] == b"\0\0\0\0"
