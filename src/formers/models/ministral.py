"""Ministral (Mistral AI 2024): Mistral whose layers say by kind whether they see a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, mistral
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class MinistralConfig(mistral.MistralConfig):
    """Configuration of Ministral."""

    model_type = "ministral"
    keys_to_ignore_at_inference = ["past_key_values"]
    layer_types: list[str] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.layer_types is None:
            kind = "full_attention" if self.sliding_window is None else "sliding_attention"
            self.layer_types = [kind] * self.num_hidden_layers


def stack(c: MinistralConfig) -> spec.Stack:
    """The decoder."""
    full = llama.layer(c, Causal())
    kinds = {"full_attention": full, "sliding_attention": full.masked(Causal(c.sliding_window))}
    return llama.decoder(c, llama.by_kind(c, kinds), "MinistralDecoderLayer")


MINISTRAL = register(
    replace(
        mistral.MISTRAL,
        model_type="ministral",
        name="Ministral",
        config=MinistralConfig,
        assembly=Single(stack),
        heads=llama.HEADS,
    )
)
