"""Stages of layers whose windows attend within themselves. See `spec.shifted_windows.Windows`.

Rows are [B, H * W, C]. What they share in a pass is their `Way`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import isqrt, log, log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from formers.core.outputs import BaseModelOutput
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.nets.leaves import leaf_of
from formers.nn.nets.restoration import MapOfRows, RowsOfMap, part
from formers.nn.nets.window_partition import cut, joined
from formers.nn.recording import by_sizes
from formers.nn.spec import nets
from formers.nn.spec.shifted_windows import Windows
from formers.nn.stems.patches import hide_patches, stretched
from formers.nn.tree import Block, Group, has, leaf, place, place_tensor, wiring

_HIDDEN = -100.0  # on scores of places that were no neighbours before windows were moved
# of the network of distances: inner width, edge of a window, largest bias
_WIDE, _SPAN, _MOST = 512, 8.0, 16.0
_SHARPEST = log(100.0)  # factor on cosines, its logarithm


@dataclass(eq=False)
class Way:
    """What a pass shares.

    Attributes:
        grid: places down and across, of what is read now.
        watched: every module is called.
        whole: windows keep their size and are moved also where one holds the whole grid.
        before: maps are those before they are merged.
        inner: hidden states are those before and after every layer.
        eager: attention weights are written out.
        recompute: layers, in the backward pass.
        hidden: takes rows, or tuples of them; `maps` takes maps; `weights` those of every stage's last layer.
            None: not wanted.
    """

    grid: tuple[int, int]
    watched: bool = True
    whole: bool = False
    before: bool = False
    inner: bool = False
    eager: bool = True
    recompute: bool = False
    hidden: list[Any] | None = None
    maps: list[Tensor] | None = None
    weights: list[Tensor] | None = None
    memo: dict[Any, Any] = field(default_factory=dict)

    def once(self, place: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """The value under `place`, made where it is missing."""
        key = by_sizes(*place)
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]


def _square(x: Tensor) -> Way:
    """Of a part that is called by itself."""
    side = isqrt(x.shape[1])
    return Way((side, side))


def _apply(node: Any, role: str, x: Tensor, way: Way, act: str | None = None) -> Tensor:
    """A linear leaf: [.., in] -> [.., out]."""
    found = leaf(node, role)
    if way.watched:
        return found(x)  # type: ignore[no-any-return]  # a module of the tree has no type
    return project(found, x.reshape(-1, x.shape[-1]), act, False).view(*x.shape[:-1], -1)


def _unit(x: Tensor, factor: Tensor | None = None) -> Tensor:
    """Vectors of length one, or of `factor`, [.., D]."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12)
    found: Tensor = x / length if factor is None else x * (factor / length)
    return found


class WindowMixing(Group):
    """What the places of a window make of each other, with a learned bias for every distance."""

    def forward(self, x: Tensor, mask: Tensor | None = None, way: Way | None = None) -> Any:
        """Windows [B * w, n, C], and what is added to their scores, [w, n, n] -> the same, and weights."""
        way = way or _square(x)
        s, heads = wiring(self).facts["spec"], wiring(self).facts["heads"]
        count, places, wide = x.shape
        q, k, v = (_apply(self, role, x, way).view(count, places, heads, -1) for role in "qkv")
        bias = self._bias(s.window, isqrt(places), way, x)  # [H, n, n]
        added = bias[None]
        scale: Any = (wide // heads) ** -0.5
        written = way.eager or way.watched
        if has(self, "sharpness"):
            scale = leaf(self, "sharpness").clamp(max=_SHARPEST).exp()  # [H, 1, 1]
            factor = None if written else scale.view(-1, 1)  # one product for length and sharpness
            q, k, scale = _unit(q, factor), _unit(k), scale if written else 1.0
        q, k, v = (one.transpose(1, 2) for one in (q, k, v))
        if mask is not None:
            added = bias + mask[:, None]  # [B * w, H, n, n]
            again = count // mask.shape[0]
            added = added.repeat(again, 1, 1, 1) if again > 1 else added
        weights = None
        if written:
            scores = q @ k.transpose(2, 3) * scale + added
            weights = leaf(self, "weights_dropout")(scores.softmax(-1, dtype=torch.float32).to(q.dtype))
            mixed = weights @ v
        else:
            dropping = leaf(self, "weights_dropout")
            rate = dropping.p if dropping.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, added.to(q.dtype), rate, scale=scale)
        return mixed.transpose(1, 2).reshape(count, places, wide), weights

    def _bias(self, window: int, side: int, way: Way, x: Tensor) -> Tensor:
        """[H, n, n], for windows of that side."""
        if has(self, "far"):
            trained, window = wiring(self).facts["trained"], side
            far: Tensor = way.once(("far", side, trained), lambda: _logarithms(side, trained, x))
            table: Tensor = leaf(self, "far")(far).flatten(0, -2).sigmoid() * _MOST
        else:
            table = leaf(self, "bias")
        places: Tensor = way.once(("apart", side), lambda: _distances(window, side, x.device))
        chosen: Tensor = table[places].view(side * side, side * side, -1)
        return chosen.permute(2, 0, 1)


