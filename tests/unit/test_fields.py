"""Declared fields: annotations read, limits kept, words known, values from text taken."""

from __future__ import annotations

import dataclasses
import re
from typing import Optional

import pytest

from formers.core.fields import Choice, Field, declared, older_names, option, read_fields


class Colour(Choice):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Paint:
    coats: int = option(2, at_least=1, older=("layers",))
    share: float = option(0.5, above=0, below=1)
    glossy: bool = option(False)
    colour: Colour | str = option("red", choices=Colour)
    finish: str | None = option(None, choices=(None, "matt", "satin"))
    mixes: list[str] | None = option(None)

    def __post_init__(self) -> None:
        read_fields(self)


@pytest.mark.parametrize(
    ("annotation", "kinds", "optional", "listed"),
    [
        ("int", {"int"}, False, False),
        (int, {"int"}, False, False),
        ("int | None", {"int"}, True, False),
        (Optional[float], {"float"}, True, False),  # noqa: UP045
        ("typing.Union[int, str]", {"int", "str"}, False, False),
        ("int | list[int] | None", {"int"}, True, True),
        ("dict[str, int | None]", set(), False, True),
        ("torch.dtype | str", set(), False, False),
    ],
)
def test_an_annotation_says_what_is_taken(annotation, kinds, optional, listed):
    field = Field.of(annotation)
    assert (field.kinds, field.optional, field.listed) == (kinds, optional, listed)


def test_numbers_and_switches_may_come_as_text():
    paint = Paint(coats="3", share="1e-1", glossy="yes", colour="blue")
    assert (paint.coats, paint.share, paint.glossy, paint.colour) == (3, 0.1, True, Colour.BLUE)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"coats": 0}, "coats must be a whole number of at least 1, got 0"),
        ({"coats": "many"}, "coats must be a whole number, got 'many'"),
        ({"share": 1}, "share must lie between 0 and 1, got 1"),
        ({"glossy": "perhaps"}, "glossy is True or False, got 'perhaps'"),
        ({"colour": "bleu"}, "'bleu' is no Colour; did you mean 'blue'?; one of ['red', 'blue']"),
        ({"finish": "rough"}, "finish must be 'matt' or 'satin', got 'rough'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(values, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        Paint(**values)


def test_a_table_tells_its_fields_and_their_older_names():
    assert list(declared(Paint)) == ["coats", "share", "glossy", "colour", "finish", "mixes"]
    assert older_names(Paint) == {"layers": "coats"}
