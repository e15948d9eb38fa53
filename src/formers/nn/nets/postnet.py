"""Frames of a spectrum of a decoder's states. See `spec.speech_synthesis.Refined`."""

from __future__ import annotations

from torch import Tensor, nn

from formers.nn.dropout import Dropout
from formers.nn.leaves import fan_in_conv
from formers.nn.spec.speech_synthesis import Refined


class RefiningStep(nn.Module):
    """A convolution along time, a norm, tanh unless it is the last, and dropout."""

    def __init__(self, s: Refined, index: int) -> None:
        super().__init__()
        last = index == s.depth - 1
        read, made = s.inner if index else s.bins, s.bins if last else s.inner
        self.conv = fan_in_conv(read, made, s.kernel, bias=False, padding=s.kernel // 2)
        self.batch_norm = nn.BatchNorm1d(made)
        self.activation = None if last else nn.Tanh()
        self.dropout = Dropout(s.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T]."""
        x = self.batch_norm(self.conv(x))
        found: Tensor = self.dropout(x if self.activation is None else self.activation(x))
        return found


class SpectrumMaker(nn.Module):
    """Frames, refined frames, and whether each is the last."""

    row_wise = True  # it is called with whole rows

    def __init__(self, s: Refined) -> None:
        super().__init__()
        self.bins = s.bins
        self.feat_out = nn.Linear(s.width, s.bins * s.factor)
        self.prob_out = nn.Linear(s.width, s.factor)
        self.layers = nn.ModuleList(RefiningStep(s, index) for index in range(s.depth))

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, E] -> frames [B, T factor, bins] twice, the second refined, and logits [B, T factor]."""
        plain = self.feat_out(hidden_states).view(len(hidden_states), -1, self.bins)
        ends = self.prob_out(hidden_states).view(len(hidden_states), -1)
        return plain, self.refine(plain), ends

    def refine(self, frames: Tensor) -> Tensor:
        """[B, T, bins] -> [B, T, bins]."""
        x = frames.transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return frames + x.transpose(1, 2)
