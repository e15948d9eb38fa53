"""Networks whose files have the names of the timm package: the ResNets that detectors on the Hub stand on."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.checkpoints import Rename
from formers.configs import BackboneConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.nn.spec.residual import Residual
from formers.tasks.backbone import Spec as Maps

# name without its ending -> blocks of every stage, and whether they are bottlenecks
_DEPTHS: dict[str, tuple[tuple[int, ...], tuple[bool, ...]]] = {
    "resnet10": ((1, 1, 1, 1), (False,) * 4),
    "resnet14": ((1, 1, 1, 1), (True,) * 4),
    "resnet18": ((2, 2, 2, 2), (False,) * 4),
    "resnet34": ((3, 4, 6, 3), (False,) * 4),
    "resnet26": ((2, 2, 2, 2), (True,) * 4),
    "resnet50": ((3, 4, 6, 3), (True,) * 4),
    "resnet101": ((3, 4, 23, 3), (True,) * 4),
    "resnet152": ((3, 8, 36, 3), (True,) * 4),
}
# endings: widths of three first convolutions (one wide one, where there are none), and means before shortcuts
_STEMS: dict[str, dict[str, Any]] = {
    "": {},
    "c": {"stem": (32, 32, 64)},
    "d": {"stem": (32, 32, 64), "mean": True},
    "s": {"stem": (64, 64, 128)},
    "t": {"stem": (24, 32, 64), "mean": True},
}
NETS = {
    **{f"{name}{end}": Residual(*of, **more) for name, of in _DEPTHS.items() for end, more in _STEMS.items()},
    "test_resnet": Residual(
        (1, 1, 1, 1), (False, False, True, False), (32, 48, 48, 96), stem=(16, 16, 32), mean=True
    ),
}


class TimmBackboneConfig(BackboneConfig):
    """Configuration of a network by its name in timm; pretrained weights are those of the checkpoint."""

    model_type = "timm_backbone"
    _stages: ClassVar[tuple[str, str]] = ("act1", "layer")
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {
        "features_only": (True,),
        "output_stride": (None, 8, 16, 32),
    }
    backbone: str | None = "resnet50"
    num_channels: int = 3
    features_only: bool = True
    freeze_batch_norm_2d: bool = False
    output_stride: int | None = None

    def _count(self) -> int:
        return 4


def named(c: TimmBackboneConfig) -> Residual:
    """The network of that name; what follows a dot says which weights it had.

    Raises:
        ValueError: for a network, or strides of it, that are not built here.
    """
    found = NETS.get((c.backbone or "").split(".")[0])
    if found is None:
        raise ValueError(
            f"timm's network {c.backbone!r} is not built here; known are resnet18 to resnet152, with the "
            "endings c, d, s and t. Use a checkpoint whose backbone_config names a family of this library"
        )
    if found.mean and c.output_stride not in (None, 32):
        raise ValueError(f"output_stride={c.output_stride} is not built for {c.backbone!r}: leave it out")
    return found


def net(c: TimmBackboneConfig) -> nets.Net:
    """The network up to the last stage that is given out."""
    return named(c).net(c.num_channels, max(c.out_indices or [4]), c.output_stride or 32)


TIMM = register(
    Family(
        model_type="timm_backbone",
        name="Timm",
        config=TimmBackboneConfig,
        base="_backbone",
        assembly=FeatureMaps(net),
        heads={"Backbone": Head("backbone", lambda c: Maps(named(c).widths), flat=True)},
        renames=(Rename("_backbone.{rest}", "{rest}", written=True),),
    )
)
