"""Waves of spectrograms. See `spec.speech_synthesis.Vocoder`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.leaves import fan_in_conv, spread_by_fan_in
from formers.nn.spec.speech_synthesis import Vocoder

Conv = Callable[..., nn.Conv1d]


def around(kernel: int, dilation: int = 1) -> int:
    """Zeros on each side with which a convolution keeps the length."""
    return (kernel - 1) * dilation // 2


class VocoderBlock(nn.Module):
    """Pairs of convolutions, dilated and plain, each pair added to what it reads."""

    row_wise = True  # it is called with whole maps

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.convs1 = nn.ModuleList(
            fan_in_conv(width, width, kernel, d, padding=around(kernel, d)) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            fan_in_conv(width, width, kernel, padding=around(kernel)) for _ in dilations
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        x = hidden_states
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            found = plain(F.leaky_relu(dilated(F.leaky_relu(x, self.slope)), self.slope))
            x = found + x
        return x


class WaveMaker(nn.Module):
    """The whole vocoder."""

    row_wise = True  # it is called with whole spectrograms

    def __init__(self, s: Vocoder) -> None:
        super().__init__()
        self.spec = s
        widths = [s.width // 2**i for i in range(len(s.rates) + 1)]
        self.conv_pre = fan_in_conv(s.read, s.width, 7, padding=3)
        self.upsampler = nn.ModuleList()
        for read, made, rate, kernel in zip(widths, widths[1:], s.rates, s.kernels, strict=False):
            longer = nn.ConvTranspose1d(read, made, kernel, rate, (kernel - rate) // 2)
            self.upsampler.append(spread_by_fan_in(longer, read * kernel))
        self.resblocks = nn.ModuleList(
            VocoderBlock(width, kernel, dilations, s.slope)
            for width in widths[1:]
            for kernel, dilations in zip(s.block_kernels, s.block_dilations, strict=True)
        )
        self.conv_post = fan_in_conv(widths[-1], 1, 7, bias=s.bias, padding=3)
        if s.speaker:
            self.cond = fan_in_conv(s.speaker, s.width, 1)

    def forward(self, spectrogram: Tensor, speaker: Tensor | None = None) -> Tensor:
        """[B, C, T], and the vectors of speakers [B or 1, G, 1] -> waves [B, 1, T * product of rates]."""
        return waves_of(self, self.spec, spectrogram, speaker)


def waves_of(parts: Any, s: Vocoder, spectrogram: Tensor, speaker: Tensor | None = None) -> Tensor:
    """What a module that has the parts of a `WaveMaker` makes of [B, C, T]."""
    x, count = parts.conv_pre(spectrogram), len(s.block_kernels)
    if speaker is not None:
        x = x + parts.cond(speaker)
    for i, longer in enumerate(parts.upsampler):
        x = longer(F.leaky_relu(x, s.slope))
        first, *others = parts.resblocks[i * count : (i + 1) * count]
        found = first(x)
        for block in others:
            found = found + block(x)
        x = found / count
    return torch.tanh(parts.conv_post(F.leaky_relu(x)))  # whose slope is torch's own
