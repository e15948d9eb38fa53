"""LUKE's and mLUKE's tokenizers beside the reference's: texts with entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

import formers
from formers.core.notices import Notice
from formers.tokenization import load
from parity.tokenization_samples import FAIRSEQ_SPECIAL, write_byte_bpe, write_json, write_sentencepiece

TEXT, OTHER = "The boats leave Harbor for Rome before noon.", "Harbor Support: my card was charged twice"
SPANS, SPANS_OF_OTHER = [(16, 22), (27, 31)], [(0, 14)]
NAMES = ["Harbor", "Unheard-of"]
ENTITIES = {"[MASK]": 0, "[UNK]": 1, "[PAD]": 2, "[MASK2]": 3, "Harbor": 4, "Rome": 5}


def both(name: str, folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The reference's tokenizer and ours, of the same files."""
    if name == "Luke":
        write_byte_bpe(folder, FAIRSEQ_SPECIAL)
    else:
        write_sentencepiece(folder / "sentencepiece.bpe.model", vocab_size=260, character_coverage=1.0)
    write_json(folder / "entity_vocab.json", ENTITIES)
    kinds = (getattr(library, f"{name}Tokenizer") for library in (transformers, formers))
    theirs, ours = (kind.from_pretrained(folder, **settings) for kind in kinds)
    return theirs, ours


def spelt(tokenizer: Any, rows: Any) -> Any:
    """The tokens of rows: the reference gives mLUKE's the ids of SentencePiece, and not the model's."""
    if rows and isinstance(rows[0], list):
        return [spelt(tokenizer, row) for row in rows]
    return [token.replace("▁<ent", "<ent") for token in tokenizer.convert_ids_to_tokens(rows)]


def same(theirs: Any, ours: Any, *args: Any, **call: Any) -> None:
    """Hold a call to the reference's."""
    expected, found = dict(theirs(*args, **call)), dict(ours(*args, **call))
    if type(ours).__name__ == "MLukeTokenizer":
        rows = expected.pop("input_ids"), found.pop("input_ids")
        assert spelt(ours, rows[1]) == spelt(theirs, rows[0])
    assert found == expected, call


each_class = pytest.mark.parametrize("name", ["Luke", "MLuke"])
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "masked": ((TEXT,), {"entity_spans": SPANS}),
    "named": ((TEXT,), {"entity_spans": SPANS, "entities": NAMES}),
    "none in a text": ((TEXT,), {"entity_spans": []}),
    "a pair": (
        (TEXT, OTHER),
        {"entity_spans": SPANS, "entities": NAMES, "entity_spans_pair": SPANS_OF_OTHER},
    ),
    "without special tokens": (
        (TEXT, OTHER),
        {"entity_spans": SPANS, "entity_spans_pair": SPANS_OF_OTHER, "add_special_tokens": False},
    ),
    "all columns": (
        (TEXT,),
        {
            **{"entity_spans": SPANS, "return_token_type_ids": True, "return_special_tokens_mask": True},
            **{"return_length": True},
        },
    ),
    "padded alone": (
        (TEXT,),
        {"entity_spans": SPANS, "padding": "max_length", "max_length": 40, "max_entity_length": 5},
    ),
    "padded in a batch": (
        ([TEXT, OTHER],),
        {"entity_spans": [SPANS, SPANS_OF_OTHER], "padding": True, "return_token_type_ids": True},
    ),
    "padded on the left, to multiples": (
        ([TEXT, OTHER],),
        {
            **{"entity_spans": [SPANS, SPANS_OF_OTHER], "padding": True, "padding_side": "left"},
            **{"pad_to_multiple_of": 8},
        },
    ),
    "a batch of pairs": (
        ([TEXT, OTHER], [OTHER, TEXT]),
        {
            **{"entity_spans": [SPANS, SPANS_OF_OTHER], "entity_spans_pair": [SPANS_OF_OTHER, SPANS]},
            **{"padding": True},
        },
    ),
}


@each_class
def test_entities_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    for args, call in CALLS.values():
        same(theirs, ours, *args, **call)
    assert theirs.entity_vocab == ours.entity_vocab
    for role in ("unk", "pad", "mask", "mask2"):
        assert getattr(ours, f"entity_{role}_token_id") == getattr(theirs, f"entity_{role}_token_id")


TASKS = {
    "entity_classification": [SPANS[:1], SPANS_OF_OTHER],
    "entity_pair_classification": [SPANS, [(16, 23), (0, 6)]],
    "entity_span_classification": [SPANS, [(0, 6), (7, 14), (20, 24)]],
}


@each_class
@pytest.mark.parametrize("task", TASKS)
def test_the_marks_of_a_task_are_those_of_the_reference(name: str, task: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path, task=task)
    spans = TASKS[task]
    same(theirs, ours, TEXT, entity_spans=spans[0])
    same(theirs, ours, [TEXT, OTHER], entity_spans=spans, padding=True)
    same(theirs, ours, [TEXT, OTHER], entity_spans=spans, padding="max_length", max_length=48)
    assert ours.max_entity_length == theirs.max_entity_length
    rows = ours([TEXT, OTHER], entity_spans=spans, padding=True, return_tensors="pt")
    assert rows["entity_position_ids"].shape[::2] == (2, 30)


