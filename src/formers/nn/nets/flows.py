"""Invertible steps from noise to spectrograms and durations. See `spec.speech_synthesis`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, begins
from formers.nn.leaves import fan_in_conv
from formers.nn.nets.vocoder import around
from formers.nn.nets.weight_norm import NormedConv1d
from formers.nn.spec.speech_synthesis import Gated, Separable, SplineFlow

_LEAST = 1e-3  # of widths, heights and slopes of a spline


class GatedConvolutions(nn.Module):
    """See `spec.speech_synthesis.Gated`."""

    row_wise = True

    def __init__(self, s: Gated) -> None:
        super().__init__()
        self.spec = s
        self.in_layers, self.res_skip_layers = nn.ModuleList(), nn.ModuleList()
        self.dropout = Dropout(s.dropout)
        if s.speaker:
            self.cond_layer = NormedConv1d(s.speaker, 2 * s.width * s.layers, 1)
        for i in range(s.layers):
            wide, far = 2 * s.width, s.dilation**i
            self.in_layers.append(NormedConv1d(s.width, wide, s.kernel, far, around(s.kernel, far)))
            self.res_skip_layers.append(NormedConv1d(s.width, wide if i < s.layers - 1 else s.width, 1))

    def forward(self, inputs: Tensor, padding_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """[B, C, T], 1 at real places [B, 1, T], and vectors of speakers [B or 1, G, 1] -> [B, C, T]."""
        x, total, told = inputs, torch.zeros_like(inputs), None
        if speaker is not None:
            told = self.cond_layer(speaker).chunk(self.spec.layers, dim=1)
        both = zip(self.in_layers, self.res_skip_layers, strict=True)
        for i, (read, leave) in enumerate(both):
            found = read(x) if told is None else read(x) + told[i]
            made, gate = found.chunk(2, dim=1)
            found = leave(self.dropout(torch.tanh(made) * torch.sigmoid(gate)))
            if i < self.spec.layers - 1:
                x = (x + found[:, : self.spec.width]) * padding_mask
                found = found[:, self.spec.width :]
            total = total + found
        return total * padding_mask


class Coupling(nn.Module):
    """The first half of the channels says what is added to the second, or here, taken from it."""

    row_wise = True

    def __init__(self, channels: int, s: Gated) -> None:
        super().__init__()
        half = channels // 2
        self.conv_pre = fan_in_conv(half, s.width, 1)
        self.wavenet = GatedConvolutions(s)
        self.conv_post = fan_in_conv(s.width, half, 1)

    def forward(self, inputs: Tensor, padding_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T], from noise to spectrogram."""
        first, second = inputs.chunk(2, dim=1)
        x = self.wavenet(self.conv_pre(first) * padding_mask, padding_mask, speaker)
        mean = self.conv_post(x) * padding_mask
        return torch.cat((first, (second - mean) * padding_mask), dim=1)


