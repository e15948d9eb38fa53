"""Queries that attend within the masks that they found so far. See `spec.masked_attention.MaskedQueries`.

Queries and the places of maps are [Q, B, E] and [S, B, E], as files of hooks and the ecosystem's records have
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from formers.core.segment_outputs import MaskedQueriesOutput
from formers.nn.activations import Activation
from formers.nn.dropout import drop
from formers.nn.fresh import Constant, Normal, Uniform, Xavier, begins
from formers.nn.leaves import linear
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.tree import fill, part_of
from formers.nn.spec import nets
from formers.nn.spec.masked_attention import Heads, MaskedQueries
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, leaf, place, place_tensor, wiring


@dataclass(eq=False)
class Wanted:
    """What a pass wants.

    Attributes:
        watched: every module is called.
        weights: of the queries' attention to each other.
        recompute: layers, in the backward pass.
    """

    watched: bool = True
    weights: bool = False
    recompute: bool = False


class QueryAttention(Group):
    """Queries attend to each other, by where they ask from too."""

    def __init__(self, s: Heads) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        for role, name in zip("kvqo", ("k_proj", "v_proj", "q_proj", "out_proj"), strict=True):
            place(self, role, name, begins(linear("linear", s.width, s.width), weight=Xavier(s.gain)))

    def forward(
        self, hidden_states: Tensor, position_embeddings: Tensor, wanted: Wanted | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """[Q, B, E] -> the same, and weights [B, H, Q, Q] where they are wanted."""
        s, wanted = wiring(self).facts["spec"], wanted or Wanted()
        rows = hidden_states.transpose(0, 1)
        asks = rows + position_embeddings.transpose(0, 1)
        q, k, v = (
            apply_rows(self, role, x, wanted.watched).view(*x.shape[:2], s.heads, -1).transpose(1, 2)
            for role, x in (("q", asks), ("k", asks), ("v", rows))
        )
        rate, weights = (s.dropout if self.training else 0.0), None
        if wanted.weights:
            weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
            mixed = drop(weights, rate) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        made = apply_rows(self, "o", mixed.transpose(1, 2).flatten(2), wanted.watched)
        return made.transpose(0, 1), weights


class PackedAttention(Group):
    """Attention whose three projections are one matrix, as torch's own `MultiheadAttention` keeps them."""

    def __init__(self, s: Heads) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place_tensor(self, "in", "in_proj_weight", torch.empty(3 * s.width, s.width), Xavier(s.gain))
        place_tensor(self, "in_bias", "in_proj_bias", torch.empty(3 * s.width), Constant(0.0))
        place(self, "o", "out_proj", begins(linear("linear", s.width, s.width), weight=Xavier(s.gain)))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        weights_too: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """[Q, B, E] and twice [S, B, E] -> [Q, B, E]; `attn_mask` [B * H, Q, S], bool, hides.

        Weights are the mean over heads, [B, Q, S].
        """
        s: Heads = wiring(self).facts["spec"]
        weights, biases = leaf(self, "in").chunk(3), leaf(self, "in_bias").chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).view(*x.shape[:2], s.heads, -1).permute(1, 2, 0, 3)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        seen = None if attn_mask is None else ~attn_mask.view(*q.shape[:3], k.shape[2])
        rate, shares = (s.dropout if self.training else 0.0), None
        if weights_too:
            scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
            scores = scores if seen is None else scores.masked_fill(~seen, float("-inf"))
            shares = drop(scores.softmax(-1), rate)
            mixed, shares = shares @ v, shares.mean(1)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, seen, rate)
        return leaf(self, "o")(mixed.permute(2, 0, 1, 3).flatten(2)), shares


