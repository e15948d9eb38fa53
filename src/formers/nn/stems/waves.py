"""The stem of waves: convolutions along time, and a projection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.fresh import Normal, Uniform, begins
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.stems.frames import chosen_spans
from formers.nn.stems.wave_rows import read_rows, reads_rows
from formers.nn.tree import Block, has, leaf, place, place_tensor


class WaveStep(nn.Module):
    """A convolution, a norm where there is one (over time, or over features), and an activation."""

    def __init__(self, s: spec.Waves, index: int) -> None:
        super().__init__()
        before, width, kernel = s.widths[index - 1] if index else 1, s.widths[index], s.kernels[index]
        conv = nn.Conv1d(before, width, kernel, stride=s.strides[index], bias=s.bias)
        self.conv = begins(conv, weight=Normal(math.sqrt(2 / (before * kernel))))
        if s.bias:
            begins(conv, bias=Uniform(math.sqrt(1 / (before * kernel))))
        if s.each:
            self.layer_norm: nn.Module | None = nn.LayerNorm(width)
        elif not index:
            self.layer_norm = nn.GroupNorm(width, width)
        self.activation = Activation(s.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        x = self.conv(x)
        norm = self._modules.get("layer_norm")
        if isinstance(norm, nn.LayerNorm):
            x = norm(x.transpose(1, 2)).transpose(1, 2)
        elif norm is not None:
            x = norm(x)
        found: Tensor = self.activation(x)
        return found


class WaveReader(nn.Module):
    """The convolutions, one after the other: [B, T] -> [B, C, T']."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.Waves) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(WaveStep(s, index) for index in range(len(s.widths)))

    def forward(self, input_values: Tensor) -> Tensor:
        """Read samples."""
        x = input_values[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x


class WaveProjection(nn.Module):
    """A norm and a linear layer; if it tells what it read, it returns both."""

    row_wise = True

    def __init__(self, s: spec.Waves) -> None:
        super().__init__()
        bound = math.sqrt(1 / s.widths[-1])
        if s.normed:
            self.layer_norm = nn.LayerNorm(s.widths[-1], eps=s.eps)
        made = nn.Linear(s.widths[-1], s.width)
        self.projection = begins(made, weight=Uniform(bound), bias=Uniform(bound))
        self.dropout = Dropout(s.dropout)
        self.tells = s.tells

    def forward(self, hidden_states: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[B, T, C] -> [B, T, E], and the normed [B, T, C]."""
        norm = self._modules.get("layer_norm")
        normed = hidden_states if norm is None else norm(hidden_states)
        found: Tensor = self.dropout(self.projection(normed))
        return (found, normed) if self.tells else found


def sounds_in(given: Mapping[str, Any], s: spec.Waves | spec.RawSamples) -> tuple[int, int]:
    """How many sounds there are, and the rows that convolutions make of their samples.

    Raises:
        TypeError: for what is no floating tensor.
        ValueError: for another shape, and sounds of which no row is made.
    """
    sound = given.get("input_values")
    if not isinstance(sound, Tensor) or not sound.is_floating_point():
        raise TypeError(
            f"the model reads input_values as a floating tensor [B, samples], not "
            f"{getattr(sound, 'dtype', type(sound).__name__)}: a feature extractor makes it from sounds"
        )
    if sound.dim() != 2:
        raise ValueError(f"input_values must have shape [B, samples], not {list(sound.shape)}")
    least = 1
    for kernel, stride in zip(reversed(s.kernels), reversed(s.strides), strict=True):
        least = (least - 1) * stride + kernel
    if sound.shape[1] < least:
        raise ValueError(
            f"input_values hold {sound.shape[1]} samples, but the model makes a row of {least}: pad them"
        )
    return size(sound.shape[0]), size(s.rows(sound.shape[1]))


class WaveStem(Stem):
    """See `spec.Waves`."""

    inputs: ClassVar = {
        "input_values": "[B, samples], floating: sounds, as a feature extractor prepares them.",
        "attention_mask": "[B, samples], 1 at real samples.",
        "mask_time_indices": "[B, T], bool, which rows are hidden; in training they are drawn.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the modules."""
        s: spec.Waves = self.spec
        if s.kernels:
            want(names, "features")
            place(owner, "features", str(names["features"]), WaveReader(s))
        if s.apart:
            self._place_apart(owner, names)
        elif s.projected:
            place(owner, "features_projection", str(names["features_projection"]), WaveProjection(s))
        if s.masked:
            place_tensor(owner, "mask", str(names["mask"]), torch.empty(s.width), Uniform(1.0, 0.0))

    def _place_apart(self, owner: Block, names: Paths) -> None:
        s: spec.Waves = self.spec
        place(owner, "features_norm", str(names["features_norm"]), nn.LayerNorm(s.widths[-1], eps=s.eps))
        if s.widths[-1] != s.width:
            made = nn.Linear(s.widths[-1], s.width)
            place(owner, "features_projection", str(names["features_projection"]), made)
        place(owner, "features_dropout", str(names["features_dropout"]), Dropout(s.dropout))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and the rows that the samples make."""
        return sounds_in(given, self.spec)

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Which rows real samples make, [B, T]; sounds end where the mask does."""
        if mask is None or given is None:
            return mask
        sound = given["input_values"]
        if not isinstance(mask, Tensor) or mask.shape != sound.shape:
            shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(
                f"attention_mask must have shape {list(sound.shape)}, an entry for each sample, not {shape}"
            )
        counts = self.spec.rows(mask.long().sum(1)).clamp(min=1)
        return torch.arange(self.spec.rows(sound.shape[1]), device=mask.device) < counts[:, None]

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: nothing is looked up."""
        return torch.arange(layout.length, device=given[self.spec.reads].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, samples] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.Waves = self.spec
        x = self._features(node, given, pass_.watched)
        if s.apart:
            for role in ("features_norm", "features_projection", "features_dropout"):
                x = leaf(node, role)(x) if has(node, role) else x
        elif s.projected:
            x = leaf(node, "features_projection")(x)
            if s.tells:
                x, normed = x
                pass_.memo.put("features", normed)
        x = self._hidden(node, x, given.get("mask_time_indices"), pass_)
        return x if pass_.watched else pass_.layout.pack(x)

    def _features(self, node: Any, given: Mapping[str, Any], watched: bool) -> Tensor:
        """What the convolutions make, [B, T, C]."""
        features: Any = leaf(node, "features")
        sound = given["input_values"].to(next(features.parameters()).dtype)
        if type(features) is WaveReader and not watched and reads_rows(features.conv_layers, sound):
            return read_rows(features.conv_layers, sound)
        found: Tensor = features(sound).transpose(1, 2)
        return found

    def _hidden(self, node: Any, x: Tensor, told: Tensor | None, pass_: Pass) -> Tensor:
        """Rows and features with spans of them hidden."""
        s: spec.Waves = self.spec
        training, real = node.training, None
        if told is None and training and s.hidden is not None:
            if pass_.visibility.real is not None:
                real = pass_.visibility.real.sum(1)
            elif pass_.layout.index is not None:
                real = pass_.layout.unpack(pass_.layout.pack(torch.ones_like(x[..., 0])[..., None])).sum(1)[
                    :, 0
                ]
            told = chosen_spans(s.hidden, len(x), x.shape[1], real)
        if told is not None and s.masked and (s.hidden is not None or s.hidden_features is not None):
            x = torch.where(told.to(x.device).bool()[..., None], leaf(node, "mask").to(x.dtype), x)
        if training and s.hidden_features is not None:
            spans = chosen_spans(s.hidden_features, len(x), s.width)
            x = x.masked_fill(spans.to(x.device)[:, None], 0)
        return x


class BandStem(WaveStem):
    """See `spec.Bands`."""

    inputs: ClassVar = {
        "input_features": "[B, T, bands], floating: frames, as a feature extractor prepares them.",
        "attention_mask": "[B, T], 1 at real frames.",
        "mask_time_indices": "[B, T], bool, which rows are hidden; in training they are drawn.",
    }

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T."""
        s: spec.Bands = self.spec
        bands = given.get("input_features")
        if not isinstance(bands, Tensor) or not bands.is_floating_point():
            raise TypeError(
                f"the model reads input_features as a floating tensor [B, T, {s.widths[0]}], not "
                f"{getattr(bands, 'dtype', type(bands).__name__)}: a feature extractor makes it from sounds"
            )
        if bands.dim() != 3 or bands.shape[2] != s.widths[0] or not bands.shape[1]:
            raise ValueError(f"input_features must have shape [B, T, {s.widths[0]}], not {list(bands.shape)}")
        return size(bands.shape[0]), size(bands.shape[1])

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The mask itself; whatever it hides lies behind the sound."""
        return mask

    def _features(self, node: Any, given: Mapping[str, Any], watched: bool) -> Tensor:
        found: Tensor = given["input_features"]
        return found.to(leaf(node, "features_projection").projection.weight.dtype)
