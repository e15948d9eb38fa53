"""What packages read from caches beside keys: layers, sizes, limits; and that they may write there."""

from __future__ import annotations

import pytest
import torch
import transformers

import formers
from formers import cache_utils

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
CONFIG = {"vocab_size": 20, "max_position_embeddings": 32, **SIZES}


def filled(library, kind):
    """A cache of two layers after three positions, of either library."""
    torch.manual_seed(0)
    config = library.MistralConfig(sliding_window=3, num_key_value_heads=1, **CONFIG)
    made = {
        "growing": lambda: library.DynamicCache(),
        "window": lambda: library.DynamicCache(config=config),
        "static": lambda: library.StaticCache(config=library.LlamaConfig(**CONFIG), max_cache_len=8),
    }[kind]()
    if kind == "window":
        library.MistralForCausalLM(config).eval()(torch.tensor([[3, 4, 5, 6]]), past_key_values=made)
    else:
        for layer in range(2):
            made.update(*(torch.arange(24.0).view(1, 2, 3, 4) + i for i in (0, 1)), layer)
    return made


@pytest.mark.parametrize("kind", ["growing", "window", "static"])
def test_layers_sizes_and_limits_are_those_of_the_reference(kind):
    ours, theirs = filled(formers, kind), filled(transformers, kind)
    for ask in ("is_sliding", "is_compileable", "is_initialized"):
        assert getattr(ours, ask) == getattr(theirs, ask), ask
    assert ours.get_mask_sizes(2, 1) == theirs.get_mask_sizes(2, 1)
    assert ours.layers[1].get_seq_length() == int(theirs.layers[1].get_seq_length())
    if kind == "window":  # 3 of 4 positions were read by a window of 3
        assert ours.layers[0].keys.shape == theirs.layers[0].keys.shape
        return
    held = ours.layers[1].keys
    assert torch.equal(held, theirs.layers[1].keys[:, :, : held.shape[2]])
    assert ours.get_max_cache_shape() == theirs.get_max_length()
    ours.reset()
    assert (ours.get_seq_length(), ours.is_initialized, len(ours.layers)) == (0, False, 2)


@pytest.mark.parametrize(
    ("made", "new", "usable"),
    [(lambda: filled(formers, "growing"), 9, 3), (lambda: filled(formers, "static"), 7, 1)],
)
def test_usable_lengths_and_limits_of_older_releases(made, new, usable):
    cache = made()
    assert cache.get_usable_length(new) == usable
    assert cache.get_max_length() == (None if usable == 3 else 8)
    assert (cache.max_batch_size, cache.num_key_value_heads, cache.head_dim) == (1, 2, 4)
    assert cache.dtype == torch.float32


def test_what_is_set_in_a_layer_is_what_the_model_reads():
    model = formers.LlamaForCausalLM(formers.LlamaConfig(**CONFIG)).eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    past = model(ids[:, :3], use_cache=True).past_key_values
    other = formers.DynamicCache()
    for layer in past.layers:
        alone = cache_utils.DynamicLayer()
        alone.keys, alone.values = layer.keys, layer.values
        other.layers.append(alone)
    expected = model(ids).logits[:, 3:]
    torch.testing.assert_close(model(ids[:, 3:], past_key_values=other).logits, expected, rtol=0, atol=1e-5)
    past.key_cache[0], past.value_cache[0] = past.key_cache[0] * 0, past.value_cache[0] * 0
    assert not past.layers[0].keys.any()
    assert past.layers[1].keys.any()


def test_names_of_caches_of_single_families_and_years():
    config = formers.MambaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, state_size=4)
    state = cache_utils.MambaCache(config, batch_size=1, dtype=torch.float32, device="cpu")
    model = formers.MambaModel(config).eval()
    ids = torch.tensor([[3, 4, 5]])
    model(ids[:, :2], cache_params=state)
    assert state.has_previous_state()
    last = model(ids[:, 2:], cache_params=state).last_hidden_state
    torch.testing.assert_close(last, model(ids).last_hidden_state[:, 2:], rtol=0, atol=1e-5)
    fixed = cache_utils.HybridCache(formers.LlamaConfig(**CONFIG), max_batch_size=1, max_cache_len=8)
    assert isinstance(fixed, formers.StaticCache)
    assert fixed.max_cache_len == 8


def test_what_a_cache_cannot_answer_says_what_to_use():
    cache = filled(formers, "growing")
    with pytest.raises(ValueError, match="no states"):
        cache.has_previous_state()
    with pytest.raises(AttributeError, match="Cache.begin"):
        cache.layer_class_to_replicate  # noqa: B018
    with pytest.raises(ValueError, match="cannot be set"):
        formers.QuantizedCache().layers[0].keys = torch.zeros(1, 1, 1, 1)
