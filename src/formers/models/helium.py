"""Helium (Kyutai 2025): LLaMA whose neighbouring features turn together."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class HeliumConfig(llama.DecoderConfig):
    """Configuration of Helium."""

    model_type = "helium"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 100000.0
    vocab_size: int = 48000
    hidden_size: int = 2560
    intermediate_size: int = 7040
    num_hidden_layers: int = 24
    num_attention_heads: int = 20
    num_key_value_heads: int = 20
    head_dim: int = 128
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-8
    pad_token_id: int | None = 3
    attention_bias: bool = False
    mlp_bias: bool = False


def stack(c: HeliumConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps, wide=True)
    attention = llama.attention(c, Causal(), c.attention_bias, adjacent=True, out_bias=False)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=c.mlp_bias)
    layers = (spec.layer(attention, feedforward, norm, order="pre"),) * c.num_hidden_layers
    return llama.decoder(c, layers, "HeliumDecoderLayer", norm)


HELIUM = register(
    replace(
        llama.LLAMA,
        model_type="helium",
        name="Helium",
        config=HeliumConfig,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
    )
)
