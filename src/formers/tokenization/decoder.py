"""Ids to text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from formers.tokenization.checks import told
from formers.tokenization.vocabulary import Vocabulary

_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def clean_up(text: str) -> str:
    """Remove the spaces that splitting English put before punctuation and contractions."""
    for old, new in _CLEAN_UP:
        text = text.replace(old, new)
    return text


class Decoder:
    """Turns rows of ids back into texts; `finish` writes what the backend has joined as it is to be read."""

    def __init__(self, vocabulary: Vocabulary, finish: Callable[[str], str] = str) -> None:
        self.vocabulary = vocabulary
        self.finish = finish

    def decode(
        self,
        token_ids: Any,
        skip_special: bool,
        clean: bool | None,
        usual: bool,
        cleaner: Callable[[str], str],
    ) -> Any:
        """Decode ids (an int, [T] or [B, T], or an encoding); see `PreTrainedTokenizerFast.decode`.

        Texts go through the `cleaner` where `clean` says so; None stands for what is `usual`.
        """
        ids = ids_of(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        batched = bool(ids) and isinstance(ids[0], (list, tuple))
        rows = ids if batched else [ids]
        for row in rows:
            check_ids(row)
        with told("decode these ids"):
            texts: list[str] = self.vocabulary.backend.decode_batch(rows, skip_special_tokens=skip_special)
        mark = self.vocabulary.end_of_word
        if mark:
            texts = [text.replace(mark, " ").strip() for text in texts]
        texts = [self.finish(text) for text in texts]
        # For BPE the setting of a file is known to be wrong: its spaces are part of the tokens, and
        # cleaning would delete some. An explicit argument is obeyed.
        if clean or (clean is None and usual and self.vocabulary.model != "BPE"):
            texts = [cleaner(text) for text in texts]
        return texts if batched else texts[0]

    def join(self, tokens: list[str]) -> str:
        """Join tokens to the text that they stand for."""
        decoder = self.vocabulary.backend.decoder
        with told("join these tokens"):
            return " ".join(tokens) if decoder is None else self.finish(decoder.decode(tokens))


def ids_of(given: Any) -> Any:
    """The ids of an encoding, or of whatever else holds them, as ints and lists.

    Raises:
        ValueError: for a dictionary without `input_ids`.
    """
    if isinstance(given, dict) and "input_ids" not in given:
        raise ValueError(f"expected an encoding with 'input_ids', but got a dictionary with {list(given)}")
    return plain(given["input_ids"] if isinstance(given, dict) else given)


def check_ids(row: Any) -> None:
    """Refuse what no vocabulary can have.

    Raises:
        TypeError: for what is no whole number.
        ValueError: for one that is negative, or beyond 32 bits.
    """
    if not all(type(index) is int for index in row):
        wrong = next(index for index in row if type(index) is not int)
        raise TypeError(f"an id is a whole number, but {wrong!r} is a {type(wrong).__name__}")
    if row and min(row) < 0:
        raise ValueError(
            f"cannot decode id {min(row)}: ids are at least 0. Labels mark ignored places with "
            "-100; put the padding in their place first: `np.where(labels < 0, "
            "tokenizer.pad_token_id, labels)`"
        )
    if row and max(row) >= 2**32:
        raise ValueError(f"cannot decode id {max(row)}: ids are below 2**32")


def plain(value: Any) -> Any:
    """Turn arrays, tensors and sequences of them into ints and lists; leave lists of int as they are."""
    if isinstance(value, int):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        # A list of numbers may mix Python's and numpy's after its first entry.
        if all(type(item) is int for item in value):
            return list(value)
        return [item if isinstance(item, (int, str)) else plain(item) for item in value]
    if hasattr(value, "ids"):
        return list(value.ids)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return plain(list(value))
    raise TypeError(
        f"expected ids (an int, or a list, array or tensor of int), but got {type(value).__name__}"
    )
