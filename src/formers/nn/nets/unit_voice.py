"""Waves of units in the voice of a speaker. See `spec.voiced.UnitVoice`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from formers.nn.dropout import Dropout
from formers.nn.leaves import fan_in_conv
from formers.nn.nets.vocoder import WaveMaker, around
from formers.nn.spec.voiced import UnitVoice, Vocoder


class UnitDurations(nn.Module):
    """How long each unit lasts: two convolutions, each with a norm behind it."""

    row_wise = True  # it is called with whole sequences

    def __init__(self, s: UnitVoice) -> None:
        super().__init__()
        self.conv1 = fan_in_conv(s.width, s.width, s.kernel, padding=around(s.kernel))
        self.activation_function = nn.ReLU()
        self.ln1 = nn.LayerNorm(s.width)
        self.dropout_module = Dropout(s.dropout)
        self.conv2 = fan_in_conv(s.width, s.width, s.kernel, padding=1)
        self.ln2 = nn.LayerNorm(s.width)
        self.proj = nn.Linear(s.width, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, T, E] -> logarithms of one more than the durations, [B, T]."""
        x = hidden_states
        for conv, norm in ((self.conv1, self.ln1), (self.conv2, self.ln2)):
            x = self.activation_function(conv(x.transpose(1, 2))).transpose(1, 2)
            x = self.dropout_module(norm(x))
        found: Tensor = self.proj(x).squeeze(2)
        return found


def unit_parts(s: UnitVoice) -> dict[str, nn.Module]:
    """The modules, by the paths that files have for them."""
    return {
        "dur_predictor": UnitDurations(s),
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
    lasts = torch.expm1(parts.dur_predictor(x)).round().long().clamp(min=1)  # [B, T]
    rows = [row.repeat_interleave(times, 0) for row, times in zip(x, lasts, strict=True)]
    x = pad_sequence(rows, batch_first=True)  # [B, T', E]
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
