"""Mistral (Jiang et al. 2023, arXiv:2310.06825): LLaMA whose attention reaches back a window."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class MistralConfig(llama.DecoderConfig):
    """Configuration of Mistral."""

    model_type = "mistral"
    intermediate_size: int = 14336
    num_key_value_heads: int | None = 8
    head_dim: int | None = None
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-6
    sliding_window: int | None = 4096


def stack(c: MistralConfig) -> spec.Stack:
    """The decoder."""
    layers = (llama.layer(c, Causal(c.sliding_window)),) * c.num_hidden_layers
    return llama.decoder(c, layers, "MistralDecoderLayer")


SPANS = replace(llama.LLAMA.heads["ForQuestionAnswering"], base=None)
MISTRAL = register(
    replace(
        llama.LLAMA,
        model_type="mistral",
        name="Mistral",
        config=MistralConfig,
        assembly=Single(stack),
        heads={**llama.LLAMA.heads, "ForQuestionAnswering": SPANS},
    )
)
