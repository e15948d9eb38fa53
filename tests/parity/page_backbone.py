"""What the reference's LayoutLMv2 needs of Detectron2, from its definition and without that package.

A ResNet or ResNeXt (arXiv:1512.03385, arXiv:1611.05431) with frozen batch norms below a pyramid of maps
(arXiv:1612.03144), under Detectron2's names and with its defaults. Nothing of formers is used.
"""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def get_cfg() -> Any:
    """Detectron2's defaults, as far as a backbone reads them."""
    backbone = SimpleNamespace(NAME="build_resnet_backbone", FREEZE_AT=2)
    fpn = SimpleNamespace(IN_FEATURES=[], OUT_CHANNELS=256, NORM="", FUSE_TYPE="sum")
    resnets = SimpleNamespace(
        **{"DEPTH": 50, "OUT_FEATURES": ["res4"], "NUM_GROUPS": 1, "NORM": "FrozenBN", "WIDTH_PER_GROUP": 64},
        **{"STRIDE_IN_1X1": True, "RES5_DILATION": 1, "RES2_OUT_CHANNELS": 256, "STEM_OUT_CHANNELS": 64},
    )
    others = "ANCHOR_GENERATOR RPN ROI_HEADS ROI_BOX_HEAD ROI_MASK_HEAD"
    return SimpleNamespace(
        MODEL=SimpleNamespace(
            **{name: SimpleNamespace() for name in others.split()},
            **{"BACKBONE": backbone, "FPN": fpn, "RESNETS": resnets, "META_ARCHITECTURE": "GeneralizedRCNN"},
            **{"PIXEL_MEAN": [103.53, 116.28, 123.675], "PIXEL_STD": [1.0, 1.0, 1.0]},
        )
    )


class FrozenBatchNorm2d(nn.Module):
    """A batch norm of buffers alone."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1 - eps)):
            self.register_buffer(name, torch.full((num_features,), value))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Conv2d(nn.Conv2d):
    """A convolution that holds its norm, or none."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        return made if self.norm is None else self.norm(made)


def convolution(read: int, made: int, size: int, stride: int = 1, groups: int = 1) -> Conv2d:
    norm = FrozenBatchNorm2d(made)
    return Conv2d(read, made, size, stride, size // 2, groups=groups, bias=False, norm=norm)


class Block(nn.Module):
    """Two convolutions, or three around one of groups, and what was read added to them."""

    def __init__(
        self, read: int, made: int, stride: int, inner: int = 0, groups: int = 1, early: bool = True
    ) -> None:
        super().__init__()
        self.shortcut = convolution(read, made, 1, stride) if read != made else None
        if not inner:
            self.conv1, self.conv2 = convolution(read, made, 3, stride), convolution(made, made, 3)
            self.conv3 = None
            return
        self.conv1 = convolution(read, inner, 1, stride if early else 1)
        self.conv2 = convolution(inner, inner, 3, 1 if early else stride, groups)
        self.conv3 = convolution(inner, made, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.conv3 is not None:
            y = self.conv3(F.relu(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Stem(nn.Module):
    """A quarter of the size."""

    def __init__(self, channels: int, made: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, made, 7, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)


class ResNet(nn.Module):
    """The maps of its stages, by their names."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        s = cfg.MODEL.RESNETS
        width, made, self.names = s.STEM_OUT_CHANNELS, s.RES2_OUT_CHANNELS, s.OUT_FEATURES
        self.stem = Stem(len(cfg.MODEL.PIXEL_MEAN), width)
        self.widths: list[int] = []
        for i, depth in enumerate(DEPTHS[s.DEPTH][: len(self.names)]):
            inner = s.NUM_GROUPS * s.WIDTH_PER_GROUP * 2**i if s.DEPTH >= 50 else 0
            blocks = []
            for j in range(depth):
                stride = 2 if i and not j else 1
                blocks.append(
                    Block(width if not j else made, made, stride, inner, s.NUM_GROUPS, s.STRIDE_IN_1X1)
                )
            self.add_module(f"res{i + 2}", nn.Sequential(*blocks))
            self.widths.append(made)
            width, made = made, made * 2
        stages = [self.stem, *(getattr(self, name) for name in self.names)]
        for part in stages[: cfg.MODEL.BACKBONE.FREEZE_AT]:
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, found = self.stem(x), {}
        for name in self.names:
            x = found[name] = getattr(self, name)(x)
        return found


class Smaller(nn.Module):
    """Every other place of a map."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [F.max_pool2d(x, kernel_size=1, stride=2)]


class FPN(nn.Module):
    """A pyramid over the maps of a network."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        below, wide = ResNet(cfg), cfg.MODEL.FPN.OUT_CHANNELS
        self.levels, self.share = len(below.widths), 0.5 if cfg.MODEL.FPN.FUSE_TYPE == "avg" else 1.0
        for i, width in enumerate(below.widths):
            self.add_module(f"fpn_lateral{i + 2}", Conv2d(width, wide, 1))
            self.add_module(f"fpn_output{i + 2}", Conv2d(wide, wide, 3, padding=1))
        self.top_block, self.bottom_up, self.wide = Smaller(), below, wide

    def output_shape(self) -> dict[str, Any]:
        levels = range(2, 2 + self.levels)
        return {f"p{i}": SimpleNamespace(channels=self.wide, stride=2**i) for i in levels}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps, found, above = self.bottom_up(x), {}, None
        for i in reversed(range(2, 2 + self.levels)):
            here = getattr(self, f"fpn_lateral{i}")(maps[f"res{i}"])
            if above is not None:
                here = (here + F.interpolate(above, scale_factor=2.0, mode="nearest")) * self.share
            found[f"p{i}"], above = getattr(self, f"fpn_output{i}")(here), here
        found[f"p{2 + self.levels}"] = self.top_block(found[f"p{1 + self.levels}"])[0]
        return dict(sorted(found.items()))


def install() -> None:
    """Let the reference find it, before its file of models is imported; the real package goes before."""
    if "detectron2" in sys.modules:
        return
    names = ("", ".config", ".layers", ".layers.batch_norm", ".modeling", ".modeling.backbone")
    made = {name: ModuleType(f"detectron2{name}") for name in names}
    for name, module in made.items():
        module.__spec__ = importlib.machinery.ModuleSpec(f"detectron2{name}", None, is_package=True)
        above, _, last = name.rpartition(".")
        if name:
            setattr(made[above], last, module)
        sys.modules[f"detectron2{name}"] = module
    made[".config"].__dict__["get_cfg"] = get_cfg
    for name in (".layers", ".layers.batch_norm"):
        made[name].__dict__["FrozenBatchNorm2d"] = FrozenBatchNorm2d
    made[".modeling.backbone"].__dict__["FPN"] = FPN
    whole = {"GeneralizedRCNN": lambda cfg: SimpleNamespace(backbone=FPN(cfg))}
    made[".modeling"].__dict__["META_ARCH_REGISTRY"] = whole
