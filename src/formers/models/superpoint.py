"""SuperPoint (DeTone et al. 2017, arXiv:1712.07629): points of a picture that are found again in others."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.nets.keypoints import PLACES
from formers.nn.spec import nets
from formers.tasks.keypoints import Spec


class SuperPointConfig(PretrainedConfig):
    """Configuration of SuperPoint."""

    model_type = "superpoint"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"keypoint_decoder_dim": (PLACES,)}
    encoder_hidden_sizes: list[int] = [64, 64, 128, 128]
    decoder_hidden_size: int = 256
    keypoint_decoder_dim: int = PLACES
    descriptor_decoder_dim: int = 256
    keypoint_threshold: float = 0.005
    max_keypoints: int = -1
    nms_radius: int = 4
    border_removal_distance: int = 4
    initializer_range: float = 0.02


def block(read: int, made: int, halved: bool) -> nets.Node:
    """Two convolutions, and half the map."""
    parts = {
        "conv_a": nets.Conv(read, made, 3, bias=True),
        "conv_b": nets.Conv(made, made, 3, bias=True),
        "relu": nets.Act("relu"),
        **({"pool": nets.Pool("largest", 2, 2)} if halved else {}),
    }
    return nets.Node(parts, ("conv_a", "relu", "conv_b", "relu", *(("pool",) if halved else ())))


def net(c: SuperPointConfig) -> nets.Net:
    """Grey pictures, made smaller by all blocks but the last."""
    widths = c.encoder_hidden_sizes
    last = len(widths) - 1
    blocks = [
        block(read, made, i < last) for i, (read, made) in enumerate(zip((1, *widths), widths, strict=False))
    ]
    return nets.Net(
        {"encoder": nets.Node({"conv_blocks": nets.row(*blocks, keep=True)}, record=True)},
        channels=1,
        widths=tuple(widths),
        std=c.initializer_range,
    )


def points(c: SuperPointConfig) -> Spec:
    """What reads the last map."""

    def names(what: str) -> dict[str, str]:
        return {"act": "relu", "first": f"conv_{what}_a", "second": f"conv_{what}_b"}

    return Spec(
        points=("keypoint_decoder", names("score")),
        looks=("descriptor_decoder", names("descriptor")),
        read=c.encoder_hidden_sizes[-1],
        inner=c.decoder_hidden_size,
        width=c.descriptor_decoder_dim,
        find={
            "threshold": c.keypoint_threshold,
            "most": c.max_keypoints,
            "radius": c.nms_radius,
            "border": c.border_removal_distance,
        },
    )


SUPERPOINT = register(
    Family(
        model_type="superpoint",
        name="SuperPoint",
        config=SuperPointConfig,
        base="superpoint",
        bare="",
        assembly=FeatureMaps(net),
        heads={"ForKeypointDetection": Head("keypoint_detection", points, flat=True)},
    )
)
