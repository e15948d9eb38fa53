"""Caches under both generations of names: made from a config, repeated, and never another library's."""

from __future__ import annotations

import pytest
import torch
import transformers

from formers import BartConfig, Cache, DynamicCache, EncoderDecoderCache, LlamaConfig, LlamaForCausalLM

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
    with pytest.raises(ValueError, match="offloading=True is not offered"):
        DynamicCache(offloading=True)
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
