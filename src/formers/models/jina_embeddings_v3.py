"""Jina embeddings v3 (Sturua et al. 2024, arXiv:2409.10173): XLM-RoBERTa with rotary positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.single import Single
from formers.models import nomic_bert, roberta
from formers.models.registry import register
from formers.nn import spec


class JinaEmbeddingsV3Config(roberta.RobertaConfig):
    """Configuration of Jina embeddings v3."""

    model_type = "jina_embeddings_v3"
    _available = {
        **roberta.RobertaConfig._available,
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }
    default_theta = 20000.0
    vocab_size: int = 250002
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    max_position_embeddings: int = 8194
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    rope_parameters: dict[str, Any] | None = None


NAMES = nomic_bert.NAMES.with_(
    layer={
        "qkv": "mixer.Wqkv",
        "o": "mixer.out_proj",
        "up": "mlp.fc1",
        "gate": None,
        "act": "mlp.activation_fn",
    }
)


def stack(c: JinaEmbeddingsV3Config) -> spec.Stack:
    """The encoder."""
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    made = nomic_bert.encoder(c, NAMES, "JinaEmbeddingsV3Layer", feedforward, bias=True)
    return replace(made, pooler=c.hidden_size)


_HEADS = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
JINA_EMBEDDINGS_V3 = register(
    replace(
        nomic_bert.NOMIC_BERT,
        model_type="jina_embeddings_v3",
        name="JinaEmbeddingsV3",
        config=JinaEmbeddingsV3Config,
        base="roberta",
        assembly=Single(stack),
        heads={ending: roberta.ROBERTA.heads[ending] for ending in _HEADS},
        aliases={
            **nomic_bert.ALIASES,
            "layers.{i}.self_attn": "encoder.layers.{i}.mixer",
            "layers.{i}.self_attn.o_proj": "encoder.layers.{i}.mixer.out_proj",
        },
    )
)
