"""XLM-RoBERTa-XL (Goyal et al. 2021, arXiv:2105.00572): XLM-RoBERTa with norms before, and one after all."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert, megatron_bert, roberta
from formers.models.registry import register
from formers.nn import spec


class XLMRobertaXLConfig(roberta.RobertaConfig):
    """Configuration of XLM-RoBERTa-XL."""

    model_type = "xlm-roberta-xl"
    vocab_size: int = 250880
    hidden_size: int = 2560
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    intermediate_size: int = 10240
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5


NAMES = bert.NAMES.with_(
    layer={
        **megatron_bert.ADDING,
        "attention_norm": "attention.self_attn_layer_norm",
        "cross_norm": "crossattention.self_attn_layer_norm",
        "feedforward_norm": "LayerNorm",
        "feedforward_dropout": None,
    },
    embeddings={"embedding_norm": None},
    stack={"final_norm": "encoder.LayerNorm"},
)


def stack(c: XLMRobertaXLConfig) -> spec.Stack:
    """RoBERTa's stack, whose first norm is that of the first layer; feed-forwards drop nothing."""
    made = spec.norms_first(roberta.stack(c, "XLMRobertaXLLayer"))
    assert isinstance(made.stem, spec.Tokens)
    *parts, feedforward = made.layers[0].parts
    layer = spec.Layer((*parts, replace(feedforward, dropout=0.0)))
    return replace(
        made, stem=replace(made.stem, norm=None), layers=(layer,) * c.num_hidden_layers, names=NAMES
    )


XLM_ROBERTA_XL = register(
    replace(
        roberta.ROBERTA,
        model_type="xlm-roberta-xl",
        name="XLMRobertaXL",
        config=XLMRobertaXLConfig,
        assembly=Single(stack),
    )
)
