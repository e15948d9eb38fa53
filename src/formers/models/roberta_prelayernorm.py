"""RoBERTa-PreLayerNorm (of fairseq, arXiv:1904.01038): RoBERTa with norms before, and one after all."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert, megatron_bert, roberta
from formers.models.registry import register
from formers.nn import spec


class RobertaPreLayerNormConfig(roberta.RobertaConfig):
    """Configuration of RoBERTa-PreLayerNorm."""

    model_type = "roberta-prelayernorm"


NAMES = bert.NAMES.with_(
    layer={
        **megatron_bert.ADDING,
        "attention_norm": "attention.LayerNorm",
        "cross_norm": "crossattention.LayerNorm",
        "feedforward_norm": "intermediate.LayerNorm",
    },
    stack={"final_norm": "LayerNorm"},
)


def stack(c: RobertaPreLayerNormConfig) -> spec.Stack:
    """RoBERTa's stack."""
    return replace(spec.norms_first(roberta.stack(c, "RobertaPreLayerNormLayer")), names=NAMES)


ROBERTA_PRELAYERNORM = register(
    replace(
        roberta.ROBERTA,
        model_type="roberta-prelayernorm",
        name="RobertaPreLayerNorm",
        config=RobertaPreLayerNormConfig,
        base="roberta_prelayernorm",
        assembly=Single(stack),
    )
)
