"""Attention that asks for distances, and gated convolutions, against their definitions in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import formers

T, E, H = 7, 8, 2
SIZES = {
    **{"hidden_size": E, "num_hidden_layers": 1, "num_attention_heads": H, "intermediate_size": 12},
    **{"feature_projection_input_dim": 4, "conv_depthwise_kernel_size": 3, "layerdrop": 0.0},
    **{"left_max_position_embeddings": 2, "right_max_position_embeddings": 1},
}


def _layer(kind: str | None) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = formers.Wav2Vec2BertConfig(**SIZES, position_embeddings_type=kind)
    made = formers.Wav2Vec2BertModel(config).double().eval()
    for value in made.parameters():
        value.data.normal_(0, 0.5)
    return made, made.encoder.layers[0]


def _heads(x: Tensor) -> Tensor:
    return x.view(T, H, E // H).transpose(0, 1)


def _asked(kind: str, part: Any, q: Tensor) -> Tensor:
    """What every query [H, T, D] finds in every distance, place by place."""
    found = torch.zeros(H, T, T, dtype=torch.float64)
    for i in range(T):
        for j in range(T):
            if kind == "relative_key":
                told = part.distance_embedding.weight[max(-2, min(1, j - i)) + 2].expand(H, -1)
                found[:, i, j] = (q[:, i] * told).sum(-1)
                continue
            rates = torch.exp(torch.arange(0, E, 2).float() * (-torch.log(torch.tensor(1e4)) / E))
            turns = (i - j) * rates
            wave = torch.stack((turns.sin(), turns.cos()), -1).flatten().double()
            told = (part.linear_pos.weight @ wave).view(H, -1)
            found[:, i, j] = ((q[:, i] + part.pos_bias_v) * told).sum(-1)
    return found


@pytest.mark.parametrize("kind", ["relative", "relative_key"])
def test_queries_ask_for_distances_as_the_definition_says(kind: str) -> None:
    made, layer = _layer(kind)
    part, x = layer.self_attn, torch.randn(T, E, dtype=torch.float64)
    q, k, v = (_heads(getattr(part, f"linear_{one}")(x)) for one in "qkv")
    asked = _asked(kind, part, q)
    contents = (q + part.pos_bias_u[:, None] if kind == "relative" else q) @ k.transpose(1, 2)
    weights = ((contents + asked) * (E // H) ** -0.5).softmax(-1)
    expected = part.linear_out((weights @ v).transpose(0, 1).reshape(T, E))
    seen: list[Tensor] = []
    part.register_forward_pre_hook(lambda _, given: (x[None],))
    part.register_forward_hook(lambda _, given, out: seen.append(out[0]))
    with torch.no_grad():
        made(torch.randn(1, T, 4, dtype=torch.float64))
    torch.testing.assert_close(seen[0][0], expected, atol=1e-6, rtol=1e-6)  # waves are made in float32


def test_convolutions_look_back_and_read_no_padding() -> None:
    made, layer = _layer(None)
    part, x = layer.conv_module, torch.randn(2, T, E, dtype=torch.float64)
    mask = torch.tensor([[1] * T, [1] * 4 + [0] * 3])
    normed = part.layer_norm(x) * mask[..., None]
    opened = F.glu(normed @ part.pointwise_conv1.weight[..., 0].t(), -1)
    along = torch.zeros_like(opened)
    for at in range(T):
        for back in range(3):
            if at - back >= 0:
                along[:, at] += opened[:, at - back] * part.depthwise_conv.weight[:, 0, 2 - back]
    expected = F.silu(part.depthwise_layer_norm(along)) @ part.pointwise_conv2.weight[..., 0].t()
    seen: list[Tensor] = []
    part.register_forward_pre_hook(lambda _, given: (x,))
    part.register_forward_hook(lambda _, given, out: seen.append(out))
    with torch.no_grad():
        given = torch.randn(2, T, 4, dtype=torch.float64)
        made(given, attention_mask=mask)
        real = mask.bool()
        torch.testing.assert_close(seen[0][real], expected[real])
        fresh, _ = _layer(None)  # nobody looks: padding is left out
        watched, _ = _layer(None)
        watched.encoder.layers[0].register_forward_hook(lambda *_: None)
        found, told = (one(given, attention_mask=mask).last_hidden_state for one in (fresh, watched))
    torch.testing.assert_close(found[real], told[real])
    with pytest.raises(ValueError, match="as many places on either side"):
        formers.Wav2Vec2BertModel(formers.Wav2Vec2BertConfig(**{**SIZES, "conv_depthwise_kernel_size": 4}))
