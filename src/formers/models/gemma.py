"""Gemma (Mesnard et al. 2024, arXiv:2403.08295): LLaMA with scaled token vectors and norms around one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class GemmaConfig(llama.DecoderConfig):
    """Configuration of Gemma."""

    model_type = "gemma"
    keys_to_ignore_at_inference = ["past_key_values"]
    _available = {"use_bidirectional_attention": (False,)}  # every layer is causal
    vocab_size: int = 256000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    head_dim: int = 256
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 8192
    rms_norm_eps: float = 1e-6
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    use_bidirectional_attention: bool | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.hidden_act == "gelu":  # what the first files say where they mean the tanh form
            self.hidden_act = "gelu_pytorch_tanh"


def stack(c: GemmaConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=False)
    layer = spec.layer(llama.attention(c, Causal(), c.attention_bias), feedforward, norm, order="pre")
    scaled = {"table_scale": c.hidden_size**0.5, "table_scale_rounded": True}
    layers = (layer,) * c.num_hidden_layers
    return llama.decoder(c, layers, "GemmaDecoderLayer", norm, **scaled)


GEMMA = register(
    replace(
        llama.LLAMA,
        model_type="gemma",
        name="Gemma",
        config=GemmaConfig,
        assembly=Single(stack),
        heads=llama.heads_of("ForCausalLM", "ForSequenceClassification", "ForTokenClassification"),
    )
)
