"""Masks of what points, boxes and rough masks mean. See `spec.grid_layers.Prompts` and `Pointed`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.fresh import Normal
from formers.nn.leaves import linear
from formers.nn.nets.leaves import MapNorm
from formers.nn.nets.linear_chain import Chain
from formers.nn.nets.tree import NetNode, fill
from formers.nn.spec.grid_layers import Pointed, Prompts
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, leaf, place, place_tensor, wiring

_NO_PLACE, _NOTHING = -1, -10  # labels of points that stand for none, and of those that fill up a row


class PlaceWaves(Group):
    """Sines and cosines of places, along random directions (Tancik et al. 2020, arXiv:2006.10739)."""

    def __init__(self, s: Prompts, name: str) -> None:
        super().__init__()
        values = torch.zeros(2, s.waves)
        place_tensor(self, "waves", name, values, Normal(s.scale), trained=s.learns)

    def forward(self, places: Tensor) -> Tensor:
        """[.., (across, down)], as shares of an image -> [.., E]."""
        waves: Tensor = leaf(self, "waves")
        turns = 2 * math.pi * ((2 * places - 1).to(waves.dtype) @ waves)
        return torch.cat((turns.sin(), turns.cos()), dim=-1)


def everywhere(node: PlaceWaves, side: int) -> Tensor:
    """Of all places of a square: [1, E, side, side]."""
    waves: Tensor = leaf(node, "waves")
    at = (torch.arange(side, device=waves.device, dtype=waves.dtype) + 0.5) / side
    found: Tensor = node(torch.stack((at.expand(side, -1), at[:, None].expand(-1, side)), dim=-1))
    return found.permute(2, 0, 1)[None]


class PromptEncoder(Group):
    """What is pointed at, as tokens; a mask, as a map."""

    def __init__(self, s: Prompts) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        path = s.names
        home, _, name = path["place"].rpartition(".")
        place(self, "place", home, PlaceWaves(s, name))
        mask = NetNode()
        fill(mask, s.mask)
        place(self, "mask", path["mask"], mask)
        place(self, "no_mask", path["no_mask"], nn.Embedding(1, s.width))
        tables: nn.Module = nn.ModuleList(nn.Embedding(1, s.width) for _ in range(s.kinds))
        place(self, "points", path["points"], nn.Embedding(s.kinds, s.width) if s.joint else tables)
        place(self, "no_point", path["no_point"], nn.Embedding(1, s.width))

    def forward(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Tokens [B, P, n, E] for P prompts, and a map [B, E, H, W].

        Args:
            input_points: [B, P, n, 2], pixels across and down.
            input_labels: [B, P, n], 1 in what is meant, 0 outside of it, -1 for no place, -10 for no point.
            input_boxes: [B, P, 4].
            input_masks: [B, 1, 4 H, 4 W].

        Raises:
            ValueError: for points without labels.
        """
        s: Prompts = wiring(self).facts["spec"]
        tokens, batch = [], 1
        if input_points is not None:
            if input_labels is None:
                raise ValueError("input_labels must say of every one of input_points what it means: 1 or 0")
            batch = len(input_points)
            if input_boxes is None:  # a last point that stands for no place
                input_points = F.pad(input_points, (0, 0, 0, 1), value=-0.5)
                input_labels = F.pad(input_labels, (0, 1), value=_NO_PLACE)
            tokens.append(self._points(input_points, input_labels))
        if input_boxes is not None:
            batch = len(input_boxes)
            tokens.append(self._boxes(self._at(input_boxes.view(*input_boxes.shape[:2], 2, 2))))
        if input_masks is not None:
            dense = leaf(self, "mask")(input_masks)
        else:
            dense = leaf(self, "no_mask").weight.view(1, -1, 1, 1).expand(batch, -1, s.grid, s.grid)
        return (torch.cat(tokens, dim=2) if tokens else None), dense

    def _at(self, pixels: Tensor) -> Tensor:
        found: Tensor = leaf(self, "place")((pixels + 0.5) / wiring(self).facts["spec"].image)
        return found

    def _points(self, points: Tensor, labels: Tensor) -> Tensor:
        """[B, P, n, 2], [B, P, n] -> [B, P, n, E]."""
        x, kind = self._at(points), labels[..., None]
        x = torch.where(kind == _NO_PLACE, leaf(self, "no_point").weight, x)
        x = torch.where(kind == _NOTHING, torch.zeros_like(x), x)
        if wiring(self).facts["spec"].joint:
            learned: Tensor = leaf(self, "points")(labels.clamp(min=0))
            return x + learned * (kind >= 0)
        for label, one in enumerate(leaf(self, "points")[:2]):
            x = torch.where(kind == label, x + one.weight, x)
        return x

    def _boxes(self, corners: Tensor) -> Tensor:
        """[B, P, 2, E] -> the same, or with what stands for no place behind, [B, P, 3, E]."""
        if not wiring(self).facts["spec"].joint:
            return corners + torch.cat([kind.weight for kind in leaf(self, "points")[2:4]])
        none = leaf(self, "no_point").weight.expand(*corners.shape[:2], 1, -1)
        return torch.cat((corners + leaf(self, "points").weight[2:4], none.to(corners.dtype)), dim=2)


