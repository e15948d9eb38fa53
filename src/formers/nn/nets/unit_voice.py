"""Waves of units in the voice of a speaker. See `spec.speech_synthesis.UnitVoice`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from formers.nn.dropout import Dropout
from formers.nn.leaves import fan_in_conv
from formers.nn.nets.vocoder import WaveMaker, around
from formers.nn.spec.speech_synthesis import UnitVoice, Vocoder


class UnitDurations(nn.Module):
    """How long each unit lasts: two convolutions, each with a norm behind it."""

    row_wise = True  # it is called with whole sequences

    def __init__(self, read: int, inner: int, kernel: int, dropout: float, same: bool) -> None:
        super().__init__()
        self.conv1 = fan_in_conv(read, inner, kernel, padding=around(kernel))
        self.activation_function = nn.ReLU()
        self.ln1 = nn.LayerNorm(inner)
        self.dropout_module = Dropout(dropout)
        self.conv2 = fan_in_conv(inner, inner, kernel, padding=around(kernel) if same else 1)
        self.ln2 = nn.LayerNorm(inner)
        self.proj = nn.Linear(inner, 1)

    def forward(self, hidden_states: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """[B, T, E], and which rows are real [B, T] -> logarithms of one more than the durations, [B, T]."""
        x, hidden = hidden_states, None if padding_mask is None else ~padding_mask.bool()[..., None]
        for conv, norm in ((self.conv1, self.ln1), (self.conv2, self.ln2)):
            x = x if hidden is None else x.masked_fill(hidden, 0.0)
            x = self.activation_function(conv(x.transpose(1, 2))).transpose(1, 2)
            x = self.dropout_module(norm(x))
        found: Tensor = self.proj(x).squeeze(2)
        return found


def lasting(told: Tensor) -> Tensor:
    """How often each is there, int64, once at least, by logarithms of one more."""
    return torch.expm1(told).round().long().clamp(min=1)


def repeated(rows: Tensor, times: Tensor) -> Tensor:
    """Rows [B, T, E] so often as `times` [B, T] say, [B, T', E], zeros behind the shorter ones."""
    each = [row.repeat_interleave(count, 0) for row, count in zip(rows, times, strict=True)]
    return pad_sequence(each, batch_first=True)


def unit_parts(s: UnitVoice) -> dict[str, nn.Module]:
    """The modules, by the paths that files have for them."""
    return {
        "dur_predictor": UnitDurations(s.width, s.width, s.kernel, s.dropout, s.same),
        "unit_embedding": nn.Embedding(s.units, s.width),
        "speaker_embedding": nn.Embedding(s.speakers, s.speaker_width),
        "language_embedding": nn.Embedding(s.languages, s.language_width),
        "hifi_gan": WaveMaker(s.vocoder),
    }


def speech_of(
    parts: Any, s: UnitVoice, ids: Tensor, speaker: Tensor, language: Tensor
) -> tuple[Tensor, Tensor]:
    """Waves [B, samples] of units [B, T], and how many samples each row has, [B]; of one row, [].

    Args:
        parts: what has the modules of `unit_parts`.
        s: the spec.
        ids: units.
        speaker: [B, 1].
        language: [B, 1].
    """
    x = parts.unit_embedding(ids)  # [B, T, E]
    lasts = lasting(parts.dur_predictor(x))  # [B, T]
    x = repeated(x, lasts)  # [B, T', E]
    beside = (parts.language_embedding(language), parts.speaker_embedding(speaker))
    said_in, voice = (one.expand(-1, x.shape[1], -1) for one in beside)
    waves = parts.hifi_gan(torch.cat((said_in, x, voice), 2).transpose(1, 2))[:, 0]
    # rows end one unit behind their last, where there is one: as models were trained
    ends = ids.ne(s.padding).sum(1).clamp(max=ids.shape[1] - 1)
    lengths = lasts.cumsum(1).gather(1, ends[:, None])
    return waves, samples_of(s.vocoder, lengths.squeeze())


def samples_of(s: Vocoder, places: Tensor) -> Tensor:
    """How many samples a vocoder makes of so many places."""
    for rate, kernel in zip(s.rates, s.kernels, strict=True):
        places = (places - 1) * rate - 2 * ((kernel - rate) // 2) + kernel
    return places