class WindowAttention(Group):
    """Attention within windows."""

    def forward(self, x: Tensor, mask: Tensor | None = None, way: Way | None = None) -> Any:
        """As `WindowMixing`, projected."""
        way = way or _square(x)
        mixed, weights = leaf(self, "mix")(x, mask, way)
        return leaf(self, "out")(mixed, way), weights


class Projecting(Group):
    """A linear leaf and a dropout."""

    def forward(self, x: Tensor, way: Way | None = None) -> Tensor:
        """[.., in] -> [.., out]."""
        found: Tensor = leaf(self, "dropout")(_apply(self, "dense", x, way or Way((1, 1))))
        return found


class Widening(Group):
    """A linear leaf and an activation."""

    def forward(self, x: Tensor, way: Way | None = None) -> Tensor:
        """[.., in] -> [.., out]."""
        way, act = way or Way((1, 1)), leaf(self, "act")
        if not way.watched and type(act) is Activation:
            return _apply(self, "dense", x, way, act.name)
        found: Tensor = act(_apply(self, "dense", x, way))
        return found


def _distances(window: int, side: int, device: Any = None) -> Tensor:
    """Rows of a bias table for every pair of places in a window of that side, [n * n], int64."""
    at = torch.arange(side, device=device)
    apart = at[:, None] - at + window - 1  # [side, side]
    return (apart[:, None, :, None] * (2 * window - 1) + apart[None, :, None, :]).flatten()


def _logarithms(side: int, trained: int, x: Tensor) -> Tensor:
    """Distances down and across in windows of that side, [1, 2 n - 1, 2 n - 1, 2].

    Their logarithms, where the edge of a window in pretraining is 8 (arXiv:2111.09883, section 3.3).
    """
    at = torch.arange(1 - side, side, device=x.device, dtype=torch.float32)
    at = at * (_SPAN / max((trained or side) - 1, 1))
    at = at.sign() * (at.abs() + 1).log2() / log2(_SPAN)
    return torch.stack(torch.meshgrid(at, at, indexing="ij"), dim=-1)[None].to(x.dtype)


class Distances:
    """Those of whole windows, which some files keep though nothing reads them."""

    def __init__(self, window: int) -> None:
        self.window = window

    def fill_(self, tensor: Tensor) -> None:
        """Write them: [n, n]."""
        tensor.copy_(_distances(self.window, self.window).view_as(tensor))


class WindowLayer(Group):
    """A norm, attention within windows, a norm, a feed-forward."""

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None, way: Way | None = None) -> Any:
        """[B, H * W, C] -> the same, and weights."""
        way = way or (_square(x) if grid is None else Way(grid))
        s: Windows = wiring(self).facts["spec"]
        high, wide = way.grid if grid is None else grid  # the pass may be further where this is recomputed
        side, shift = wiring(self).facts["side"], wiring(self).facts["shift"]
        if not (s.scaled or way.whole) and min(high, wide) <= side:
            side, shift = min(high, wide), 0
        batch, _, width = x.shape
        y = (x if s.scaled else leaf(self, "attention_norm")(x)).view(batch, high, wide, width)
        down, right = -high % side, -wide % side
        y = F.pad(y, (0, 0, 0, right, 0, down)) if down or right else y
        tall, broad = high + down, wide + right
        mask = None
        if shift:
            hidden = 2 * _HIDDEN if s.scaled else _HIDDEN  # published twice
            mask = way.once((tall, broad, side, shift), lambda: _mask(tall, broad, side, shift, y) * hidden)
        if shift and not torch.is_grad_enabled():  # moved and cut at once, where no gradient goes back
            order, back = way.once(
                ("order", tall, broad, side, shift), lambda: _order(tall, broad, side, shift, y)
            )
            rows = y.reshape(batch, tall * broad, width).index_select(1, order).view(-1, side * side, width)
            y, weights = leaf(self, "attention")(rows, mask, way)
            y = y.reshape(batch, tall * broad, width).index_select(1, back).view(batch, tall, broad, width)
        else:
            y = y.roll((-shift, -shift), (1, 2)) if shift else y
            y, weights = leaf(self, "attention")(cut(y, side).flatten(1, 2), mask, way)
            y = joined(y.unflatten(1, (side, side)), tall, broad)
            y = y.roll((shift, shift), (1, 2)) if shift else y
        y = y[:, :high, :wide].reshape(batch, high * wide, width)
        if s.scaled:
            x = x + leaf(self, "drop_path")(leaf(self, "attention_norm")(y))
            y = leaf(self, "feedforward_norm")(leaf(self, "down")(leaf(self, "up")(x, way), way))
            return x + leaf(self, "drop_path")(y), weights
        x = x + leaf(self, "drop_path")(y)
        return x + leaf(self, "down")(leaf(self, "up")(leaf(self, "feedforward_norm")(x), way), way), weights