class MaskedLayer(Group):
    """A look at a map, attention of queries to each other, a feed-forward."""

    def __init__(self, s: MaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "own", s.layer["own"], QueryAttention(s.attention))
        place(self, "act", s.layer["act"], Activation(s.act))
        place(self, "own_norm", s.layer["own_norm"], nn.LayerNorm(s.width))
        place(self, "across", s.layer["across"], PackedAttention(s.attention))
        place(self, "across_norm", s.layer["across_norm"], nn.LayerNorm(s.width))
        for role, widths in (("up", (s.width, s.inner)), ("down", (s.inner, s.width))):
            place(self, role, s.layer[role], begins(linear("linear", *widths), weight=Xavier(s.gain)))
        place(self, "last_norm", s.layer["last_norm"], nn.LayerNorm(s.width))

    def forward(
        self,
        hidden_states: Tensor,
        memory: Tensor,
        places: Tensor,
        query_position_embeddings: Tensor,
        hidden: Tensor,
        wanted: Wanted | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """[Q, B, E] -> the same, and weights.

        Args:
            hidden_states: the queries.
            memory: [S, B, E], a map; `places` where its rows stand.
            places: likewise.
            query_position_embeddings: [Q, B, E].
            hidden: [B * H, Q, S], bool, what is not seen of the map.
            wanted: see there.
        """
        wanted, own = wanted or Wanted(), query_position_embeddings
        weights: list[Tensor | None] = []

        def across(x: Tensor) -> Tensor:
            found: Tensor = leaf(self, "across")(x + own, memory + places, memory, attn_mask=hidden)[0]
            return found

        def each_other(x: Tensor) -> Tensor:
            made, seen = leaf(self, "own")(x, own, *((wanted,) if self._ours("own") else ()))
            weights.append(seen)
            return made  # type: ignore[no-any-return]  # a module of the tree has no type

        def fed(x: Tensor) -> Tensor:
            inner = leaf(self, "act")(apply_rows(self, "up", x, wanted.watched))
            return apply_rows(self, "down", self._dropped(inner), wanted.watched)

        x = hidden_states
        for role, part in (("across_norm", across), ("own_norm", each_other), ("last_norm", fed)):
            if wiring(self).facts["spec"].norms_first:
                x = x + self._dropped(part(leaf(self, role)(x)))
            else:
                x = leaf(self, role)(x + self._dropped(part(x)))
        return x, weights[0]

    def _ours(self, role: str) -> bool:
        return isinstance(leaf(self, role), QueryAttention)

    def _dropped(self, x: Tensor) -> Tensor:
        return drop(x, wiring(self).facts["spec"].dropout) if self.training else x


@cache
def node_class(name: str) -> type[MaskedLayer]:
    """The class of a family's layers."""
    return type(name, (MaskedLayer,), {"__module__": __name__, "__doc__": MaskedLayer.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if name.endswith("Layer") and name[:1].isupper():
        return node_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class MaskReader(Group):
    """The mask of each query, and what a look at a map is not to see."""

    def __init__(self, s: MaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["heads"] = s.heads
        fill(self, nets.Node({"mask_embedder": nets.perceptron(s.width, s.width, s.width, s.pixels)}))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                reach = Uniform(module.in_features**-0.5)
                begins(module, weight=reach, bias=reach)

    def forward(self, outputs: Tensor, pixels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Queries [Q, B, E] and pixels [B, C, h, w] -> masks [B, Q, h, w]; [B * H, Q, S], of a map of `size`.

        Of such a map is hidden what is no part of the mask; nothing, where that is all.
        """
        own = self.mask_embedder(outputs.transpose(0, 1))
        return read_masks(own, pixels, size, wiring(self).facts["heads"])


def read_masks(queries: Tensor, pixels: Tensor, size: tuple[int, int], heads: int) -> tuple[Tensor, Tensor]:
    """Queries [B, Q, C] and pixels [B, C, h, w] -> masks [B, Q, h, w], and what they hide [B * H, Q, S]."""
    masks = torch.einsum("bqc,bchw->bqhw", queries, pixels)
    small = F.interpolate(masks.detach(), size, mode="bilinear", align_corners=False).flatten(2)
    hidden = small.sigmoid() < 0.5
    hidden = hidden & ~hidden.all(-1, keepdim=True)
    return masks, hidden.repeat_interleave(heads, 0)


class MaskedDecoder(Group):
    """All layers, and the mask reader."""

    def __init__(self, s: MaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        layers = nn.ModuleList(node_class(s.layer_class)(s) for _ in range(s.layers))
        place(self, "layers", "layers", layers)
        place(self, "norm", "layernorm", nn.LayerNorm(s.width))
        place(self, "reader", "mask_predictor", MaskReader(s))

    def forward(
        self,
        inputs_embeds: Tensor,
        places: Sequence[Tensor],
        pixels: Tensor,
        memory: Sequence[Tensor],
        query_position_embeddings: Tensor,
        sizes: Sequence[tuple[int, int]],
        wanted: Wanted | None = None,
    ) -> MaskedQueriesOutput:
        """Queries [Q, B, E], and maps as rows with their places and sizes -> a record."""
        s, wanted, x = wiring(self).facts["spec"], wanted or Wanted(), inputs_embeds
        norm, reader = leaf(self, "norm"), leaf(self, "reader")
        normed = [norm(x)]
        mask, hidden = reader(normed[0], pixels, sizes[0])
        masks, states, seen = [mask], [x], []
        for i, layer in enumerate(leaf(self, "layers")):
            if self.training and s.dropout > 0 and torch.rand([]) < s.dropout:
                continue
            level = i % s.levels
            given = (x, memory[level], places[level], query_position_embeddings, hidden)
            own = (wanted,) if isinstance(layer, MaskedLayer) else ()
            if wanted.recompute:
                x, weights = checkpoint(layer, *given, *own, use_reentrant=False)
            else:
                x, weights = layer(*given, *own)
            normed.append(norm(x))
            mask, hidden = reader(normed[-1], pixels, sizes[(i + 1) % s.levels])
            masks.append(mask)
            states.append(x)
            seen.append(weights)
        return MaskedQueriesOutput(
            x.transpose(0, 1),
            tuple(states),
            tuple(seen) if wanted.weights else None,
            tuple(masks),
            tuple(normed),
        )


class MaskedAsking(Group):
    """Queries, where they ask from, and the maps as the layers read them."""

    def __init__(self, s: MaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "places", "position_embedder", SinePlaces(s.width))
        for role, name in (("from", "queries_embedder"), ("queries", "queries_features")):
            place(self, role, name, begins(nn.Embedding(s.queries, s.width), weight=Normal(1.0)))
        fill(self, nets.Node({"input_projections": nets.row(*[_narrow(s)] * s.levels)}))
        place(self, "decoder", "decoder", MaskedDecoder(s))
        level = begins(nn.Embedding(s.levels, s.width), weight=Normal(1.0))
        place(self, "level", "level_embed", level)

    def forward(
        self, multi_scale_features: Sequence[Tensor], mask_features: Tensor, wanted: Wanted | None = None
    ) -> MaskedQueriesOutput:
        """Maps [B, C, h, w], and the one that masks are read off -> a record."""
        memory, places = [], []
        level: Tensor = leaf(self, "level").weight
        for i, one in enumerate(multi_scale_features):
            at = leaf(self, "places")(shape=one.shape, device=one.device, dtype=one.dtype)
            narrow = part_of(self, f"input_projections.{i}")(one).flatten(2) + level[i, :, None]
            memory.append(narrow.permute(2, 0, 1))
            places.append(at.flatten(2).permute(2, 0, 1))
        batch, decoder = len(mask_features), leaf(self, "decoder")
        asks, where = (leaf(self, role).weight[:, None].expand(-1, batch, -1) for role in ("queries", "from"))
        sizes = [tuple(one.shape[2:]) for one in multi_scale_features]
        own = (wanted,) if isinstance(decoder, MaskedDecoder) else ()
        found: MaskedQueriesOutput = decoder(asks, places, mask_features, memory, where, sizes, *own)
        return found


def _narrow(s: MaskedQueries) -> nets.Conv | nets.Act:
    if s.read == s.width and not s.projects:
        return nets.Act()
    return nets.Conv(s.read, s.width, bias=True, gain=s.gain)
