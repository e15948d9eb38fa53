"""Tiny checkpoints that the reference writes, and the two models that are read from each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import formers
from tests.parity import seq2seq_shapes, shapes


@pytest.fixture(scope="session")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Any, Path]]:
    """The reference's model and ours, from one folder.

    Tests of one (model type, shape, class) run one after another, whatever file they stand in: they share a
    pair, and leave it as they found it.
    """
    model_type, shape, name = request.param
    folder = tmp_path_factory.mktemp("checkpoint")
    room = seq2seq_shapes if model_type in seq2seq_shapes.SHAPES else shapes
    theirs = room.write_checkpoint(model_type, shape, name, folder)
    yield theirs, getattr(formers, name).from_pretrained(folder), folder
    shutil.rmtree(folder)
