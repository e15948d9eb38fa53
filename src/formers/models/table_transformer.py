"""Table Transformer (Smock et al. 2021, arXiv:2110.00061): a DETR whose norms stand before its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.vision.query_detection import Detector, QueryDetection
from formers.models import detr
from formers.models.classes import backbone_class, class_of
from formers.models.registry import register
from formers.nn import spec


class TableTransformerConfig(detr.DetectorConfig):
    """Configuration of Table Transformer."""

    model_type = "table-transformer"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"position_embedding_type": ("sine", "learned")}
    eos_coefficient: float = 0.1


def half(c: Any, decoder: bool) -> spec.Stack:
    """The encoder, whose hidden states are shown as its layers leave them, or the decoder."""
    made = detr.half(c, decoder, "TableTransformer", "pre", closes=True)
    return made if decoder else replace(made, reports="plain")


def about(c: Any) -> Detector:
    """What stands beside the stacks."""
    return replace(detr.about(c), paths={**detr.PATHS, "places": "backbone.position_embedding"})


TABLE_TRANSFORMER: Family = register(
    Family(
        model_type="table-transformer",
        name="TableTransformer",
        config=TableTransformerConfig,
        base="model",
        assembly=QueryDetection(
            half, about, backbone_class, lambda: class_of(TABLE_TRANSFORMER, "ForObjectDetection")
        ),
        heads={"ForObjectDetection": detr.BOXES},
        ignored=detr.DETR.ignored,
    )
)
