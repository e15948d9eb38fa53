"""SmolLM 3 (Hugging Face 2025): LLaMA of which every fourth layer has no positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class SmolLM3Config(llama.DecoderConfig):
    """Configuration of SmolLM 3. `no_rope_layers` holds a 1 for every layer that has positions."""

    model_type = "smollm3"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 2000000.0
    vocab_size: int = 128256
    hidden_size: int = 2048
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    pad_token_id: int | None = 128004
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    use_sliding_window: bool = False
    sliding_window: int | None = None
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    layer_types: list[str] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.no_rope_layers is None:
            every = self.no_rope_layer_interval
            self.no_rope_layers = [int((i + 1) % every != 0) for i in range(self.num_hidden_layers)]
        if self.layer_types is None:
            windows = self.use_sliding_window and self.sliding_window is not None
            kinds = ("sliding_attention" if windows else "full_attention", "full_attention")
            self.layer_types = [kinds[bool(turned)] for turned in self.no_rope_layers]


def layer(c: SmolLM3Config, turned: bool, window: int | None) -> spec.Layer:
    """A layer with or without positions, that sees everything or a window."""
    attention = llama.attention(c, Causal(window))
    mixer = replace(attention, bias=c.attention_bias, out_bias=c.attention_bias)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=c.mlp_bias)
    norm = spec.Norm("rms", c.rms_norm_eps)
    return spec.layer(mixer if turned else replace(mixer, rotary=None), feedforward, norm, order="pre")


def stack(c: SmolLM3Config) -> spec.Stack:
    """The decoder."""
    kinds = {"full_attention": None, "sliding_attention": c.sliding_window}
    turned = llama.by_kind(c, {0: False, 1: True}, "no_rope_layers")
    pairs = zip(turned, llama.by_kind(c, kinds), strict=True)
    return llama.decoder(c, tuple(layer(c, *pair) for pair in pairs), "SmolLM3DecoderLayer")


SMOLLM3 = register(
    replace(llama.LLAMA, model_type="smollm3", name="SmolLM3", config=SmolLM3Config, assembly=Single(stack))
)
