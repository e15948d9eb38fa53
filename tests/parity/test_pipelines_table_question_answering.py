"""The reference's table-question-answering pipeline and this one give the same answers."""

from __future__ import annotations

from typing import Any

import pandas
import pytest
import transformers

import formers
from parity.test_tokenization_tables import BOATS as SHARED
from parity.test_tokenization_tables import QUESTIONS
from parity.tokenization_samples import WORDPIECE_SPECIAL, write_vocab_txt
from span_zoo import draw

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 160,
    "max_num_rows": 80,
    "max_num_columns": 16,
}
OPERATORS = {
    "num_aggregation_labels": 4,
    "aggregation_labels": {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
    "no_aggregation_label_index": 0,
}
SETTINGS = {
    "operators": OPERATORS,
    "no operators, or no column": {"allow_empty_column_selection": True},
}
BOATS = SHARED.copy()  # as it was before any test
LARGE = pandas.DataFrame({"Name": [f"n {i}" for i in range(70)], "Count": [str(i * 37) for i in range(70)]})


@pytest.fixture(scope="module", params=list(SETTINGS))
def both(request: Any, tmp_path_factory: Any) -> tuple[Any, Any]:
    """Ours and the reference's, on one checkpoint."""
    folder = tmp_path_factory.mktemp("tables")
    write_vocab_txt(folder, special=[*WORDPIECE_SPECIAL, "[EMPTY]"])
    tokenizer = formers.TapasTokenizer.from_pretrained(folder, model_max_length=160)
    tokenizer.save_pretrained(folder)
    config = formers.TapasConfig(vocab_size=len(tokenizer), **{**SIZES, **SETTINGS[request.param]})
    model = formers.TapasForQuestionAnswering(config)
    draw(model)
    model.save_pretrained(folder)
    task = "table-question-answering"
    return tuple(kind.pipeline(task, model=str(folder), device="cpu") for kind in (formers, transformers))


def test_answers_are_those_of_the_reference(both: Any) -> None:
    ours, theirs = both
    plain = BOATS.to_dict(orient="list")
    for sequential in (False, True):
        for table in (BOATS, plain):
            for query in (*QUESTIONS, QUESTIONS, QUESTIONS[:1]):
                # where no column may be chosen, there the padding of questions in a row counts for that
                if sequential and len(query) > 1 and ours.model.config.allow_empty_column_selection:
                    continue
                call = {"table": table, "query": query, "sequential": sequential}
                assert ours(**call) == theirs(**call)
    if not ours.model.config.allow_empty_column_selection:  # which may choose none
        assert any(one["coordinates"] for one in ours(BOATS, QUESTIONS))


def test_large_tables_lose_the_rows_that_the_reference_leaves_out(both: Any) -> None:
    ours, theirs = both
    for question in QUESTIONS:
        assert ours(LARGE, question) == theirs(LARGE, question)
    assert ours(BOATS, QUESTIONS[0], truncation="do_not_truncate", padding="longest") == theirs(
        table=BOATS, query=QUESTIONS[0], truncation="do_not_truncate", padding="longest"
    )


def test_forms_of_calls_are_answered_alike(both: Any) -> None:
    ours, theirs = both
    items = [{"table": BOATS, "query": QUESTIONS[0]}, {"table": LARGE, "query": QUESTIONS[:2]}]
    found = theirs([dict(item) for item in items])
    assert ours([dict(item) for item in items]) == found
    assert ours(items, batch_size=1) == found
    assert list(ours(item for item in items)) == found
    assert ours(dict(items[0])) == ours(items[:1]) == theirs(dict(items[0]))
    assert ours(items, sequential=True) == theirs(items, sequential=True)
