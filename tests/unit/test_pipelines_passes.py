"""What pipelines compute: several texts in one pass, and the vocabulary's product at the masks alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    pipeline,
)
from unit.pipeline_fakes import tiny_tokenizer

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8", "w9 w1"]
CALLS = {
    "ner": (BertForTokenClassification, {"inputs": TEXTS}),
    "question-answering": (BertForQuestionAnswering, {"question": ["w1"] * 4, "context": TEXTS}),
    "fill-mask": (BertForMaskedLM, {"inputs": [f"{text} w9" for text in TEXTS]}),
}


def model(cls: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return cls(BertConfig(vocab_size=204, max_position_embeddings=16, **sizes)).eval()


def made(task: str) -> tuple[Any, dict[str, list[str]]]:
    cls, inputs = CALLS[task]
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = "w9"
    return pipeline(task, model=model(cls), tokenizer=tokenizer, device="cpu"), inputs


@pytest.mark.parametrize("task", CALLS)
def test_several_texts_are_read_in_one_pass(task: str) -> None:
    pipe, inputs = made(task)
    passes: list[Any] = []
    pipe.model.register_forward_pre_hook(lambda *given: passes.append(given))
    found = pipe(**inputs)
    assert (len(found), len(passes)) == (len(TEXTS), 1)


@pytest.mark.parametrize("task", CALLS)
def test_rows_of_a_stream_that_does_not_know_its_columns_are_answered(task: str) -> None:
    datasets = pytest.importorskip("datasets")
    pipe, inputs = made(task)
    columns = {"text" if name == "inputs" else name: texts for name, texts in inputs.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert list(pipe(datasets.IterableDataset.from_generator(lambda: iter(rows)))) == pipe(**inputs)


@pytest.mark.parametrize("task", CALLS)
def test_a_model_that_is_told_to_return_tuples_gives_the_same_answers(task: str) -> None:
    pipe, inputs = made(task)
    expected = pipe(**inputs)
    pipe.model.config.return_dict = False
    assert pipe(**inputs) == expected


@pytest.mark.parametrize("looked", [False, True], ids=["packed", "looked at"])
def test_a_mask_keeps_the_logits_of_its_places(looked: bool) -> None:
    bert = model(BertForMaskedLM)
    ids, real = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    kept = (ids == 6) | (ids == 7) | (ids == 5)
    if looked:
        bert.get_output_embeddings().register_forward_hook(lambda *given: None)
    with torch.no_grad():
        every = bert(ids, attention_mask=real).logits
        found = bert(ids, attention_mask=real, logits_to_keep=kept).logits
    torch.testing.assert_close(found, every[kept])


def test_fill_mask_scores_no_word_where_nothing_is_hidden() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = "w9"
    pipe = pipeline("fill-mask", model=model(BertForMaskedLM), tokenizer=tokenizer, device="cpu")
    rows: list[int] = []
    table = pipe.model.get_output_embeddings()
    table.register_forward_hook(lambda leaf, given, out: rows.append(out.numel() // out.shape[-1]))
    pipe(["w1 w9 w3", "w9 w9", "w4 w5 w6 w9"])
    assert rows == [4]
