"""Layers behind an encoder, a stem of samples, and a gate behind its values, against their definitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import formers
from formers.nn import spec
from formers.nn.mixers.feedforward import halves

SMALL: dict[str, Any] = {
    **{"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 24, "feature_projection_input_dim": 6, "conv_depthwise_kernel_size": 3},
    **{"add_adapter": True, "num_adapter_layers": 2, "output_hidden_size": 12, "layerdrop": 0.9},
}


def bands(*lengths: int) -> dict[str, Tensor]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_features": torch.randn(len(lengths), max(lengths), 6), "attention_mask": mask}


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13])
def test_every_layer_halves_the_rows_rounded_up(length: int) -> None:
    made = formers.Wav2Vec2BertModel(formers.Wav2Vec2BertConfig(**SMALL)).eval()
    given = {"input_features": torch.randn(1, length, 6)}
    rows = math.ceil(math.ceil(length / 2) / 2)
    assert made(**given).last_hidden_state.shape == (1, rows, 12)
    assert made._get_feat_extract_output_lengths(torch.tensor([length])).tolist() == [rows]


def test_a_layer_is_its_definition() -> None:
    torch.manual_seed(0)
    made = formers.Wav2Vec2BertModel(formers.Wav2Vec2BertConfig(**{**SMALL, "output_hidden_size": 16})).eval()
    (layer, _), x = made.adapter.layers, torch.randn(1, 7, 16)

    def fold(x: Tensor, norm: Any, conv: Any) -> Tensor:
        x = F.pad(norm(x), (0, 0, 1, 1))[0]  # [9, E]
        rows = [x[start : start + 3].t() for start in range(0, 7, 2)]  # [E, 3] each
        both = torch.stack([torch.einsum("oek,ek->o", conv.weight, row) + conv.bias for row in rows])
        return both[:, :16] * torch.sigmoid(both[:, 16:])

    beside = fold(x, layer.residual_layer_norm, layer.residual_conv)
    read = fold(x, layer.self_attn_layer_norm, layer.self_attn_conv)
    at = layer.self_attn
    q, k, v = (getattr(at, f"linear_{role}")(read).view(4, 2, 8).transpose(0, 1) for role in "qkv")
    mixed = (q @ k.transpose(1, 2) / math.sqrt(8)).softmax(-1) @ v
    states = at.linear_out(mixed.transpose(0, 1).reshape(4, 16)) + beside
    inner = torch.relu(layer.ffn.intermediate_dense(layer.ffn_layer_norm(states)))
    expected = layer.ffn.output_dense(inner) + states
    torch.testing.assert_close(layer(x)[0], expected)


def test_no_layer_behind_is_left_out_in_training() -> None:
    made = formers.Wav2Vec2BertModel(formers.Wav2Vec2BertConfig(**SMALL)).train()
    assert {made(**bands(13, 13)).last_hidden_state.shape[1] for _ in range(4)} == {4}


def test_what_is_recomputed_has_the_same_gradients() -> None:
    torch.manual_seed(0)
    values = {**SMALL, "layerdrop": 0.0, "apply_spec_augment": False, "conformer_conv_dropout": 0.0}
    made = formers.Wav2Vec2BertForCTC(formers.Wav2Vec2BertConfig(**values, final_dropout=0.0)).train()
    given = {**bands(16, 11), "labels": torch.tensor([[3, 4], [5, -100]])}
    grads = []
    for recompute in (False, True):
        if recompute:
            made.gradient_checkpointing_enable()
        made.zero_grad()
        made(**given).loss.backward()
        grads.append({n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None})
    assert "wav2vec2_bert.adapter.layers.1.self_attn_conv.weight" in grads[0]
    for name, value in grads[0].items():
        torch.testing.assert_close(grads[1][name], value, atol=1e-5, rtol=1e-4)


def test_samples_become_rows_by_three_convolutions_and_a_norm_over_all() -> None:
    config = formers.MoonshineConfig(hidden_size=16, encoder_num_attention_heads=2, vocab_size=20)
    encoder = formers.MoonshineModel(config).encoder
    seen: list[Tensor] = []
    encoder.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    sound = torch.randn(1, 1300)
    encoder(sound)
    x = torch.tanh(F.conv1d(sound[:, None], encoder.conv1.weight, stride=64))
    x = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    x = F.gelu(F.conv1d(x, encoder.conv2.weight, encoder.conv2.bias, stride=3))
    x = F.gelu(F.conv1d(x, encoder.conv3.weight, encoder.conv3.bias, stride=2))
    torch.testing.assert_close(seen[0], x.transpose(1, 2), atol=1e-5, rtol=1e-5)
    assert spec.RawSamples(16).rows(1300) == x.shape[2]


def test_a_gate_may_stand_behind_what_it_weighs() -> None:
    both = torch.arange(6.0)
    gate, up = halves(spec.FeedForward(3, gated=True, fused=True, up_first=True), both)
    assert (gate.tolist(), up.tolist()) == ([3, 4, 5], [0, 1, 2])
