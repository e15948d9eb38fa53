"""Gemma 3 (Kamath et al. 2025, arXiv:2503.19786): norms of heads, two rotary rules by turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import gemma2, llama, qwen3
from formers.models.registry import register
from formers.nn import spec


class Gemma3TextConfig(gemma2.Gemma2Config):
    """Configuration of Gemma 3's text model. Every sixth layer sees everything."""

    model_type = "gemma3_text"
    rope_kinds = {  # noqa: RUF012
        "full_attention": ("rope_theta", 1000000.0),
        "sliding_attention": ("rope_local_base_freq", 10000.0),
    }
    vocab_size: int = 262208
    max_position_embeddings: int = 131072
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    use_bidirectional_attention: bool | None = False

    def __init__(self, sliding_window_pattern: int = 6, **values: Any) -> None:
        super().__init__(**values)
        if values.get("layer_types") is None:
            self.layer_types = llama.turns(self.num_hidden_layers, sliding_window_pattern)


NAMES = gemma2.NAMES.with_(layer=qwen3.NORMS)


def stack(c: Gemma3TextConfig) -> spec.Stack:
    """The decoder."""
    if c.attn_logit_softcapping is not None:
        raise ValueError(
            "Gemma 3 has norms of queries and keys, no cap on scores: attn_logit_softcapping is None"
        )
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    return gemma2.decoder(c, "Gemma3DecoderLayer", NAMES, qk_norm=norm, heads_first=True)


GEMMA3 = register(
    replace(
        gemma2.GEMMA2,
        model_type="gemma3_text",
        name="Gemma3",
        config=Gemma3TextConfig,
        assembly=Single(stack),
        heads={
            "ForCausalLM": gemma2.WORDS,
            "ForSequenceClassification": llama.HEADS["ForSequenceClassification"],
        },
        spelt={
            "Model": "Gemma3TextModel",
            "ForSequenceClassification": "Gemma3TextForSequenceClassification",
        },
        order=(*gemma2.GEMMA2.order, qwen3.ORDER),
    )
)
