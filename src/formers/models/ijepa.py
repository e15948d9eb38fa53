"""I-JEPA (Assran et al. 2023, arXiv:2301.08243): ViT without a class token, taught to foresee patches."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences


class IJepaConfig(PretrainedConfig):
    """Configuration of I-JEPA."""

    model_type = "ijepa"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    qkv_bias: bool = True
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"


def stack(c: IJepaConfig) -> spec.Stack:
    """The encoder."""
    return vit.pooled(c, "IJepaLayer", vit.patches(c, dropout=c.hidden_dropout_prob, leads=()))


IJEPA = register(
    replace(
        vit.VIT,
        model_type="ijepa",
        name="IJepa",
        config=IJepaConfig,
        base="ijepa",
        assembly=Single(stack, spec.Patches, pools=False),
        heads={
            "ForImageClassification": Head(
                "image_classification", lambda c: Sequences("classifier", pool="mean")
            )
        },
    )
)
