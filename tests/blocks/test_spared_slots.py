"""Caches that spare memory: keys and values in few bits, against their definition; and on the host."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree

import formers
from formers.core.notices import Notice, forget_notices
from formers.nn.cache import Offloaded, Quantized, QuantizedCache, StaticCache

SIZES: dict[str, Any] = {
    **{"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 128},
}


def read_back(x: Tensor, bits: int, axis: int, group: int) -> Tensor:
    """What groups of `x` [B, G, n, D] are after quantization, written out: KIVI, equation 1."""
    x = x.double()
    moved = x.transpose(2, 3) if axis == 0 else x.clone()  # groups lie along the last axis
    out = torch.empty_like(moved)
    for at in range(0, moved.shape[3], group):
        part = moved[..., at : at + group]
        low, high = part.min(-1, keepdim=True).values, part.max(-1, keepdim=True).values
        scale = (high - low) / (2**bits - 1)
        out[..., at : at + group] = torch.round((part - low) / scale) * scale + low
    return out.transpose(2, 3) if axis == 0 else out


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("axes", [(0, -1), (-1, 0)], ids=["as the paper", "the other way"])
def test_whole_blocks_are_quantized_once_and_the_newest_tokens_are_as_they_came(
    bits: int, axes: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2, 3, 21, 12).unbind(0)
    slot = Quantized(bits, *axes, group=4, residual=8)
    at = 0
    for size in (11, 1, 1, 1, 1, 1, 5):
        got = slot.update(keys[:, :, at : at + size], values[:, :, at : at + size])
        at += size
        assert torch.equal(got[0][:, :, at - size : at], keys[:, :, at - size : at])  # new, not yet rounded
    held = slot.contents()
    assert held is not None
    assert (slot.length, slot.packed) == (21, 16)
    for found, whole, axis in zip(held, (keys, values), axes, strict=True):
        wanted = read_back(whole[:, :, :16], bits, axis, 4)
        torch.testing.assert_close(found[:, :, :16].double(), wanted, atol=1e-6, rtol=0)  # float32's
        assert torch.equal(found[:, :, 16:], whole[:, :, 16:])


def test_memory_is_that_of_the_codes_their_scales_and_the_newest_tokens() -> None:
    slot = Quantized(2, group=32, residual=128)
    slot.update(*torch.randn(2, 1, 2, 500, 64, dtype=torch.bfloat16).unbind(0))
    taken = sum(t.untyped_storage().nbytes() for t in vars(slot).values() if isinstance(t, Tensor))
    numbers = 2 * 2 * 384 * 64  # keys and values, heads, tokens of whole blocks, width
    assert taken == numbers // 4 + numbers // 32 * 2 * 2 + 2 * 2 * 116 * 64 * 2


def test_rows_change_places_and_tokens_are_taken_back_without_rounding_again() -> None:
    torch.manual_seed(0)
    slot = Quantized(4, group=4, residual=8)
    slot.update(*torch.randn(2, 2, 2, 27, 8).unbind(0))
    before = slot.contents()
    slot.reorder(torch.tensor([1, 0, 1]))
    slot.crop(13)
    assert slot.packed == 8
    for found, was in zip(slot.contents() or (), before or (), strict=True):
        torch.testing.assert_close(found, was[[1, 0, 1], :, :13])
    slot.crop(-9)
    assert slot.length == 4


@pytest.fixture(scope="module")
def model() -> Any:
    """Two layers of grouped heads, the second with a window."""
    torch.manual_seed(0)
    kinds = ["full_attention", "sliding_attention"]
    made = formers.Gemma2ForCausalLM(
        formers.Gemma2Config(**SIZES, head_dim=8, sliding_window=6, layer_types=kinds, eos_token_id=5)
    )
    return made.eval()


def test_eight_bits_write_what_full_precision_writes_also_with_beams_and_drafts(model: Any) -> None:
    ids = torch.randint(6, 60, (1, 20))
    config = {"nbits": 8, "residual_length": 8, "q_group_size": 4}
    for settings in ({}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}):
        given = {"max_new_tokens": 12, "pad_token_id": 0, **settings}
        spared = model.generate(ids, **given, cache_implementation="quantized", cache_config=config)
        assert torch.equal(spared, model.generate(ids, **given)), settings


def test_forward_takes_a_quantized_cache_and_hands_it_out_again(model: Any) -> None:
    ids = torch.randint(6, 60, (1, 12))
    with torch.no_grad():
        first = model(ids[:, :9], past_key_values=QuantizedCache(nbits=8, residual_length=4), use_cache=True)
        cache = first.past_key_values
        leaves, spec = _pytree.tree_flatten(cache)
        again = _pytree.tree_unflatten(leaves, spec)
        second = model(ids[:, 9:], past_key_values=again)
        assert [type(slot) for slot in cache.slots] == [Quantized, Quantized]
        assert (cache.slots[0].packed, again.get_seq_length()) == (8, 12)
        torch.testing.assert_close(second.logits, model(ids).logits[:, 9:], atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", ["offloaded", "offloaded_static"])
def test_an_offloaded_cache_writes_the_same_and_says_where_nothing_is_moved(model: Any, kind: str) -> None:
    ids = torch.randint(6, 60, (2, 9))
    given = {"max_new_tokens": 6, "pad_token_id": 0}
    forget_notices()
    with pytest.warns(Notice, match="nothing is moved"):
        found = model.generate(ids, **given, cache_implementation=kind, return_dict_in_generate=True)
    assert torch.equal(found.sequences, model.generate(ids, **given))
    assert all(isinstance(slot, Offloaded) for slot in found.past_key_values.slots)


def test_the_cache_of_a_decoder_below_an_encoder_is_the_one_that_was_given() -> None:
    whole = formers.EncoderDecoderCache(QuantizedCache())
    assert [type(slot) for slot in whole.fit([None, None]).slots] == [Quantized, Quantized]


def test_an_offloaded_cache_may_leave_windows_where_they_are(model: Any) -> None:
    cache = formers.DynamicCache(offloading=True, offload_only_non_sliding=True)
    model(torch.tensor([[7, 8]]), past_key_values=cache)
    assert [type(slot).__name__ for slot in cache.slots] == ["Offloaded", "Ring"]
    with pytest.raises(ValueError, match="offloads every layer"):
        StaticCache(model.config, 9, offloading=True, offload_only_non_sliding=True)


def test_what_cannot_be_spared_is_refused_and_foreign_backends_are_named() -> None:
    for given, said in (
        ({"nbits": 3}, "nbits is one of 2, 4, 8"),
        ({"axis_key": 2}, "axis_key is 0"),
        ({"nbits": 2, "residual_length": 6}, "multiple of 4"),
        ({"backend": "fp8"}, "'quanto', 'hqq' or None"),
    ):
        with pytest.raises(ValueError, match=said):
            QuantizedCache(**given)
    with pytest.warns(Notice, match="not by hqq"):
        QuantizedCache("hqq")
    sizes = {**SIZES, "mamba_n_heads": 4, "mamba_d_state": 4, "mamba_d_ssm": 32, "mamba_d_head": 8}
    both = formers.FalconH1ForCausalLM(formers.FalconH1Config(**sizes))
    states = formers.MambaForCausalLM(formers.MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1))
    for model, said in ((both, "a state beside their keys"), (states, "keeps no keys")):
        with pytest.raises(ValueError, match=said):
            model.generate(torch.tensor([[7]]), max_new_tokens=2, cache_implementation="quantized")
    with pytest.raises(TypeError, match="did you mean 'nbits'"):
        both.generate(
            torch.tensor([[7]]), cache_implementation="quantized", cache_config={"nbit": 2}, max_new_tokens=2
        )
