"""The querying transformer of BLIP-2 (Li et al. 2023, arXiv:2301.12597): vectors that ask an image's states.

Its queries are given: the model that it is part of holds them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec


class Blip2QFormerConfig(PretrainedConfig):
    """Configuration of BLIP-2's querying transformer."""

    model_type = "blip_2_qformer"
    base_config_key = "qformer_config"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    cross_attention_frequency: int = 2
    encoder_hidden_size: int = 1408
    use_qformer_text_input: bool = False


ATTENTION = {
    "q": "attention.query",
    "k": "attention.key",
    "v": "attention.value",
    "o": "output.dense",
    "attention_dropout": "output.dropout",
    "attention_norm": "output.LayerNorm",
}
NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        **{role: f"attention.{path}" for role, path in ATTENTION.items()},
        **spec.crossed({role: f"crossattention.{path}" for role, path in ATTENTION.items()}),
        "up": "intermediate_query.dense",
        "act": "intermediate_query.intermediate_act_fn",
        "down": "output_query.dense",
        "feedforward_dropout": "output_query.dropout",
        "feedforward_norm": "output_query.LayerNorm",
    },
    embeddings={"embedding_norm": "layernorm", "embedding_dropout": "dropout"},
)
TEXT_NAMES = {
    "text_up": "intermediate.dense",
    "text_act": "intermediate.intermediate_act_fn",
    "text_down": "output.dense",
    "text_dropout": "output.dropout",
    "text_norm": "output.LayerNorm",
}
ORDER = ("attention", "crossattention", "intermediate", "output", "intermediate_query", "output_query")


def stack(c: Any, texts: bool | None = None) -> spec.Stack:
    """Layers of which every n-th, from the first on, asks the image.

    Args:
        c: the config.
        texts: rows of texts may stand behind those that ask; as the config says.
    """
    texts = c.use_qformer_text_input if texts is None else texts
    norm = spec.Norm("layer", c.layer_norm_eps)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads), dropout=c.attention_probs_dropout_prob
    )
    asking = replace(attention, cross=True, source=c.encoder_hidden_size)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    of_texts = replace(feedforward, prefix="text_")
    aside = (spec.Part(of_texts, "text", after=norm, dropout=c.hidden_dropout_prob),) if texts else ()
    plain, crossing = (
        replace(
            spec.layer(attention, feedforward, norm, cross=cross, dropout=c.hidden_dropout_prob), aside=aside
        )
        for cross in (None, asking)
    )
    every = c.cross_attention_frequency
    return spec.Stack(
        stem=spec.Queries(0, c.hidden_size, norm, c.hidden_dropout_prob, texts),
        layers=tuple(plain if i % every else crossing for i in range(c.num_hidden_layers)),
        names=NAMES.with_(layer=TEXT_NAMES) if texts else NAMES,
        width=c.hidden_size,
        layer_class="Blip2QFormerLayer",
        pooler=spec.Summary(),
        initial_std=c.initializer_range,
    )


BLIP_2_QFORMER = register(
    Family(
        model_type="blip_2_qformer",
        name="Blip2QFormer",
        config=Blip2QFormerConfig,
        base="qformer",
        assembly=Single(stack, spec.Queries),
        heads={},
        order=(ORDER,),
    )
)
