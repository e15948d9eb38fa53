"""EXAONE 4 (LG AI Research 2025, arXiv:2507.11407): norms of what parts return; positions in windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, olmo2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class Exaone4Config(llama.DecoderConfig):
    """Configuration of EXAONE 4. Every so manieth layer sees everything, or those that are a G in "LLLG"."""

    model_type = "exaone4"
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 102400
    intermediate_size: int = 16384
    num_key_value_heads: int | None = 32
    rms_norm_eps: float = 1e-5
    bos_token_id: int | None = 0
    sliding_window: int | None = 4096
    sliding_window_pattern: int | str | None = 4
    layer_types: list[str] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.sliding_window is None:
            self.sliding_window_pattern = 0
        if self.layer_types is None:
            count, pattern = self.num_hidden_layers, self.sliding_window_pattern or 0
            if isinstance(pattern, str):
                self.layer_types = _spelt(pattern, count)
            else:
                self.layer_types = llama.turns(count, pattern)


def _spelt(pattern: str, count: int) -> list[str]:
    """Kinds of layers by the letters of a pattern, which repeats; the last layer sees everything."""
    kinds = {"L": "sliding_attention", "G": "full_attention"}
    if {*pattern} - kinds.keys():
        raise ValueError(f"sliding_window_pattern is a number, or letters L and G, not {pattern!r}")
    return [kinds[pattern[i % len(pattern)] if i < count - 1 else "G"] for i in range(count)]


def stack(c: Exaone4Config) -> spec.Stack:
    """The decoder. Beside layers with windows, those that see everything have no positions."""
    norm = spec.Norm("rms", c.rms_norm_eps)
    window = llama.attention(c, Causal(c.sliding_window), qk_norm=norm, heads_first=True)
    plain = window if c.sliding_window is None else replace(window, mask=Causal(), rotary=None)
    feedforward = llama.feedforward(c, c.intermediate_size)
    mixers = {"full_attention": plain, "sliding_attention": window}
    kinds = {kind: spec.layer(one, feedforward, norm, order="inside") for kind, one in mixers.items()}
    return llama.decoder(c, llama.by_kind(c, kinds), "Exaone4DecoderLayer", norm, olmo2.NAMES)


EXAONE4 = register(
    replace(
        olmo2.OLMO2,
        model_type="exaone4",
        name="Exaone4",
        config=Exaone4Config,
        assembly=Single(stack),
        heads=llama.HEADS,
    )
)
