"""YOLOS (Fang et al. 2021, arXiv:2106.00666): a ViT whose last tokens are queries for objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import detr, vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.detection import Spec as Objects


class YolosConfig(vit.EncoderConfig):
    """Configuration of YOLOS."""

    model_type = "yolos"
    # losses of earlier layers: the paper has none, and the norm that heads read behind stands after the last
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"auxiliary_loss": (False,)}
    image_size: list[int] = [512, 864]
    num_detection_tokens: int = 100
    use_mid_position_embeddings: bool = True
    auxiliary_loss: bool = False
    class_cost: float = 1
    bbox_cost: float = 5
    giou_cost: float = 2
    bbox_loss_coefficient: float = 5
    giou_loss_coefficient: float = 2
    eos_coefficient: float = 0.1


NAMES = vit.NAMES.with_(
    embeddings={"queries": "embeddings.detection_tokens", "mask": None},
    stack={**vit.POOLER, "between": "encoder.mid_position_embeddings"},
)


def stack(c: YolosConfig) -> spec.Stack:
    """The encoder."""
    stem = spec.QueryPatches(
        c.num_channels,
        spec.pair(c.image_size),
        spec.pair(c.patch_size),
        c.hidden_size,
        dropout=c.hidden_dropout_prob,
        std=0.0,
        free=True,
        behind=c.num_detection_tokens,
    )
    made = vit.plain(c, "YolosLayer", stem, NAMES)
    return replace(made, pooler=c.hidden_size, between=c.use_mid_position_embeddings)


BOXES = Head(
    "object_detection",
    lambda c: Objects(detr.matching(c), label_layers=3, queries=c.num_detection_tokens),
)
YOLOS = register(
    Family(
        model_type="yolos",
        name="Yolos",
        config=YolosConfig,
        base="vit",
        assembly=Single(stack, spec.QueryPatches, reads=("pixel_values", "pixel_mask")),
        heads={"ForObjectDetection": BOXES},
        order=(
            ("attention", "intermediate", "output", "layernorm_before", "layernorm_after"),
            ("layer", "mid_position_embeddings"),
            ("class_labels_classifier", "bbox_predictor"),
        ),
        aliases={"encoder.interpolation": "encoder"},
    )
)
