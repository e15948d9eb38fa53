"""Encoders of pictures whose maps become smaller step by step (Esser et al. 2021, arXiv:2012.09841)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from formers.nn.spec import multi_scale, nets

_SWISH = multi_scale.Bare("silu")


@dataclass(frozen=True)
class Ladder:
    """Such an encoder. Norms are over 32 groups of channels.

    Attributes:
        read: channels of pictures; `made` of the map that is made of them.
        widths: channels of the first map, and then of each level's, every one of which but the last ends in
            a map of half the size.
        depth: blocks of a level.
        size: edge of pictures.
        looked: at which edges of maps places look at each other behind each block, and between the last two
            blocks; None for nowhere.
        dropout: within blocks.
        names: the ecosystem's names of classes, of blocks and of what looks.
    """

    read: int
    widths: Sequence[int]
    depth: int
    size: int
    looked: Sequence[int] | None
    made: int
    dropout: float
    names: tuple[str, str]


def _norm(width: int) -> nets.GroupNorm:
    return nets.GroupNorm(width, 1e-6, 32)


def _conv(read: int, made: int, kernel: int = 3, **other: Any) -> nets.Conv:
    return nets.Conv(read, made, kernel, bias=True, **other)


def _block(s: Ladder, read: int, made: int) -> nets.Node:
    """Two convolutions, added to what they read."""
    parts = {
        "norm1": _norm(read),
        "conv1": _conv(read, made),
        "norm2": _norm(made),
        "dropout": nets.Drop(s.dropout),
        "conv2": _conv(made, made),
        **({"nin_shortcut": _conv(read, made, 1)} if read != made else {}),
    }
    sides = nets.SUM if read == made else nets.Plus("nin_shortcut")
    run = (nets.BEGIN, "norm1", _SWISH, "conv1", "norm2", _SWISH, "dropout", "conv2", sides)
    return nets.Node(parts, run, s.names[0])


def _looks(s: Ladder, width: int) -> nets.Node:
    """Places look at each other."""
    parts = {"norm": _norm(width), **{name: _conv(width, width, 1) for name in ("q", "k", "v", "proj_out")}}
    run = (nets.BEGIN, "norm", multi_scale.Looks("q", "k", "v"), "proj_out", nets.SUM)
    return nets.Node(parts, run, s.names[1])


def _level(s: Ladder, read: int, made: int, looked: bool, halved: bool) -> nets.Node:
    """The blocks of one size of maps."""
    parts: dict[str, Any] = {
        "block": nets.row(*(_block(s, made if j else read, made) for j in range(s.depth))),
        "attn": nets.row(*(_looks(s, made) for _ in range(s.depth if looked else 0))),
    }
    run: list[nets.Run] = []
    for j in range(s.depth):
        run += [f"block.{j}", *([f"attn.{j}"] if looked else [])]
    if halved:
        conv = _conv(made, made, stride=2, padding=0)
        parts["downsample"] = nets.Node({"conv": conv}, (multi_scale.Edged((0, 1, 0, 1)), "conv"))
        run.append("downsample")
    return nets.Node(parts, tuple(run))


def ladder(s: Ladder) -> nets.Node:
    """The encoder: levels of blocks, blocks in the middle, and what is made of the last map."""
    pairs, last = list(zip(s.widths[:-1], s.widths[1:], strict=True)), s.widths[-1]
    looked = [s.looked is not None and s.size // 2**i in s.looked for i in range(len(pairs))]
    levels = [_level(s, *pair, looked[i], i < len(pairs) - 1) for i, pair in enumerate(pairs)]
    middle: dict[str, Any] = {"block_1": _block(s, last, last)}
    middle |= {} if s.looked is None else {"attn_1": _looks(s, last)}
    middle["block_2"] = _block(s, last, last)
    parts = {
        "conv_in": _conv(s.read, s.widths[0]),
        "down": nets.row(*levels),
        "mid": nets.Node(middle),
        "norm_out": _norm(last),
        "conv_out": _conv(last, s.made),
    }
    return nets.Node(parts, ("conv_in", "down", "mid", "norm_out", _SWISH, "conv_out"))
