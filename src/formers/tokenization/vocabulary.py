"""Ids and tokens: the vocabulary behind a tokenizer, and the way back from ids to text."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

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
    for tokenizer in list(_living):
        tokenizer._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


class Vocabulary:
    """The part of a tokenizer that maps between ids, tokens and text."""

    _tokenizer: Tokenizer
    clean_up_tokenization_spaces: bool

    def __init__(self, backend: Tokenizer) -> None:
        self._tokenizer = backend
        self._lock = threading.RLock()
        # Padding and truncation that the file asks for are the file's; a call states its own.
        self._file_padding: dict[str, Any] | None = backend.padding
        self._file_truncation: dict[str, Any] | None = backend.truncation
        backend.no_padding()
        backend.no_truncation()
        _living.add(self)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        _living.add(self)

    @property
    def is_fast(self) -> bool:
        """Always True: every tokenizer here runs on the `tokenizers` library."""
        return True

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The `tokenizers.Tokenizer` that does the work."""
        return self._tokenizer

    @property
    def decoder(self) -> Any:
        """The part of the backend that turns tokens into text."""
        return self._tokenizer.decoder

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Return every token, added ones included, with its id."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """Every token, added ones included, with its id."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self._tokenizer.get_added_tokens_decoder().items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Return the added tokens with their ids."""
        return self.added_tokens_encoder

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens that the vocabulary has not got, at its end.

        Args:
            new_tokens: one or several tokens; a `tokenizers.AddedToken` says how it matches.
            special_tokens: whether decoding with `skip_special_tokens` leaves them out.

        Returns:
            How many were new. When it is more than none, resize the model's embeddings to `len(tokenizer)`.
        """
        from tokenizers import AddedToken

        tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        for token in tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(
                    f"a token must be a str or an AddedToken, but {token!r} is a {type(token).__name__}"
                )
        with self._lock:
            before = len(self)
            if special_tokens:
                self._tokenizer.add_special_tokens(tokens)
            else:
                self._tokenizer.add_tokens(tokens)
            return len(self) - before

    def _unknown_id(self) -> int | None:
        return None

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | None | list[int | None]:
        """Return the id of a token, or a list of ids; an unknown token has the id of `unk_token`."""
        find = self._tokenizer.token_to_id
        if isinstance(tokens, str):
            index = find(tokens)
            return self._unknown_id() if index is None else int(index)
        unknown = self._unknown_id()
        return [unknown if (index := find(token)) is None else index for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or a list of tokens.

        Args:
            ids: an int, or a list, array or tensor of int.
            skip_special_tokens: whether to leave special tokens out of the list.
        """
        ids = plain(ids)
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        special = set(self._special_ids()) if skip_special_tokens else set()
        name = self._tokenizer.id_to_token
        return [name(index) for index in ids if index not in special]

    def _special_ids(self) -> list[int]:
        return [index for index, token in self.added_tokens_decoder.items() if token.special]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens to the text that they stand for."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Turn ids back into text.

        Args:
            token_ids: an int; a list, array or tensor [T] of int; a batch of those [B, T]; or an encoding.
            skip_special_tokens: whether to leave special tokens out.
            clean_up_tokenization_spaces: whether to remove spaces before punctuation; None takes the
                tokenizer's setting.
            **kwargs: `use_source_tokenizer` and `spaces_between_special_tokens`, which older tokenizers that
                were written in Python heed, and nothing else.

        Returns:
            A string, or a list of strings for a batch.

        Raises:
            ValueError: when an id is negative, as ignored labels (-100) are.
        """
        from formers.core.notices import refuse_unknown

        refuse_unknown(
            kwargs, ("use_source_tokenizer", "spaces_between_special_tokens", *DECODE_KEYWORDS), "decode()"
        )
        ids = plain(token_ids["input_ids"] if isinstance(token_ids, dict) else token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if ids and isinstance(ids[0], (list, tuple)):
            return self._decode_rows(ids, skip_special_tokens, clean_up_tokenization_spaces)
        return self._decode_rows([ids], skip_special_tokens, clean_up_tokenization_spaces)[0]

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Turn a batch of ids [B, T] back into texts; a flat list [T] gives one text per id.

        The arguments are those of `decode`.
        """
        rows = sequences["input_ids"] if isinstance(sequences, dict) else sequences
        ids = [[row] if isinstance(row, int) else row for row in plain(rows)]
        found = self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs) if ids else []
        return list(found)

    def _decode_rows(self, rows: list[list[int]], skip: bool, clean_up: bool | None) -> list[str]:
        for row in rows:
            if row and min(row) < 0:
                raise ValueError(
                    f"cannot decode id {min(row)}: ids are at least 0. Labels mark ignored places with "
                    "-100; put the padding in their place first: `np.where(labels < 0, "
                    "tokenizer.pad_token_id, labels)`"
                )
        texts: list[str] = self._tokenizer.decode_batch(rows, skip_special_tokens=skip)
        if clean_up is None:
            # For BPE the setting of a file is known to be wrong: its spaces are part of the tokens, and
            # cleaning would delete some. An explicit argument is obeyed.
            clean_up = self.clean_up_tokenization_spaces and type(self._tokenizer.model).__name__ != "BPE"
        return [self.clean_up_tokenization(text) for text in texts] if clean_up else texts

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """Remove the spaces that splitting English put before punctuation and contractions."""
        for old, new in _CLEAN_UP:
            text = text.replace(old, new)
        return text


DECODE_KEYWORDS = ("skip_special_tokens", "clean_up_tokenization_spaces")

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


def plain(value: Any) -> Any:
    """Turn arrays, tensors and sequences of them into ints and lists; leave lists of int as they are."""
    if isinstance(value, int):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        nested = value and not isinstance(value[0], (int, str))
        return [plain(item) for item in value] if nested else _ints(value)
    if hasattr(value, "ids"):
        return list(value.ids)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return plain(list(value))
    raise TypeError(
        f"expected ids (an int, or a list, array or tensor of int), but got {type(value).__name__}"
    )


def _ints(values: Sequence[Any]) -> list[Any]:
    # A list of numbers may mix Python's and numpy's after its first entry.
    if all(type(item) is int for item in values):
        return list(values)
    return [item if isinstance(item, (int, str)) else plain(item) for item in values]
