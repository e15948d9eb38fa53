"""MaskFormer's backbone (Cheng et al. 2021, arXiv:2107.06278): Swin whose windows always keep their size."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.vision.shifted_windows import InnerWindowed
from formers.configs import BackboneConfig
from formers.models import donut_swin, swin
from formers.models.registry import register
from formers.nn.spec.shifted_windows import Windows


class MaskFormerSwinConfig(swin.Sizes, BackboneConfig):
    """Configuration of MaskFormer's Swin."""

    model_type = "maskformer-swin"
    # the ecosystem's class has a position more than patches, so that no picture can be read with them
    _available = {"use_absolute_embeddings": (False,)}


def net(c: MaskFormerSwinConfig) -> Windows:
    """The network."""
    return replace(
        swin.net(c),
        layers=donut_swin.LAYER,
        classes=("MaskFormerSwinLayer", "MaskFormerSwinStage"),
        out_dropout=c.attention_probs_dropout_prob,
        whole=True,
        inner_states=True,
    )


MASKFORMER_SWIN = register(
    replace(
        swin.SWIN,
        model_type="maskformer-swin",
        name="MaskFormerSwin",
        config=MaskFormerSwinConfig,
        base="model",
        assembly=InnerWindowed(net),
        heads={"Backbone": Head("backbone", lambda c: replace(swin.maps(c), every=True), pooler=True)},
        ignored=(),
        aliases={},
    )
)
