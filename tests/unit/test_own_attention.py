"""Attention functions and masks of one's own, and what layers that are written by hand are made with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import masking_utils as reference
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS as REFERENCE_RULES

import formers
from formers.core.notices import Notice
from formers.nn import attend, interface, mask_functions

SMALL = {"vocab_size": 19, "hidden_size": 8, "num_attention_heads": 4, "num_hidden_layers": 2}
MASKS = (
    "create_causal_mask",
    "create_sliding_window_causal_mask",
    "create_bidirectional_mask",
    "create_chunked_causal_mask",
)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch):
    """Nothing that a test registers stays."""
    monkeypatch.setattr(attend, "BACKENDS", dict(attend.BACKENDS))
    monkeypatch.setattr(attend, "_CAN", dict(attend._CAN))
    monkeypatch.setattr(attend, "_OWN", set(attend._OWN))
    for kind in (interface.AttentionInterface, mask_functions.AttentionMaskInterface):
        monkeypatch.setattr(kind, "_known", dict(kind._known))


def models() -> list[Any]:
    torch.manual_seed(0)
    llama = formers.LlamaForCausalLM(
        formers.LlamaConfig(**SMALL, intermediate_size=12, num_key_value_heads=2)
    )
    bert = formers.BertModel(formers.BertConfig(**SMALL, intermediate_size=12))
    t5 = formers.T5EncoderModel(
        formers.T5Config(vocab_size=19, d_model=8, d_kv=4, num_heads=2, d_ff=12, num_layers=2)
    )
    return [model.eval() for model in (llama, bert, t5)]


@pytest.mark.parametrize("which", range(3), ids=["llama", "bert", "t5"])
def test_a_function_of_ones_own_computes_a_model_s_attention(own, which):
    model, asked = models()[which], []

    def mine(module, query, key, value, attention_mask, **options):
        asked.append((module.layer_idx, module.is_causal, attention_mask is None))
        return formers.eager_attention_forward(module, query, key, value, attention_mask, **options)

    formers.AttentionInterface.register("mine", mine)
    formers.AttentionMaskInterface.register("mine", formers.eager_mask)
    read = {
        "input_ids": torch.arange(12).view(2, 6),
        "attention_mask": torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]]),
    }
    for more in ({}, {"output_attentions": True}):
        model.set_attn_implementation("eager")
        expected = model(**read, **more)
        model.set_attn_implementation("mine")
        found = model(**read, **more)
        torch.testing.assert_close(found[0], expected[0])
        for one, other in zip(found.get("attentions") or (), expected.get("attentions") or (), strict=True):
            torch.testing.assert_close(one, other)
    assert {layer for layer, *_ in asked} == {0, 1}
    assert {causal for _, causal, _ in asked} == {which == 0}


def test_text_is_generated_through_a_function_of_ones_own(own):
    model = models()[0]
    expected = model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=5, do_sample=False)
    formers.ALL_ATTENTION_FUNCTIONS["mine"] = formers.sdpa_attention_forward
    formers.ALL_MASK_ATTENTION_FUNCTIONS.register("mine", formers.sdpa_mask)
    model.set_attn_implementation("mine")
    found = model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=5, do_sample=False)
    del formers.ALL_ATTENTION_FUNCTIONS["mine"]
    assert torch.equal(found, expected)
    with pytest.raises(ValueError, match="'mine' is not available"):
        model.set_attn_implementation("mine")


def test_a_function_of_ones_own_is_not_passed_over_for_a_dropout_that_somebody_looks_at(own):
    model, asked = models()[1], []

    def mine(module, *tensors, **options):
        asked.append(options["dropout"])
        return formers.eager_attention_forward(module, *tensors, **options)

    formers.AttentionInterface.register("mine", mine)
    model.set_attn_implementation("mine")
    ids, place = torch.arange(1, 7)[None], model.encoder.layer[0].attention.self
    expected = model(ids)[0]
    hook = place.dropout.register_forward_hook(lambda *_: None)
    with pytest.warns(Notice, match="hooks on the dropout of attention weights are not called"):
        torch.testing.assert_close(model(ids)[0], expected)
    hook.remove()
    place.dropout = torch.nn.Identity()
    torch.testing.assert_close(model(ids)[0], expected)
    assert len(asked) == 3 * 2
    place.dropout = torch.nn.AlphaDropout(0.5)
    with pytest.raises(ValueError, match="calls no AlphaDropout"):
        model(ids)


def test_a_name_that_models_have_is_not_taken_over():
    with pytest.raises(ValueError, match="under another name"):
        formers.AttentionInterface.register("sdpa", formers.sdpa_attention_forward)
    with pytest.raises(KeyError, match="no attention function 'flash_attention_2'"):
        formers.ALL_ATTENTION_FUNCTIONS["flash_attention_2"]


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("form", ["eager", "sdpa"])
@pytest.mark.parametrize("padded", [False, True])
def test_masks_are_those_of_the_ecosystem(name, form, padded):
    config = SimpleNamespace(_attn_implementation=form, sliding_window=3, attention_chunk_size=3)
    told = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7]) if padded else None
    for length, past in ((7, None), (1, 6), (3, 4)):
        embeds = torch.zeros(2, length, 4)
        ours, theirs = None, None
        if past is not None:
            if name in ("create_chunked_causal_mask", "create_bidirectional_mask"):
                continue  # the ecosystem has these for whole rows
            from transformers import DynamicCache

            ours, theirs = formers.DynamicCache(), DynamicCache()
            states = torch.zeros(2, 1, past, 4)
            ours.update(states, states, 0)
            theirs.update(states, states, 0)
        given = {"config": config, "inputs_embeds": embeds, "attention_mask": told}
        expected = getattr(reference, name)(**given, past_key_values=theirs)
        found = getattr(formers, name)(**given, past_key_values=ours)
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)


def test_masks_know_sequences_end_to_end_and_functions_of_ones_own():
    config, embeds = SimpleNamespace(_attn_implementation="sdpa"), torch.zeros(1, 5, 4)
    given = {"config": config, "inputs_embeds": embeds, "attention_mask": None, "past_key_values": None}
    positions = torch.tensor([[0, 1, 0, 1, 2]])
    kinds = torch.tensor([[0, 1, 1, 0, 0]])
    for more in (
        {"position_ids": positions},
        {"or_mask_function": lambda b, h, q, k: kinds[b, q] == kinds[b, k]},
        {"and_mask_function": lambda b, h, q, k: kinds[b][q] == kinds[b][k]},  # it does not broadcast
    ):
        expected = reference.create_causal_mask(**given, **more)
        assert torch.equal(formers.create_causal_mask(**given, **more), expected)
    assert torch.equal(
        formers.find_packed_sequence_indices(positions), reference.find_packed_sequence_indices(positions)
    )


@pytest.mark.parametrize("rule", ["linear", "dynamic", "llama3", "yarn", "longrope"])
def test_rotary_rules_are_those_of_the_ecosystem(rule):
    from transformers import LlamaConfig

    told = {
        "rope_type": rule,
        "rope_theta": 10000.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
        "short_factor": [1.0, 2.0],
        "long_factor": [3.0, 4.0],
    }
    shape = {**SMALL, "hidden_size": 16, "max_position_embeddings": 64}
    config = LlamaConfig(**shape, rope_parameters=told)
    expected, factor = REFERENCE_RULES[rule](config, "cpu", seq_len=100)
    found, ours = formers.ROPE_INIT_FUNCTIONS[rule](config, "cpu", seq_len=100)
    torch.testing.assert_close(found, expected)
    assert ours == pytest.approx(factor)


def test_a_layer_of_ones_own_is_computed_again_in_the_backward_pass():
    calls = []

    class Own(formers.GradientCheckpointingLayer):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 4)

        def forward(self, x, past_key_values=None):
            calls.append(past_key_values)
            return self.linear(x).tanh()

    layer, x = Own(), torch.ones(2, 4)
    layer(x).sum().backward()
    expected = layer.linear.weight.grad.clone()
    layer.zero_grad()
    layer.gradient_checkpointing = True
    with pytest.warns(match="past_key_values left out"):
        layer(x, past_key_values="a cache").sum().backward()
    assert calls == [None, None, None]
    assert torch.equal(layer.linear.weight.grad, expected)


def test_masks_for_writing_leave_to_layers_what_they_know():
    config = formers.Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=4, intermediate_size=12)
    given, vectors = torch.tensor([[0, 1, 1]]), torch.zeros(1, 3, 8)
    make = formers.create_masks_for_generate
    assert make(config, vectors, given, None, token_type_ids=None) is given
    with pytest.raises(ValueError, match="full_attention, sliding_attention see different keys"):
        make(config, vectors, given, None, or_mask_function=lambda b, h, q, k: k >= 0)
    with pytest.raises(TypeError, match="'mask'"):
        make(config, vectors, given, None, mask=given)
    plain = formers.LlamaConfig(**SMALL, intermediate_size=12)
    seen = make(plain, vectors, None, None, and_mask_function=lambda b, h, q, k: k > 0)
    assert seen.tolist() == [[[[False, False, False], [False, True, False], [False, True, True]]]]
