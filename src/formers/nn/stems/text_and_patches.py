"""The stem of texts with the patches of a picture behind them. See `spec.Pictured`."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import maps_in, place_stem, want
from formers.nn.stems.leading import LeadingStem
from formers.nn.stems.patches import stretched
from formers.nn.stems.tokens import TokenStem, look_up
from formers.nn.tree import Block, Group, descend, leaf, place, place_tensor

_ROLES = ("picture_class", "picture_position", "picture_patch", "picture_dropout", "kind")
Sizes = list[tuple[int, int]]


class MapNode(Group):
    """The node that makes a map of patches: [B, channels, height, width] -> [B, E, down, across]."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Project every patch."""
        found: Tensor = leaf(self, "picture_patch")(pixel_values)
        return found


class TextAndPatchesStem(LeadingStem):
    """Both are embedded with their padding, and laid out as one."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        "pixel_values": "[B, channels, height, width], floating.",
        "pixel_mask": "[B, height, width], 1 at pixels, 0 at padding to their right or below; [B, P] for "
        "`image_embeds`.",
        "image_embeds": "[B, P, E], in place of `pixel_values`.",
        "image_token_type_idx": "the picture's row of the table that tells text and pictures apart; 1.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the text's leaves in a node of their own, and the picture's beside it."""
        want(names, *_ROLES)
        s, path = self._picture, {role: str(names[role]) for role in _ROLES}
        text = {role: one for role, one in names.items() if role not in _ROLES}
        self.node = place_stem(owner, TokenStem(self.spec), text)[0]
        one, count, zeros = (1, 1, s.width), s.count + 1, Constant(0.0)
        place_tensor(owner, "picture_class", path["picture_class"], torch.zeros(one), zeros)
        room = torch.zeros(1, count, s.width)
        place_tensor(owner, "picture_position", path["picture_position"], room, zeros)
        self.maps, _, last = path["picture_patch"].rpartition(".")
        *groups, home = self.maps.split(".")
        node = MapNode()
        descend(owner, tuple(groups)).add_module(home, node)
        place(
            node, "picture_patch", last, nn.Conv2d(s.channels, s.width, s.patch, stride=s.patch, bias=s.bias)
        )
        place(owner, "kind", path["kind"], nn.Embedding(self.spec.sorts, s.width))
        place(owner, "picture_dropout", path["picture_dropout"], Dropout(s.dropout))

    @property
    def _picture(self) -> spec.Patches:
        found: spec.Patches = self.spec.picture
        return found

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are of both.

        Raises:
            ValueError: without a picture for every text, for pixels and vectors at once, or a mask that does
                not fit.
        """
        batch, length = self.text(given)
        pixels, vectors = given.get("pixel_values"), given.get("image_embeds")
        if (pixels is None) == (vectors is None):
            raise ValueError("give exactly one of pixel_values and image_embeds beside a text")
        if vectors is None:
            pictures, behind = maps_in(given, self._picture.channels), 1 + self._longest(self._sizes(given))
        else:
            pictures, behind = vectors, vectors.shape[1]
        if len(pictures) != batch:
            raise ValueError(f"there are {batch} texts and {len(pictures)} pictures: give one for each text")
        return batch, length + behind

    def _sizes(self, given: Mapping[str, Any]) -> Sizes:
        """Patches down and across of every picture, without its padding."""
        pixels, mask = given["pixel_values"], given.get("pixel_mask")
        grid = pixels.shape[2] // self._picture.patch[0], pixels.shape[3] // self._picture.patch[1]
        if not prod(grid):
            raise ValueError(
                f"pixel_values {list(pixels.shape)} are smaller than a patch, {list(self._picture.patch)}"
            )
        if mask is None:
            return [grid] * len(pixels)
        if not isinstance(mask, Tensor) or mask.dim() != 3 or len(mask) != len(pixels):
            found = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"pixel_mask must have shape [{len(pixels)}, height, width], not {found}")
        seen = F.interpolate(mask[:, None].float(), grid)[:, 0].long()  # [B, down, across]
        sizes = torch.stack((seen[:, :, 0].sum(1), seen[:, 0].sum(1)), dim=1)
        if not bool(sizes.prod(1).eq(seen.sum((1, 2))).all() & sizes.all()):
            raise ValueError(
                "pixel_mask must be 1 at a rectangle from the first pixel on, at least a patch, and 0 "
                "elsewhere, as the image processor makes it"
            )
        return [(down, across) for down, across in sizes.tolist()]

    def _longest(self, sizes: Sizes) -> int:
        """How many patches a row has room for."""
        found, most = max(map(prod, sizes)), self.spec.most
        return found if most is None else min(found, most)

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Both masks as one, [B, T + P]."""
        given = given or {}
        behind = given.get("pixel_mask")
        if mask is None and behind is None:
            return None
        vectors = given.get("image_embeds")
        mask = self.text_mask(mask, given)
        if vectors is None:
            sizes = self._sizes(given)
            counts = torch.tensor([1 + prod(one) for one in sizes], device=mask.device)
            shown = torch.arange(1 + self._longest(sizes), device=mask.device) < counts[:, None]  # [B, P]
        elif behind is None:
            shown = mask.new_ones(vectors.shape[:2])
        elif behind.numel() == vectors.shape[:2].numel():
            shown = behind.flatten(1)
        else:
            wanted, found = list(vectors.shape[:2]), list(behind.shape)
            raise ValueError(f"beside image_embeds pixel_mask must have shape {wanted}, not {found}")
        return torch.cat((mask.bool(), shown.bool()), dim=1)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Text and picture -> [N, E], or [B, T + P, E] in a watched pass."""
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        text: Tensor = node._modules[self.node](**told)
        behind = given.get("image_embeds")
        behind = self._patches(node, given) if behind is None else behind
        which = given.get("image_token_type_idx")
        kinds = (0, 1 if which is None else int(which))
        x = torch.cat(
            [
                part + look_up(node, "kind", self._filled(part, kind), "image_token_type_idx")
                for part, kind in zip((text, behind), kinds, strict=True)
            ],
            dim=1,
        )
        return x if pass_.watched else pass_.layout.pack(x)

    @staticmethod
    def _filled(rows: Tensor, kind: int) -> Tensor:
        return torch.full(rows.shape[:2], kind, dtype=torch.long, device=rows.device)

    def _patches(self, node: Any, given: Mapping[str, Any]) -> Tensor:
        """The first token and the patches of every picture, those that there are first: [B, 1 + P, E]."""
        sizes, nodes = self._sizes(given), node.get_submodule(self.maps)
        images = given["pixel_values"].to(leaf(nodes, "picture_patch").weight.dtype)
        maps: Tensor = nodes(images)  # [B, E, down, across]
        table: Any = leaf(node, "picture_position")
        at = {
            size: stretched(table[:, 1:], self._picture.grid, size, mode="bilinear", corners=True)[0]
            for size in dict.fromkeys(sizes)
        }
        most = self._longest(sizes)
        rows = [
            _chosen(one[:, : size[0], : size[1]].flatten(1).T + at[size], most)
            for one, size in zip(maps, sizes, strict=True)
        ]
        first = (leaf(node, "picture_class") + table[:, :1]).expand(len(rows), -1, -1)
        dropped: Tensor = leaf(node, "picture_dropout")(torch.cat((first, torch.stack(rows)), dim=1))
        return dropped


def _chosen(rows: Tensor, most: int) -> Tensor:
    """So many of [P, E], in their order, drawn by lot where there are more; zeros where there are fewer."""
    if len(rows) <= most:
        return F.pad(rows, (0, 0, 0, most - len(rows)))
    drawn = torch.multinomial(torch.ones(rows.shape[0]), most).sort().values
    return rows[drawn.to(rows.device)]
