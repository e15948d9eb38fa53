"""Questions get the answers that the reference gave while it answered questions (4.57).

What it was asked, and the command that writes its answers, are in golden_questions.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import formers
from parity.golden_questions import FILE, cases
from span_zoo import KINDS, read_json, write_checkpoint

ANSWERS = [(case, answer) for case, answer in zip(cases(), read_json(FILE), strict=True)]


def same(found: Any, expected: Any) -> None:
    """The same form, spans and order; scores within 1e-5.

    Where a text has fewer spans than were asked for, the reference goes on with some that end before they
    begin, at probability 0: those are no answers here.
    """
    if isinstance(expected, list):
        expected = [one for one in expected if one["score"]]
        expected = expected[0] if len(expected) == 1 else expected
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert list(found) == list(expected)
        assert found == {**expected, "score": pytest.approx(expected["score"], abs=1e-5)}


@pytest.mark.parametrize("kind", KINDS)
def test_questions_get_the_answers_of_the_reference(kind: str, tmp_path: Path) -> None:
    pipe = formers.pipeline(
        "question-answering", model=write_checkpoint(kind, "ForQuestionAnswering", tmp_path), device="cpu"
    )
    for case, expected in ANSWERS:
        if case["kind"] == kind:
            same(pipe(question=case["question"], context=case["context"], **case["options"]), expected)
