"""Segments of a long sound: what its windows said, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Times:
    """How times stand in tokens, and in frames.

    Attributes:
        first: the token of time 0; each that follows is `seconds` later.
        seconds: between two tokens of times.
        frame: seconds of a frame of the spectrum.
        stride: frames that the encoder makes one state of.
    """

    first: int
    seconds: float = 0.02
    frame: float = 0.01
    stride: int = 2


@dataclass(frozen=True)
class Window:
    """What a decoder made of one window of a sound.

    Attributes:
        tokens: [n], int64, without prompt and end.
        begin: the window's first frame.
        frames: that it holds.
        prompt: tokens before those.
        result: the row that was decoded, as the caller sees it.
        said: [prompt + n or more], seconds from the window's beginning, where tokens are aligned.
    """

    tokens: Tensor
    begin: int
    frames: int
    prompt: int
    result: Any
    said: Tensor | None = None


def segments_of(window: Window, times: Times) -> tuple[list[dict[str, Any]], int]:
    """The segments of a window, and how many of its frames they account for.

    Two tokens of times in a row end a segment and begin one; what stands behind the last such pair is cut off
    by the window's end, and is left to the next window (Radford et al. 2022, section 3.8).
    """
    tokens, length = window.tokens, len(window.tokens)
    is_time = (tokens >= times.first).tolist()
    pairs = [i + 1 for i in range(length - 1) if is_time[i] and is_time[i + 1]]
    if not pairs:
        return [_segment(window, times, 0, length, 0, _end_of_all(window, is_time, times))], window.frames
    silent = is_time[-2:] == [False, True]  # one time at the end: nothing is said behind it
    stops = [*pairs, length] if silent else [*pairs[:-1], pairs[-1] + 1]
    found, start = [], 0
    for stop in stops:
        last = stop - 1 if stop != stops[-1] or silent else stop - 2
        edges = (int(tokens[place]) - times.first for place in (start, last))
        found.append(_segment(window, times, start, stop, *edges))
        start = stop
    return found, window.frames if silent else (int(tokens[start - 2]) - times.first) * times.stride


def _end_of_all(window: Window, is_time: list[bool], times: Times) -> int:
    """Where a window without pairs ends, in tokens of times."""
    if True in is_time:
        last = int(window.tokens[len(is_time) - 1 - is_time[::-1].index(True)])
        if last != times.first:
            return last - times.first
    return int(window.frames * times.frame / times.seconds)


def _segment(window: Window, times: Times, start: int, stop: int, begin: int, end: int) -> dict[str, Any]:
    offset = window.begin * times.seconds / times.stride
    first, last = window.prompt + start, window.prompt + stop
    found = {
        "start": torch.tensor(offset + begin * times.seconds, dtype=torch.float64),
        "end": torch.tensor(offset + end * times.seconds, dtype=torch.float64),
        "tokens": window.tokens[start:stop],
        "idxs": (first, last),
        "result": window.result,
    }
    if window.said is not None:
        found["token_timestamps"] = window.said[first:last] + offset
    return found


def said_before(segments: list[dict[str, Any]], first_time: int) -> Tensor | None:
    """The tokens of all segments as a prompt, [n]: of two times that end a segment the last is left out."""
    found = []
    for segment in segments:
        tokens = segment["tokens"]
        doubled = len(tokens) > 2 and int(tokens[-2]) >= first_time
        found.append(tokens[:-1] if doubled else tokens)
    return torch.cat(found) if found else None


def joined(rows: list[list[dict[str, Any]]], pad: int, said: bool = False) -> tuple[Tensor, Tensor | None]:
    """The tokens of each row's segments, [B, T], padded behind; and when they were `said`, in seconds."""
    tokens, times = [], []
    for segments in rows:
        parts = [segment["tokens"] for segment in segments]
        tokens.append(torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64))
        if said:
            own = [one["result"]["token_timestamps"][slice(*one["idxs"])] for one in segments]
            times.append(torch.cat(own) if own else torch.empty(0))
    longest = max(map(len, tokens))
    ids = torch.stack([nn.functional.pad(row, (0, longest - len(row)), value=pad) for row in tokens])
    if not said:
        return ids, None
    last = [float(row[-1]) if len(row) else 0.0 for row in times]
    padded = [
        nn.functional.pad(row, (0, longest - len(row)), value=end)
        for row, end in zip(times, last, strict=True)
    ]
    return ids, torch.stack(padded)
