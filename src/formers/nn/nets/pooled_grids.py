"""Layers over a grid that grows coarser, and maps of one width of its stages. See `spec.pooled_grids`."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from formers.core.outputs import StagesOutput
from formers.nn.fresh import Constant
from formers.nn.leaves import linear
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.grid_layers import GridPatches, Walk
from formers.nn.nets.linear_chain import Chain
from formers.nn.nets.window_partition import cut, joined
from formers.nn.spec.pooled_grids import PooledGrid, PooledLayer, Pyramid
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, has, leaf, place, place_tensor, wiring


def pooled(x: Tensor, stride: int) -> Tensor:
    """The largest of `stride` x `stride` places, [B, H, W, C] -> [B, H / stride, W / stride, C]."""
    if stride == 1:
        return x
    return F.max_pool2d(x.permute(0, 3, 1, 2), stride, stride).permute(0, 2, 3, 1)


class PooledAttention(Group):
    """Attention of all places of a grid, whose queries may be pooled."""

    def forward(self, hidden_states: Tensor, walk: Walk | None = None) -> Tensor:
        """[n, h, w, C] -> [n, h / stride, w / stride, C']; weights [n * H, q, k] go to the walk."""
        walk = walk or Walk()
        parts = apply_rows(self, "qkv", hidden_states, walk.watched)
        return apply_rows(self, "o", self._mixed(parts, walk), walk.watched)

    def within(self, x: Tensor, walk: Walk) -> Tensor:
        """[B, H, W, C] attending within windows; what fills them up is not projected."""
        own: PooledLayer = wiring(self).facts["layer"]
        parts, bias = apply_rows(self, "qkv", x, False), leaf(self, "qkv").bias
        mixed = self._mixed(cut(parts, own.window, bias), walk)
        sides = (side // own.stride for side in x.shape[1:3])
        return apply_rows(self, "o", joined(mixed, *sides), False)

    def _mixed(self, parts: Tensor, walk: Walk) -> Tensor:
        own: PooledLayer = wiring(self).facts["layer"]
        q, k, v = parts.chunk(3, dim=-1)
        q = pooled(q, own.stride)
        count, high, wide, width = q.shape
        q, k, v = (one.reshape(count, -1, own.heads, width // own.heads).transpose(1, 2) for one in (q, k, v))
        if walk.eager:
            scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
            weights = scores.softmax(-1, dtype=torch.float32).to(q.dtype)
            if walk.weights is not None:
                walk.weights.append(weights.flatten(0, 1))
            made = weights @ v
        else:
            made = F.scaled_dot_product_attention(q, k, v)
        mixed: Tensor = made.transpose(1, 2).reshape(count, high, wide, width)
        return mixed


class PooledLayerNode(Group):
    """A norm, attention, a norm, a feed-forward."""

    def forward(self, hidden_states: Tensor, walk: Walk | None = None) -> Tensor:
        """[B, H, W, C] -> [B, H / stride, W / stride, C']."""
        walk, own = walk or Walk(), wiring(self).facts["layer"]
        x, y = hidden_states, leaf(self, "attention_norm")(hidden_states)
        if has(self, "widen"):
            x = pooled(apply_rows(self, "widen", y, walk.watched), own.stride)
        attention = leaf(self, "attention")
        if not own.window:
            y = attention(y, walk)
        elif walk.watched:
            y = joined(attention(cut(y, own.window), walk), *x.shape[1:3])
        else:
            y = attention.within(y, walk)
        x = x + y
        fed: Tensor = x + leaf(self, "feedforward")(leaf(self, "feedforward_norm")(x), walk.watched)
        return fed


class PooledGridNode(Group):
    """The network, under a path."""

    def forward(self, pixel_values: Tensor, walk: Walk | None = None) -> StagesOutput:
        """[B, channels, height, width] -> maps [B, H, W, C] of the stages."""
        return stages(self, pixel_values, walk or Walk())


def stages(owner: Any, pixel_values: Tensor, walk: Walk) -> StagesOutput:
    """Run the network whose parts `owner` has.

    Raises:
        ValueError: for images whose grid is not laid out by whole windows.
    """
    s: PooledGrid = wiring(owner).facts["grid"]
    x: Tensor = leaf(owner, "patches")(pixel_values)
    size = x.shape[1:3]
    if any(side % s.side for side in size):
        raise ValueError(
            f"pictures of {list(pixel_values.shape[2:])} pixels have {list(size)} patches, which are no "
            f"multiples of {s.side}, the places that positions know: resize them"
        )
    far = F.interpolate(leaf(owner, "position"), size=size, mode="bicubic")
    near: Tensor = leaf(owner, "window").tile(1, 1, *(side // s.side for side in size))
    x, found = x + (far + near).permute(0, 2, 3, 1), []
    for i, layer in enumerate(leaf(owner, "layers")):
        if walk.hidden is not None:
            walk.hidden.append(x)
        x = checkpoint(layer, x, walk, use_reentrant=False) if walk.recompute else layer(x, walk)
        if i in s.ends:
            found.append(x)
    if walk.hidden is not None:
        walk.hidden.append(x)
    return StagesOutput(x, tuple(found))


class PyramidNode(Group):
    """Maps of one width of all stages."""

    def forward(
        self, maps: tuple[Tensor, ...], placed: bool = True
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """[B, H, W, C] of all stages, the finest first -> [B, E, H, W], the coarsest first, and places."""
        s: Pyramid = wiring(self).facts["spec"]
        made: list[Tensor] = []
        at: list[Tensor] = []
        last = len(maps) - 1
        for i, conv in zip(range(last, -1, -1), leaf(self, "convs"), strict=True):
            x: Tensor = conv(maps[i].permute(0, 3, 1, 2))
            if i in s.added and i != last:
                x = x + F.interpolate(made[-1], scale_factor=2.0, mode="nearest")
            made.append(x)
            if placed:
                at.append(leaf(self, "places")(x.shape, x.device, x.dtype))
        return tuple(made), tuple(at)


class PyramidNet(Group):
    """A network and the maps of its stages, under a path."""

    def forward(self, pixel_values: Tensor, walk: Walk | None = None, placed: bool = True) -> StagesOutput:
        """See `pyramid`."""
        return pyramid(self, pixel_values, walk or Walk(), placed)


def pyramid(owner: Any, pixel_values: Tensor, walk: Walk, placed: bool) -> StagesOutput:
    """Run the network whose parts `owner` has: maps [B, E, H, W], the finest first, and their places."""
    s: Pyramid = wiring(leaf(owner, "neck")).facts["spec"]
    read = leaf(owner, "grid")(pixel_values, walk)
    made, at = leaf(owner, "neck")(read.intermediate_hidden_states, placed or walk.watched)
    maps, places = (one[-s.kept :][::-1] for one in (made, at))
    return StagesOutput(read.last_hidden_state, fpn_hidden_states=maps, fpn_position_encoding=places)


@cache
def node_class(name: str) -> type[Group]:
    """The class of a family's layers."""
    return type(name, (PooledLayerNode,), {"__module__": __name__, "__doc__": PooledLayerNode.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if name.endswith("Block") and name[:1].isupper():
        return node_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fill_grid(owner: nn.Module, s: PooledGrid) -> None:
    """Register the network's parts."""
    wiring(owner).facts["grid"] = s
    home, _, last = s.names["patch"].rpartition(".")
    kernel, stride, padding = s.patch
    place(owner, "patches", home, GridPatches())
    projection = nn.Conv2d(s.channels, s.width, kernel, stride=stride, padding=padding)
    place(leaf(owner, "patches"), "patch", last, projection)
    for role, size in (("position", s.background), ("window", (s.side, s.side))):
        place_tensor(owner, role, s.names[role], torch.zeros(1, s.width, *size), Constant(0.0))
    place(owner, "layers", s.names["layers"], nn.ModuleList(_layer(s, one) for one in s.layers))


def _layer(s: PooledGrid, own: PooledLayer) -> Group:
    made, attention, paths = node_class(s.layer_class)(), PooledAttention(), s.layer_names
    for node in (made, attention):
        wiring(node).facts["layer"] = own
    place(made, "attention_norm", str(paths["attention_norm"]), nn.LayerNorm(own.read, eps=s.eps))
    place(made, "attention", str(paths["attention"]), attention)
    place(attention, "qkv", str(paths["qkv"]), linear("linear", own.read, 3 * own.width))
    place(attention, "o", str(paths["o"]), linear("linear", own.width, own.width))
    place(made, "feedforward_norm", str(paths["feedforward_norm"]), nn.LayerNorm(own.width, eps=s.eps))
    place(made, "feedforward", str(paths["feedforward"]), Chain(s.feed, (own.width, own.inner, own.width)))
    if own.read != own.width:
        place(made, "widen", str(paths["widen"]), linear("linear", own.read, own.width))
    return made


def fill_pyramid(owner: nn.Module, s: PooledGrid, neck: Pyramid) -> None:
    """Register the network, and what makes maps of its stages.

    Raises:
        ValueError: for maps of other stages than there are.
    """
    made = tuple(s.layers[end].width for end in reversed(s.ends))
    if made != neck.reads:
        raise ValueError(
            f"maps are made of stages of {list(neck.reads)} channels, but the network's have {list(made)}"
        )
    grid, node = PooledGridNode(), PyramidNode()
    fill_grid(grid, s)
    place(owner, "grid", neck.names["grid"], grid)
    wiring(node).facts["spec"] = neck
    form = (neck.width, neck.kernel, neck.stride, neck.padding)
    convs = nn.ModuleList(nn.Conv2d(read, *form) for read in neck.reads)
    place(node, "convs", neck.names["convs"], convs)
    place(node, "places", neck.names["places"], SinePlaces(neck.width))
    place(owner, "neck", neck.names["neck"], node)
