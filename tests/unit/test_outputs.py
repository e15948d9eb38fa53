"""Records of models as nodes of torch's trees: export, hooks and gathers see the tensors within."""

from __future__ import annotations

import dataclasses

import torch
from torch.utils import _pytree as pytree

from formers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM
from formers.core.outputs import BaseModelOutput, ModelOutput, TaskOutput


def small_bert() -> BertModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=20, max_position_embeddings=16, **sizes)).eval()


def test_an_output_flattens_to_its_tensors_and_comes_back_as_the_same_record():
    states = (torch.zeros(1, 2, 3), torch.ones(1, 2, 3))
    record = BaseModelOutput(last_hidden_state=states[1], hidden_states=states)
    leaves, spec = pytree.tree_flatten(record)
    assert [leaf.shape for leaf in leaves] == [(1, 2, 3)] * 3
    again = pytree.tree_unflatten(leaves, spec)
    assert type(again) is BaseModelOutput
    assert again.keys() == ["last_hidden_state", "hidden_states"]
    assert isinstance(again.hidden_states, tuple)
    assert again.hidden_states[0] is states[0]


def test_a_function_over_the_tree_keeps_the_names_and_their_paths():
    record = TaskOutput(logits=torch.ones(2, 3))
    assert pytree.tree_map(lambda tensor: tensor + 1, record).logits.eq(2).all()
    ((path, _),), _ = pytree.tree_flatten_with_path(record)
    assert pytree.keystr(path) == "['logits']"


def test_a_record_of_ones_own_is_a_node_too():
    @dataclasses.dataclass
    class Scores(ModelOutput):
        scores: torch.Tensor | None = None
        note: str | None = None

    leaves, spec = pytree.tree_flatten(Scores(scores=torch.ones(1)))
    assert [leaf.shape for leaf in leaves] == [(1,)]
    assert type(pytree.tree_unflatten(leaves, spec)) is Scores


def test_an_encoder_is_exported_and_the_program_answers_as_the_model_does(tmp_path):
    model = small_bert()
    ids = torch.tensor([[2, 5, 7, 3], [2, 9, 3, 0]])
    whole, padded = torch.ones_like(ids), ids.ne(0).long()
    program = torch.export.export(model, (), {"input_ids": ids, "attention_mask": whole})
    torch.export.save(program, tmp_path / "bert.pt2")
    program = torch.export.load(tmp_path / "bert.pt2")
    for mask in (whole, padded):
        found = program.module()(input_ids=ids, attention_mask=mask)
        expected = model(input_ids=ids, attention_mask=mask)
        assert type(found) is type(expected)
        torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=0, atol=1e-5)


def test_a_decoder_is_exported():
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()
    ids = torch.tensor([[2, 5, 7, 3], [2, 9, 3, 0]])
    program = torch.export.export(model, (ids,), {"use_cache": False})
    found = program.module()(ids, use_cache=False)
    torch.testing.assert_close(found.logits, model(ids).logits, rtol=0, atol=1e-5)


def test_a_record_without_a_class_has_the_fields_that_it_is_made_with():
    made = ModelOutput(logits=torch.ones(2), loss=None)
    assert (list(made), made["logits"].tolist(), len(made.to_tuple())) == (["logits"], [1.0, 1.0], 1)
    assert ModelOutput({"logits": 1}, states=2).keys() == ["logits", "states"]
    doubled = pytree.tree_map(lambda t: 2 * t, made)
    assert doubled.logits.tolist() == [2.0, 2.0]
