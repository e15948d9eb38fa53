"""XLM and FlauBERT, whose layers are no nodes of the tree: what only they read is the reference's."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import formers
from tests.parity.encoder_shapes import SHAPES
from tests.parity.test_hooks import outputs

SIZES = {**next(iter(SHAPES["xlm"].values())), "dropout": 0.0, "attention_dropout": 0.0}


def _pair(name: str, folder: Path, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    theirs = kind(kind.config_class(**{**SIZES, **values})).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


def _ids() -> Tensor:
    """Four rows, two of which end in padding."""
    ids = torch.randint(6, 101, (4, 9), generator=torch.Generator().manual_seed(1))
    ids[1, 6:] = ids[3, 4:] = 2
    return ids


def _close(theirs: Any, ours: Any) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_padding_is_told_by_its_id_by_lengths_or_by_a_mask(tmp_path: Path) -> None:
    theirs, ours = _pair("XLMModel", tmp_path)
    ids = _ids()
    lengths = torch.tensor([9, 5, 9, 4])
    with torch.no_grad():
        for given in ({}, {"lengths": lengths}, {"attention_mask": torch.arange(9) < lengths[:, None]}):
            _close(theirs(ids, **given)[0], ours(ids, **given)[0])
        vectors = theirs.embeddings(ids)
        _close(theirs(inputs_embeds=vectors)[0], ours(inputs_embeds=vectors)[0])
    with pytest.raises(ValueError, match="lengths say how many of 9 tokens"):
        ours(ids, lengths=torch.tensor([9, 5, 9, 10]))


def test_a_loss_counts_padding_that_has_labels_where_nobody_gave_a_mask(tmp_path: Path) -> None:
    theirs, ours = _pair("XLMWithLMHeadModel", tmp_path)
    _close(theirs(_ids(), labels=_ids()).loss, ours(_ids(), labels=_ids()).loss)


def test_languages_and_segments_are_added(tmp_path: Path) -> None:
    theirs, ours = _pair("XLMForMultipleChoice", tmp_path)
    ids = _ids()[:, None].repeat(1, 3, 1)
    given = {"langs": ids % 3, "token_type_ids": ids % 2, "attention_mask": (ids != 2).long()}
    with torch.no_grad():
        _close(theirs(ids, **given)[0], ours(ids, **given)[0])
        assert (ours(ids)[0] - ours(ids, langs=ids % 3)[0]).abs().max() > 1e-4
    with pytest.raises(IndexError, match="n_langs says how many languages there are"):
        ours(ids, langs=ids % 4)


def test_a_model_of_one_language_has_no_table_of_languages(tmp_path: Path) -> None:
    ours = _pair("XLMModel", tmp_path, n_langs=1)[1]
    with pytest.raises(TypeError, match="no table of languages; leave langs out"):
        ours(_ids(), langs=torch.zeros_like(_ids()))


@pytest.mark.parametrize("told", [False, True])
def test_spans_by_beams_are_the_references(told: bool, tmp_path: Path) -> None:
    theirs, ours = _pair("XLMForQuestionAnswering", tmp_path)
    given: dict[str, Any] = {"cls_index": torch.tensor([0, 3, 1, 2])}
    given["p_mask"] = torch.zeros(4, 9).index_fill(1, torch.tensor([0, 8]), 1.0)
    if told:
        given["start_positions"], given["end_positions"] = torch.tensor([[1, 2, 3, 4], [2, 2, 5, 6]])
        given["is_impossible"] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    with torch.no_grad():
        expected, found = theirs(_ids(), **given), ours(_ids(), **given)
    assert list(expected) == list(found)
    for name, value in expected.items():
        _close(value, found[name])
    seen = [outputs(model, {"input_ids": _ids(), **given})["qa_outputs"] for model in (theirs, ours)]
    assert seen[0] == seen[1]


def test_norms_stand_before_the_parts_where_flaubert_says_so(tmp_path: Path) -> None:
    theirs, ours = _pair("FlaubertModel", tmp_path, pre_norm=True)
    ids = _ids()
    real = ids != 2
    with torch.no_grad():
        # the reference asks a cache for each layer's, and has none for vectors
        given = {"inputs_embeds": theirs.embeddings(ids), "attention_mask": real, "cache": [None] * 3}
        _close(theirs(**given)[0], ours(ids, attention_mask=real)[0])


def test_flaubert_leaves_layers_out_in_training_alone() -> None:
    made = formers.FlaubertModel(formers.FlaubertConfig(**{**SIZES, "layerdrop": 1.0}))
    with torch.no_grad():
        states = made.train()(_ids(), output_hidden_states=True).hidden_states
        assert torch.equal(states[0], states[-1])
        states = made.eval()(_ids(), output_hidden_states=True).hidden_states
        assert not torch.equal(states[0], states[-1])


def test_a_looking_back_model_sees_nothing_that_follows(tmp_path: Path) -> None:
    ours = _pair("XLMModel", tmp_path, causal=True)[1]
    ids = _ids()[:1]
    with torch.no_grad():
        _close(ours(ids)[0][:, :4], ours(ids[:, :4])[0])


@pytest.mark.parametrize("path", ["attentions.1", "layer_norm1.1", "ffns.1.lin2", "ffns.1"])
def test_a_part_in_a_list_that_is_replaced_is_the_one_that_computes(path: str, tmp_path: Path) -> None:
    ours = _pair("XLMModel", tmp_path)[1]
    with torch.no_grad():
        before = ours(_ids())[0]
        new = nn.Linear(128, 32) if path.endswith("lin2") else nn.Identity()
        ours.set_submodule(path, new)
        after = ours(_ids())[0]
        assert (before - after).abs().max() > 1e-3
        calls: list[int] = []
        new.register_forward_hook(lambda *_: calls.append(1))
        _close(after, ours(_ids())[0])
    assert calls == [1]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_computes_with_its_own_parts(again: Any, tmp_path: Path) -> None:
    ours = _pair("XLMModel", tmp_path)[1]
    with torch.no_grad():
        before = ours(_ids())[0]
        other = again(ours)
        for parameter in other.parameters():
            parameter.mul_(1.5)
        assert torch.equal(ours(_ids())[0], before)
        changed = other(_ids())[0]
        assert (changed - before).abs().max() > 1e-3
        other.layer_norm2[1].weight.zero_()
        assert (other(_ids())[0] - changed).abs().max() > 1e-3


def test_recomputed_layers_give_the_same_gradients(tmp_path: Path) -> None:
    ours = _pair("XLMForSequenceClassification", tmp_path)[1].train()
    found = []
    for kept in (True, False):
        ours.gradient_checkpointing_disable() if kept else ours.gradient_checkpointing_enable()
        ours.zero_grad()
        ours(_ids(), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
        found.append([None if p.grad is None else p.grad.clone() for p in ours.parameters()])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            _close(one, other)


@pytest.mark.parametrize("field", [{"asm": True}, {"is_encoder": False}, {"summary_type": "attn"}])
def test_what_is_computed_nowhere_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(field))}=.* is not available for 'xlm' models"):
        formers.XLMConfig(**field)


def test_a_summary_that_makes_no_logits_is_refused_by_the_heads_that_need_them() -> None:
    config = formers.XLMConfig(**SIZES, summary_proj_to_labels=False)
    formers.XLMForTokenClassification(config)
    with pytest.raises(ValueError, match="summary_proj_to_labels of its config are True"):
        formers.XLMForSequenceClassification(config)


def test_fresh_tables_have_their_own_deviation_and_sinusoids_are_the_references() -> None:
    values = {**SIZES, "sinusoidal_embeddings": True, "embed_init_std": 0.3, "init_std": 0.01}
    theirs = transformers.XLMModel(transformers.XLMConfig(**values))
    ours = formers.XLMModel(formers.XLMConfig(**values))
    _close(theirs.position_embeddings.weight.data, ours.position_embeddings.weight.data)
    for path in ("embeddings", "lang_embeddings", "attentions.0.q_lin"):
        stds = [model.get_submodule(path).weight.std().item() for model in (theirs, ours)]
        assert abs(stds[0] / stds[1] - 1) < 0.25
