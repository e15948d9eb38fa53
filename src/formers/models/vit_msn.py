"""ViT-MSN (Assran et al. 2022, arXiv:2204.07141): ViT that learned to see hidden patches as it sees all."""

from __future__ import annotations

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec


class ViTMSNConfig(vit.EncoderConfig):
    """Configuration of ViT-MSN."""

    model_type = "vit_msn"
    layer_norm_eps: float = 1e-6


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
