"""Donut's encoder (Kim et al. 2021, arXiv:2111.15664): Swin without the norm of its last states."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.vision.shifted_windows import ShiftedWindows
from formers.models import swin
from formers.models.registry import register
from formers.nn.spec.shifted_windows import Windows


class DonutSwinConfig(swin.Sizes):
    """Configuration of Donut's encoder."""

    model_type = "donut-swin"
    # the ecosystem's class has a position more than patches, so that no picture can be read with them
    _available = {"use_absolute_embeddings": (False,)}


NAMES = {role: path for role, path in swin.NAMES.items() if role != "final_norm"}
LAYER = {**swin.LAYER, "index": "relative_position_index"}


def net(c: DonutSwinConfig) -> Windows:
    """The network."""
    return replace(
        swin.net(c),
        names=NAMES,
        layers=LAYER,
        classes=("DonutSwinLayer", "DonutSwinStage"),
        out_dropout=c.attention_probs_dropout_prob,
    )


DONUT_SWIN = register(
    replace(
        swin.SWIN,
        model_type="donut-swin",
        name="DonutSwin",
        config=DonutSwinConfig,
        base="donut",
        assembly=ShiftedWindows(net),
        heads={"ForImageClassification": swin.SWIN.heads["ForImageClassification"]},
        ignored=(),
        aliases={},
    )
)
