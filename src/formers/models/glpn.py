"""GLPN (Kim et al. 2022, arXiv:2201.07436): depths from the stages of SegFormer."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.hierarchical import Hierarchical
from formers.models.registry import register
from formers.models.segformer import StagedConfig, stages
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense


class GLPNConfig(StagedConfig):
    """Configuration of GLPN."""

    model_type = "glpn"
    decoder_hidden_size: int = 64
    max_depth: int = 10
    head_in_index: int = -1


def _convolved(read: int, made: int) -> nets.Node:
    return nets.row(nets.Conv(read, made, 3, bias=True), nets.BatchNorm(made), nets.Act("relu"))


def _stage(read: int, wide: int, first: bool) -> nets.Node:
    """A map at the decoder's width, weighed against what the smaller ones became, twice as large."""
    convolution = nets.Act() if read == wide else nets.Conv(read, wide, bias=True)
    parts: dict[str, Any] = {"convolution": convolution, "upsample": nets.Larger()}
    if first:
        return nets.Node(parts)
    layers = [f"convolutional_layer{i}" for i in (1, 2, 3)]
    convs = (
        _convolved(2 * wide, wide),
        _convolved(wide, wide // 2),
        nets.Conv(wide // 2, 2, 3, bias=True),
    )
    fusion = {**dict(zip(layers, convs, strict=True)), "sigmoid": nets.Act("sigmoid")}
    weighed = nets.Node(fusion, (nets.SWAP, multi_scale.Weighed(tuple(fusion))))
    return nets.Node(
        {**parts, "fusion": weighed}, (nets.SWAP, "convolution", nets.Within("fusion"), "upsample")
    )


def _depths(c: GLPNConfig) -> Dense:
    widths, wide = c.hidden_sizes[: c.num_encoder_blocks][::-1], c.decoder_hidden_size
    stages = nets.row(*(_stage(read, wide, not i) for i, read in enumerate(widths)))
    run = (multi_scale.Fold("stages", near=True), multi_scale.Last("final_upsample"))
    decoder = nets.Node({"stages": stages, "final_upsample": nets.Larger()}, run)
    inner, out = nets.Conv(wide, wide, 3, bias=True), nets.Conv(wide, 1, 3, bias=True)
    bounded = (multi_scale.Bare("sigmoid"), multi_scale.Times(c.max_depth), nets.SINGLE)
    head = nets.Node(
        {"head": nets.row(inner, nets.Act("relu"), out)},
        (multi_scale.Pick(c.head_in_index), "head", *bounded),
    )
    return Dense({"decoder": decoder, "head": head})


GLPN = register(
    Family(
        model_type="glpn",
        name="GLPN",
        config=GLPNConfig,
        base="glpn",
        assembly=Hierarchical(lambda c: stages(c, "GLPNLayer")),
        heads={"ForDepthEstimation": Head("depth_estimation", _depths)},
    )
)
