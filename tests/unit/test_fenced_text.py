"""Marks around pictures that never meet: what a text becomes, and where its characters then stand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from formers.processing.fenced_text import FencedShowingProcessor

AROUND: Any = SimpleNamespace(fake_image_token="<f>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<i>b", "a<f><i><i><f> b"),
        ("<i><i> b", "<f><i><i><f><i><i><f> b"),
        ("a<f><f>b<i>c", "a<f> b<f><i><i><f> c"),
        ("<f><i>\n<b>a", "<f><i><i><f>\n<b>a"),
    ],
)
def test_one_mark_stands_where_two_would_meet_and_words_begin_with_a_blank(text: str, expected: str) -> None:
    pieces = {"<i>": iter(["<f><i><i><f>"] * text.count("<i>"))}
    (found,), (grown,) = FencedShowingProcessor._expanded(
        cast(FencedShowingProcessor, AROUND), [text], pieces
    )
    assert found == expected
    for at, letter in enumerate(text):
        if letter in "abc":
            assert found[at + sum(more for end, more in grown if end <= at)] == letter
