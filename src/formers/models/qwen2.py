"""Qwen2 (Yang et al. 2024, arXiv:2407.10671): LLaMA with biases on queries, keys and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Qwen2Config(llama.DecoderConfig):
    """Configuration of Qwen2. With a window, layers from `max_window_layers` on have it."""

    model_type = "qwen2"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 151936
    intermediate_size: int = 22016
    num_key_value_heads: int | None = 32
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.sliding_window = self.sliding_window if self.use_sliding_window else None
        if self.layer_types is None:
            first = self.num_hidden_layers if self.sliding_window is None else self.max_window_layers
            kinds = ("full_attention", "sliding_attention")
            self.layer_types = [kinds[i >= first] for i in range(self.num_hidden_layers)]


def mixers(c: Any, mixer: spec.Attention) -> tuple[spec.Attention, ...]:
    """The attention of every layer, which reaches back a window where `layer_types` says so."""
    window = replace(mixer, mask=Causal(c.sliding_window or None))
    kinds = {"full_attention": mixer, "sliding_attention": window}
    return llama.by_kind(c, kinds)


def stack(c: Qwen2Config) -> spec.Stack:
    """The decoder."""
    feedforward = llama.feedforward(c, c.intermediate_size)
    mixer = replace(llama.attention(c, Causal(), bias=True), out_bias=False)
    layers = tuple(llama.block(c, one, feedforward) for one in mixers(c, mixer))
    return llama.decoder(c, layers, "Qwen2DecoderLayer")


QWEN2 = register(
    replace(llama.LLAMA, model_type="qwen2", name="Qwen2", config=Qwen2Config, assembly=Single(stack))
)
