"""DeiT (Touvron et al. 2020, arXiv:2012.12877): ViT with a second learned token, which a teacher teaches."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.image_classification import TaughtSpec


class DeiTConfig(vit.ViTConfig):
    """Configuration of DeiT."""

    model_type = "deit"


NAMES = vit.NAMES.with_(embeddings={"distillation": "embeddings.distillation_token"})


def stack(c: DeiTConfig) -> spec.Stack:
    """The encoder."""
    stem = vit.patches(c, leads=("class", "distillation"), std=0.0, dropout=c.hidden_dropout_prob)
    return vit.pooled(c, "DeiTLayer", stem, NAMES)


DEIT = register(
    Family(
        model_type="deit",
        name="DeiT",
        config=DeiTConfig,
        base="deit",
        assembly=Single(stack, spec.Patches),
        heads={
            **vit.HEADS,
            "ForImageClassificationWithTeacher": Head(
                "taught_image_classification",
                lambda c: TaughtSpec("cls_classifier", "distillation_classifier"),
            ),
        },
        order=vit.ORDER,
        aliases=vit.NEWER,
    )
)
