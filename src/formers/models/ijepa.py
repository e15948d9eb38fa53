"""I-JEPA (Assran et al. 2023, arXiv:2301.08243): ViT without a class token, taught to foresee patches."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences


class IJepaConfig(vit.EncoderConfig):
    """Configuration of I-JEPA."""

    model_type = "ijepa"
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
