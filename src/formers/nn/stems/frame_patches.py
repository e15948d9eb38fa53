"""The stem of films whose frames are cut into patches one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import pixels_in, want
from formers.nn.stems.patches import PatchStem
from formers.nn.tree import Block, leaf, place, place_tensor


class FramePatchStem(PatchStem):
    """See `spec.Films`."""

    inputs: ClassVar = {"pixel_values": "[B, frames, channels, height, width], floating, of any size."}

    def place(self, owner: Block, names: Paths) -> None:
        """Register what images have, and the vectors of frames."""
        super().place(owner, names)
        if not self.spec.apart:
            want(names, "time", "time_dropout")
            table = torch.zeros(1, self.spec.frames, self.spec.width)
            place_tensor(owner, "time", str(names["time"]), table, Constant(0.0))
            place(owner, "time_dropout", str(names["time_dropout"]), Dropout(self.spec.dropout))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, or B * frames, and how many tokens and patches there are."""
        s, axes = self.spec, "[B, frames, channels, height, width]"
        films = pixels_in(given, axes, "a processor makes it from films")
        if films.dim() != 5 or films.shape[2] != s.channels or not films.shape[1]:
            raise ValueError(
                f"pixel_values must have shape [B, frames, {s.channels}, height, width], "
                f"not {list(films.shape)}"
            )
        count = (films.shape[3] // s.patch[0]) * (films.shape[4] // s.patch[1])
        if not count:
            raise ValueError(f"pixel_values {list(films.shape)} are smaller than a patch, {list(s.patch)}")
        batch, frames = films.shape[:2]
        return (batch * frames, 1 + count) if s.apart else (batch, 1 + count * frames)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, channels, height, width] -> [B, 1 + P * T, E]; flat rows where nobody looks."""
        films = given["pixel_values"].to(leaf(node, "patch").weight.dtype)
        pass_.memo.put("frames", films.shape[1])
        x = self._patches(node, films, pass_)  # [B * T, P, E]
        x = torch.cat((leaf(node, "class").expand(x.shape[0], -1, -1), x), dim=1)
        x = leaf(node, "embedding_dropout")(x + self._table(node, films.flatten(0, 1), True))
        x = x if self.spec.apart else _in_time(node, x, films.shape[1])
        return x if pass_.watched else pass_.layout.pack(x)


def _in_time(node: Any, x: Tensor, frames: int) -> Tensor:
    """[B * T, 1 + P, E] -> [B, 1 + P * T, E]: patches are told their frame."""
    table: Tensor = leaf(node, "time")
    if frames != table.shape[1]:
        table = F.interpolate(table.transpose(1, 2), frames, mode="nearest").transpose(1, 2)
    x = x.view(-1, frames, *x.shape[1:])  # [B, T, 1 + P, E]
    each = x[:, :, 1:].transpose(1, 2)  # [B, P, T, E]
    told = leaf(node, "time_dropout")(each.flatten(0, 1) + table)
    return torch.cat((x[:, 0, :1], told.reshape(x.shape[0], -1, x.shape[-1])), dim=1)
