"""Conditional DETR (Meng et al. 2021, arXiv:2108.06152): queries say themselves where in a map they look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.query_detection import QueryDetection
from formers.models import detr
from formers.models.classes import backbone_class, class_of
from formers.models.registry import register
from formers.nn import spec
from formers.nn.matching import Apart, Matching
from formers.tasks.detection import Spec as Objects


class ConditionalDetrConfig(detr.DetectorConfig):
    """Configuration of Conditional DETR."""

    model_type = "conditional_detr"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"position_embedding_type": ("sine", "learned")}
    num_queries: int = 300
    class_cost: float = 2
    cls_loss_coefficient: float = 2
    focal_alpha: float = 0.25


NAMES = detr.NAMES.with_(
    layer={
        **{
            f"{a}{role}": f"{b}_{role}content_proj"
            for a, b in (("", "sa"), ("cross_", "ca"))
            for role in "qk"
        },
        **{
            f"{a}{role}_places": f"{b}_{role}pos_proj"
            for a, b in (("", "sa"), ("cross_", "ca"))
            for role in "qk"
        },
        **{"v": "sa_v_proj", "cross_v": "ca_v_proj", "cross_waves": "ca_qpos_sine_proj"},
    },
    embeddings={"query_scale": "query_scale", "query_points": "ref_point_head"},
    stack={"final_norm": "layernorm"},
)


def half(c: ConditionalDetrConfig, decoder: bool) -> spec.Stack:
    """The encoder, or the decoder, whose first layer alone adds places to what it asks."""
    made = detr.half(c, decoder, "ConditionalDetr")
    if not decoder:
        return made
    own = spec.Conditional(
        spec.Heads.split(c.d_model, c.decoder_attention_heads), dropout=c.attention_dropout
    )

    def layer(first: bool) -> spec.Layer:
        attention, cross, feedforward = detr.layer(c, True).parts
        across = replace(own, cross=True, first=first)
        return spec.Layer((replace(attention, mixer=own), replace(cross, mixer=across), feedforward))

    return replace(
        made,
        stem=spec.ConditionalQueries(c.d_model, asks=True),
        layers=(layer(True), *(layer(False),) * (c.decoder_layers - 1)),
        names=NAMES,
    )


def matching(c: ConditionalDetrConfig) -> Matching:
    """What counts in the loss."""
    parts = ("bbox", "giou", "mask", "dice")
    weights = {f"loss_{part}": getattr(c, f"{part}_loss_coefficient") for part in parts}
    apart = Apart(weight=c.focal_alpha, soft=True)
    return Matching(c.class_cost, c.bbox_cost, c.giou_cost, 1.0, {"loss_ce": 1.0, **weights}, apart)


CONDITIONAL_DETR: Family = register(
    Family(
        model_type="conditional_detr",
        name="ConditionalDetr",
        config=ConditionalDetrConfig,
        base="model",
        assembly=QueryDetection(
            half,
            detr.about,
            backbone_class,
            lambda: class_of(CONDITIONAL_DETR, "ForObjectDetection"),
            "conditional_detr",
            spec.ConditionalQueries,
        ),
        heads={
            "ForObjectDetection": Head("object_detection", lambda c: Objects(matching(c), nothing=False)),
            "ForSegmentation": detr.PIXELS,
        },
        ignored=detr.DETR.ignored,
        renames=detr.DETR.renames,
    )
)
