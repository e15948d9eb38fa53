"""Texts as tokens that know the characters they stand for, and overlapping windows over long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placed:
    """A text, or a pair of texts, as tokens.

    Attributes:
        ids: [T] int64.
        types: segment ids [T] int64, or None where the tokenizer gives none.
        spans: the characters [start, end) of each token in its text, or in its word where the text was split
            into words; [T, 2] int64.
        special: whether the tokenizer added it; [T] bool.
        sequences: 0 or 1, the text of a pair that it belongs to, -1 for what was added; [T] int64.
        words: number of its word, -1 for none; [T] int64.
        places: its number among the tokens of the whole; [T] int64.
    """

    ids: Ids
    types: Ids | None
    spans: Ids
    special: npt.NDArray[np.bool_]
    sequences: Ids
    words: Ids
    places: Ids

    def take(self, places: Ids) -> Placed:
        """Some of the tokens."""
        return Placed(
            self.ids[places],
            None if self.types is None else self.types[places],
            self.spans[places],
            self.special[places],
            self.sequences[places],
            self.words[places],
            self.places[places],
        )

    def room(self, limit: int, sequence: int = 0) -> int:
        """Tokens of a text that fit into `limit` beside all others; may be negative."""
        return limit - len(self.ids) + int((self.sequences == sequence).sum())

    def windows(self, limit: int, stride: int, sequence: int = 0) -> list[Placed]:
        """Windows of at most `limit` tokens over one of the texts, all other tokens in each of them.

        Args:
            limit: leaves at least one token of room.
            stride: tokens that neighbours share, fewer than there is room for.
            sequence: which text of a pair is taken apart.
        """
        body = np.flatnonzero(self.sequences == sequence)
        if len(self.ids) <= limit or not len(body):
            return [self]
        room = self.room(limit, sequence)
        every = np.arange(len(self.ids))
        before, behind = every[: body[0]], every[body[-1] + 1 :]
        starts = range(0, max(len(body) - stride, 1), room - stride)
        rows = (np.concatenate([before, body[start : start + room], behind]) for start in starts)
        return [self.take(row) for row in rows]

    def cut(self, limit: int, sequence: int = 0, side: str = "right") -> Placed:
        """The tokens with those of a text left out, at its end or its beginning, that do not fit."""
        body = np.flatnonzero(self.sequences == sequence)
        lost = min(max(len(self.ids) - limit, 0), len(body))
        gone = body[len(body) - lost :] if side == "right" else body[:lost]
        return self.take(np.delete(np.arange(len(self.ids)), gone))

    def word(self, place: int) -> tuple[int, int]:
        """The characters of the word that a token belongs to, as far as it is here; its own without one."""
        if self.words[place] < 0:
            return int(self.spans[place, 0]), int(self.spans[place, 1])
        whole = (self.words == self.words[place]) & (self.sequences == self.sequences[place])
        inside = np.flatnonzero(whole)
        return int(self.spans[inside[0], 0]), int(self.spans[inside[-1], 1])


def place(
    tokenizer: Any,
    texts: Sequence[Any],
    pairs: Sequence[Any] | None = None,
    *,
    add_special_tokens: bool = True,
    is_split_into_words: bool = False,
) -> list[Placed]:
    """Tokenise texts, nothing cut.

    Args:
        tokenizer: any tokenizer of the ecosystem's interface that knows characters.
        texts: strings; lists of words where they are split.
        pairs: the second text of each.
        add_special_tokens: as in a call of the tokenizer.
        is_split_into_words: whether texts are lists of words.

    Raises:
        ValueError: for a tokenizer that does not know characters.
    """
    encoded = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        add_special_tokens=add_special_tokens,
        is_split_into_words=is_split_into_words,
        padding=False,
        truncation=False,
        verbose=False,
    )
    rows, types = encoded.encodings, encoded.get("token_type_ids")
    if rows is None:
        raise ValueError(
            f"{type(tokenizer).__name__} does not know which characters its tokens stand for: load the "
            "tokenizer with AutoTokenizer.from_pretrained(...)"
        )
    found = []
    for index, (ids, row) in enumerate(zip(encoded["input_ids"], rows, strict=True)):
        found.append(
            Placed(
                np.asarray(ids, dtype=np.int64),
                None if types is None else np.asarray(types[index], dtype=np.int64),
                np.asarray(row.offsets, dtype=np.int64).reshape(-1, 2),
                np.asarray(row.special_tokens_mask, dtype=bool),
                _numbers(row.sequence_ids),
                _numbers(row.word_ids),
                np.arange(len(ids)),
            )
        )
    return found


def _numbers(values: Sequence[int | None]) -> Ids:
    return np.asarray([-1 if value is None else value for value in values], dtype=np.int64)
