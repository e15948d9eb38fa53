"""The stem of pages whose picture a network reads: words with boxes, and rows of its map behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.dropout import Dropout
from formers.nn.fresh import Drawn
from formers.nn.layout import Layout
from formers.nn.leaves import norm
from formers.nn.nets.inference import folded
from formers.nn.nets.tree import NetNode, fill
from formers.nn.pages import ENTERED, PLACES, patch_places
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import maps_in, place_stem, want
from formers.nn.stems.document_pages import check_boxes, mask_of_both
from formers.nn.stems.tokens import TokenStem, look_up, of_boxes
from formers.nn.tree import Block, leaf, place, place_tensor, wiring
from formers.nn.watch import watched

_MAP = ("network", "map_projection", "map_norm", "map_dropout", "map_kind")
_SEEN = "image"


class DocumentMapStem(TokenStem):
    """See `spec.DocumentMaps`. Words are embedded with their padding."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        _SEEN: "[B, channels, height, width], 0 to 255, the page of each text; or what holds that as "
        "`tensor`.",
    }
    by_row = ()

    def place(self, owner: Block, names: Paths) -> None:
        """Register the words' leaves in a node of their own, and the picture's beside it."""
        s = self.spec
        want(names, *_MAP[: 4 + s.kind])
        text = {role: path for role, path in names.items() if role not in _MAP}
        self.node = place_stem(owner, TokenStem(s), text)[0]
        net = NetNode()
        fill(net, s.network)
        place(owner, "network", str(names["network"]), net)
        place(owner, "map_projection", str(names["map_projection"]), nn.Linear(s.map_width, s.width))
        if s.kind:
            zeros = torch.zeros(s.width)
            place_tensor(owner, "map_kind", str(names["map_kind"]), zeros, Drawn())
        place(owner, "map_norm", str(names["map_norm"]), norm(s.norm, s.width))
        place(owner, "map_dropout", str(names["map_dropout"]), Dropout(s.dropout))

    @property
    def _count(self) -> int:
        down, across = self.spec.grid
        return int(down * across)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are of both.

        Raises:
            TypeError: without pictures.
            ValueError: where there is not a page for each text, or not one that the network reads; for boxes
                that do not fit.
        """
        batch, length = super().shape(given)
        check_boxes(given.get("bbox"), batch, length)
        pages = self._pages(given)
        if len(pages) != batch:
            raise ValueError(f"there are {batch} texts and {len(pages)} pages: give one for each text")
        return batch, length + self._count

    def _pages(self, given: Mapping[str, Any]) -> Tensor:
        """The pictures, [B, channels, height, width]."""
        found = given.get(_SEEN)
        found = getattr(found, "tensor", found)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"the model reads the page of each text as {_SEEN}=, a tensor [B, {self.spec.channels}, "
                f"height, width], not {type(found).__name__}: the processor makes it, model(**inputs)"
            )
        pages, stride = maps_in({"pixel_values": found}, self.spec.channels, _SEEN), self.spec.stride
        if pages.shape[2] % stride or pages.shape[3] % stride:
            raise ValueError(
                f"{_SEEN} has sides of {list(pages.shape[2:])} pixels, which must be multiples of {stride}: "
                "the image processor makes them 224"
            )
        return pages

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The mask over words, [B, T], as one over both."""
        if mask is None or given is None:
            return mask
        return mask_of_both(mask, super().shape(given), self._count)

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Those of the words, and the picture's from 0 on, [1 or B, T + P].

        Raises:
            ValueError: for positions that are not those of the words.
        """
        batch, length = super().shape(given)
        text = super().positions(given, Layout.dense(batch, length), past, None)
        told = given.get("position_ids")
        if told is not None and (told.dim() != 2 or told.shape[1] != length or len(told) not in (1, batch)):
            raise ValueError(f"position_ids must have shape {[batch, length]}, not {list(told.shape)}")
        found = text if told is None else told
        own = torch.arange(self._count, device=found.device).expand(len(found), -1)
        return torch.cat((found, own), dim=1)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Words and page -> [N, E], or [B, T + P, E] in a watched pass."""
        batch, length = super().shape(given)
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        words = node._modules[self.node](**told)
        own = self._own(batch, words.device)
        rows = self._rows(node, self._pages(given), own)
        pass_.memo.put(ENTERED, rows)
        boxes = given.get("bbox")
        boxes = own.new_zeros(batch, length, 4) if boxes is None else boxes
        places = self.places(given, pass_.layout, 0)
        pass_.memo.put(PLACES, (places, torch.cat((boxes, own), dim=1)))
        x = torch.cat((words, rows), dim=1)
        return x if pass_.watched else pass_.layout.pack(x)

    def rows(self, node: Any, given: Mapping[str, Any]) -> Tensor:
        """What the page's picture gives the first layer, [B, P, E].

        Raises:
            TypeError: as `shape`.
            ValueError: likewise.
        """
        batch, _ = self.shape(given)
        pages = self._pages(given)
        return self._rows(node, pages, self._own(batch, pages.device))

    def _own(self, batch: int, device: torch.device) -> Tensor:
        """Boxes of the map's places, [B, P, 4]."""
        down, across = self.spec.grid
        found = patch_places(down, across, self.spec.page, device)[1:]  # without that of all
        return found.expand(batch, -1, -1)

    def _rows(self, node: Any, pages: Tensor, own: Tensor) -> Tensor:
        """Pictures [B, channels, height, width], and the boxes of their rows [B, P, 4] -> [B, P, E]."""
        projection, text = leaf(node, "map_projection"), node._modules[self.node]
        x = projection(self._seen(leaf(node, "network"), pages.to(projection.weight.dtype)))
        numbers = torch.arange(self._count, device=x.device).expand(len(own), -1)
        x = x + look_up(text, "position", numbers, "positions of the picture")
        x = x + of_boxes(self.spec, text, own, numbers)
        if self.spec.kind:
            x = x + leaf(node, "map_kind")
        rows: Tensor = leaf(node, "map_dropout")(leaf(node, "map_norm")(x))
        return rows

    def _seen(self, net: Any, pages: Tensor) -> Tensor:
        """What the network makes, [B, P, C]; by fewer steps where nobody looks and no gradient is wanted."""
        ours = isinstance(net, NetNode) and not net._forward_hooks and not net._forward_pre_hooks
        plain = ours and not (torch.is_grad_enabled() or torch.is_autocast_enabled(pages.device.type))
        if plain and not watched(net):
            swift = folded(net, wiring(net).facts["run"])
            if swift.fits:
                return swift(pages, None).contiguous()
        found: Tensor = net(pages)
        return found
