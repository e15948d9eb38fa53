"""What was said, from the tokens of pieces of a sound: texts, segments and words with their times."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from formers.core.notices import notice
from formers.tokenization.languages import SPOKEN
from formers.tokenization.speech import Clock, is_single

Span = tuple[float, float]
_UNSPACED = ("chinese", "japanese", "thai", "lao", "myanmar", "cantonese")
_OPENING, _CLOSING = "\"'“¡¿([{-", "\"'.。,，!！?？:：”)]}、"
_UNKNOWN = "\ufffd"


def overlapping(
    parts: Sequence[list[int]], times: Sequence[list[Span]] | None = None
) -> tuple[list[int], list[Span]]:
    """Join rows of tokens of which each ends with what the next begins with.

    The longest run in which two rows agree, mistakes allowed, is cut in its middle: its left half is taken
    from the left row and its right half from the right one. With `times`, tokens agree only in order.
    """
    left, spans = parts[0], times[0] if times else []
    tokens: list[int] = []
    found: list[Span] = []
    for place, right in enumerate(parts[1:], 1):
        own = times[place] if times else []
        best, at = 0.0, (len(left), len(left), 0, 0)
        for i in range(1, len(left) + len(right)):
            a, b = max(0, len(left) - i), min(len(left), len(left) + len(right) - i)
            c, d = max(0, i - len(left)), min(len(right), i)
            same = np.array(left[a:b]) == np.array(right[c:d])
            if times and same.any():
                same &= np.array([s <= t for s, t in zip(spans[a:b], own[c:d], strict=True)], dtype=bool)
            count = int(same.sum())
            share = count / i + i / 10000.0
            if count > 1 and share > best:
                best, at = share, (a, b, c, d)
        cut, go_on = (at[0] + at[1]) // 2, (at[2] + at[3]) // 2
        tokens += left[:cut]
        found += spans[:cut]
        left, spans = right[go_on:], own[go_on:]
    return [*tokens, *left], [*found, *spans]


# -- words ---------------------------------------------------------------------------------------------


def words_of(tokenizer: Any, tokens: list[int], language: str | None) -> list[tuple[str, list[int]]]:
    """The words of a text, each with the places of its tokens; punctuation goes with its neighbour."""
    language = language or tokenizer.language or "english"
    units = _characters(tokenizer, tokens)
    if SPOKEN.get(language, language) not in _UNSPACED:
        units = _spaced(tokenizer, tokens, units)
    return _with_punctuation(units)


def _characters(tokenizer: Any, tokens: list[int]) -> list[tuple[str, list[int]]]:
    """Runs of tokens that make whole characters."""
    whole = tokenizer.decode(tokens, decode_with_timestamps=True)
    found, places, passed = [], list[int](), 0
    for place in range(len(tokens)):
        places.append(place)
        text = tokenizer.decode([tokens[i] for i in places], decode_with_timestamps=True)
        broken = text.find(_UNKNOWN)
        if broken < 0 or passed + broken >= len(whole) or whole[passed + broken] == _UNKNOWN:
            found.append((text, places))
            places, passed = [], passed + len(text)
    return found


def _spaced(
    tokenizer: Any, tokens: list[int], units: list[tuple[str, list[int]]]
) -> list[tuple[str, list[int]]]:
    found: list[tuple[str, list[int]]] = []
    for text, places in units:
        special = tokens[places[0]] >= tokenizer.eos_token_id
        if not found or special or text.startswith(" ") or text.strip() in string.punctuation:
            found.append((text, places))
        else:
            found[-1] = found[-1][0] + text, found[-1][1] + places
    return found


def _with_punctuation(units: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    words: list[tuple[str, list[int]]] = []
    for text, places in reversed(units):  # what opens goes to the word behind it
        if words and text.startswith(" ") and text.strip() in _OPENING:
            words[-1] = text + words[-1][0], places + words[-1][1]
        else:
            words.append((text, places))
    found: list[tuple[str, list[int]]] = []
    for text, places in reversed(words):  # what closes goes to the word before it
        if found and not found[-1][0].endswith(" ") and text in _CLOSING:
            found[-1] = found[-1][0] + text, found[-1][1] + places
        else:
            found.append((text, places))
    return [(text, places) for text, places in found if text]


# -- pieces --------------------------------------------------------------------------------------------


class Spoken:
    """Gathers the segments of a sound from its pieces.

    Args:
        tokenizer: of transcripts.
        times: True for those of segments, "word" for those of words, or None.
        language: whether segments say their language.
        seconds: between two tokens of times.
    """

    def __init__(self, tokenizer: Any, times: Any, language: bool, seconds: float) -> None:
        self.tokenizer, self.times, self.language, self.seconds = tokenizer, times, language, seconds
        self.first = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        self.special = set(tokenizer.all_special_ids)
        self.offset, self.heard = 0.0, None  # type: float, str | None
        self.chunks: list[dict[str, Any]] = []
        self._open()
        self.parts: list[list[int]] = []  # of the open segment, of each piece
        self.spans: list[list[Span]] = []
        self.skips = False

    def _open(self) -> None:
        self.chunk: dict[str, Any] = {"language": self.heard, "timestamp": [None, None], "text": ""}

    def _close(self) -> None:
        """End the open segment: join what pieces said of it."""
        tokens, spans = overlapping(self.parts, self.spans if self.times == "word" else None)
        self.chunk["text"] = self.tokenizer.decode(tokens)
        if self.times == "word":
            said = {"language": self.heard} if self.language else {}
            self.chunk["words"] = [
                {"text": text, "timestamp": (spans[at[0]][0], spans[at[-1]][1]), **said}
                for text, at in words_of(self.tokenizer, tokens, self.heard)
            ]
        self.chunks.append(self.chunk)
        self.parts, self.spans = [], []
        self._open()

    def piece(
        self, ids: list[int], stride: tuple[float, float, float] | None = None, when: Any = None
    ) -> None:
        """Read the tokens of one piece.

        Args:
            ids: its row.
            stride: its length, and what of it the pieces before and behind say too, in seconds.
            when: [T], when each token was said, in seconds, for times of words.
        """
        ids = self.tokenizer.without_prompt(ids)
        begin, last = self.first, None
        if stride is not None:
            length, left, right = stride
            self.offset -= left
            begin = left / self.seconds + self.first if left else begin
            last = self._last_time(ids, length - right) if right else None
        tokens, spans, clock = list[int](), list[Span](), Clock(self.seconds)
        for i, token in enumerate(ids):
            if token in self.special:
                tokens = self._special(token, tokens)
            elif token < self.first:
                tokens.append(token)
                if self.times == "word":
                    at = (float(when[i - 1]) if i else 0.0), float(when[i])
                    spans.append((round(at[0] + self.offset, 2), round(at[1] + self.offset, 2)))
            elif self._time(token, clock, is_single(ids, i, self.first), begin, last, tokens, spans):
                tokens, spans = [], []
        if stride is not None:
            self.offset += length - right
        if tokens:
            self.parts.append(tokens)
            self.spans.append(spans)
        elif not any(self.parts):
            self._open()
            self.parts, self.spans = [], []

    def _last_time(self, ids: list[int], end: float) -> int | None:
        """The first of the times that lie in the right stride; the last one always does."""
        last = None
        for token in reversed(ids):
            if token >= self.first:
                if last is not None and (token - self.first) * self.seconds < end:
                    break
                last = token
        return last

    def _special(self, token: int, tokens: list[int]) -> list[int]:
        """Hear of a language; where it changes and there are no times, that begins another segment."""
        language = SPOKEN.get(self.tokenizer.decode([token])[2:-2])
        if language is None:
            return tokens
        if self.heard and language != self.heard and not self.times:
            self.parts.append(tokens)
            self.spans.append([])
            self._close()
            tokens = []
        self.chunk["language"] = self.heard = language
        return tokens

    def _time(
        self,
        token: int,
        clock: Clock,
        single: bool,
        begin: float,
        last: int | None,
        tokens: list[int],
        spans: list[Span],
    ) -> bool:
        """Read a time; whether it ended the open segment."""
        time = round(clock.at((token - self.first) * self.seconds, single)[0] + self.offset, 2)
        if last is not None and token >= last:
            self.skips = True  # in the right stride: the next piece says it again, and better
        elif self.skips or (self.parts and token < begin):
            self.skips = False
        elif self.chunk["timestamp"][0] is None:
            self.chunk["timestamp"][0] = time
        elif time != self.chunk["timestamp"][0]:  # a second time that says the same is a beginning again
            self.chunk["timestamp"][1] = time
            self.parts.append(tokens)
            self.spans.append(spans)
            self._close()
            return True
        return False

    def answer(self) -> tuple[str, dict[str, Any]]:
        """The text, and `chunks` where times or languages are wanted."""
        if self.parts:
            if self.times:
                notice(
                    "the model wrote no time at the end of the sound, which may stop within a word: the last "
                    "segment has no end",
                    key="speech without an end",
                )
            self._close()
        text = "".join(chunk["text"] for chunk in self.chunks)
        if not (self.times or self.language):
            return text, {}
        if self.times == "word":
            return text, {"chunks": [word for chunk in self.chunks for word in chunk["words"]]}
        for chunk in self.chunks:
            chunk["timestamp"] = tuple(chunk["timestamp"])
        left_out = {*(() if self.times else ("timestamp",)), *(() if self.language else ("language",))}
        kept = [{name: one for name, one in chunk.items() if name not in left_out} for chunk in self.chunks]
        return text, {"chunks": kept}


def spoken(
    tokenizer: Any,
    outputs: Sequence[Mapping[str, Any]],
    times: Any = None,
    language: bool = False,
    seconds: float = 0.02,
) -> tuple[str, dict[str, Any]]:
    """The text of a sound from what a model wrote about its pieces, and `{"chunks"}` where wanted.

    Args:
        tokenizer: of transcripts.
        outputs: of every piece `tokens` [1, T]; `stride` where pieces overlap, and `token_timestamps` [1, T].
        times: True for those of segments, "word" for those of words, or None.
        language: whether segments say their language.
        seconds: between two tokens of times.
    """
    found = Spoken(tokenizer, times, bool(language), seconds)
    for one in outputs:
        when = one["token_timestamps"][0].tolist() if times == "word" else None
        found.piece(one["tokens"][0].tolist(), one.get("stride"), when)
    return found.answer()
