"""Residual networks in the tree that torchvision and timm give them: `conv1`, `bn1`, `layer1`, ..

He et al. 2015, arXiv:1512.03385; deep stems and means before shortcuts: He et al. 2018, arXiv:1812.01187.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.nn.spec import nets


@dataclass(frozen=True)
class Residual:
    """A network.

    Attributes:
        depths: blocks of every stage.
        wide: whether those of a stage are bottlenecks.
        inner: width of a stage's blocks; a bottleneck makes four times as much.
        stem: widths of three first convolutions; without any there is one that is wide.
        mean: means stand before shortcuts, in place of steps.
    """

    depths: tuple[int, ...]
    wide: tuple[bool, ...]
    inner: tuple[int, ...] = (64, 128, 256, 512)
    stem: tuple[int, ...] = ()
    mean: bool = False

    @property
    def widths(self) -> list[int]:
        """Channels of the maps, the first one's before the first stage."""
        made = [4 * one if wide else one for one, wide in zip(self.inner, self.wide, strict=True)]
        return [self.stem[-1] if self.stem else 64, *made]

    def net(self, channels: int, last: int, limit: int = 32) -> nets.Net:
        """The network up to the stage `last`; maps are at most `limit` times smaller than what it reads."""
        widths, stride, dilation = self.widths, 4, 1
        parts: dict[str, Any] = {"conv1": self._stem(channels), "bn1": nets.BatchNorm(widths[0])}
        parts |= {"act1": nets.Act("relu"), "maxpool": nets.Pool("largest", 3, 2, 1)}
        run: list[nets.Run] = ["conv1", "bn1", "act1", nets.KEEP, "maxpool"]
        for i, (depth, wide) in enumerate(zip(self.depths, self.wide, strict=True)):
            step, before = 2 if i else 1, dilation
            if stride >= limit:
                dilation, step = dilation * step, 1
            stride *= step
            made, blocks = widths[i + 1], []
            for j in range(depth):
                read, moves = (made, 1) if j else (widths[i], step)
                blocks.append(self._block(read, made, moves, (dilation if j else before, dilation), wide))
            parts[f"layer{i + 1}"] = nets.row(*blocks)
            run += [f"layer{i + 1}", nets.KEEP]
        kept, steps = (4 + last, 5 + 2 * last) if last else (3, 4)
        named = {name: parts[name] for name in list(parts)[:kept]}
        return nets.Net(named, tuple(run[:steps]), channels=channels, widths=tuple(widths[: last + 1]))

    def _stem(self, channels: int) -> Any:
        if not self.stem:
            return nets.Conv(channels, 64, 7, 2, spread=True)
        parts: list[Any] = []
        for i, (read, made) in enumerate(zip((channels, *self.stem), self.stem, strict=False)):
            parts += [_conv(read, made, 3, 1 if i else 2), nets.BatchNorm(made), nets.Act("relu")]
        return nets.row(*parts[:-2])  # their last norm has a name of its own

    def _block(self, read: int, made: int, stride: int, dilation: tuple[int, int], wide: bool) -> nets.Node:
        """Two convolutions, or three of which the middle one is narrow; `dilation`: first, and then."""
        narrow = made // 4 if wide else made
        around = ((read, narrow, 1), (narrow, narrow, 3), (narrow, made, 1))
        sizes = around if wide else ((read, made, 3), (made, made, 3))
        parts: dict[str, Any] = {}
        for i, (of, to, kernel) in enumerate(sizes, 1):
            moves = i == (2 if wide else 1)
            spread = dilation[0 if moves else 1] if kernel == 3 else 1
            parts[f"conv{i}"] = _conv(of, to, kernel, stride if moves else 1, spread)
            parts |= {f"bn{i}": nets.BatchNorm(to), f"act{i}": nets.Act("relu")}
        run: list[nets.Run] = [nets.BEGIN, *list(parts)[:-1]]
        ends = f"act{len(sizes)}"
        if stride == 1 and read == made:
            return nets.Node(parts, (*run, nets.SUM, ends))
        shortcut: list[Any] = [_conv(read, made, 1, 1 if self.mean else stride), nets.BatchNorm(made)]
        if self.mean:
            shortcut.insert(0, nets.Pool("mean", 2, stride, whole=True) if stride > 1 else nets.Act())
        parts["downsample"] = nets.row(*shortcut)
        return nets.Node(parts, (*run, nets.Plus("downsample"), ends))


def _conv(read: int, made: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> nets.Conv:
    return nets.Conv(read, made, kernel, stride, dilation=dilation, spread=True)
