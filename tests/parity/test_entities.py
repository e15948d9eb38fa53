"""Entities beside a text: padding among them, none at all, labels of every kind, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.parity.shapes import SHAPES, inputs_of, write_checkpoint

SHAPE = next(iter(SHAPES["luke"]))


def pair(name: str, folder: Path) -> tuple[Any, Any]:
    theirs = write_checkpoint("luke", SHAPE, name, folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


def close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_among_entities_is_not_seen(sided: str, tmp_path: Path) -> None:
    theirs, ours = pair("LukeModel", tmp_path)
    inputs = inputs_of(ours, sided=sided)
    behind = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]])
    inputs["entity_attention_mask"] = behind
    with torch.no_grad():
        expected, found = theirs(**inputs), ours(**inputs)
        watched = ours(**inputs, output_attentions=True)
    real = inputs["attention_mask"].bool()
    for mine in (found, watched):
        close(expected.last_hidden_state[real], mine.last_hidden_state[real])
        close(expected.entity_last_hidden_state[behind.bool()], mine.entity_last_hidden_state[behind.bool()])
    if sided == "right":  # else the reference's pooler reads padding
        close(expected.pooler_output, found.pooler_output)


@pytest.mark.parametrize("name", ["LukeModel", "LukeForMaskedLM", "LukeForSequenceClassification"])
def test_a_text_without_entities_is_read_alone(name: str, tmp_path: Path) -> None:
    theirs, ours = pair(name, tmp_path)
    inputs = {key: value for key, value in inputs_of(ours).items() if not key.startswith("entity")}
    with torch.no_grad():
        expected, found = theirs(**inputs), ours(**inputs)
        hooked = ours.base_model.encoder.register_forward_hook(lambda *_: None)
        watched = ours(**inputs)
        hooked.remove()
    assert set(found) == set(expected)
    real = inputs["attention_mask"].bool()
    chosen = real if expected[0].dim() == 3 else slice(None)
    close(expected[0][chosen], found[0][chosen])
    close(expected[0][chosen], watched[0][chosen])


@pytest.mark.parametrize("given", ["labels", "entity_labels"])
def test_words_or_entities_alone_can_be_learnt(given: str, tmp_path: Path) -> None:
    theirs, ours = pair("LukeForMaskedLM", tmp_path)
    inputs = inputs_of(ours)
    asked = inputs["input_ids" if given == "labels" else "entity_ids"]
    targets = {given: asked.masked_fill(asked % 3 == 0, -100)}
    with torch.no_grad():
        expected, found = theirs(**inputs, **targets), ours(**inputs, **targets)
    for name in ("loss", "mlm_loss", "mep_loss"):
        assert (getattr(expected, name) is None) == (getattr(found, name) is None)
    close(expected.loss, found.loss)


@pytest.mark.parametrize("kind", ["", "Pair", "Span"])
def test_several_labels_of_one_entity_can_be_learnt(kind: str, tmp_path: Path) -> None:
    theirs, ours = pair(f"LukeForEntity{kind}Classification", tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        labels = (theirs(**inputs).logits > 0).long()
        close(theirs(**inputs, labels=labels).loss, ours(**inputs, labels=labels).loss)


def test_the_table_of_entities_can_be_read_and_replaced(tmp_path: Path) -> None:
    _, ours = pair("LukeModel", tmp_path)
    assert ours.get_entity_embeddings() is ours.entity_embeddings.entity_embeddings
    other = torch.nn.Embedding(30, 20)
    ours.set_entity_embeddings(other)
    assert ours.entity_embeddings.entity_embeddings is other


def test_inputs_of_entities_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _, ours = pair("LukeForEntityPairClassification", tmp_path)
    inputs = inputs_of(ours)
    ids = inputs.pop("entity_ids")
    with pytest.raises(ValueError, match="pass entity_ids too"):
        ours(**inputs)
    with pytest.raises(ValueError, match="must have shape \\[4, N\\]"):
        ours(**inputs, entity_ids=ids[:2])
    with pytest.raises(ValueError, match="beside entities entity_attention_mask must have shape \\[4, 3\\]"):
        ours(**inputs, entity_ids=ids, entity_attention_mask=torch.ones(4, 2))
    at = inputs.pop("entity_position_ids")
    with pytest.raises(ValueError, match="none were given"):
        ours(**inputs, entity_ids=ids)
    with pytest.raises(IndexError, match="entity_position_ids hold 40"):
        ours(**inputs, entity_ids=ids, entity_position_ids=at.masked_fill(at == 3, 40))
    one = {"entity_ids": ids[:, :1], "entity_position_ids": at[:, :1], "entity_token_type_ids": None}
    with pytest.raises(ValueError, match="reads 2 or more entities"):
        ours(**{**inputs, **one})
