"""Qwen3 (Yang et al. 2025, arXiv:2505.09388): Qwen2 with norms on queries and keys in place of biases."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama, qwen2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Qwen3Config(qwen2.Qwen2Config):
    """Configuration of Qwen3."""

    model_type = "qwen3"
    head_dim: int = 128
    attention_bias: bool = False


NORMS = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}
NAMES = llama.NAMES.with_(layer=NORMS)
ORDER = ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")


def stack(c: Qwen3Config) -> spec.Stack:
    """The decoder."""
    feedforward = llama.feedforward(c, c.intermediate_size)
    plain = llama.attention(c, Causal(), c.attention_bias)
    mixer = replace(plain, qk_norm=spec.Norm("rms", c.rms_norm_eps))
    layers = tuple(llama.block(c, one, feedforward) for one in qwen2.mixers(c, mixer))
    return replace(llama.decoder(c, layers, "Qwen3DecoderLayer"), names=NAMES)


QWEN3 = register(
    replace(
        qwen2.QWEN2,
        model_type="qwen3",
        name="Qwen3",
        config=Qwen3Config,
        assembly=Single(stack),
        order=(*qwen2.QWEN2.order, ORDER),
    )
)
