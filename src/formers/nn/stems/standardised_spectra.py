"""The stem of spectra whose numbers are standardised, and of which long ones are cut into spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant, begins
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import recording, size
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.subsampled_spectra import SpectrumStem
from formers.nn.tree import Block, leaf, place

MASK = "mask"


class Standardise(nn.Module):
    """Numbers less their mean, over their deviation, both fixed."""

    row_wise = True
    global_mean: Tensor
    global_invstd: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.register_buffer("global_mean", torch.zeros(bins))
        self.register_buffer("global_invstd", torch.ones(bins))
        begins(self, global_mean=Constant(0.0), global_invstd=Constant(1.0))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, frames, bins] -> the same."""
        found: Tensor = (hidden_states - self.global_mean) * self.global_invstd
        return found


class StridedProjection(nn.Module):
    """Convolutions over time and bins in steps, and a linear layer."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.StandardisedSpectra) -> None:
        super().__init__()
        reach = s.kernel, s.stride, (s.kernel - 1) // 2
        self.act_fn = Activation(s.activation)  # one for all
        layers: list[nn.Module] = [nn.Conv2d(1, s.channels, *reach), self.act_fn]
        for _ in range(s.count - 1):
            layers.append(nn.Conv2d(s.channels, s.channels, *reach, groups=s.channels))
            layers += [nn.Conv2d(s.channels, s.channels, 1), self.act_fn]
        self.conv = nn.Sequential(*layers)
        self.out = nn.Linear(s.channels * s.rows(s.bins), s.width)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, frames, bins] -> [B, T, E]."""
        found: Tensor = self.out(self.conv(hidden_states[:, None]).transpose(1, 2).flatten(2))
        return found


class StandardisedStem(SpectrumStem):
    """See `spec.StandardisedSpectra`."""

    reads_mask = True
    inputs: ClassVar = {
        "hidden_states": "[B, frames, bins], floating: the spectrum of a sound, as long as it is.",
        MASK: "[B, frames], 1 at real frames.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register both modules."""
        want(names, "standard", "strided")
        place(owner, "standard", str(names["standard"]), Standardise(self.spec.bins))
        place(owner, "strided", str(names["strided"]), StridedProjection(self.spec))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """As many sequences as there are spans, and the rows of one."""
        batch, rows = super().shape(given)
        count, length = self.spec.spans(rows)
        return size(batch * count), length

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """None: padding is read."""
        super().rows_mask(mask, given)  # one that does not fit is refused

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: the layers read distances."""
        return torch.arange(layout.length, device=given[self.spec.reads].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, bins] -> [B * spans, T, E], zeros behind the last; flat rows where nobody looks."""
        read, mask = leaf(node, "strided"), given.get(MASK)
        x = read(leaf(node, "standard")(given[self.spec.reads].to(next(read.parameters()).dtype)))
        real = None if mask is None else self._cut(super().rows_mask(mask, given))
        if real is not None and (recording() or not bool(real.all())):
            pass_.memo.put(spec.REAL_ROWS, real)
        x = self._cut(x)
        return x if pass_.watched else pass_.layout.pack(x)

    def _cut(self, rows: Tensor) -> Tensor:
        """[B, T, ..] as spans, [B * spans, S, ..], zeros behind the last."""
        count, length = self.spec.spans(rows.shape[1])
        behind = (0, 0) * (rows.dim() - 2) + (0, count * length - rows.shape[1])
        return F.pad(rows, behind).reshape(len(rows) * count, length, *rows.shape[2:])
