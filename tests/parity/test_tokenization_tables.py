"""TAPAS's tokenizer beside the reference's: tables and questions about them."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
import transformers

import formers
from formers.core.extras import MissingExtra
from formers.tokenization import load
from formers.tokenization.numbers import values_in
from parity.tokenization_samples import WORDPIECE_SPECIAL, write_vocab_txt

BOATS = pandas.DataFrame(
    {
        "Boat": ["Sea Harbor", "Quick Fox", "Release", "n/a"],
        "Passengers": ["12", "1,234", "56.5", "?"],
        "Leaves on": ["17 May 2004", "2 June 2004", "May 2004", "3 July 2003"],
        "Remarks": ["the first of three", "lazy dogs, don't", "pneumonopneumono", "déjà vu!"],
    }
)
QUESTIONS = [
    "Which boat has more than 50 passengers?",
    "How many of those left before June 2, 2004?",
    "What of the second one?",
]
COORDINATES = [[(1, 1), (2, 1)], [(0, 0)], [(3, 2)]]
TEXTS = [["1,234", "56.5"], ["Sea Harbor"], ["3 July 2003"]]


def both(folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The reference's tokenizer and ours, of the same file."""
    write_vocab_txt(folder, special=[*WORDPIECE_SPECIAL, "[EMPTY]"])
    kinds = (library.TapasTokenizer for library in (transformers, formers))
    theirs, ours = (kind.from_pretrained(folder, **settings) for kind in kinds)
    return theirs, ours


