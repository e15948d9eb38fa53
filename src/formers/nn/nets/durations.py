"""How long the tokens of a text last. See `spec.speech_synthesis`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.nn.dropout import Dropout
from formers.nn.leaves import fan_in_conv
from formers.nn.nets.flows import Affine, SeparableConvolutions, SplineStep
from formers.nn.nets.vocoder import around
from formers.nn.spec.speech_synthesis import Durations, SplineFlow


class DrawnDurations(nn.Module):
    """Durations that are drawn. The `post_` parts read durations of recordings in training, and rest here."""

    row_wise = True

    def __init__(self, s: SplineFlow) -> None:
        super().__init__()
        self.spec, width = s, s.separable.width
        self.conv_pre = fan_in_conv(width, width, 1)
        self.conv_proj = fan_in_conv(width, width, 1)
        self.conv_dds = SeparableConvolutions(s.separable, s.dropout)
        if s.speaker:
            self.cond = fan_in_conv(s.speaker, width, 1)
        self.flows = nn.ModuleList([Affine(s.channels), *(SplineStep(s) for _ in range(s.flows))])
        self.post_conv_pre = fan_in_conv(1, width, 1)
        self.post_conv_proj = fan_in_conv(width, width, 1)
        self.post_conv_dds = SeparableConvolutions(s.separable, s.dropout)
        self.post_flows = nn.ModuleList([Affine(s.channels), *(SplineStep(s) for _ in range(s.flows))])

    def forward(
        self, inputs: Tensor, padding_mask: Tensor, speaker: Tensor | None = None, noise_scale: float = 1.0
    ) -> Tensor:
        """Logarithms of durations.

        Args:
            inputs: states of the text, [B, C, T]; no gradient goes through them.
            padding_mask: [B, 1, T], 1 at tokens.
            speaker: [B or 1, G, 1].
            noise_scale: deviation of what is drawn, by torch's generator on the host.

        Returns:
            [B, 1, T].
        """
        x = self.conv_pre(inputs.detach())
        if speaker is not None:
            x = x + self.cond(speaker.detach())
        x = self.conv_proj(self.conv_dds(x, padding_mask)) * padding_mask
        flowing = torch.randn(x.shape[0], self.spec.channels, x.shape[2]).to(x.device, x.dtype) * noise_scale
        affine, *splines = self.flows
        for step in (*reversed(splines[1:]), affine):  # what the first spline bends nobody reads
            flowing = step(flowing.flip(1), padding_mask, x)
        return flowing[:, :1]


class PlainDurations(nn.Module):
    """Durations that follow from the text."""

    row_wise = True

    def __init__(self, s: Durations) -> None:
        super().__init__()
        pad = around(s.kernel)
        self.dropout = Dropout(s.dropout)
        self.conv_1 = fan_in_conv(s.read, s.width, s.kernel, padding=pad)
        self.norm_1 = nn.LayerNorm(s.width, eps=s.eps)
        self.conv_2 = fan_in_conv(s.width, s.width, s.kernel, padding=pad)
        self.norm_2 = nn.LayerNorm(s.width, eps=s.eps)
        self.proj = fan_in_conv(s.width, 1, 1)
        if s.speaker:
            self.cond = fan_in_conv(s.speaker, s.read, 1)

    def forward(self, inputs: Tensor, padding_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """States of the text [B, C, T], through which no gradient goes -> logarithms [B, 1, T]."""
        x = inputs.detach()
        if speaker is not None:
            x = x + self.cond(speaker.detach())
        for conv, norm in ((self.conv_1, self.norm_1), (self.conv_2, self.norm_2)):
            x = torch.relu(conv(x * padding_mask))
            x = self.dropout(norm(x.transpose(1, 2)).transpose(1, 2))
        found: Tensor = self.proj(x * padding_mask) * padding_mask
        return found
