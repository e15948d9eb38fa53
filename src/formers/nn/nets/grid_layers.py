"""Layers over a grid of places, which attend to all or within windows. See `spec.grid_layers.GridLayers`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from formers.core.outputs import BaseModelOutput
from formers.nn.dropout import drop
from formers.nn.fresh import Constant
from formers.nn.leaves import linear
from formers.nn.nets.linear_chain import Chain
from formers.nn.nets.tree import NetNode, fill
from formers.nn.nets.window_partition import cut, joined
from formers.nn.spec.grid_layers import GridLayer, GridLayers
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, has, leaf, place, place_tensor, wiring

_BLOCK = 1 << 22  # scores that are computed together: what is added to them stays in a processor's cache


@dataclass(eq=False)
class Walk:
    """What a pass shares.

    Attributes:
        watched: every module is called with what it says it reads.
        eager: attention weights are written out.
        recompute: layers, in the backward pass.
        hidden: takes maps, `weights` attention weights. None: not wanted.
    """

    watched: bool = True
    eager: bool = True
    recompute: bool = False
    hidden: list[Tensor] | None = None
    weights: list[Tensor] | None = None


class GridAttention(Group):
    """Attention of all places of a grid, which may know how far they are apart."""

    def forward(self, hidden_states: Tensor, walk: Walk | None = None) -> tuple[Tensor, Tensor | None]:
        """Grids [n, h, w, C] -> the same, and weights [n * H, h * w, h * w] where they are written out."""
        walk = walk or Walk()
        parts = apply_rows(self, "qkv", hidden_states, walk.watched)
        mixed, weights = self.mixed(parts, walk)
        return apply_rows(self, "o", mixed, walk.watched), weights

    def within(self, x: Tensor, side: int, walk: Walk) -> tuple[Tensor, Tensor | None]:
        """[B, H, W, C] attending within windows; what fills them up is not projected."""
        parts, (high, wide) = apply_rows(self, "qkv", x, False), x.shape[1:3]
        bias: Any = getattr(leaf(self, "qkv"), "bias", None)
        mixed, weights = self.mixed(cut(parts, side, bias), walk)
        return apply_rows(self, "o", joined(mixed, high, wide), False), weights

    def mixed(self, parts: Tensor, walk: Walk) -> tuple[Tensor, Tensor | None]:
        """Queries, keys and values of grids, [n, h, w, 3 C] -> what is mixed, [n, h, w, C], and weights."""
        s: GridLayers = wiring(self).facts["spec"]
        own: GridLayer = wiring(self).facts["layer"]
        count, high, wide, width = parts.shape
        q, k, v = parts.view(count, high * wide, 3, own.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        apart = self._apart(q.view(*q.shape[:2], high, wide, -1)) if own.reach is not None else None
        rate, weights = (s.dropout if self.training else 0.0), None
        if walk.eager:
            scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
            scores = scores if apart is None else scores + _added(*apart).reshape(scores.shape)
            weights = drop(scores.softmax(-1, dtype=torch.float32).to(q.dtype), rate)
            made, weights = weights @ v, weights.flatten(0, 1)
        elif apart is None:
            made = F.scaled_dot_product_attention(q, k, v, None, rate)
        else:
            made = _in_blocks(q, k, v, apart, rate)
        return made.transpose(1, 2).reshape(count, high, wide, width // 3), weights

    def _apart(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [n, H, h, w, D] times vectors of distances: [n, H, h, w, h], and across [n, H, h, w, w]."""

        def along(role: str, y: Tensor) -> Tensor:
            """[n, H, side, other, D] -> [n, H, side, other, side]."""
            at, table = torch.arange(y.shape[2], device=y.device), leaf(self, role)
            far: Tensor = table[at[:, None] - at + y.shape[2] - 1]  # [side, side, D]
            return y @ far.transpose(1, 2)

        return along("down", q), along("across", q.transpose(2, 3)).transpose(2, 3)


