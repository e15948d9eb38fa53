"""Sounds at another rate: a windowed sinc, block by block."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

_CROSSINGS = 80  # of the sinc, to each side
_ROLLOFF = 0.955  # of the lower Nyquist frequency: where half of the amplitude is left
_BETA = 11.0  # of the Kaiser window: what lies beyond is down by 110 dB
_LARGEST = 1 << 22  # entries of a matrix of filters
_MOST = 1 << 23  # entries of filters: a rate that shares no factor with the wanted one has thousands of them
_BLOCK = 1 << 16  # rows of a product


def _scale(up: int, down: int) -> float:
    """The cutoff, by the Nyquist frequency of the input."""
    return min(1.0, up / down) * _ROLLOFF


def _reach(up: int, down: int) -> int:
    return math.ceil(_CROSSINGS / _scale(up, down))


@functools.lru_cache(maxsize=8)
def _filters(up: int, down: int) -> tuple[int, NDArray[np.int64], Wave]:
    """Reach of the filters, where each of `up` outputs begins to read, and its filter [up, 2 * reach]."""
    scale, reach = _scale(up, down), _reach(up, down)
    places = np.arange(up) * down
    starts, phases = places // up, (places % up) / up
    time = np.arange(-reach + 1, reach + 1) - phases[:, None]  # [up, 2 * reach]
    inside = np.sqrt(np.clip(1 - (time / reach) ** 2, 0, None))
    values = scale * np.sinc(scale * time) * np.i0(_BETA * inside) / np.i0(_BETA)
    return reach, starts, (values / values.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _matrix(up: int, down: int) -> Wave | None:
    """All filters of `up` outputs as one matrix [down + 2 * reach, up]; None where it would be too large."""
    reach, starts, filters = _filters(up, down)
    height = down + 2 * reach
    if height * up > _LARGEST:
        return None
    made = np.zeros((height, up), np.float32)
    for output, start in enumerate(starts):
        made[start : start + 2 * reach, output] = filters[output]
    return made


class Resampler:
    """A sound that comes in blocks, at another rate: `feed` and then `finish`.

    Args:
        rate: of what comes, in Hz.
        wanted: of what goes.

    Raises:
        ValueError: for two rates that would take more filters than memory should be given to.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        shared = math.gcd(rate, wanted)
        self._up, self._down = wanted // shared, rate // shared
        if 2 * self._up * _reach(self._up, self._down) > _MOST:
            raise ValueError(
                f"a sound of {rate} Hz is not brought to {wanted} Hz: the two have no large common factor"
            )
        self._read = self._written = 0
        self._held: Wave = np.empty(0, np.float32)
        if self._up != self._down:
            self._held = np.zeros(_filters(self._up, self._down)[0] - 1, np.float32)

    def feed(self, block: Wave) -> Wave:
        """What a block [T] completes."""
        self._read += len(block)
        if self._up == self._down:
            return block
        held = np.concatenate([self._held, block])
        reach = _filters(self._up, self._down)[0]
        groups = max(0, (len(held) - 2 * reach) // self._down)
        self._held = held[groups * self._down :]
        found = self._filtered(held, groups)
        self._written += len(found)
        return found

    def finish(self) -> Wave:
        """The rest: in all, as many samples as fill the time."""
        if self._up == self._down:
            return self._held
        left = math.ceil(self._read * self._up / self._down) - self._written
        reach = _filters(self._up, self._down)[0]
        groups = math.ceil(left / self._up)
        held = np.concatenate([self._held, np.zeros(groups * self._down + 2 * reach, np.float32)])
        return self._filtered(held, groups)[:left]

    def _filtered(self, held: Wave, groups: int) -> Wave:
        """`groups` times `up` samples, of which each group reads on by `down`."""
        if not groups:
            return np.empty(0, np.float32)
        up, down = self._up, self._down
        reach, starts, filters = _filters(up, down)
        matrix = _matrix(up, down)
        if matrix is not None:
            rows = np.lib.stride_tricks.sliding_window_view(held, down + 2 * reach)[: groups * down : down]
            parts = [rows[at : at + _BLOCK // up + 1] @ matrix for at in range(0, groups, _BLOCK // up + 1)]
            return np.concatenate(parts).reshape(-1)
        rows, found = np.lib.stride_tricks.sliding_window_view(held, 2 * reach), np.empty(groups * up, "f4")
        for at in range(0, len(found), _BLOCK):
            group, output = np.divmod(np.arange(at, min(at + _BLOCK, len(found))), up)
            found[at : at + _BLOCK] = np.einsum(
                "nk,nk->n", rows[group * down + starts[output]], filters[output]
            )
        return found


def resampled(wave: NDArray[Any], rate: int, wanted: int) -> Wave:
    """A whole sound [T] at another rate: float32 [ceil(T * wanted / rate)].

    Raises:
        ValueError: for rates below 1, or two that `Resampler` does not take.
    """
    rate, wanted = checked_rate(rate), checked_rate(wanted)
    given: Wave = wave.astype(np.float32, copy=False)
    if rate == wanted:
        return given
    made = Resampler(rate, wanted)
    return np.concatenate([made.feed(given), made.finish()])


def checked_rate(rate: Any) -> int:
    """A sampling rate in whole Hz.

    Raises:
        ValueError: for anything else.
    """
    if (
        isinstance(rate, bool)
        or not isinstance(rate, (int, float, np.integer, np.floating))
        or not math.isfinite(rate)
        or rate != int(rate)
        or rate < 1
    ):
        raise ValueError(f"a sampling rate is a whole number of samples per second from 1 on, not {rate!r}")
    return int(rate)
