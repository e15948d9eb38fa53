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
_LARGEST = 1 << 20  # entries of a matrix of filters
_CELLS = 1024  # of a table of filters, for each sample at the lower rate: straight lines between are 1e-6 off
_MOST = 1 << 22  # samples that one filter reads: 25,000 times the wanted rate
_BLOCK = 1 << 16  # rows of a product


def _scale(up: int, down: int) -> float:
    """The cutoff, by the Nyquist frequency of the input."""
    return min(1.0, up / down) * _ROLLOFF


def _reach(up: int, down: int) -> int:
    return math.ceil(_CROSSINGS / _scale(up, down))


def _filters(up: int, down: int, phases: NDArray[np.float64]) -> NDArray[np.float64]:
    """The filters of outputs that lie so far behind an input [n]: [n, 2 * reach]."""
    scale, reach = _scale(up, down), _reach(up, down)
    time = np.arange(-reach + 1, reach + 1) - phases[:, None]
    inside = np.sqrt(np.clip(1 - (time / reach) ** 2, 0, None))
    values = scale * np.sinc(scale * time) * np.i0(_BETA * inside) / np.i0(_BETA)
    found: NDArray[np.float64] = values / values.sum(1, keepdims=True)
    return found


@functools.lru_cache(maxsize=8)
def _matrix(up: int, down: int) -> Wave | None:
    """All filters of `up` outputs as one matrix [down + 2 * reach, up]; None where it would be too large."""
    width = 2 * _reach(up, down)
    if (down + width) * up > _LARGEST:
        return None
    places = np.arange(up) * down
    made = np.zeros((down + width, up), np.float32)
    for output, (start, values) in enumerate(
        zip(places // up, _filters(up, down, places % up / up), strict=True)
    ):
        made[start : start + width, output] = values
    return made


@functools.lru_cache(maxsize=8)
def _table(up: int, down: int) -> tuple[Wave, Wave]:
    """Filters of phases evenly from 0 to 1, and how each differs from the next, both [cells, 2 * reach].

    A filter between two of them lies on a straight line between them. However few factors two rates share,
    the table is of one size.
    """
    cells = math.ceil(_CELLS * _scale(up, down))
    found = _filters(up, down, np.arange(cells + 1) / cells)
    return found[:-1].astype(np.float32), np.diff(found, axis=0).astype(np.float32)


class Resampler:
    """A sound that comes in blocks, at another rate: `feed` and then `finish`.

    Args:
        rate: of what comes, in Hz.
        wanted: of what goes.

    Raises:
        ValueError: for a rate that is thousands of times the wanted one.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        shared = math.gcd(rate, wanted)
        self._up, self._down = wanted // shared, rate // shared
        self._reach = _reach(self._up, self._down)
        if 2 * self._reach > _MOST:
            raise ValueError(f"a sound of {rate} Hz is not brought to {wanted} Hz: the two lie too far apart")
        self._read = self._written = self._begin = 0
        self._held: Wave = np.empty(0, np.float32)
        if self._up != self._down:
            self._matrix = _matrix(self._up, self._down)
            self._held = np.zeros(self._reach - 1, np.float32)

    def feed(self, block: Wave) -> Wave:
        """What a block [T] completes."""
        self._read += len(block)
        if self._up == self._down:
            return block
        self._held = np.concatenate([self._held, block])
        # an output whose filter begins at an input is complete where all that it reads is held
        ready = self._begin + len(self._held) - 2 * self._reach
        count = max(0, ready * self._up // self._down - self._written)
        return self._next(count - count % self._up if self._matrix is not None else count)

    def finish(self) -> Wave:
        """The rest: in all, as many samples as fill the time."""
        if self._up == self._down:
            return self._held
        left = math.ceil(self._read * self._up / self._down) - self._written
        count = left if self._matrix is None else math.ceil(left / self._up) * self._up
        more = math.ceil(count * self._down / self._up) + 2 * self._reach
        self._held = np.concatenate([self._held, np.zeros(more, np.float32)])
        return self._next(count)[:left]

    def _next(self, count: int) -> Wave:
        """The next `count` samples; inputs that no later one reads are let go."""
        if not count:
            return np.empty(0, np.float32)
        found = self._between(count) if self._matrix is None else self._by_matrix(count // self._up)
        self._written += count
        begin = self._written * self._down // self._up
        self._held = self._held[begin - self._begin :]
        self._begin = begin
        return found

    def _by_matrix(self, groups: int) -> Wave:
        """`groups` times `up` samples, of which each group reads on by `down`."""
        assert self._matrix is not None
        up, down = self._up, self._down
        rows = np.lib.stride_tricks.sliding_window_view(self._held, len(self._matrix))[: groups * down : down]
        step = _BLOCK // up + 1
        parts = [rows[at : at + step] @ self._matrix for at in range(0, groups, step)]
        return np.concatenate(parts).reshape(-1)

    def _between(self, count: int) -> Wave:
        """`count` samples by filters of the table: those of one cell at once, for they share two filters."""
        filters, steps = _table(self._up, self._down)
        rows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._reach)
        found = np.empty(count, np.float32)
        for at in range(0, count, _BLOCK):
            outputs = np.arange(self._written + at, self._written + min(at + _BLOCK, count))
            start, phase = np.divmod(outputs * self._down, self._up)
            cell, beyond = np.divmod(phase * len(filters), self._up)
            order = np.argsort(cell, kind="stable")
            bounds = np.searchsorted(cell[order], np.arange(len(filters) + 1))
            for one in np.unique(cell):
                chosen = order[bounds[one] : bounds[one + 1]]
                read = rows[start[chosen] - self._begin]
                share = (beyond[chosen] / self._up).astype(np.float32)
                found[at + chosen] = read @ filters[one] + share * (read @ steps[one])
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
