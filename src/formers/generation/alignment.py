"""When each token was said: the way through a sound that a decoder's attention took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_DIAGONAL, _UP, _LEFT = 0, 1, 2


def smoothed(weights: Tensor, width: int) -> Tensor:
    """The median of every `width` neighbours along the last axis, mirrored at its ends.

    Raises:
        ValueError: for a width that is even, or below one.
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"a median filter has an odd width, not {width}: set median_filter_width")
    side = width // 2
    if weights.shape[-1] <= side:
        return weights
    flat = weights.reshape(1, -1, weights.shape[-1])
    wide = nn.functional.pad(flat, (side, side), mode="reflect")
    return wide.unfold(-1, width, 1).sort(-1)[0][..., side].reshape(weights.shape)


def shortest_path(cost: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Dynamic time warping: rows and columns of the cheapest way from the first entry of `cost` to the last.

    Sums are kept in float32; where ways cost the same, the one along a row is taken. All entries of one
    diagonal are computed at once.
    """
    rows, columns = cost.shape
    steps = np.full((rows + 1, columns + 1), _LEFT, dtype=np.int8)
    steps[1:, 0] = _UP
    before = np.full(rows + 1, np.inf, dtype=np.float32)
    before[0] = 0
    last = np.full_like(before, np.inf)
    for diagonal in range(2, rows + columns + 1):
        at = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        both, up, left = before[at - 1], last[at - 1], last[at]
        step = np.where((up < both) & (up < left), _UP, _LEFT)
        step = np.where((both < up) & (both < left), _DIAGONAL, step)
        now = np.full_like(last, np.inf)
        now[at] = cost[at - 1, diagonal - at - 1] + np.choose(step, (both, up, left))
        steps[at, diagonal - at] = step
        before, last = last, now
    row, column, way = rows, columns, []
    while row > 0 or column > 0:
        way.append((row - 1, column - 1))
        step = steps[row, column]
        row, column = row - (step != _LEFT), column - (step != _UP)
    found = np.array(way[::-1])
    return found[:, 0], found[:, 1]


def starts(weights: Tensor, width: int) -> np.ndarray[Any, Any]:
    """Where each token begins, [T], in columns of what was heard.

    Args:
        weights: [H, T, S], attention of heads that follow the sound, without columns of padding.
        width: of the median filter.
    """
    spread = weights.std(-2, keepdim=True, unbiased=False)
    even = smoothed((weights - weights.mean(-2, keepdim=True)) / spread, width).mean(0)
    rows, columns = shortest_path(-even.double().cpu().numpy())
    return columns[np.diff(rows, prepend=-1) > 0]


def token_times(
    model: Any,
    ids: Tensor,
    memory: Tensor,
    heads: Sequence[Sequence[int]],
    prompt: int,
    columns: int | None = None,
    seconds: float = 0.02,
) -> Tensor:
    """When the tokens of one row were said: [T], float32, seconds; 0 for the prompt.

    The decoder reads the row once more, and shows what it looked at. The last token, which usually ends the
    text, is said where the one before it is.

    Args:
        model: an encoder-decoder.
        ids: [T], int64, the prompt and what followed.
        memory: [1, S, E], what the encoder heard.
        heads: (layer, head) of those that follow the sound.
        prompt: how many tokens the prompt has.
        columns: how many of the S are no padding; None for all.
        seconds: between two of them.
    """
    found = torch.zeros(len(ids), dtype=torch.float32)
    if len(ids) - prompt < 2 or columns == 0:
        return found
    decoder = model.get_decoder()
    out = decoder(ids[None, :-1], encoder_hidden_states=memory, output_attentions=True, use_cache=False)
    chosen = [out.cross_attentions[layer][0, head, prompt:, :columns] for layer, head in heads]
    times = starts(torch.stack(chosen).float(), model.config.median_filter_width) * seconds
    found[prompt:-1] = torch.from_numpy(times)
    found[-1] = found[-2]
    return found
