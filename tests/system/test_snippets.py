"""Scripts of courses and guides run unchanged under the drop-in: here every fourth, in `make docs-check` all."""

from __future__ import annotations

import os

from benchmarks import snippets
from system import docs_zoo

STEP = 1 if os.environ.get("FORMERS_ALL_SNIPPETS") else 4


def test_scripts_of_courses_and_guides_run_with_formers_in_the_place_of_transformers(tmp_path, monkeypatch):
    monkeypatch.chdir(docs_zoo.build(tmp_path))
    failed = {
        f"{one.source}: {one.title}": said
        for one, said in snippets.outcomes(snippets.snippets()[::STEP])
        if said
    }
    assert not failed
