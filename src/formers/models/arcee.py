"""Arcee (2025): LLaMA whose feed-forward squares a ReLU and has no gate."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class ArceeConfig(llama.DecoderConfig):
    """Configuration of Arcee."""

    model_type = "arcee"
    keys_to_ignore_at_inference = ["past_key_values"]
    hidden_size: int = 2560
    intermediate_size: int = 18432
    hidden_act: str = "relu2"
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-5
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    attention_bias: bool = False
    mlp_bias: bool = False
    head_dim: int | None = None


def stack(c: ArceeConfig) -> spec.Stack:
    """The decoder."""
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, bias=c.mlp_bias)
    attention, norm = llama.attention(c, Causal(), c.attention_bias), spec.Norm("rms", c.rms_norm_eps)
    layers = (spec.layer(attention, feedforward, norm, order="pre"),) * c.num_hidden_layers
    return llama.decoder(c, layers, "ArceeDecoderLayer")


ARCEE = register(
    replace(llama.LLAMA, model_type="arcee", name="Arcee", config=ArceeConfig, assembly=Single(stack))
)
