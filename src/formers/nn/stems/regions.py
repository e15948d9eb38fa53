"""The stem of texts with vectors of regions of a picture behind them. See `spec.TextAndRegions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.leaves import linear
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.leading import LeadingStem
from formers.nn.stems.tokens import TokenStem, look_up
from formers.nn.tree import Block, leaf, place

_OURS = ("region", "region_type", "region_position")


class RegionStem(LeadingStem):
    """Both are summed apart, and normalised together."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        "visual_embeds": "[B, P, V], floating, a vector for every region of a picture.",
        "visual_attention_mask": "[B, P], 1 at regions, 0 at padding.",
        "visual_token_type_ids": "[B, P], int64; 1 where they are left out.",
        "image_text_alignment": "[B, P, A], int64, the places of the words that a region shows, -1 for none.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the text's leaves, and the regions' beside them."""
        want(names, *_OURS)
        s = self.spec
        super().place(owner, {role: path for role, path in names.items() if role not in _OURS})
        place(owner, "region_type", str(names["region_type"]), nn.Embedding(s.types, s.width))
        table = nn.Embedding(s.positions.count, s.width)
        place(owner, "region_position", str(names["region_position"]), table)
        place(owner, "region", str(names["region"]), linear("linear", s.source, s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are of both.

        Raises:
            ValueError: for what does not fit the vectors of regions, or is given without them.
        """
        batch, length = self.text(given)
        seen = given.get("visual_embeds")
        beside = {name: given[name] for name in list(self.inputs)[-3:] if given.get(name) is not None}
        if seen is None:
            if beside:
                raise ValueError(f"{' and '.join(beside)} go with visual_embeds: pass these too")
            return batch, length
        wide = self.spec.source
        if not isinstance(seen, Tensor) or seen.dim() != 3 or (seen.shape[0], seen.shape[2]) != (batch, wide):
            found = list(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
            raise ValueError(f"visual_embeds must have shape [{batch}, regions, {wide}], not {found}")
        count = seen.shape[1]
        for name, value in beside.items():
            words = name == "image_text_alignment"
            fits = isinstance(value, Tensor) and value.dim() == 2 + words and len(value) == batch
            if not fits or (value.shape[1] < count if words else value.shape[1] != count):
                told = f"[{batch}, {count}{', words' if words else ''}]"
                raise ValueError(f"{name} must have shape {told}, not {list(value.shape)}")
        return batch, length + count

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Both masks as one, [B, T + P]."""
        given = given or {}
        seen, behind = given.get("visual_embeds"), given.get("visual_attention_mask")
        if mask is None and behind is None:
            return None
        text = self.text_mask(mask, given).bool()
        if seen is None:
            return text
        shown = text.new_ones(seen.shape[:2]) if behind is None else behind.bool()
        return torch.cat((text, shown), dim=1)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Text and regions -> [N, E], or [B, T + P, E] in a watched pass."""
        layout = Layout.dense(*self.text(given))
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        places = self.places(told, layout, 0)
        x = self._summed(node, told, Pass(Geometry(layout, places), Visibility(), eager, watched=True))
        if given.get("visual_embeds") is not None:
            x = torch.cat((x, self._regions(node, given)), dim=1)
        x = self._finished(node, x, pass_)
        return x if pass_.watched else pass_.layout.pack(x)

    def _regions(self, node: Any, given: Mapping[str, Any]) -> Tensor:
        """Projected, with the kind of each and where it stands: [B, P, E]."""
        projected: Tensor = leaf(node, "region")(given["visual_embeds"])
        kinds, words = given.get("visual_token_type_ids"), given.get("image_text_alignment")
        zeros = torch.zeros(projected.shape[:2], dtype=torch.long, device=projected.device)
        where = look_up(node, "region_position", zeros, "positions of regions")
        if words is not None:
            where = _mean_place(node, words)[:, : zeros.shape[1]] + where
        kinds = zeros + 1 if kinds is None else kinds
        return projected + where + look_up(node, "region_type", kinds, "visual_token_type_ids")


def _mean_place(node: Any, words: Tensor) -> Tensor:
    """The mean of the words' places, [B, P, A] -> [B, P, E]; zeros for a region that no word names."""
    named = words != -1
    table = look_up(node, "position", words * named, "image_text_alignment")
    total = (table * named[..., None]).sum(2)
    mean: Tensor = total / named.sum(2).clamp(min=1)[..., None].to(total.dtype)
    return mean
