"""Granite (IBM 2024): LLaMA with a factor on token vectors, scores, residual branches and logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class GraniteConfig(llama.DecoderConfig):
    """Configuration of Granite."""

    model_type = "granite"
    keys_to_ignore_at_inference = ["past_key_values"]
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0


def stack(c: GraniteConfig) -> spec.Stack:
    """The decoder."""
    attention = llama.attention(c, Causal(), c.attention_bias, scale=c.attention_multiplier)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=c.mlp_bias)
    norm = spec.Norm("rms", c.rms_norm_eps)
    layer = spec.layer(attention, feedforward, norm, order="pre", scale=c.residual_multiplier)
    layers = (layer,) * c.num_hidden_layers
    return llama.decoder(c, layers, "GraniteDecoderLayer", scale=c.embedding_multiplier)


def words(c: Any) -> Words:
    """Logits, scaled."""
    return Words("lm_head", bias=False, logits_scale=1 / c.logits_scaling)


GRANITE = register(
    replace(
        llama.LLAMA,
        model_type="granite",
        name="Granite",
        config=GraniteConfig,
        assembly=Single(stack),
        heads={"ForCausalLM": Head("causal_lm", words)},
    )
)
