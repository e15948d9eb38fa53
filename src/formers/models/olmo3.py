"""OLMo 3 (Ai2 2025): OLMo 2 of which every fourth layer sees everything, the others a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import llama, olmo2
from formers.models.registry import register
from formers.nn import spec


class Olmo3Config(olmo2.Olmo2Config):
    """Configuration of OLMo 3. Rotary positions may be scaled in the layers that see everything."""

    model_type = "olmo3"
    default_theta = 500000.0
    rope_kinds = {  # noqa: RUF012
        "full_attention": ("rope_theta", 500000.0),
        "sliding_attention": ("rope_theta", 500000.0),
    }
    sliding_window: int | None = 4096
    layer_types: list[str] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.layer_types is None:
            self.layer_types = llama.turns(self.num_hidden_layers, 4)


def stack(c: Olmo3Config) -> spec.Stack:
    """The decoder."""
    windows = {"full_attention": None, "sliding_attention": c.sliding_window}
    kinds = {kind: olmo2.layer(c, kind, window) for kind, window in windows.items()}
    return olmo2.decoder(c, llama.by_kind(c, kinds), "Olmo3DecoderLayer")


OLMO3 = register(
    replace(olmo2.OLMO2, model_type="olmo3", name="Olmo3", config=Olmo3Config, assembly=Single(stack))
)
