"""Tables that are read as texts: what TAPEX's tokenizer makes of them, and how answers are written."""

from __future__ import annotations

from typing import Any

import pandas
import pytest
import torch
import transformers

import formers
from parity.tokenization_samples import write_byte_bpe

CITIES = pandas.DataFrame({"Year": [1896, 1900, 2004], "City": ["Athens", "Paris", "Athens"]})
QUESTION = "In which year did Beijing host?"
WRITTEN = f"{QUESTION} col : Year | City row 1 : 1896 | Athens row 2 : 1900 | Paris row 3 : 2004 | Athens"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Any:
    """A checkpoint of a BART that reads tables."""
    made = tmp_path_factory.mktemp("tapex")
    write_byte_bpe(made, special=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer = formers.TapexTokenizer.from_pretrained(made, model_max_length=250)
    tokenizer.save_pretrained(made)
    torch.manual_seed(0)
    config = formers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16),
        max_position_embeddings=256,
    )
    formers.BartForConditionalGeneration(config).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Any) -> Any:
    """Found by the name that the files have."""
    found = formers.AutoTokenizer.from_pretrained(folder)
    assert type(found).__name__.startswith("Tapex")
    return found


def plain(folder: Any, text: str, **how: Any) -> Any:
    """The ids of a text by the reference's tokenizer of BART, whose files these are."""
    return transformers.BartTokenizer.from_pretrained(folder)(text, **how)["input_ids"]


def test_a_table_stands_as_a_text_behind_its_question(tokenizer: Any, folder: Any) -> None:
    assert tokenizer.prepare_table_query(CITIES, QUESTION) == WRITTEN
    assert tokenizer(CITIES, QUESTION)["input_ids"] == plain(folder, WRITTEN.lower())


def test_one_table_goes_with_many_questions_and_one_question_with_many_tables(tokenizer: Any) -> None:
    one = tokenizer(CITIES, QUESTION)["input_ids"]
    other = tokenizer(CITIES[:1], QUESTION)["input_ids"]
    assert tokenizer(table=CITIES, query=[QUESTION, QUESTION])["input_ids"] == [one, one]
    assert tokenizer(table=[CITIES, CITIES[:1]], query=QUESTION)["input_ids"] == [one, other]
    padded = tokenizer([CITIES, CITIES[:1]], [QUESTION, QUESTION], padding=True, return_tensors="pt")
    assert padded["attention_mask"].sum(1).tolist() == [len(one), len(other)]


def test_answers_alone_are_labels(tokenizer: Any, folder: Any) -> None:
    assert tokenizer(answer="In 2008")["input_ids"] == plain(folder, "in 2008")


def test_long_cells_lose_their_ends(tokenizer: Any) -> None:
    short = tokenizer.max_cell_length
    table = pandas.DataFrame({"a": ["x" * 200]})
    cell = tokenizer.prepare_table_query(table, "").removeprefix("col : a row 1 : ")
    assert len(tokenizer.tokenize(cell)) <= short < len(tokenizer.tokenize("x" * 200))


def test_rows_are_left_out_that_share_no_word_with_the_question(tokenizer: Any) -> None:
    names = [*"abcdefgh", "paris", *"ijklmnop"]
    table = pandas.DataFrame({"n": names})
    whole = len(
        tokenizer.tokenize(tokenizer.prepare_table_query(table, "is paris there"), add_special_tokens=True)
    )
    cut = tokenizer.prepare_table_query(table, "is paris there", None, "drop_rows_to_fit", whole * 2 // 3)
    assert "paris" in cut
    assert len(tokenizer.tokenize(cut, add_special_tokens=True)) <= whole * 2 // 3
    ids = tokenizer(table, "is paris there", truncation="drop_rows_to_fit", max_length=whole * 2 // 3)[
        "input_ids"
    ]
    assert len(ids) <= whole * 2 // 3


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        ({}, ValueError, "pass a table with its query, or an answer"),
        ({"table": {"a": ["b"]}, "query": "?"}, TypeError, "must be a pandas.DataFrame"),
        ({"table": CITIES, "query": 3}, TypeError, "must be a question"),
        ({"table": pandas.DataFrame({"a": [1.5]}), "query": "?"}, TypeError, "1.5, a float"),
        ({"table": [CITIES], "query": ["a", "b"]}, ValueError, "1 tables, 2 questions"),
        (
            {"table": CITIES, "query": "a", "truncation": "drop_rows_to_fit", "max_length": 4},
            ValueError,
            "no row fits",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(tokenizer: Any, call: Any, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        tokenizer(**call)


def test_the_pipeline_writes_the_answers(folder: Any, tokenizer: Any) -> None:
    pipe = formers.pipeline("table-question-answering", model=str(folder), device="cpu", max_new_tokens=8)
    assert isinstance(pipe, formers.TableQuestionAnsweringPipeline)
    table = CITIES.astype(str)
    ids = tokenizer(table, QUESTION, truncation="drop_rows_to_fit", return_tensors="pt")
    text = tokenizer.decode(pipe.model.generate(**ids, max_new_tokens=8)[0], skip_special_tokens=True)
    assert pipe(table=table, query=QUESTION) == {"answer": text}
    assert pipe(table, [QUESTION, QUESTION]) == [{"answer": text}] * 2
    assert pipe([{"table": table, "query": QUESTION}] * 2) == [{"answer": text}] * 2
    with pytest.raises(ValueError, match="sequential=True is for models that choose cells"):
        pipe(table, QUESTION, sequential=True)
    with pytest.raises(TypeError, match="max_new_token'.*did you mean 'max_new_tokens'"):
        pipe(table, QUESTION, max_new_token=3)