class ShareAttention(Group):
    """Attention in fewer channels than what it reads has."""

    def __init__(self, s: Pointed, share: int) -> None:
        super().__init__()
        wiring(self).facts["heads"] = s.heads
        inner = s.width // share
        for role in "qkvo":
            widths = (inner, s.width) if role == "o" else (s.width, inner)
            place(self, role, s.heads_names[role], linear("linear", *widths))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, similar: Tensor | None = None, watched: bool = True
    ) -> Tensor:
        """[B, P, n, E] or [B * P, 1, n, E], and likewise keys; keys [B, 1, m, E] serve all P prompts.

        `similar` is added to scores, [.., n, m].
        """
        heads = wiring(self).facts["heads"]
        q, k, v = (
            apply_rows(self, role, x, watched) for role, x in zip("qkv", (query, key, value), strict=True)
        )
        shape = q.shape
        if q.shape[0] == k.shape[0] and q.shape[1] != k.shape[1]:
            if k.shape[1] == 1 and similar is None:  # one row of many queries
                q = q.flatten(1, 2)[:, None]
            else:
                q, k, v = (one.expand(-1, max(q.shape[1], k.shape[1]), -1, -1) for one in (q, k, v))
                shape = q.shape
        q, k, v = (
            one.reshape(-1, one.shape[2], heads, one.shape[3] // heads).transpose(1, 2) for one in (q, k, v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, similar)
        return apply_rows(self, "o", mixed.transpose(1, 2).reshape(shape), watched)


class TwoWayLayer(Group):
    """Tokens attend to each other and to places, places to tokens."""

    def __init__(self, s: Pointed, first: bool) -> None:
        super().__init__()
        wiring(self).facts["first"] = first
        paths = s.layer_names
        for role, share in (("own", 1), ("out", s.share), ("back", s.share)):
            place(self, role, paths[role], ShareAttention(s, share))
        widths = (s.width, *(s.inner,) * (len(s.layer_feed.names) - 1), s.width)
        place(self, "feedforward", paths["feedforward"], Chain(s.layer_feed, widths))
        for role in ("own_norm", "out_norm", "feedforward_norm", "back_norm"):
            place(self, role, paths[role], nn.LayerNorm(s.width, eps=s.eps))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_point_embedding: Tensor,
        key_point_embedding: Tensor,
        attention_similarity: Tensor | None = None,
        watched: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens and places, after each has read the other; and what places read."""
        places = query_point_embedding
        if wiring(self).facts["first"]:
            x = leaf(self, "own")(queries, queries, queries, None, watched)
        else:
            asks = queries + places
            x = queries + leaf(self, "own")(asks, asks, queries, None, watched)
        x = leaf(self, "own_norm")(x)
        placed = keys + key_point_embedding
        x = x + leaf(self, "out")(x + places, placed, keys, attention_similarity, watched)
        x = leaf(self, "out_norm")(x)
        x = leaf(self, "feedforward_norm")(x + leaf(self, "feedforward")(x, watched))
        read = leaf(self, "back")(placed, x + places, x, None, watched)
        return x, leaf(self, "back_norm")(keys + read), read


class TwoWay(Group):
    """All layers, and a last look of the tokens."""

    def __init__(self, s: Pointed) -> None:
        super().__init__()
        layers = nn.ModuleList(TwoWayLayer(s, not i) for i in range(s.layers))
        place(self, "layers", s.names["layers"], layers)
        place(self, "last", s.names["last"], ShareAttention(s, s.last_share))
        place(self, "last_norm", s.names["last_norm"], nn.LayerNorm(s.width))

    def forward(
        self,
        point_embeddings: Tensor,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        watched: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """[B, P, n, E], [B, E, H, W], and where the map's places are: tokens and rows [.., H * W, E]."""
        maps = (image_embeddings, image_positional_embeddings)
        keys, places = (one.flatten(2).transpose(1, 2)[:, None] for one in maps)
        x = tokens = point_embeddings
        for i, layer in enumerate(leaf(self, "layers")):
            if target_embedding is not None:
                x = x + target_embedding
                tokens = tokens if i else x
            x, keys, _ = layer(
                queries=x,
                keys=keys,
                query_point_embedding=tokens,
                key_point_embedding=places,
                attention_similarity=attention_similarity,
                watched=watched,
            )
        x = x + leaf(self, "last")(x + tokens, keys + places, keys, None, watched)
        return leaf(self, "last_norm")(x), keys


class MaskDecoder(Group):
    """Masks, and how good they are."""

    _own: ClassVar[tuple[str, ...]] = ("quality_token", "mask_tokens")

    def __init__(self, s: Pointed) -> None:
        super().__init__()
        wide, count, path = s.width, s.masks + 1, s.names
        place(self, "quality_token", path["quality_token"], nn.Embedding(1, wide))
        place(self, "mask_tokens", path["mask_tokens"], nn.Embedding(count, wide))
        place(self, "two_way", path["two_way"], TwoWay(s))
        for i, (read, made) in enumerate(((wide, wide // 4), (wide // 4, wide // 8)), 1):
            role = f"enlarge{i}"
            place(self, role, path[role], nn.ConvTranspose2d(read, made, kernel_size=2, stride=2))
        place(self, "enlarge_norm", path["enlarge_norm"], MapNorm(wide // 4, eps=1e-6))
        place(self, "act", path["act"], Activation("gelu"))
        mixers = (Chain(s.feed(3), (wide, wide, wide, wide // 8)) for _ in range(count))
        place(self, "mixers", path["mixers"], nn.ModuleList(mixers))
        depth, inner = s.quality
        widths = (wide, *(inner,) * (depth - 1), count)
        place(self, "quality", path["quality"], Chain(replace(s.feed(depth), squash=s.squash), widths))

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        watched: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Maps [B, E, H, W] and prompts -> masks [B, P, M, 4 H, 4 W], and their quality [B, P, M]."""
        tokens, large = self._read(
            image_embeddings,
            image_positional_embeddings,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            (attention_similarity, target_embedding),
            watched,
        )
        masks, quality = self._masks(tokens, large, watched)
        kept = slice(1, None) if multimask_output else slice(0, 1)
        return masks[:, :, kept], quality[:, :, kept]

    def _read(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse: Tensor | None,
        dense: Tensor,
        personal: tuple[Tensor | None, Tensor | None],
        watched: bool,
        finer: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, P, n, E] that read the map, and the map enlarged, [B * P, E / 8, 4 H, 4 W]."""
        batch, _, high, wide = image_embeddings.shape
        own = torch.cat([leaf(self, role).weight for role in self._own])
        prompts = 1 if sparse is None else sparse.shape[1]
        tokens = own.expand(batch, prompts, -1, -1)
        tokens = tokens if sparse is None else torch.cat((tokens, sparse.to(own.dtype)), dim=2)
        maps, places = image_embeddings + dense, image_positional_embeddings
        if watched:  # a row for every prompt, which whoever looks expects
            maps = maps.repeat_interleave(prompts, 0)
            places = places.expand(batch, -1, -1, -1).repeat_interleave(prompts, 0)
        tokens, rows = leaf(self, "two_way")(
            point_embeddings=tokens,
            image_embeddings=maps,
            image_positional_embeddings=places,
            attention_similarity=personal[0],
            target_embedding=personal[1],
            watched=watched,
        )
        rows = rows.reshape(batch * prompts, high * wide, -1)
        large = leaf(self, "enlarge1")(rows.transpose(1, 2).reshape(rows.shape[0], -1, high, wide))
        large = large if not finer else large + finer[1].repeat_interleave(prompts, 0)
        large = leaf(self, "act")(leaf(self, "enlarge_norm")(large))
        large = leaf(self, "enlarge2")(large)
        large = large if not finer else large + finer[0].repeat_interleave(prompts, 0)
        return tokens, leaf(self, "act")(large)

    def _masks(self, tokens: Tensor, large: Tensor, watched: bool) -> tuple[Tensor, Tensor]:
        """All masks [B, P, M, h, w], that of a prompt without doubt first, and their quality [B, P, M]."""
        mixers: Any = leaf(self, "mixers")
        first = self._own.index("mask_tokens")
        mixed = torch.stack(
            [mixer(tokens[:, :, i], watched) for i, mixer in enumerate(mixers, first)], dim=2
        )  # [B, P, M, E / 8]
        masks = mixed @ large.view(*tokens.shape[:2], large.shape[1], -1)
        quality = leaf(self, "quality")(tokens[:, :, first - 1], watched)
        return masks.view(*masks.shape[:3], *large.shape[2:]), quality


class SharpMaskDecoder(MaskDecoder):
    """Masks with finer maps beside, how good they are, and whether anything is there."""

    _own = ("there_token", *MaskDecoder._own)

    def __init__(self, s: Pointed) -> None:
        super().__init__(s)
        wide, path = s.width, s.names
        wiring(self).facts["sure"] = s.sure
        for role, made in (("near0", wide // 8), ("near1", wide // 4)):
            place(self, role, path[role], nn.Conv2d(wide, made, kernel_size=1))
        place(self, "there_token", path["there_token"], nn.Embedding(1, wide))
        place(self, "there", path["there"], Chain(s.feed(3), (wide, wide, wide, 1)))

    def forward(  # type: ignore[override]  # finer maps stand among what it reads
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        high_resolution_features: tuple[Tensor, ...],
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        watched: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `MaskDecoder`, of finer maps [B, E / 8, 4 H, 4 W] and [B, E / 4, 2 H, 2 W] too.

        Returns:
            Masks, their quality, their tokens [B, P, M, E], and logits of there being anything [B, P, 1].
        """
        tokens, large = self._read(
            image_embeddings,
            image_positional_embeddings,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            (attention_similarity, target_embedding),
            watched,
            high_resolution_features,
        )
        masks, quality = self._masks(tokens, large, watched)
        there = leaf(self, "there")(tokens[:, :, 0], watched)
        kept = slice(1, None) if multimask_output else slice(0, 1)
        spoken = tokens[:, :, 2 : 2 + masks.shape[2]][:, :, kept]
        sure = wiring(self).facts["sure"]
        if multimask_output or sure is None or self.training:
            return masks[:, :, kept], quality[:, :, kept], spoken, there
        return *_stable(masks, quality, *sure), spoken, there


def _stable(masks: Tensor, quality: Tensor, far: float, least: float) -> tuple[Tensor, Tensor]:
    """The first of masks [B, P, M, h, w] where it stays nearly the same, else the best of the others."""
    first = masks[:, :, :1]
    small, large = ((first > limit).sum((-2, -1)) for limit in (far, -far))
    stays = torch.where(large > 0, small / large, 1.0) >= least
    best = quality[:, :, 1:].argmax(-1, keepdim=True)
    other = masks[:, :, 1:].gather(2, best[..., None, None].expand(-1, -1, -1, *masks.shape[3:]))
    chosen = torch.where(stays[..., None, None], first, other)
    return chosen, torch.where(stays, quality[:, :, :1], quality[:, :, 1:].gather(2, best))
