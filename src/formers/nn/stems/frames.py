"""The stem of sounds: frames of a spectrum, read by convolutions along time and told where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import activation
from formers.nn.dropout import drop
from formers.nn.fresh import Sinusoids, begins
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.tree import Block, leaf, place


class FrameStem(Stem):
    """See `spec.Frames`."""

    inputs: ClassVar = {
        "input_features": "[B, bins, frames], floating: the spectrum of a sound.",
        "attention_mask": "[B, frames], 1 at real frames. All are read, silence too; spans that training "
        "hides are chosen among the real ones. Where the family reads no silence: over the rows, [B, T].",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the convolutions and the positions."""
        s: spec.Frames = self.spec
        roles = [f"conv_{i}" for i in range(len(s.strides))]
        want(names, *roles, "position")
        widths = [s.bins, *(s.width for _ in roles)]
        for role, stride, width in zip(roles, s.strides, widths, strict=False):
            made = nn.Conv1d(width, s.width, s.kernel, stride=stride, padding=s.kernel // 2)
            place(owner, role, str(names[role]), made)
        table = begins(nn.Embedding(s.count, s.width), weight=Sinusoids())
        place(owner, "position", str(names["position"]), table.requires_grad_(False))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and the rows that every input gives."""
        s: spec.Frames = self.spec
        frames = given.get("input_features")
        if not isinstance(frames, Tensor):
            raise TypeError(
                f"the model reads input_features as a tensor [B, {s.bins}, {s.length}], not "
                f"{type(frames).__name__}: a feature extractor makes it from sounds"
            )
        if frames.dim() != 3 or tuple(frames.shape[1:]) != (s.bins, s.length):
            raise ValueError(
                f"input_features must have shape [B, {s.bins}, {s.length}], not {list(frames.shape)}: pad or "
                f"cut sounds to {s.length} frames, as the model's feature extractor does"
            )
        return size(frames.shape[0]), s.count

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """None: a mask over frames says where sound ends, and what follows is read as silence."""
        if self.spec.masked:
            return mask
        length = self.spec.length
        if mask is not None and (not isinstance(mask, Tensor) or mask.dim() != 2 or mask.shape[1] != length):
            shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(
                f"attention_mask must have shape [B, {length}], one entry for every frame, but has {shape}"
            )

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: the table is added here, not looked up."""
        return torch.arange(layout.length, device=given["input_features"].device)[None]

    def trained_on(self, given: dict[str, Any]) -> dict[str, Any]:
        """Frames with spans of them, and of their bins, silenced."""
        s: spec.Frames = self.spec
        self.shape(given)
        frames, mask = given["input_features"], given.get("attention_mask")
        self.rows_mask(mask)
        if s.hidden is not None:
            real = None if mask is None else mask.sum(-1)
            spans = chosen_spans(s.hidden, len(frames), s.length, real)  # [B, frames]
            frames = frames.masked_fill(spans.to(frames.device)[:, None], 0)
        if s.hidden_bins is not None:
            spans = chosen_spans(s.hidden_bins, len(frames), s.bins)  # [B, bins]
            frames = frames.masked_fill(spans.to(frames.device)[..., None], 0)
        return {**given, "input_features": frames}

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, bins, frames] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.Frames = self.spec
        act = activation(s.activation)
        x = given["input_features"].to(leaf(node, "conv_0").weight.dtype)
        for i in range(len(s.strides)):
            x = act(leaf(node, f"conv_{i}")(x))
        x = x.transpose(1, 2) + leaf(node, "position")(pass_.range(0, s.count))
        x = drop(x, s.dropout) if s.dropout and node.training else x
        return x if pass_.watched else pass_.layout.pack(x)


def chosen_spans(s: spec.Spans, rows: int, length: int, real: Tensor | None = None) -> Tensor:
    """Which places of an axis are hidden: [B, length], bool.

    Spans begin at different places, drawn from torch's default generator, and may overlap. Their number is
    rounded up or down by chance, so that `share` is kept on average.

    Args:
        s: how many, and how long.
        rows: B.
        length: of the axis.
        real: [B], places that count, from the first on; all where None.

    Raises:
        ValueError: for spans that are longer than the axis, or have no length.
    """
    if not 1 <= s.length <= length:
        raise ValueError(
            f"spans that are hidden in training must be 1 to {length} long, as the axis is, not {s.length}: "
            f"set mask_time_length (mask_feature_length for bins) in the config"
        )
    real = torch.full((rows,), length) if real is None else real.cpu()
    starts = (real - s.length + 1).clamp(min=0)  # [B], where a span may begin
    count = (real * s.share / s.length + torch.rand(())).long()
    count = count.clamp(min=s.least).clamp(max=length // s.length).minimum(starts)  # [B]
    drawn = torch.rand(rows, length).masked_fill(torch.arange(length) >= starts[:, None], 2.0)
    begins_here = drawn.argsort(1).argsort(1) < count[:, None]
    begun = begins_here.long().cumsum(1)
    over = nn.functional.pad(begun, (s.length, 0))[:, :length]
    return begun > over