def _added(down: Tensor, across: Tensor) -> Tensor:
    """What is added to scores: [.., h, w, h], [.., h, w, w] -> [.., h, w, h, w]."""
    return down[..., :, None] + across[..., None, :]


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, apart: tuple[Tensor, Tensor], rate: float) -> Tensor:
    """Attention of a few rows of a few heads after the other, [n, H, h * w, D]."""
    count, heads, places, _ = q.shape
    high, wide = apart[0].shape[2:4]
    rows = max(1, min(high, _BLOCK // (wide * places)))
    some = max(1, _BLOCK // (high * wide * places))
    flat = [one.flatten(0, 1) for one in (q, k, v, *apart)]
    out = []
    for at in range(0, count * heads, some):
        q, k, v, down, across = (one[at : at + some] for one in flat)
        made = []
        for top in range(0, high, rows):
            added = _added(down[:, top : top + rows], across[:, top : top + rows])
            asks = q[:, top * wide : (top + rows) * wide]
            added = added.reshape(*asks.shape[:2], places)[None]
            found = F.scaled_dot_product_attention(asks[None], k[None], v[None], added, rate)
            made.append(found[0])
        out.append(made[0] if len(made) == 1 else torch.cat(made, dim=1))
    return (out[0] if len(out) == 1 else torch.cat(out)).view(count, heads, places, -1)


class GridLayerNode(Group):
    """A norm, attention, a norm, a feed-forward."""

    def forward(self, hidden_states: Tensor, walk: Walk | None = None) -> Tensor:
        """[B, H, W, C] -> the same."""
        walk = walk or Walk()
        x, side = hidden_states, wiring(self).facts["layer"].window
        y, attention = leaf(self, "attention_norm")(x), leaf(self, "attention")
        if side and not walk.watched:
            y, weights = attention.within(y, side, walk)
        elif side:
            y, weights = attention(cut(y, side), walk)
            y = joined(y, *x.shape[1:3])
        else:
            y, weights = attention(y, walk)
        if walk.weights is not None and weights is not None:
            walk.weights.append(weights)
        x = x + y
        fed: Tensor = x + leaf(self, "feedforward")(leaf(self, "feedforward_norm")(x), walk.watched)
        return fed


class GridPatches(Group):
    """The projection of every patch."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, channels, height, width] -> [B, H, W, C]."""
        found: Tensor = leaf(self, "patch")(pixel_values)
        return found.permute(0, 2, 3, 1)


class GridEncoder(Group):
    """Patches, layers, and the network over the last map."""

    def forward(self, pixel_values: Tensor, walk: Walk | None = None) -> BaseModelOutput:
        """[B, channels, height, width] -> a record with a map [B, C', H, W].

        Raises:
            ValueError: for images of another size.
        """
        return BaseModelOutput(last_map(self, pixel_values, walk or Walk()))


def last_map(node: Any, pixel_values: Tensor, walk: Walk) -> Tensor:
    """What the network that a node holds makes of images [B, channels, height, width]: [B, C', H, W].

    Raises:
        ValueError: for images of another size.
    """
    stem = wiring(node).facts["spec"].stem
    if tuple(pixel_values.shape[1:]) != (stem.channels, *stem.image):
        wanted = ", ".join(map(str, (stem.channels, *stem.image)))
        raise ValueError(
            f"pixel_values must have shape [B, {wanted}], not {list(pixel_values.shape)}: the model's "
            "image processor brings pictures to that size"
        )
    x: Tensor = leaf(node, "patches")(pixel_values)
    if has(node, "position"):
        x = x + leaf(node, "position")
    for layer in leaf(node, "layers"):
        if walk.hidden is not None:
            walk.hidden.append(x)
        x = checkpoint(layer, x, walk, use_reentrant=False) if walk.recompute else layer(x, walk)
    if walk.hidden is not None:
        walk.hidden.append(x)
    found: Tensor = leaf(node, "neck")(x)
    return found


@cache
def node_class(name: str) -> type[Group]:
    """The class of a family's layers."""
    return type(name, (GridLayerNode,), {"__module__": __name__, "__doc__": GridLayerNode.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if name.endswith("Layer") and name[:1].isupper():
        return node_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def grid_encoder(s: GridLayers) -> GridEncoder:
    """The node that holds the network."""
    made = GridEncoder()
    fill_encoder(made, s)
    return made


def fill_encoder(made: nn.Module, s: GridLayers) -> None:
    """Register the network on a node, which `last_map` reads."""
    stem = s.stem
    wiring(made).facts["spec"] = s
    *home, last = s.names["patch"].split(".")
    place(made, "patches", ".".join(home), GridPatches())
    projection = nn.Conv2d(stem.channels, stem.width, stem.patch, stride=stem.patch)
    place(leaf(made, "patches"), "patch", last, projection)
    if s.positions:
        zeros = torch.zeros(1, *stem.grid, stem.width)
        place_tensor(made, "position", s.names["position"], zeros, Constant(0.0))
    place(made, "layers", s.names["layers"], nn.ModuleList(_layer(s, one) for one in s.layers))
    neck = NetNode()
    fill(neck, s.neck)
    place(made, "neck", s.names["neck"], neck)


def _layer(s: GridLayers, own: GridLayer) -> Group:
    made, attention, paths, wide = node_class(s.layer_class)(), GridAttention(), s.layer_names, own.width
    for node in (made, attention):
        wiring(node).facts.update(spec=s, layer=own)
    place(made, "attention_norm", str(paths["attention_norm"]), nn.LayerNorm(wide, eps=s.eps))
    place(made, "attention", str(paths["attention"]), attention)
    for role, side in zip(("down", "across"), own.reach or (), strict=False):
        zeros = torch.zeros(2 * side - 1, wide // own.heads)
        place_tensor(attention, role, str(paths[role]), zeros, Constant(0.0))
    place(attention, "qkv", str(paths["qkv"]), linear("linear", wide, 3 * wide, s.bias))
    place(attention, "o", str(paths["o"]), linear("linear", wide, wide))
    place(made, "feedforward_norm", str(paths["feedforward_norm"]), nn.LayerNorm(wide, eps=s.eps))
    place(made, "feedforward", str(paths["feedforward"]), Chain(s.feed, (wide, own.inner, wide)))
    return made