def same(theirs: Any, ours: Any, *args: Any, **call: Any) -> None:
    """Hold a call to the reference's; nan is nan."""
    expected, found = dict(theirs(*args, **call)), dict(ours(*args, **call))
    assert set(found) == set(expected)
    for name in expected:
        assert str(found[name]) == str(expected[name]), (name, call)


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "one question": ((BOATS, QUESTIONS[0]), {}),
    "without a table": ((QUESTIONS[0],), {}),
    "several, padded": ((BOATS, QUESTIONS), {"padding": True}),
    "padded on the left to a length": (
        (BOATS, QUESTIONS),
        {"padding": "max_length", "max_length": 256, "padding_side": "left"},
    ),
    "padded alone": ((BOATS, QUESTIONS[0]), {"padding": True, "max_length": 256}),
    "all columns": (
        (BOATS, QUESTIONS[0]),
        {"return_special_tokens_mask": True, "return_length": True},
    ),
    "answered": (
        (BOATS, QUESTIONS),
        {"answer_coordinates": COORDINATES, "answer_text": TEXTS, "padding": True},
    ),
    "answered alone": (
        (BOATS, QUESTIONS[0]),
        {"answer_coordinates": COORDINATES[0], "answer_text": TEXTS[0]},
    ),
    **{
        f"cut to {length}": ((BOATS, QUESTIONS[0]), {"truncation": True, "max_length": length})
        for length in (40, 60, 80, 100, 120, 200)
    },
    "cut by name": (
        (BOATS, QUESTIONS),
        {"truncation": "drop_rows_to_fit", "max_length": 90, "padding": "max_length"},
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_tables_are_those_of_the_reference(case: str, tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    args, call = CALLS[case]
    args = tuple(list(one) if isinstance(one, list) else one for one in args)
    same(theirs, ours, *args, **call)


@pytest.mark.filterwarnings("ignore:a question of .. tokens is left out")
@pytest.mark.parametrize(
    "settings",
    [
        {"cell_trim_length": 2},
        {"strip_column_names": True},
        {"max_row_id": 3},
        {"do_lower_case": False},
        {"min_question_length": 40},
        {"max_question_length": 3},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_are_those_of_the_reference(settings: dict[str, Any], tmp_path: Path) -> None:
    theirs, ours = both(tmp_path, **settings)
    for length in (90, 140, 220):
        same(theirs, ours, BOATS, QUESTIONS[0], truncation=True, max_length=length)


def test_tokens_and_texts_are_those_of_the_reference(tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    for text in [*QUESTIONS, *(cell for column in BOATS for cell in BOATS[column]), "?", "!!", "Empty"]:
        assert ours.tokenize(text) == theirs.tokenize(text), text
    assert ours.encode(BOATS, QUESTIONS[0]) == theirs.encode(BOATS, QUESTIONS[0])
    assert (len(ours), ours.model_max_length) == (len(theirs), theirs.model_max_length)
    ids = ours.encode(BOATS, QUESTIONS[0])
    assert ours.decode(ids) == theirs.decode(ids)


def test_tensors_have_seven_types_for_each_token(tmp_path: Path) -> None:
    _, ours = both(tmp_path)
    found = ours(BOATS, QUESTIONS, padding=True, return_tensors="pt")
    assert found["token_type_ids"].shape == (*found["input_ids"].shape, 7)
    answered = ours(
        BOATS, QUESTIONS[0], answer_coordinates=COORDINATES[0], answer_text=TEXTS[0], return_tensors="pt"
    )
    assert answered["numeric_values"].dtype == torch.float32
    assert answered["numeric_values"].isnan().any()


def test_answers_are_read_as_the_reference_reads_them(tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    data = ours(BOATS, QUESTIONS, padding=True, return_tensors="pt")
    torch.manual_seed(0)
    logits, actions = torch.randn(data["input_ids"].shape) * 3, torch.randn(3, 4)
    for given in ((), (actions,)):
        expected = theirs.convert_logits_to_predictions(data, logits.clone(), *given)
        assert ours.convert_logits_to_predictions(data, logits, *given) == expected
    few = ours.convert_logits_to_predictions(data, logits, cell_classification_threshold=0.99)
    assert few[0] != expected[0]


def test_answers_are_found_by_their_texts_where_that_is_asked(tmp_path: Path) -> None:
    _, ours = both(tmp_path, update_answer_coordinates=True)
    by_text = ours(BOATS, QUESTIONS[0], answer_coordinates=[(9, 9)], answer_text=["Quick Fox"])
    plain = formers.TapasTokenizer.from_pretrained(tmp_path)
    by_place = plain(BOATS, QUESTIONS[0], answer_coordinates=[(1, 0)], answer_text=["Quick Fox"])
    assert by_text["labels"] == by_place["labels"]
    assert sum(by_text["labels"]) == len(ours.tokenize("Quick Fox"))


@pytest.mark.parametrize(
    "text",
    [
        "12 of 1,234.5 in May 2004, on 17 May 2004 or Sept 3",
        "+5 -3 .25 3rd first twelve zeroth 90s 1990s infinity nan 1_0",
        "2004-05-17 05-17-2004 17.05.2004 Friday, May 7 may 1500 2050",
        "June 2, 2004 and two of three, 7th of july 4,56",
    ],
)
def test_numbers_and_dates_are_those_that_the_reference_finds(text: str) -> None:
    from transformers.models.tapas.tokenization_tapas import add_numeric_values_to_question

    spans = add_numeric_values_to_question(text).numeric_spans
    expected = [value for span in spans for value in span.values]
    theirs = [
        value.float_value
        if value.float_value is not None
        else tuple(None if part is None else float(part) for part in vars(value.date).values())
        for value in expected
    ]
    assert values_in(text) == theirs
    assert not any(isinstance(value, float) and math.isnan(value) for value in theirs)


def test_a_saved_tokenizer_reads_tables_alike(tmp_path: Path) -> None:
    _, ours = both(tmp_path / "source", strip_column_names=True)
    ours.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    back = transformers.TapasTokenizer.from_pretrained(tmp_path / "saved")
    same(back, again, BOATS, QUESTIONS[0])
    assert dict(again(BOATS, QUESTIONS[0])) == dict(ours(BOATS, QUESTIONS[0]))


@pytest.mark.parametrize(
    ("args", "call", "kind", "said"),
    [
        ((BOATS.assign(Passengers=[1, 2, 3, 4]), "?"), {}, TypeError, r"table.astype\(str\) makes texts"),
        (({"a": ["b"]}, "?"), {}, TypeError, "must be a pandas.DataFrame, but is a dict"),
        ((BOATS, 3), {}, TypeError, "queries must be a question"),
        ((BOATS, "?"), {"max_length": 5}, ValueError, "longer than max_length=5"),
        ((BOATS, "?"), {"answer_text": ["12"]}, ValueError, "answers need both"),
        ((BOATS, "?"), {"return_offsets_mapping": True}, ValueError, "not available for tables"),
        ((BOATS, "?"), {"truncation": "only_first"}, ValueError, "drop_rows_to_fit"),
        (
            (BOATS, "?"),
            {"answer_text": ["12"], "answer_coordinates": [(7, 1)]},
            ValueError,
            r"cell \(7, 1\) \(row, column\)",
        ),
        ((BOATS, "?"), {"pading": True}, TypeError, "padding"),
    ],
)
def test_what_is_no_table_or_does_not_fit_is_refused(
    args: tuple[Any, ...], call: dict[str, Any], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    _, ours = both(tmp_path)
    with pytest.raises(kind, match=said):
        ours(*args, **call)


def test_the_extra_of_tables_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = both(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"formers\[tables\]"):
        ours(BOATS, "?")
