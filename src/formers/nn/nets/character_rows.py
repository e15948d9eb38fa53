"""Rows of tokens, as long as their letters are said. See `spec.speech_synthesis.CharacterRows`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.leaves import ComputedSinusoids
from formers.nn.nets.unit_voice import UnitDurations, lasting, repeated
from formers.nn.spec.speech_synthesis import CharacterRows


def character_parts(s: CharacterRows) -> dict[str, nn.Module | nn.Parameter]:
    """The modules, and what scales places, by the paths that files have for them."""
    return {
        "embed_char": nn.Embedding(s.letters, s.width),
        "embed_char_positions": ComputedSinusoids(s.width, padding_idx=s.padding),
        "pos_emb_alpha_char": nn.Parameter(torch.ones(1)),
        "pos_emb_alpha": nn.Parameter(torch.ones(1)),
        "duration_predictor": UnitDurations(s.width, s.inner, s.kernel, s.dropout, same=True),
        "embed_positions": ComputedSinusoids(s.width, padding_idx=s.padding),
    }


def said_rows(
    parts: Any, s: CharacterRows, rows: Tensor, letters: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows of what is said, [B, T', E], and which of them are real, [B, T'], int64.

    Args:
        parts: what has those of `character_parts`.
        s: the spec.
        rows: of the tokens, [B, T, E].
        letters: ids [B, L], int64, of those of all tokens of a text.
        counts: [B, T], int64, how many letters each token has.
    """
    real = _first(counts.sum(1), letters.shape[1])
    x = repeated(rows, counts)
    x = (
        x
        + parts.embed_char(letters) * s.scale
        + _placed(parts.embed_char_positions, parts.pos_emb_alpha_char, s, x)
    )
    times = lasting(parts.duration_predictor(x, padding_mask=real)) * real
    x = repeated(x, times)
    x = x + _placed(parts.embed_positions, parts.pos_emb_alpha, s, x)
    return x, _first(times.sum(1), x.shape[1])


def _placed(waves: nn.Module, scale: Tensor, s: CharacterRows, rows: Tensor) -> Tensor:
    at = torch.arange(s.padding + 1, s.padding + 1 + rows.shape[1], device=rows.device)
    found: Tensor = scale * waves(at[None].expand(rows.shape[0], -1)).to(rows.dtype)
    return found


def _first(counts: Tensor, length: int) -> Tensor:
    """1 at the first so many places of each row, [B, length], int64."""
    return (torch.arange(length, device=counts.device) < counts[:, None]).long()
