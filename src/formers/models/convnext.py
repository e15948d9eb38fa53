"""ConvNeXT (Liu et al. 2022, arXiv:2201.03545) and its second version (Woo et al. 2023, arXiv:2301.00808)."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import BackboneConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps
from formers.tasks.specs import Sequences


class ConvNextV2Config(BackboneConfig):
    """Configuration of ConvNeXT V2."""

    model_type = "convnextv2"
    num_channels: int = 3
    patch_size: int = 4
    num_stages: int = 4
    hidden_sizes: list[int] = [96, 192, 384, 768]
    depths: list[int] = [3, 3, 9, 3]
    hidden_act: str = "gelu"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    drop_path_rate: float = 0.0
    image_size: int = 224


class ConvNextConfig(ConvNextV2Config):
    """Configuration of ConvNeXT."""

    model_type = "convnext"
    layer_scale_init_value: float = 1e-6


def block(c: ConvNextV2Config, wide: int, rate: float) -> nets.Node:
    """A wide convolution of every channel by itself, and two layers over the channels of every place."""
    family = "ConvNext" if isinstance(c, ConvNextConfig) else "ConvNextV2"
    scale = c.layer_scale_init_value if isinstance(c, ConvNextConfig) else 0.0
    responses = not isinstance(c, ConvNextConfig)
    parts = {
        "dwconv": nets.Conv(wide, wide, 7, groups=wide, bias=True),
        "layernorm": nets.ChannelNorm(wide, rows=True),
        "pwconv1": nets.Dense(wide, 4 * wide),
        "act": nets.Act(c.hidden_act),
        **({"grn": nets.Responses(4 * wide)} if responses else {}),
        "pwconv2": nets.Dense(4 * wide, wide),
        **({"layer_scale_parameter": nets.Factor(wide, scale)} if scale > 0 else {}),
        "drop_path": nets.Drop(rate, paths=True),
    }
    layers = ("layernorm", "pwconv1", "act", *(("grn",) if responses else ()), "pwconv2")
    scaled = (nets.Scaled("layer_scale_parameter"),) if scale > 0 else ()
    run = (nets.BEGIN, "dwconv", nets.ROWS, *layers, *scaled, nets.MAPS, "drop_path", nets.SUM)
    return nets.Node(parts, run, f"{family}Layer")


def net(c: ConvNextV2Config) -> nets.Net:
    """Patches, and stages, between which maps become half as high and wide."""
    widths, rates = c.hidden_sizes[: c.num_stages], nets.rates(c.drop_path_rate, c.depths)
    family = "ConvNext" if isinstance(c, ConvNextConfig) else "ConvNextV2"
    layers = nets.stages(widths[0], widths, c.depths, lambda read, made, i, j: block(c, made, rates[i][j]))
    smaller = [
        nets.row(nets.ChannelNorm(read), nets.Conv(read, made, 2, 2, bias=True, padding=0))
        for read, made in zip(widths, widths[1:], strict=False)
    ]
    stages = [
        nets.Node(
            {**({"downsampling_layer": smaller[i - 1]} if i else {}), "layers": one}, name=f"{family}Stage"
        )
        for i, one in enumerate(layers)
    ]
    embeddings = {
        "patch_embeddings": nets.Conv(
            c.num_channels, widths[0], c.patch_size, c.patch_size, bias=True, padding=0
        ),
        "layernorm": nets.ChannelNorm(widths[0]),
    }
    return nets.Net(
        {
            "embeddings": nets.Node(embeddings),
            "encoder": nets.Node(
                {"stages": nets.row(*stages, keep=True)}, (nets.KEEP, "stages"), record=True
            ),
            "layernorm": nets.ChannelNorm(widths[-1], c.layer_norm_eps, rows=True),
        },
        ("embeddings", "encoder"),
        channels=c.num_channels,
        widths=(widths[0], *widths),
        pool=(nets.MEAN, "layernorm"),
        std=c.initializer_range,
        layer_classes=(f"{family}Layer",),
    )


HEADS = {
    "ForImageClassification": Head("image_classification", lambda c: Sequences("classifier"), pooler=True),
    "Backbone": Head(
        "backbone",
        lambda c: Maps([c.hidden_sizes[0], *c.hidden_sizes], "hidden_states_norms", nets.ChannelNorm),
        flat=True,
    ),
}
CONVNEXT = register(
    Family(
        model_type="convnext",
        name="ConvNext",
        config=ConvNextConfig,
        base="convnext",
        assembly=FeatureMaps(net),
        heads=HEADS,
    )
)
CONVNEXT2 = register(
    replace(CONVNEXT, model_type="convnextv2", name="ConvNextV2", config=ConvNextV2Config, base="convnextv2")
)
