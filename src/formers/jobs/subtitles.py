"""Transcripts as files: subtitles (SRT, WebVTT), JSON and plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_LETTERS, _SECONDS = 84, 7.0  # of one subtitle at most: two lines of 42, as broadcasters have it


def clock(seconds: float, comma: str) -> str:
    """`01:02:03,450`."""
    ticks = round(seconds * 1000)
    hours, minutes, rest = ticks // 3_600_000, ticks // 60_000 % 60, ticks % 60_000
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{comma}{rest % 1000:03d}"


def spans(chunks: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, str]]:
    """(start, end, text) of every chunk; where one has no end, it lasts until the next, or two seconds."""
    found: list[tuple[float, float, str]] = []
    for place, chunk in enumerate(chunks):
        start, end = chunk["timestamp"]
        behind = chunks[place + 1]["timestamp"][0] if place + 1 < len(chunks) else None
        start = (found[-1][1] if found else 0.0) if start is None else start
        end = (start + 2.0 if behind is None else behind) if end is None else end
        if text := chunk["text"].strip():
            found.append((float(start), float(max(start, end)), text))
    return found


def lines_of(words: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Words with times as chunks of the size of a subtitle, ended where a sentence is."""
    found: list[dict[str, Any]] = []
    for word in words:
        start, end = word["timestamp"]
        last = found[-1] if found else None
        fits = (
            last is not None
            and len(last["text"]) + len(word["text"]) <= _LETTERS
            and (end or start) - last["timestamp"][0] <= _SECONDS
            and not last["text"].rstrip().endswith((".", "!", "?", "。", "！", "？"))
        )
        if last is not None and fits:
            found[-1] = {"text": last["text"] + word["text"], "timestamp": (last["timestamp"][0], end)}
        else:
            found.append({"text": word["text"], "timestamp": (start, end)})
    return found


def _numbered(chunks: Sequence[Mapping[str, Any]], comma: str) -> Iterable[str]:
    for number, (start, end, text) in enumerate(spans(chunks), 1):
        yield f"{number}\n{clock(start, comma)} --> {clock(end, comma)}\n{text}\n"


def srt(answer: Mapping[str, Any]) -> str:
    """An answer with times of segments as SubRip."""
    return "\n".join(_numbered(answer["chunks"], ","))


def vtt(answer: Mapping[str, Any]) -> str:
    """Likewise as WebVTT."""
    parts = [f"{clock(a, '.')} --> {clock(b, '.')}\n{text}\n" for a, b, text in spans(answer["chunks"])]
    return "\n".join(["WEBVTT\n", *parts])


def txt(answer: Mapping[str, Any]) -> str:
    """The text, a line for each segment where there are some."""
    chunks = answer.get("chunks")
    return "\n".join([one["text"].strip() for one in chunks] if chunks else [answer["text"].strip()]) + "\n"


def as_json(answer: Mapping[str, Any]) -> str:
    """The whole answer."""
    return json.dumps(answer, ensure_ascii=False, indent=2) + "\n"


FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "srt": srt,
    "vtt": vtt,
    "json": as_json,
    "txt": txt,
}
