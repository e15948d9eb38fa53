"""RT-DETR v2 (Lv et al. 2024, arXiv:2407.17140): offsets are scaled, and the nearest places may tell."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from formers.assemblies.family import Head
from formers.assemblies.vision.hybrid_detection import HybridQueryDetection
from formers.models import rt_detr
from formers.models.classes import backbone_class
from formers.models.registry import register
from formers.nn import spec


class RTDetrV2Config(rt_detr.RTDetrConfig):
    """Configuration of RT-DETR v2."""

    model_type = "rt_detr_v2"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"decoder_method": ("default", "discrete")}
    decoder_n_levels: int = 3
    decoder_offset_scale: float = 0.5
    decoder_method: str = "default"
    tie_word_embeddings: bool = True


NAMES = rt_detr.LOOKS.with_(layer={"cross_points_scale": "encoder_attn.n_points_scale"})


def looks(c: RTDetrV2Config) -> spec.Deformable:
    """What queries look at."""
    nearest, reach = c.decoder_method == "discrete", c.decoder_offset_scale
    more: dict[str, Any] = {"reach": reach, "nearest": nearest, "flat": True, "shares": True}
    return replace(rt_detr.looks(c), levels=c.decoder_n_levels, **more)


RT_DETR_V2 = register(
    replace(
        rt_detr.RT_DETR,
        model_type="rt_detr_v2",
        name="RTDetrV2",
        config=RTDetrV2Config,
        assembly=HybridQueryDetection(
            partial(rt_detr.half, looks=looks, names=NAMES, name="RTDetrV2"), rt_detr.about, backbone_class
        ),
        heads={
            "ForObjectDetection": Head(
                "iterative_detection", lambda c: replace(rt_detr.boxes(c), twice=c.tie_word_embeddings)
            )
        },
    )
)
