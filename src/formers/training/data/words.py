"""Where words begin in a row of tokens, for masking that hides whole words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from formers.tokenization.components import parts, state_of

# White space as byte-level vocabularies write it. A space belongs to the word behind it, a break to none.
_SPACE, _BREAKS = "\u0120", ("\u010a", "\u0109", "\u010d")
_SPACE_PIECE = "\u2581"  # a space in SentencePiece


@dataclass(frozen=True)
class Marks:
    """How the tokens of a vocabulary show where words begin: one of these; without any, each token is a word.

    Attributes:
        inner: what all tokens of a word but the first begin with.
        last: what the last token of a word ends with.
        space: what the first token of a word begins with, but for that of a text.
    """

    inner: str = ""
    last: str = ""
    space: str = ""

    def starts(self, tokens: Sequence[str]) -> list[bool]:
        """Whether each token begins a word."""
        if self.inner:
            return [not token.startswith(self.inner) for token in tokens]
        if self.last:
            return [True, *(token.endswith(self.last) for token in tokens[:-1])]
        if self.space:
            begins = (self.space, *_BREAKS)
            return [True, *(b.startswith(begins) or a.endswith(_BREAKS) for a, b in pairwise(tokens))]
        return [True] * len(tokens)


def marks_of(tokenizer: Any) -> Marks | None:
    """The marks of a tokenizer's vocabulary; None where the tokens alone do not show words."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer written in Python: by what its tokens look like
        first = {str(token)[:2] for token in tokenizer.get_vocab()}
        if "##" in first:
            return Marks(inner="##")
        spaces = [mark for mark in (_SPACE, _SPACE_PIECE) if any(two.startswith(mark) for two in first)]
        return Marks(space=spaces[0]) if spaces else None
    model = backend.model
    if getattr(model, "continuing_subword_prefix", None):
        return Marks(inner=model.continuing_subword_prefix)
    if getattr(model, "end_of_word_suffix", None):
        return Marks(last=model.end_of_word_suffix)
    if type(model).__name__ == "WordLevel":
        return Marks()
    states = [state_of(getattr(backend, part)) for part in ("normalizer", "pre_tokenizer", "decoder")]
    if any(any(parts(state, kind="ByteLevel")) for state in states):
        return Marks(space=_SPACE)
    return Marks(space=_SPACE_PIECE) if any(_SPACE_PIECE in str(state) for state in states) else None


def numbers_of(
    row: Mapping[str, Any], tokens: Sequence[str], special: Sequence[bool], marks: Marks | None
) -> list[int]:
    """Number the words of a row from 0; every special token is a word of its own.

    Args:
        row: an example; its `word_ids` say it all, its `offset_mapping` tells gaps where there are no marks.
        tokens: its tokens.
        special: which of them stand for no text.
        marks: those of the vocabulary.

    Raises:
        ValueError: when nothing tells where words begin, or a column has another length than the tokens.
    """
    words, offsets = row.get("word_ids"), row.get("offset_mapping")
    for name, column in (("word_ids", words), ("offset_mapping", offsets)):
        if column is not None and len(column) != len(tokens):
            raise ValueError(f"an example has {len(tokens)} tokens, but {name} of {len(column)}")
    if words is not None:
        begins = [True, *(after != before for before, after in pairwise(words))]
    elif marks is not None:
        begins = marks.starts(tokens)
    elif offsets is not None:
        begins = [True, *(after[0] != before[1] for before, after in pairwise(offsets))]
    else:
        raise ValueError(
            "whole_word_mask=True: the tokens of this tokenizer do not show where words begin, so the "
            "examples need a column that does: offset_mapping (tokenizer(..., return_offsets_mapping=True)) "
            "or word_ids (encoding.word_ids(i)). With a Trainer also pass remove_unused_columns=False"
        )
    numbers, number = [], -1
    for place in range(len(tokens)):
        number += bool(begins[place] or special[place] or special[place - 1])
        numbers.append(number)
    return numbers
