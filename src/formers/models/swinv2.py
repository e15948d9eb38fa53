"""Swin V2 (Liu et al. 2021, arXiv:2111.09883): Swin with norms behind parts, cosines, far distances."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.vision.shifted_windows import ShiftedWindows
from formers.configs import BackboneConfig
from formers.models import swin
from formers.models.registry import register
from formers.nn.spec.shifted_windows import Windows
from formers.tasks.backbone import Spec as Maps


class Swinv2Config(swin.Sizes, BackboneConfig):
    """Configuration of Swin V2."""

    model_type = "swinv2"
    # the ecosystem's class has a position more than patches, so that no picture can be read with them
    _available = {"use_absolute_embeddings": (False,)}
    pretrained_window_sizes: list[int] | None = [0, 0, 0, 0]
    encoder_stride: int = 32


LAYER = {role: path for role, path in swin.LAYER.items() if role != "bias"}
LAYER |= {"sharpness": "logit_scale", "far": "continuous_position_bias_mlp"}


def net(c: Swinv2Config) -> Windows:
    """The network."""
    return replace(
        swin.net(c),
        layers=LAYER,
        classes=("Swinv2Layer", "Swinv2Stage"),
        out_dropout=c.attention_probs_dropout_prob,
        scaled=tuple(c.pretrained_window_sizes or [0] * len(c.depths)),
    )


def maps(c: Swinv2Config) -> Maps:
    """The map of the patches, and those of the stages before they merge."""
    return Maps([c.embed_dim, *(c.embed_dim * 2**i for i in range(len(c.depths)))])


SWINV2 = register(
    replace(
        swin.SWIN,
        model_type="swinv2",
        name="Swinv2",
        config=Swinv2Config,
        base="swinv2",
        assembly=ShiftedWindows(net, kept=False),
        heads={**swin.SWIN.heads, "Backbone": Head("backbone", maps, flat=True)},
        ignored=(r"attention\.self\.relative_(position_index|coords_table)$",),
        aliases={},
    )
)