def _order(high: int, wide: int, side: int, shift: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Which place stands where when windows of a moved grid lie end to end [H * W], and the way back."""
    places = torch.arange(high * wide, device=x.device).view(1, high, wide, 1)
    order = cut(places.roll((-shift, -shift), (1, 2)), side).flatten()
    return order, order.argsort()


def _mask(high: int, wide: int, side: int, shift: int, x: Tensor) -> Tensor:
    """One for places that were no neighbours before windows were moved, else zero: [w, n, n]."""

    def regions(size: int) -> Tensor:
        at = torch.arange(size, device=x.device)
        return (at >= size - side).long() + (at >= size - shift).long()

    kinds = regions(high)[:, None] * 3 + regions(wide)
    windows = cut(kinds[None, :, :, None], side).flatten(1)  # [w, n]
    return (windows[:, None] != windows[:, :, None]).to(x.dtype)


class Merging(Group):
    """Four neighbours become one place, twice as wide."""

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None, way: Way | None = None) -> Tensor:
        """[B, H * W, C] -> [B, ceil(H / 2) * ceil(W / 2), 2 C]."""
        way = way or (_square(x) if grid is None else Way(grid))
        high, wide = way.grid
        y = x.view(x.shape[0], high, wide, -1)
        y = F.pad(y, (0, 0, 0, wide % 2, 0, high % 2)) if high % 2 or wide % 2 else y
        y = torch.cat([y[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], dim=-1).flatten(1, 2)
        if wiring(self).facts["spec"].scaled:
            made: Tensor = leaf(self, "merge_norm")(_apply(self, "merged", y, way))
            return made
        return _apply(self, "merged", leaf(self, "merge_norm")(y), way)


class WindowStage(Group):
    """Layers, and what makes the grid smaller after them."""

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None, way: Way | None = None) -> Any:
        """[B, H * W, C] -> rows, their map, and the last layer's weights."""
        way, weights, first = way or (_square(x) if grid is None else Way(grid)), None, x
        inner = []
        for layer in leaf(self, "layers"):
            inner.append(x)
            if way.recompute:
                x, weights = checkpoint(layer, x, way.grid, way, use_reentrant=False)
            else:
                x, weights = layer(x, way.grid, way)
            inner.append(x)
        if way.inner and way.hidden is not None:
            way.hidden.append(tuple(inner))
        shaped = _map(x, way) if way.before and way.maps is not None else None
        if has(self, "merge"):
            x = leaf(self, "merge")(x, way.grid, way)
            way.grid = (-(-way.grid[0] // 2), -(-way.grid[1] // 2))
        if has(self, "unpatched"):
            x = first + leaf(self, "patched")(leaf(self, "conv")(leaf(self, "unpatched")(x, way.grid)))[0]
        if shaped is None and (way.maps is not None or way.watched):
            shaped = _map(x, way)
        return x, shaped, weights


def _map(x: Tensor, way: Way) -> Tensor:
    """Rows [B, H * W, C] -> [B, C, H, W]."""
    return x.transpose(1, 2).reshape(x.shape[0], -1, *way.grid)


class WindowEncoder(Group):
    """All stages."""

    def forward(
        self, x: Tensor, grid: tuple[int, int] | None = None, way: Way | None = None
    ) -> BaseModelOutput:
        """[B, H * W, C] -> a record with the last rows."""
        return BaseModelOutput(self.through(x, way or (_square(x) if grid is None else Way(grid))))

    def through(self, x: Tensor, way: Way) -> Tensor:
        """Rows through all stages, [B, H * W, C] -> [B, h * w, c]."""
        if way.maps is not None:
            way.maps.append(_map(x, way))
        if way.hidden is not None:
            way.hidden.append(x)
        for stage in leaf(self, "stages"):
            x, shaped, weights = stage(x, way.grid, way)
            rows = None if way.inner else way.hidden
            for kept, one in ((rows, x), (way.maps, shaped), (way.weights, weights)):
                if kept is not None:
                    kept.append(one)
        return x


class WindowPatches(Group):
    """The projection of every patch."""

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """[B, channels, height, width] -> rows and their grid; zeros are added where a patch is cut."""
        down, across = wiring(self).facts["spec"].stem.patch
        high, wide = images.shape[2:]
        if torch.compiler.is_exporting():  # windows of every size at once: torch's solver comes to no end
            high, wide = int(high), int(wide)
        images = F.pad(images, (0, -wide % across, 0, -high % down))
        found: Tensor = leaf(self, "patch")(images)
        rows = found.flatten(2).transpose(1, 2)
        rows = leaf(self, "embedding_norm")(rows) if has(self, "embedding_norm") else rows
        return rows, (found.shape[2], found.shape[3])


class WindowEmbeddings(Group):
    """Patches, hidden ones among them, and their positions."""

    def forward(
        self,
        pixel_values: Tensor,
        bool_masked_pos: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> tuple[Tensor, tuple[int, int]]:
        """[B, channels, height, width] -> rows and their grid."""
        s: Windows = wiring(self).facts["spec"]
        x, grid = leaf(self, "patches")(pixel_values)
        x = leaf(self, "embedding_norm")(x) if has(self, "embedding_norm") else x
        if bool_masked_pos is not None:
            x = hide_patches(self, x, bool_masked_pos)
        if has(self, "position"):
            table: Tensor = leaf(self, "position")
            if grid != s.stem.grid:
                if not interpolate_pos_encoding:
                    raise ValueError(
                        f"positions are learned for a grid of {list(s.stem.grid)} patches, not {list(grid)}: "
                        "interpolate_pos_encoding=True reads other sizes"
                    )
                table = stretched(table, s.stem.grid, grid)
            x = x + table
        return leaf(self, "embedding_dropout")(x), grid


@cache
def node_class(name: str, stage: bool) -> type[Group]:
    """The class of a family's layers, or stages."""
    kind = WindowStage if stage else WindowLayer
    return type(name, (kind,), {"__module__": __name__, "__doc__": kind.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if name.endswith(("Stage", "Layer")) and name[:1].isupper():
        return node_class(name, name.endswith("Stage"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def place_windows(owner: Block, s: Windows, masked: bool, pools: bool) -> None:
    """Register the network on `owner`."""
    embeddings = placed_node(owner, "embeddings", s.names, WindowEmbeddings(), s)
    *home, last = str(s.embeddings["patch"]).split(".")
    patches = placed_node(embeddings, "patches", {"patches": ".".join(home)}, WindowPatches(), s)
    stem = s.stem
    place(patches, "patch", last, nn.Conv2d(stem.channels, stem.width, stem.patch, stride=stem.patch))
    for role, wanted, count in (("mask", masked, 1), ("position", s.positions, stem.grid[0] * stem.grid[1])):
        if wanted:
            value = torch.zeros(1, count, stem.width)
            place_tensor(embeddings, role, str(s.embeddings[role]), value, Constant(0.0))
    normed = embeddings if s.restoring is None else patches
    place(normed, "embedding_norm", str(s.embeddings["embedding_norm"]), nn.LayerNorm(stem.width))
    place(embeddings, "embedding_dropout", str(s.embeddings["embedding_dropout"]), Dropout(s.dropout))
    encoder = placed_node(owner, "encoder", s.names, WindowEncoder(), s)
    stages = nn.ModuleList(stage_of(s, i) for i in range(len(s.depths)))
    place(encoder, "stages", s.names["stages"], stages)
    if "final_norm" in s.names:
        place(owner, "final_norm", s.names["final_norm"], nn.LayerNorm(s.last_width, eps=s.eps))
    if pools:
        place(owner, "pooler", s.names["pooler"], nn.AdaptiveAvgPool1d(1))
    if s.restoring is not None:
        for role, read in (("first", s.restoring.channels), ("closing", s.last_width)):
            place(owner, role, s.names[role], leaf_of(nets.Conv(read, s.last_width, 3, bias=True)))
        place(owner, "unpatched", s.names["unpatched"], MapOfRows())


def placed_node(owner: nn.Module, role: str, paths: Mapping[str, Any], node: Any, s: Windows) -> Any:
    """Register a node that knows the spec, and return it."""
    wiring(node).facts["spec"] = s
    place(owner, role, str(paths[role]), node)
    return node


def stage_of(s: Windows, number: int) -> Group:
    """A stage, with its layers."""
    made, wide = node_class(s.classes[1], True)(), s.widths[number]
    layers = nn.ModuleList(_layer(s, number, i) for i in range(s.depths[number]))
    place(made, "layers", s.names["layers"], layers)
    if s.restoring is not None:
        place(made, "conv", s.names["conv"], part(s.restoring.conv))
        patched = placed_node(made, "patched", s.names, RowsOfMap(), s)
        place(patched, "patch", s.names["patch"], nn.Conv2d(wide, wide, s.stem.patch, stride=s.stem.patch))
        place(made, "unpatched", s.names["unpatched"], MapOfRows())
    elif number + 1 < len(s.depths):
        merge = placed_node(made, "merge", s.names, Merging(), s)
        place(merge, "merged", s.names["merged"], linear("linear", 4 * wide, 2 * wide, bias=False))
        place(merge, "merge_norm", s.names["merge_norm"], nn.LayerNorm((2 if s.scaled else 4) * wide))
    return made


def _layer(s: Windows, stage: int, number: int) -> Group:
    made, wide = node_class(s.classes[0], False)(), s.widths[stage]
    high = s.stem.grid[0] // s.factors[stage]
    side = s.window if s.scaled is None else min(s.window, high)
    whole = s.scaled is not None and high <= side
    wiring(made).facts.update(spec=s, side=side, shift=s.window // 2 if number % 2 and not whole else 0)
    paths = s.layers
    attention = placed_node(made, "attention", paths, WindowAttention(), s)
    mix = placed_node(attention, "mix", paths, WindowMixing(), s)
    wiring(mix).facts["heads"] = s.heads[stage]
    for role in "qkv":
        bias = s.bias and not (s.scaled and role == "k")
        place(mix, role, str(paths[role]), linear("linear", wide, wide, bias))
    place(mix, "weights_dropout", str(paths["weights_dropout"]), Dropout(s.attention_dropout))
    _projecting(attention, "out", s, (wide, wide), s.dropout if s.out_dropout is None else s.out_dropout)
    _biases(mix, s, stage)
    if "index" in paths:
        held, first = torch.zeros(s.window**2, s.window**2, dtype=torch.int64), Distances(s.window)
        first.fill_(held)
        place_tensor(mix, "index", str(paths["index"]), held, first, trained=False)
    place(made, "attention_norm", str(paths["attention_norm"]), nn.LayerNorm(wide, eps=s.eps))
    place(made, "feedforward_norm", str(paths["feedforward_norm"]), nn.LayerNorm(wide, eps=s.eps))
    inner = int(s.inner * wide)
    up = placed_node(made, "up", paths, Widening(), s)
    place(up, "dense", str(paths["dense"]), linear("linear", wide, inner))
    place(up, "act", str(paths["act"]), Activation(s.act))
    _projecting(made, "down", s, (inner, wide), s.dropout)
    dropped = leaf_of(nets.Drop(s.rates[stage][number], paths=True))
    place(made, "drop_path", str(paths["drop_path"]), dropped)
    return made


def _biases(mix: nn.Module, s: Windows, stage: int) -> None:
    """A table, or a network of distances and how sharp the heads see."""
    heads = s.heads[stage]
    if s.scaled is None:
        table = torch.zeros((2 * s.window - 1) ** 2, heads)
        place_tensor(mix, "bias", str(s.layers["bias"]), table, Constant(0.0))
        return
    wiring(mix).facts["trained"] = s.scaled[stage]
    first = Constant(log(10.0))
    place_tensor(mix, "sharpness", str(s.layers["sharpness"]), torch.zeros(heads, 1, 1), first)
    made = (linear("linear", 2, _WIDE), nn.ReLU(), linear("linear", _WIDE, heads, bias=False))
    place(mix, "far", str(s.layers["far"]), nn.Sequential(*made))


def _projecting(owner: nn.Module, role: str, s: Windows, widths: tuple[int, int], dropout: float) -> None:
    node = placed_node(owner, role, s.layers, Projecting(), s)
    place(node, "dense", str(s.layers["dense"]), linear("linear", *widths))
    place(node, "dropout", str(s.layers["dropout"]), Dropout(dropout))