def test_texts_of_mluke_have_the_ids_of_its_model(tmp_path: Path) -> None:
    _, ours = both("MLuke", tmp_path)
    like = formers.XLMRobertaTokenizer(vocab_file=tmp_path / "sentencepiece.bpe.model")
    assert ours(TEXT)["input_ids"] == like(TEXT)["input_ids"]
    assert (ours.entity_1_token_id, ours.entity_2_token_id) == (len(like), len(like) + 1)


# the reference cannot cut texts with entities: it asks for a method that it dropped
@each_class
def test_a_text_that_is_cut_keeps_the_entities_that_are_there(name: str, tmp_path: Path) -> None:
    _, ours = both(name, tmp_path)
    whole = ours(TEXT, entity_spans=SPANS)
    last = max(whole["entity_position_ids"][0])
    found = ours(TEXT, entity_spans=SPANS, truncation=True, max_length=last + 2, verbose=False)
    assert found["input_ids"] == [*whole["input_ids"][: last + 1], ours.sep_token_id]
    assert found["entity_position_ids"] == whole["entity_position_ids"][:1]
    fewer = ours(TEXT, entity_spans=SPANS, truncation=True, max_length=99, max_entity_length=1)
    assert fewer["input_ids"] == whole["input_ids"]
    assert fewer["entity_position_ids"] == whole["entity_position_ids"][:1]


def test_a_text_that_lost_tokens_on_the_left_keeps_the_entities_that_are_there(tmp_path: Path) -> None:
    _, ours = both("Luke", tmp_path)
    whole = ours(TEXT, entity_spans=SPANS)
    ours.truncation_side = "left"
    cut = len(whole["input_ids"]) - 8
    with pytest.warns(Notice, match="1 entities of a text are left out"):
        found = ours(TEXT, entity_spans=SPANS, truncation=True, max_length=cut)
    tokens = [whole["input_ids"][at] for at in whole["entity_position_ids"][1] if at >= 0]
    assert [found["input_ids"][at] for at in found["entity_position_ids"][0] if at >= 0] == tokens
    assert len(found["input_ids"]) == cut


@each_class
def test_entities_are_saved_and_read_again(name: str, tmp_path: Path) -> None:
    _, ours = both(name, tmp_path / "source", task="entity_classification")
    expected = dict(ours(TEXT, entity_spans=SPANS[:1]))
    written = {Path(path).name for path in ours.save_pretrained(tmp_path / "saved")}
    assert {"tokenizer.json", "entity_vocab.json"} <= written
    again = load(tmp_path / "saved")
    assert type(again) is type(ours)
    assert dict(again(TEXT, entity_spans=SPANS[:1])) == expected
    back = getattr(transformers, f"{name}Tokenizer").from_pretrained(tmp_path / "saved")
    assert back.entity_vocab == ENTITIES
    with pytest.raises(ValueError, match=r"would leave entity_vocab.json out"):
        ours.save_pretrained(tmp_path / "other", legacy_format=False)


def test_rows_of_a_data_set_are_padded_with_their_entities(tmp_path: Path) -> None:
    theirs, ours = both("Luke", tmp_path)
    rows = [dict(ours(text, entity_spans=spans)) for text, spans in ((TEXT, SPANS), (OTHER, SPANS_OF_OTHER))]
    assert dict(ours.pad(rows)) == dict(theirs.pad(rows))
    assert dict(ours.pad(rows[0])) == dict(theirs.pad(rows[0]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"entity_spans": [(3, 400)]}, "no place in a text of 44"),
        ({"entity_spans": (16, 22)}, "holds .start, end. characters"),
        ({"entity_spans": SPANS, "entities": ["Rome"]}, "as many names as entity_spans has pairs, 2"),
        ({"entities": ["Rome"]}, "holds .start, end. characters"),
        ({"entity_spans": SPANS, "return_offsets_mapping": True}, "not available where a text has entities"),
    ],
)
def test_what_does_not_fit_is_refused(call: dict[str, Any], said: str, tmp_path: Path) -> None:
    _, ours = both("Luke", tmp_path)
    with pytest.raises(ValueError, match=said):
        ours(TEXT, **call)


def test_a_task_or_a_vocabulary_that_is_missing_is_named(tmp_path: Path) -> None:
    _, ours = both("Luke", tmp_path)
    with pytest.raises(ValueError, match="task='entity_typing' is none"):
        formers.LukeTokenizer.from_pretrained(tmp_path, task="entity_typing")
    with pytest.raises(ValueError, match="1 for task='entity_classification'"):
        formers.LukeTokenizer.from_pretrained(tmp_path, task="entity_classification")(TEXT)
    bare = formers.LukeTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert bare(TEXT)["input_ids"] == ours(TEXT)["input_ids"]
    with pytest.raises(ValueError, match="no vocabulary of entities: pass entity_vocab_file="):
        bare(TEXT, entity_spans=SPANS)
