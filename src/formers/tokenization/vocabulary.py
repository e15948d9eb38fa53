"""The backend behind a tokenizer: ids, tokens, what was added to them, and the lock around them."""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken, Encoding, Tokenizer

_living: weakref.WeakSet[Vocabulary] = weakref.WeakSet()
_set_for_fork = False


def _before_fork() -> None:
    # The threads of `tokenizers` do not survive a fork: a child that used them would hang, so the
    # library warns unless it was told not to use them. A child of ours is told so.
    global _set_for_fork
    _set_for_fork = "TOKENIZERS_PARALLELISM" not in os.environ and bool(_living)
    if _set_for_fork:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _after_fork_in_parent() -> None:
    global _set_for_fork
    if _set_for_fork:
        os.environ.pop("TOKENIZERS_PARALLELISM", None)
        _set_for_fork = False


def _after_fork_in_child() -> None:
    # A lock that another thread held at the fork would never be released here.
    for vocabulary in list(_living):
        vocabulary.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


@dataclass
class Segmenter:
    """What cuts a text into pieces, where another file says their ids; those that it lacks are `unknown`."""

    cutter: Tokenizer
    ids: dict[str, int]
    unknown: int

    def ids_of(self, row: Encoding) -> list[int]:
        """The ids of a row of pieces."""
        return [self.ids.get(token, self.unknown) for token in row.tokens]

    def add(self, added: dict[int, AddedToken]) -> None:
        """Find in texts what was added to the vocabulary."""
        for index, token in added.items():
            self.ids.setdefault(token.content, index)
            (self.cutter.add_special_tokens if token.special else self.cutter.add_tokens)([token])


class Vocabulary:
    """A `tokenizers.Tokenizer` that one thread at a time may set up and use: hold its `lock` meanwhile.

    Padding and truncation that its file asks for are the file's: they are taken off and kept for saving, and
    a call states its own. Texts are cut by the `segmenter` in use, one of `segmenters`, where there are any.
    Where `in_file` is false, no tokenizer.json can say how.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self.segmenter: Segmenter | None = None
        self.segmenters: tuple[Segmenter, ...] = ()
        self.in_file = True
        self.backend = backend
        self.file_padding: dict[str, Any] = backend.padding or {}
        self.file_truncation: dict[str, Any] = backend.truncation or {}
        backend.no_padding()
        backend.no_truncation()
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.RLock()
        _living.add(self)

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @property
    def cutter(self) -> Tokenizer:
        """What texts go through."""
        return self.backend if self.segmenter is None else self.segmenter.cutter

    def ids_in(self, row: Encoding) -> list[int]:
        """The ids of what the cutter made of a text."""
        return list(row.ids) if self.segmenter is None else self.segmenter.ids_of(row)

    @property
    def model(self) -> str:
        """The kind of vocabulary: "WordPiece", "BPE", "Unigram" or "WordLevel"."""
        return type(self.backend.model).__name__

    @property
    def end_of_word(self) -> str | None:
        """The mark of a word's end that decoding leaves in texts: CLIP's, whose decoder knows but bytes."""
        mark = getattr(self.backend.model, "end_of_word_suffix", None)
        return mark if mark and type(self.backend.decoder).__name__ == "ByteLevel" else None

    def id_of(self, token: Any) -> int | None:
        """Return the id of a token (text, or an AddedToken), None where there is no such token."""
        return None if token is None else self.backend.token_to_id(str(token))

    def token_of(self, index: int) -> str:
        """Return the token of an id.

        Raises:
            ValueError: when there is no such id.
        """
        index = operator.index(index)
        token = self.backend.id_to_token(index) if 0 <= index < 2**32 else None
        if token is None:
            raise ValueError(f"no token has the id {index}: ids run from 0 to {len(self) - 1}")
        return str(token)

    def added(self) -> dict[int, AddedToken]:
        """Return the added tokens by id."""
        return dict(sorted(self.backend.get_added_tokens_decoder().items()))

    def as_added(self, token: Any) -> Any:
        """Return the AddedToken that the backend matches `token` with, `token` itself where it has none."""
        index = self.id_of(token)
        return token if index is None else self.backend.get_added_tokens_decoder().get(index, token)

    def add(self, tokens: str | AddedToken | Sequence[str | AddedToken], special: bool = False) -> int:
        """Add tokens that are not there yet, and return how many there were."""
        from tokenizers import AddedToken

        if not isinstance(tokens, (str, AddedToken, Iterable)):
            raise TypeError(
                f"tokens are a str, an AddedToken or a list of those, not a {type(tokens).__name__}"
            )
        tokens = [tokens] if isinstance(tokens, (str, AddedToken)) else list(tokens)
        for token in tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(
                    f"a token must be a str or an AddedToken, but {token!r} is a {type(token).__name__}"
                )
        with self.lock:
            before = len(self)
            (self.backend.add_special_tokens if special else self.backend.add_tokens)(tokens)
            for segmenter in self.segmenters:
                segmenter.add(self.added())
            return len(self) - before

    def to_json(self) -> str:
        """Return the text of a tokenizer.json, with the padding and truncation of the file it came from."""
        with self.lock:
            truncation = self.backend.truncation
            if self.file_truncation:
                self.backend.enable_truncation(**self.file_truncation)
            else:
                self.backend.no_truncation()
            if self.file_padding:
                self.backend.enable_padding(**self.file_padding)
            text = str(self.backend.to_str(pretty=True))
            self.backend.no_padding()
            if truncation is None:
                self.backend.no_truncation()
            else:
                self.backend.enable_truncation(**truncation)
            return text
