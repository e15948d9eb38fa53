"""The stem of films: patches that reach over several frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.dropout import drop
from formers.nn.fresh import Sinusoids
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.stems.base import pixels_in
from formers.nn.stems.patches import PatchStem, stretched
from formers.nn.tree import has, leaf


@lru_cache(maxsize=8)
def waves(count: int, width: int) -> Tensor:
    """Sines and cosines in turns of so many places, [count, E], float32 (arXiv:1706.03762, section 3.5)."""
    with torch.device("cpu"):
        table = torch.empty(count, width)
        Sinusoids(closed=False, turns=True).fill_(table)
    return table


class TubeletStem(PatchStem):
    """See `spec.Tubelets`."""

    inputs: ClassVar = {
        "pixel_values": "[B, frames, channels, height, width], floating.",
        "bool_masked_pos": "[B, patches], bool, which patches are left out: as many of every film.",
        "interpolate_pos_encoding": "read images of another size than the model was trained on.",
    }

    def _projection(self) -> nn.Module:
        s = self.spec
        size = (s.depth, *s.patch)
        return nn.Conv3d(s.channels, s.width, size, stride=size, bias=s.bias)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many tokens and patches there are."""
        s, axes = self.spec, "[B, frames, channels, height, width]"
        films = pixels_in(given, axes, "a processor makes it from films")
        wanted, free = (s.frames, s.channels, *s.image), bool(given.get("interpolate_pos_encoding"))
        fits = films.dim() == 5 and tuple(films.shape[1:3]) == wanted[:2]
        if not fits or not (free or tuple(films.shape[3:]) == wanted[2:]):
            sizes = ", ".join(map(str, wanted))
            raise ValueError(f"pixel_values must have shape [B, {sizes}], not {list(films.shape)}")
        count = s.frames // s.depth * prod(s.grid_of(*films.shape[3:]))
        hidden = given.get("bool_masked_pos")
        if hidden is not None:
            left = count - hidden.sum(1)
            if tuple(hidden.shape) != (films.shape[0], count) or int(left.min()) != int(left.max()):
                raise ValueError(
                    f"bool_masked_pos has a place for each of {count} patches, and hides as many in every row"
                )
            count = int(left[0])
        return size(films.shape[0]), count + s.before

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, channels, height, width] -> [B, T, E]; flat rows where nobody looks."""
        s, films = self.spec, given["pixel_values"].to(leaf(node, "patch").weight.dtype)
        x = self._patches(node, films, pass_)
        if s.leads:
            x = torch.cat((*(leaf(node, role).expand(x.shape[0], 1, -1) for role in s.leads), x), dim=1)
        if s.waves:
            x = x + waves(s.count, s.width).to(x.device, x.dtype)
        else:
            x = x + self._table(node, films, bool(given.get("interpolate_pos_encoding")))
        hidden = given.get("bool_masked_pos")
        if hidden is not None:
            x = x[~hidden.bool()].view(x.shape[0], -1, x.shape[2])
        if has(node, "embedding_dropout"):
            x = leaf(node, "embedding_dropout")(x)
        elif s.dropout and node.training:
            x = drop(x, s.dropout)
        return x if pass_.watched else pass_.layout.pack(x)

    def _table(self, node: Any, images: Tensor, free: bool) -> Tensor:
        """Learned positions, [1, leads + patches, E], those of every frame stretched for another size."""
        s, table, first = self.spec, leaf(node, "position"), len(self.spec.leads)
        grid = s.grid_of(*images.shape[3:])
        if not free or grid == s.grid:
            found: Tensor = table
            return found
        each = table[0, first:].unflatten(0, (-1, s.grid[0] * s.grid[1]))  # [frames, patches, E]
        drawn = stretched(each, s.grid, grid)
        return torch.cat((table[:, :first], drawn.flatten(0, 1)[None]), dim=1)
