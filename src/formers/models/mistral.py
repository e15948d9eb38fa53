"""Mistral (Jiang et al. 2023, arXiv:2310.06825): LLaMA whose attention reaches back a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class MistralConfig(PretrainedConfig):
    """Configuration of Mistral."""

    model_type = "mistral"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0


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
