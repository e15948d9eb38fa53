"""ViT-MSN (Assran et al. 2022, arXiv:2204.07141): ViT that learned to see hidden patches as it sees all."""

from __future__ import annotations

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec


class ViTMSNConfig(PretrainedConfig):
    """Configuration of ViT-MSN."""

    model_type = "vit_msn"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    qkv_bias: bool = True


def stack(c: ViTMSNConfig) -> spec.Stack:
    """The encoder."""
    return vit.plain(c, "ViTMSNLayer", vit.patches(c, std=0.0, dropout=c.hidden_dropout_prob))


VIT_MSN = register(
    Family(
        model_type="vit_msn",
        name="ViTMSN",
        config=ViTMSNConfig,
        base="vit",
        assembly=Single(stack, spec.Patches),
        heads={"ForImageClassification": vit.LABELS},
        # the ecosystem leaves the base model's name out here
        renames=(Rename("encoder.{rest}", "vit.encoder.{rest}", written=True),),
        order=vit.ORDER,
        aliases=vit.NEWER,
    )
)