class CouplingFlow(nn.Module):
    """Such steps from the last to the first, before each of which channels are turned round."""

    row_wise = True

    def __init__(self, channels: int, steps: int, s: Gated) -> None:
        super().__init__()
        self.flows = nn.ModuleList(Coupling(channels, s) for _ in range(steps))

    def forward(self, inputs: Tensor, padding_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T], from noise to spectrogram."""
        x = inputs
        for step in reversed(self.flows):
            x = step(x.flip(1), padding_mask, speaker)
        return x


class SeparableConvolutions(nn.Module):
    """See `spec.speech_synthesis.Separable`."""

    row_wise = True

    def __init__(self, s: Separable, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.convs_dilated, self.convs_pointwise = nn.ModuleList(), nn.ModuleList()
        for i in range(s.layers):
            far = s.kernel**i
            apart = fan_in_conv(s.width, s.width, s.kernel, far, s.width, padding=around(s.kernel, far))
            self.convs_dilated.append(apart)
            self.convs_pointwise.append(fan_in_conv(s.width, s.width, 1))
        self.norms_1 = nn.ModuleList(nn.LayerNorm(s.width) for _ in range(s.layers))
        self.norms_2 = nn.ModuleList(nn.LayerNorm(s.width) for _ in range(s.layers))

    def forward(self, inputs: Tensor, padding_mask: Tensor, told: Tensor | None = None) -> Tensor:
        """[B, C, T], 1 at real places [B, 1, T], and what is added first [B, C, T] -> [B, C, T]."""
        x = inputs if told is None else inputs + told
        steps = zip(self.convs_dilated, self.norms_1, self.convs_pointwise, self.norms_2, strict=True)
        for apart, first, across, second in steps:
            found = F.gelu(_over_channels(first, apart(x * padding_mask)))
            x = x + self.dropout(F.gelu(_over_channels(second, across(found))))
        return x * padding_mask


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = norm(x.transpose(1, 2)).transpose(1, 2)
    return found


class SplineStep(nn.Module):
    """The first half of the channels says by which spline the second is bent, or here, bent back."""

    row_wise = True

    def __init__(self, s: SplineFlow) -> None:
        super().__init__()
        self.spec, half, width = s, s.channels // 2, s.separable.width
        self.conv_pre = fan_in_conv(half, width, 1)
        self.conv_dds = SeparableConvolutions(s.separable)
        self.conv_proj = fan_in_conv(width, half * (3 * s.bins - 1), 1)

    def forward(self, inputs: Tensor, padding_mask: Tensor, told: Tensor | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T], from noise to durations."""
        bins, bound = self.spec.bins, self.spec.bound
        first, second = inputs.chunk(2, dim=1)
        x = self.conv_dds(self.conv_pre(first), padding_mask, told)
        x = self.conv_proj(x) * padding_mask
        batch, half, length = first.shape
        x = x.view(batch, half, -1, length).transpose(2, 3)  # [B, C / 2, T, 3 bins - 1]
        widths, heights, slopes = x.split((bins, bins, bins - 1), dim=-1)
        scale = math.sqrt(self.spec.separable.width)
        inside = (second >= -bound) & (second <= bound)
        bent = unbend(second.clamp(-bound, bound), widths / scale, heights / scale, slopes, bound)
        return torch.cat((first, torch.where(inside, bent, second)), dim=1) * padding_mask


def _edges(told: Tensor, bound: float) -> Tensor:
    """Where bins begin and end, [.., bins + 1], of logits [.., bins]."""
    count = told.shape[-1]
    shares = _LEAST + (1 - _LEAST * count) * told.softmax(-1)
    inner = F.pad(shares.cumsum(-1)[..., :-1], (1, 0)) * (2 * bound) - bound
    return F.pad(inner, (0, 1), value=bound)


def unbend(y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> Tensor:
    """What a rational quadratic spline maps to `y` (Durkan et al. 2019, arXiv:1906.04032, section 3.1).

    Args:
        y: [..], from -bound to bound.
        widths: [.., bins], logits of the shares of the range that the bins have.
        heights: [.., bins], likewise of what they are mapped to.
        slopes: [.., bins - 1], before a softplus, between the bins; at the ends the slope is one.
        bound: half the range.

    Returns:
        [..], from -bound to bound.
    """
    from_, to = _edges(widths, bound), _edges(heights, bound)
    ends = math.log(math.exp(1 - _LEAST) - 1)
    slope = _LEAST + F.softplus(F.pad(slopes, (1, 1), value=ends))  # [.., bins + 1]
    place = (torch.searchsorted(to.contiguous(), y[..., None].contiguous(), right=True) - 1).clamp(
        0, widths.shape[-1] - 1
    )

    def at(table: Tensor) -> Tensor:
        return table.gather(-1, place)[..., 0]

    wide, high = at(from_.diff(dim=-1)), at(to.diff(dim=-1))
    mean, left, right = high / wide, at(slope[..., :-1]), at(slope[..., 1:])
    above, more = y - at(to[..., :-1]), left + right - 2 * mean
    # the root of a quadratic equation, in the form that loses no digits
    a = high * (mean - left) + above * more
    b = high * left - above * more
    c = -mean * above
    root = 2 * c / (-b - torch.sqrt((b * b - 4 * a * c).clamp(min=0.0)))
    return root * wide + at(from_[..., :-1])


class Affine(nn.Module):
    """A shift and a scale for each channel, or here, back."""

    row_wise = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.translate = nn.Parameter(torch.zeros(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))
        begins(self, translate=Constant(0.0), log_scale=Constant(0.0))

    def forward(self, inputs: Tensor, padding_mask: Tensor, told: Tensor | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T], from noise to durations."""
        return (inputs - self.translate) * torch.exp(-self.log_scale) * padding_mask
