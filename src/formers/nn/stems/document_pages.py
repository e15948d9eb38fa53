"""The stem of pages: words with boxes, and patches of the picture behind them. See `spec.DocumentPages`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.layout import Layout
from formers.nn.leaves import norm
from formers.nn.pages import PLACES, patch_places
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import place_stem, want
from formers.nn.stems.patches import PatchStem
from formers.nn.stems.tokens import TokenStem
from formers.nn.tree import Block, leaf, place

_PICTURE = "picture_"


class DocumentPageStem(TokenStem):
    """Words are embedded with their padding; either may be missing."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        "pixel_values": "[B, channels, height, width], floating, the page of each text, or pages alone.",
    }
    by_row = ()

    def place(self, owner: Block, names: Paths) -> None:
        """Register the words' leaves in a node of their own, and the picture's beside it."""
        s = self.spec
        beside = {role for role in names if role.startswith((_PICTURE, "both_"))}
        text = {role: path for role, path in names.items() if role not in beside}
        self.node = place_stem(owner, TokenStem(s), text)[0]
        if s.picture is None:
            return
        want(names, "picture_norm", "both_norm", "both_dropout")
        self._pages = PatchStem(s.picture)
        mine = {role.removeprefix(_PICTURE): str(names[role]) for role in beside - {"picture_norm"}}
        self._pages.place(owner, {role: path for role, path in mine.items() if not role.startswith("both_")})
        place(owner, "both_norm", str(names["both_norm"]), norm(s.norm, s.width))
        place(owner, "both_dropout", str(names["both_dropout"]), Dropout(s.dropout))
        place(owner, "picture_norm", str(names["picture_norm"]), norm(s.picture_norm, s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are of both.

        Raises:
            ValueError: for a picture that is not read, or not one for each text; for boxes that do not fit.
        """
        pixels = given.get("pixel_values")
        if pixels is not None and self.spec.picture is None:
            raise ValueError("this model reads no pictures (visual_embed is off): leave pixel_values out")
        batch, length = self._words(given)
        check_boxes(given.get("bbox"), batch, length)
        if pixels is None:
            return batch, length
        count, patches = self._pages.shape(given)
        if count != batch:
            raise ValueError(f"there are {batch} texts and {count} pages: give one for each text")
        return batch, length + patches

    def _words(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many words' tokens there are."""
        if not self._reads_words(given) and given.get("pixel_values") is not None:
            return len(given["pixel_values"]), 0
        return super().shape(given)

    @staticmethod
    def _reads_words(given: Mapping[str, Any]) -> bool:
        return given.get("input_ids") is not None or given.get("inputs_embeds") is not None

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The mask over words, [B, T], as one over both."""
        if mask is None or given is None or given.get("pixel_values") is None:
            return mask
        return mask_of_both(mask, self._words(given), self._pages.shape(given)[1])

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Those of the words, [1 or B, T + P]; patches have places of their own, and get zeros."""
        batch, length = self._words(given)
        if not length:
            return torch.zeros(1, layout.length, dtype=torch.long, device=given["pixel_values"].device)
        found = super().places(given, Layout.dense(batch, length), past, None)
        return F.pad(found, (0, layout.length - length))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Words and page -> [N, E], or [B, T + P, E] in a watched pass."""
        batch, length = self._words(given)
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        parts, pixels, boxes = [], given.get("pixel_values"), given.get("bbox")
        if length:
            parts.append(node._modules[self.node](**told))
        device = parts[0].device if pixels is None else pixels.device
        numbers = torch.arange(length, device=device)
        boxes = torch.zeros(batch, length, 4, dtype=torch.long, device=device) if boxes is None else boxes
        if pixels is not None:
            count = self._pages.shape(given)[1]
            rows = self._pages.run(node, {"pixel_values": pixels}, pass_.over(count, None))
            parts.append(leaf(node, "picture_norm")(rows.reshape(batch, count, -1)))
            picture: spec.Patches = self.spec.picture
            own = patch_places(*picture.grid, self.spec.page, device)
            numbers = torch.cat((numbers, torch.arange(count, device=device)))
            boxes = torch.cat((boxes, own.expand(batch, -1, -1)), dim=1)
        x = torch.cat(parts, dim=1)
        if pixels is not None:
            x = leaf(node, "both_dropout")(leaf(node, "both_norm")(x))
        pass_.memo.put(PLACES, (numbers[None], boxes))
        return x if pass_.watched else pass_.layout.pack(x)


def check_boxes(boxes: Any, batch: int, length: int) -> None:
    """Refuse what is no box for every token.

    Raises:
        ValueError: says what was passed.
    """
    if boxes is not None and (not isinstance(boxes, Tensor) or boxes.shape != (batch, length, 4)):
        found = list(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
        raise ValueError(f"bbox must have shape {[batch, length, 4]}, a box for every token, not {found}")


def mask_of_both(mask: Any, text: tuple[int, int], count: int) -> Tensor:
    """The mask over words, [B, T], as one over these and `count` rows of the page.

    Raises:
        ValueError: for another shape.
    """
    if not isinstance(mask, Tensor) or tuple(mask.shape) != text:
        found = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"beside a page attention_mask must have shape {list(text)}, not {found}")
    return F.pad(mask.bool(), (0, count), value=True)
