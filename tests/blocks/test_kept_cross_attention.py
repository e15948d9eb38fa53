"""Layers that see what stands beside a text, and tiles of pictures, against definitions written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import formers
from formers.nn import spec
from formers.nn.cache import Cache, Growing, Kept, StaticCache


def text(**settings: Any) -> Any:
    """A small text model whose second layer sees, in float64."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}
    more = {
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "cross_attention_layers": [1],
        "pad_token_id": 0,
    }
    config = formers.MllamaTextConfig(**{**sizes, **more, **settings})
    made = formers.MllamaTextModel(config).eval().double()
    layer = made.layers[-1]
    layer.cross_attn_attn_gate.data.fill_(0.5)
    layer.cross_attn_mlp_gate.data.fill_(0.7)
    return made


def normed(x: torch.Tensor, norm: Any) -> torch.Tensor:
    """RMS, with the weights of a leaf."""
    return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * norm.weight


@torch.no_grad()
def test_a_layer_sees_by_gates_what_its_mask_shows() -> None:
    made, ids = text(num_hidden_layers=1, cross_attention_layers=[0]), torch.tensor([[3, 4, 5]])
    states = torch.randn(2, 3, 16, dtype=torch.float64)  # two parts of three places
    seen = torch.tensor([[[[0] * 6, [1, 1, 1, 0, 0, 0], [1] * 6]]]).bool()
    counts = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64).view(1, 1, 3, 1)
    layer, x = made.layers[0], made.embed_tokens(ids)[0]
    parts, rows = layer.cross_attn, states.reshape(6, 16)
    q = normed(parts.q_proj(normed(x, layer.input_layernorm)).view(3, 4, 4), parts.q_norm)
    k = normed(parts.k_proj(rows).view(6, 2, 4), parts.k_norm).repeat_interleave(2, 1)
    v = parts.v_proj(rows).view(6, 2, 4).repeat_interleave(2, 1)
    scores = torch.einsum("thd,shd->hts", q, k) / 2
    shown = seen[0, 0].clone()
    shown[0] = True  # what sees nothing sees all, and counts for nothing behind
    weights = scores.masked_fill(~shown, -torch.inf).softmax(-1)
    mixed = parts.o_proj(torch.einsum("hts,shd->thd", weights, v).reshape(3, 16))
    x = x + torch.tanh(torch.tensor(0.5)) * mixed
    inner = layer.mlp.down_proj(
        torch.nn.functional.silu(layer.mlp.gate_proj(normed(x, layer.post_attention_layernorm)))
        * layer.mlp.up_proj(normed(x, layer.post_attention_layernorm))
    )
    x = x + torch.tanh(torch.tensor(0.7)) * counts[0, 0] * inner
    given = {"cross_attention_mask": seen, "full_text_row_masked_out_mask": counts}
    found = made(ids, cross_attention_states=states, **given).last_hidden_state
    torch.testing.assert_close(found[0], normed(x, made.norm), atol=1e-7, rtol=1e-6)


@torch.no_grad()
def test_a_cache_keeps_what_is_seen_and_what_comes_later_stands_behind() -> None:
    made, states = text(), torch.randn(2, 3, 16, dtype=torch.float64)
    ids = torch.tensor([[3, 4, 5, 6]])
    whole = made(ids, cross_attention_states=states[:1]).last_hidden_state
    for cache in (None, StaticCache(made.config, 8)):
        first = made(ids[:, :2], cross_attention_states=states[:1], past_key_values=cache, use_cache=True)
        held = first.past_key_values
        assert [type(slot) is Kept for slot in held.slots] == [False, True]
        assert (held.get_seq_length(), held.get_seq_length(1)) == (2, 0)
        rest = made(ids[:, 2:], past_key_values=held).last_hidden_state
        torch.testing.assert_close(torch.cat((first.last_hidden_state, rest), 1), whole)
        held.crop(2)
        both = made(ids[:, 2:], cross_attention_states=states[1:], past_key_values=held).last_hidden_state
        assert held.slots[1].length == 6
        expected = made(ids, cross_attention_states=states).last_hidden_state
        torch.testing.assert_close(both, expected[:, 2:])


def test_kept_keys_count_as_no_tokens_and_go_with_the_last_of_them() -> None:
    cache, new = Cache([Kept(), Growing()]), torch.zeros(1, 2, 5, 4)
    cache.slots[0].update(new, new)
    cache.slots[1].update(new[:, :, :3], new[:, :, :3])
    assert cache.get_seq_length() == 3
    cache.crop(-1)
    assert (cache.get_seq_length(), cache.slots[0].length) == (2, 5)
    cache.crop(0)
    assert cache.slots[0].contents() is None


def test_leaves_and_norms_are_its_own() -> None:
    with pytest.raises(ValueError, match="with norms"):
        spec.KeptCross(spec.Heads(2, 2, 4), beside="pictures")


@torch.no_grad()
def test_tiles_are_told_their_places_by_gates() -> None:
    torch.manual_seed(0)
    config = formers.MllamaVisionConfig(
        **{"hidden_size": 8, "num_hidden_layers": 1, "num_global_layers": 1, "attention_heads": 2},
        **{"intermediate_size": 12, "image_size": 4, "patch_size": 2, "max_num_tiles": 2, "num_channels": 1},
        **{"supported_aspect_ratios": [[1, 1], [1, 2]], "intermediate_layers_indices": [0]},
    )
    made = formers.MllamaVisionModel(config).eval().double()
    before, places = made.pre_tile_positional_embedding, made.gated_positional_embedding
    before.gate.fill_(0.5)
    places.gate.fill_(0.3)
    pixels, forms = torch.randn(1, 1, 2, 1, 4, 4, dtype=torch.float64), torch.tensor([[2]])
    seen: list[torch.Tensor] = []
    made.layernorm_pre.register_forward_hook(lambda _module, args, _out: seen.append(args[0]))
    found = made(pixels, forms, torch.ones(1, 1, 2)).last_hidden_state
    assert found.shape == (1, 1, 2, 5, 16)
    gate = torch.tanh(torch.tensor(0.3, dtype=torch.float64))
    for tile in range(2):
        own = before.embedding.weight[2].view(2, 8)[tile] * torch.tanh(torch.tensor(0.5, dtype=torch.float64))
        patches = made.patch_embedding(pixels[0, 0, tile : tile + 1]).flatten(2)[0].T + own
        rows = torch.cat((made.class_embedding[None], patches))
        rows = rows + (1 - gate) * places.embedding
        rows = rows + gate * places.tile_embedding.weight[2].view(2, 5, 8)[tile]
        torch.testing.assert_close(seen[0][0, tile], rows)
