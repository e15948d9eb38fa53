"""Nemotron (Parmar et al. 2024, arXiv:2402.16819): squared ReLU, heads half turned, norms around one."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class NemotronConfig(llama.DecoderConfig):
    """Configuration of Nemotron."""

    model_type = "nemotron"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_share = 0.5
    vocab_size: int = 256000
    hidden_size: int = 6144
    intermediate_size: int = 24576
    num_attention_heads: int = 48
    head_dim: int | None = None
    hidden_act: str = "relu2"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.0134
    norm_eps: float = 1e-5
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    attention_bias: bool = False
    mlp_bias: bool = False


def stack(c: NemotronConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.norm_eps, offset=1.0)
    attention = llama.attention(c, Causal(), c.attention_bias)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, bias=c.mlp_bias)
    layers = (spec.layer(attention, feedforward, norm, order="pre"),) * c.num_hidden_layers
    return llama.decoder(c, layers, "NemotronDecoderLayer", norm)


NEMOTRON = register(
    replace(
        llama.LLAMA, model_type="nemotron", name="Nemotron", config=NemotronConfig, assembly=Single(stack)
    )
)
