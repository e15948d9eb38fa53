"""Steps over several maps, the largest first. See `spec.multi_scale`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import activation
from formers.nn.kernels import hooked
from formers.nn.spec import multi_scale, nets
from formers.nn.spec.nets import Run, Within

Size = tuple[int, int]


class Runs(Protocol):
    """Runs steps of the node at hand, on what is here and what was kept."""

    def __call__(
        self, steps: Sequence[Run], x: Any, held: Sequence[Any] = (), size: Size | None = None
    ) -> Any:
        """What is here then."""


def enlarged(x: Tensor, size: Any, corners: bool = False) -> Tensor:
    """A map of that size, between its places by shares."""
    return x if x.shape[2:] == size else F.interpolate(x, tuple(size), mode="bilinear", align_corners=corners)


def _each(s: multi_scale.Each, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    own = x[: len(s.parts)]
    made = [run((part,), one) for part, one in zip(s.parts, own, strict=True)]
    if s.rows:
        made = [y.transpose(1, 2).unflatten(2, one.shape[2:]) for y, one in zip(made, own, strict=True)]
    return (*made, *(run(s.rest, one) for one in x[len(own) :]))


def _fold(s: multi_scale.Fold, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    made: list[Any] = []
    for i, one in enumerate(reversed(x)):
        pair = [*made[-1:], one][:: -1 if s.near else 1]
        told = x[-i - 2].shape[2:] if s.told and i + 1 < len(x) else None
        part = f"{s.part}.{i - bool(s.first)}" if made or not s.first else s.first
        made.append(run((Within(part) if made else part,), pair[-1], pair[:-1], told))
    return tuple(made[bool(s.first) :])


def _raised(s: multi_scale.Raised, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    return F.interpolate(held.pop(), x.shape[2:], mode="nearest") + x


def _downward(
    s: multi_scale.Downward, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs
) -> Any:
    made = [x[-1]]
    for (first, second), near in zip(s.parts, reversed(x[:-1]), strict=True):
        made[-1] = run((first,), made[-1])
        large = F.interpolate(made[-1], scale_factor=2.0, mode="nearest")
        if large.shape[2:] != near.shape[2:]:
            raise ValueError(
                f"maps that go on in each other are twice as large each, but {list(large.shape[2:])} is "
                f"beside {list(near.shape[2:])}: pictures have multiples of the last stride as sides"
            )
        made.append(run((second,), torch.cat((large, near), dim=1)))
    return tuple(reversed(made))


def _upward(s: multi_scale.Upward, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    made = [x[0]]
    for (first, second), near in zip(s.parts, x[1:], strict=True):
        made.append(run((second,), torch.cat((run((first,), made[-1]), near), dim=1)))
    return tuple(made)


def _branches(
    s: multi_scale.Branches, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs
) -> Any:
    return tuple(enlarged(run(one, x), x.shape[2:]) for one in s.runs)


def _attends(s: multi_scale.Attends, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    q, k, v = (
        run((role,), x).unflatten(-1, (s.heads, -1)).transpose(1, 2) for role in ("query", "key", "value")
    )
    dropout = node.get_submodule("dropout")
    if hooked(dropout) or (dropout.training and dropout.p):
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        return (run(("dropout",), weights) @ v).transpose(1, 2).flatten(2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _looks(s: multi_scale.Looks, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    q, k, v = (run((role,), x).flatten(2).transpose(1, 2) for role in (s.query, s.key, s.value))
    mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]  # [B, places, C]
    return mixed.transpose(1, 2).reshape(x.shape)


def _by_patches(
    s: multi_scale.ByPatches, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs
) -> Any:
    (high, wide), own = s.patch, x.shape[2:]
    down, across = -(-own[0] // high), -(-own[1] // wide)
    y = enlarged(x, (down * high, across * wide)).reshape(x.shape[0], -1, down, high, across, wide)
    y = y.permute(0, 3, 5, 2, 4, 1).reshape(x.shape[0] * high * wide, down * across, -1)
    y = run(s.parts, y).view(x.shape[0], high, wide, down, across, -1).permute(0, 5, 3, 1, 4, 2)
    return enlarged(y.reshape(x.shape[0], -1, down * high, across * wide), own)


def _plain(part: nn.Module) -> bool:
    """Whether nobody looks at a convolution, whose steps may come in another order then."""
    return type(part) is nn.Conv2d and not hooked(part)


def _mixed(s: multi_scale.Mixed, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    """What is linear at every place may come before what is linear between places: small maps cost little."""
    part, size, maps = node.get_submodule(s.part), x[0].shape[2:], x[::-1]
    if not _plain(part) or part.bias is not None:
        return run((s.part,), torch.cat([enlarged(one, size) for one in maps], dim=1))
    shares = torch.split(part.weight, [one.shape[1] for one in maps], dim=1)
    small = [F.conv2d(one, share) for one, share in zip(maps, shares, strict=True)]
    total = enlarged(small[0], size)
    for one in small[1:]:
        total = total + enlarged(one, size)
    return total


def _onto(s: multi_scale.Onto, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    if not held:
        return x
    kept = held.pop()
    return kept + run((s.part,), enlarged(x, kept.shape[2:]))


def _larger(s: multi_scale.Enlarged, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    start = x.shape[2:] if size is None or not s.told else size
    factor = 1 if s.exact and start is size else s.factor
    to = tuple(side * factor for side in start)
    if s.part and _plain(node.get_submodule(s.part)):
        return enlarged(run((s.part,), x), to, s.corners)  # shares of places sum to one, so biases too
    x = enlarged(x, to, s.corners)
    return run((s.part,), x) if s.part else x


def _cut_to(s: multi_scale.CutTo, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    high, wide = size or x.shape[2:]
    return x[:, :, : high * s.factor, : wide * s.factor]


def _weighed(s: multi_scale.Weighed, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    near = held.pop()
    weights = run(s.parts, torch.cat((near, x), dim=1))  # [B, 2, H, W]
    return near * weights[:, :1] + x * weights[:, 1:]


def _placed(s: multi_scale.Placed, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    return tuple(one if one.dim() == 4 else _as_map(s, i, one, size, run) for i, one in enumerate(x))


def _as_map(s: multi_scale.Placed, number: int, rows: Tensor, size: Size | None, run: Runs) -> Tensor:
    first, rows = rows[:, :1], rows[:, 1:]
    down, across = size or (isqrt(rows.shape[1]),) * 2
    if s.readout == "add":
        rows = rows + first
    elif s.readout == "project":
        rows = run((f"{s.part}.{number}",), torch.cat((rows, first.expand_as(rows)), dim=-1))
    return rows.view(rows.shape[0], down, across, -1).permute(0, 3, 1, 2)  # channels last in memory: no copy


def _collected(
    s: multi_scale.Collected, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs
) -> Any:
    before = tuple(held[len(held) - s.count :])
    del held[len(held) - s.count :]
    return (*before, x)


def _released(
    s: multi_scale.Released, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs
) -> Any:
    held.extend(x[:-1])
    return x[-1]


def _unread(s: multi_scale.Unread, node: Any, x: Any, held: list[Any], size: Size | None, run: Runs) -> Any:
    run((s.part,), x)
    return x


def _standardised(
    s: multi_scale.Standardised, node: Any, x: Tensor, held: list[Any], size: Size | None, run: Runs
) -> Tensor:
    mean, deviation = (x.new_tensor(one).view(-1, 1, 1) for one in (s.mean, s.deviation))
    return (x - mean) / deviation


def of_several(one: nets.Mark, x: Any, held: list[Any]) -> Any:
    """What a mark does with several maps."""
    if one is nets.SWAP:
        kept = held.pop()
        held.append(x)
        return kept
    if one is nets.SINGLE:
        return x.squeeze(1)
    if one is nets.TOGETHER:
        return torch.cat(x, dim=1)
    if one is nets.BESIDE:
        return torch.cat((held.pop(), *(x if isinstance(x, tuple) else (x,))), dim=1)
    if one is nets.ALIKE:
        return tuple(enlarged(y, x[0].shape[2:]) for y in x)
    made = [x[-1]]
    for y in reversed(x[:-1]):
        made.append(y + enlarged(made[-1], y.shape[2:]))
    return tuple(reversed(made))


STEPS: dict[type[Any], Callable[..., Any]] = {
    multi_scale.Each: _each,
    multi_scale.Fold: _fold,
    multi_scale.Downward: _downward,
    multi_scale.Upward: _upward,
    multi_scale.Raised: _raised,
    multi_scale.Pick: lambda s, node, x, *_: x[s.number],
    multi_scale.Collected: _collected,
    multi_scale.Released: _released,
    multi_scale.Unread: _unread,
    multi_scale.Standardised: _standardised,
    multi_scale.Last: lambda s, node, x, held, size, run: (*x[:-1], run((s.part,), x[-1])),
    multi_scale.Besides: lambda s, node, x, held, size, run: (*run((s.part,), x), x[-1]),
    multi_scale.Branches: _branches,
    multi_scale.Mixed: _mixed,
    multi_scale.Grown: lambda s, node, x, held, *_: enlarged(x, held.pop().shape[2:]),
    multi_scale.Attends: _attends,
    multi_scale.Looks: _looks,
    multi_scale.Edged: lambda s, node, x, *_: F.pad(x, s.sides),
    multi_scale.ByPatches: _by_patches,
    multi_scale.Onto: _onto,
    multi_scale.Enlarged: _larger,
    multi_scale.Repeated: lambda s, node, x, *_: F.interpolate(x, scale_factor=s.factor, mode="nearest"),
    multi_scale.CutTo: _cut_to,
    multi_scale.Bare: lambda s, node, x, *_: activation(s.name)(x),
    multi_scale.Times: lambda s, node, x, *_: x * s.value,
    multi_scale.Weighed: _weighed,
    multi_scale.Placed: _placed,
}
