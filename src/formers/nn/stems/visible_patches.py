"""The stem of images of which most patches are hidden, and not computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn.dropout import drop
from formers.nn.grids import Grid
from formers.nn.passing import Pass
from formers.nn.stems.patches import PatchStem
from formers.nn.tree import leaf


class VisiblePatchStem(PatchStem):
    """See `spec.VisiblePatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, channels, height, width], floating.",
        "noise": "[B, patches], floating: patches of the lowest numbers stay; drawn where it is not given.",
        "interpolate_pos_encoding": "read images of another size than the model was trained on.",
    }

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many tokens and patches are left."""
        batch, count = super().shape(given)
        return batch, self.spec.before + self._left(count - self.spec.before)

    def _left(self, patches: int) -> int:
        return int(patches * (1 - self.spec.hidden))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, channels, height, width] -> [B, 1 + patches that are left, E]; flat rows where nobody looks.

        The pass holds, as `hidden`, which patches are hidden, [B, patches], 1 or 0, and where each stands
        when those that are left come first.
        """
        s, images = self.spec, given["pixel_values"].to(leaf(node, "patch").weight.dtype)
        table = self._table(node, images, bool(given.get("interpolate_pos_encoding")))
        x = self._patches(node, images, pass_) + table[:, s.before :]
        batch, count, width = x.shape
        pass_.memo.put("grid", Grid(*s.grid_of(*images.shape[2:])))
        noise = given.get("noise")
        if noise is None:
            noise = torch.rand(batch, count, device=x.device)
        elif tuple(noise.shape) != (batch, count):
            raise ValueError(f"noise has a number for every patch, {[batch, count]}, not {list(noise.shape)}")
        order, left = noise.argsort(dim=1).to(x.device), self._left(count)
        back = order.argsort(dim=1)
        pass_.memo.put("hidden", ((back >= left).float(), back))
        x = x.gather(1, order[:, :left, None].expand(-1, -1, width))
        first = (leaf(node, "class") + table[:, :1]).expand(batch, -1, -1)
        x = torch.cat((first, x), dim=1)
        x = drop(x, s.dropout) if s.dropout and node.training else x
        return x if pass_.watched else pass_.layout.pack(x)
