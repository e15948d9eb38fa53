"""Caches under both generations of names: made from a config, repeated, and never another library's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch.utils import _pytree

from formers import (
    BartConfig,
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    StaticCache,
)
from formers.nn.cache import Hybrid, Recurrent, Ring

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def small_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=20, max_position_embeddings=32, **SIZES)).eval()


def layer(batch: int, length: int, start: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    keys = torch.arange(batch * length, dtype=torch.float32).view(batch, 1, length, 1) + start
    return keys, -keys


def test_a_growing_cache_is_made_from_a_config_with_a_slot_for_every_layer():
    model = small_llama()
    past = DynamicCache(config=model.config)
    assert (len(past), past.get_seq_length()) == (2, 0)
    assert len(DynamicCache(config=BartConfig(encoder_layers=1, decoder_layers=3))) == 3
    ids = torch.tensor([[3, 4, 5, 6]])
    first = model(input_ids=ids[:, :2], past_key_values=past)
    second = model(input_ids=ids[:, 2:], past_key_values=first.past_key_values)
    torch.testing.assert_close(second.logits, model(input_ids=ids).logits[:, 2:], rtol=0, atol=1e-5)
    assert past.get_seq_length() == 4


def test_a_cache_made_from_a_config_and_still_empty_survives_the_older_form():
    empty = DynamicCache(config=small_llama().config).to_legacy_cache()
    assert len(DynamicCache.from_legacy_cache(empty)) == 2


def test_a_growing_cache_takes_the_keys_and_values_to_begin_with():
    cache = DynamicCache([layer(1, 3), (*layer(1, 3, start=9.0), None), (None, None)])
    assert len(cache) == 3
    assert cache[1][0].flatten().tolist() == [9, 10, 11]
    assert cache[2] == ()


def test_what_a_growing_cache_does_not_offer_is_refused():
    with pytest.raises(TypeError, match="did you mean 'config'"):
        DynamicCache(confg=LlamaConfig())
    with pytest.raises(ValueError, match="num_hidden_layers"):
        DynamicCache(config=object())


def test_rows_are_repeated_and_selected_as_the_reference_does_it():
    ours = EncoderDecoderCache(DynamicCache([layer(2, 3)]), DynamicCache([layer(2, 2)]))
    own = transformers.DynamicCache([layer(2, 3)])
    theirs = transformers.EncoderDecoderCache(own, transformers.DynamicCache([layer(2, 2)]))
    for cache in (ours, theirs):
        cache.batch_repeat_interleave(3)
        cache.batch_select_indices(torch.tensor([5, 0]))
    expected = [held for part in (own, theirs.cross_attention_cache) for held in next(iter(part))[:2]]
    assert all(torch.equal(found, wanted) for found, wanted in zip(ours[0], expected, strict=True))


@pytest.mark.parametrize(
    "past",
    [
        transformers.DynamicCache([layer(1, 2)]),
        transformers.EncoderDecoderCache(
            transformers.DynamicCache([layer(1, 2)]), transformers.DynamicCache()
        ),
        7,
        torch.ones(2, 2),
        ((torch.ones(1, 1, 1, 1),),),
    ],
    ids=lambda past: type(past).__name__,
)
def test_what_is_no_cache_is_refused_with_its_type_and_the_way_out(past):
    with pytest.raises(TypeError, match=rf"not a .*{type(past).__qualname__}.*DynamicCache\("):
        small_llama()(input_ids=torch.tensor([[3]]), past_key_values=past)


def test_the_way_out_that_the_refusal_names_works():
    theirs = transformers.DynamicCache([layer(1, 2)])
    cache = DynamicCache([(layer.keys, layer.values) for layer in theirs.layers])
    assert isinstance(cache, Cache)
    assert cache.get_seq_length() == 2


# -- as part of a graph ---------------------------------------------------------------------------------


def small_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=32)).eval()


@torch.no_grad()
def two_steps(call: Any) -> list[torch.Tensor]:
    """The logits of three tokens, and of one more that reads their cache."""
    first = call(input_ids=torch.tensor([[3, 4, 5]]), use_cache=True)
    second = call(input_ids=torch.tensor([[6]]), past_key_values=first["past_key_values"], use_cache=True)
    return [first["logits"], second["logits"]]


@pytest.mark.parametrize("make", [small_llama, small_gpt2])
@torch.no_grad()
def test_an_exported_decoder_takes_and_returns_a_cache(make):
    model = make()
    start, step = torch.tensor([[3, 4, 5]]), torch.tensor([[6]])
    past = model(input_ids=start, use_cache=True).past_key_values
    wholes = [
        torch.export.export(model, (), given, strict=False).module()
        for given in (
            {"input_ids": start, "use_cache": True},
            {"input_ids": step, "past_key_values": copy.deepcopy(past), "use_cache": True},
        )
    ]

    def exported(input_ids, **given):
        found = wholes["past_key_values" in given](input_ids=input_ids, **given)
        assert type(found["past_key_values"]) is DynamicCache
        return found

    torch.testing.assert_close(two_steps(exported), two_steps(model), rtol=0, atol=1e-5)


def test_a_decoder_compiles_to_one_graph_and_returns_its_cache():
    model = small_llama()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(two_steps(compiled), two_steps(model), rtol=0, atol=1e-5)


def filled(kind: str) -> Cache:
    keys, values = layer(2, 3)
    if kind == "empty":
        return DynamicCache(config=small_llama().config)
    if kind == "with the encoder's":
        return EncoderDecoderCache(DynamicCache([(keys, values)]), DynamicCache([(values, keys)]))
    if kind == "static":
        cache: Cache = StaticCache(small_llama().config, max_cache_len=5)
    elif kind == "hybrid":
        both = Hybrid()
        both.remember(keys[..., 0], values[..., 0], 3)
        cache = Cache([both])
    elif kind == "recurrent":
        state = Recurrent()
        state.remember(keys[..., 0], values[..., 0], 3)
        return Cache([state])
    else:
        cache = Cache([Ring(3)]) if kind == "ring" else DynamicCache()
    cache.update(keys, values, 0)
    return cache


@pytest.mark.parametrize(
    "kind", ["growing", "empty", "ring", "static", "recurrent", "hybrid", "with the encoder's"]
)
def test_a_cache_is_the_same_after_it_was_taken_apart(kind):
    cache = filled(kind)
    leaves, told = _pytree.tree_flatten(cache)
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    again = _pytree.tree_unflatten(leaves, _pytree.treespec_loads(_pytree.treespec_dumps(told)))
    assert type(again) is type(cache)
    assert [type(slot) for slot in again.slots] == [type(slot) for slot in cache.slots]
    assert again.get_seq_length() == cache.get_seq_length()
    torch.testing.assert_close(list(again), list(cache), rtol=0, atol=0)
    if kind not in ("recurrent", "empty"):
        more = layer(2, 1, start=7.0)
        torch.testing.assert_close(again.update(*more, 0), cache.update(*more, 0), rtol=0, atol=0)
