"""What a tokenizer returns: a dictionary of rows that knows where each token came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from formers.tokenization.options import TensorType, tensor_type

if TYPE_CHECKING:
    from tokenizers import Encoding


class CharSpan(NamedTuple):
    """Characters [start, end) of the text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens [start, end) of the row."""

    start: int
    end: int


class Padding(NamedTuple):
    """The padding that the rows of a batch have got, for encodings that have not got it yet."""

    width: int
    side: str
    pad_id: int
    type_id: int
    token: str


class BatchEncoding(dict[str, Any]):
    """The rows of one text or of a batch.

    A real `dict` (so `**encoding`, `isinstance(encoding, dict)` and JSON work) whose values can also be
    read as attributes: `encoding.input_ids` is `encoding["input_ids"]`. An integer index gives the
    `tokenizers.Encoding` of that row, a slice gives those rows of every value.

    Args:
        data: the values: [T] or [B, T] lists, arrays or tensors of int.
        encoding: the `tokenizers.Encoding` of each row, which the methods about words and characters ask.
        tensor_type: "pt" or "np" to convert the values.
        prepend_batch_axis: whether the conversion puts an axis of length 1 in front.
        n_sequences: how many sequences a row was made of (1, or 2 for a pair).
    """

    def __init__(
        self,
        data: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
        encoding: Encoding | list[Encoding] | None = None,
        tensor_type: str | TensorType | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
        *,
        padding: Padding | None = None,
    ) -> None:
        super().__init__(data if data is not None else {})
        if encoding is not None and not isinstance(encoding, list):
            encoding = [encoding]
        self._encodings: list[Encoding] | None = encoding
        self._padding = padding
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item: str | int | slice) -> Any:
        """Return the value of a key, the `Encoding` of a row, or the rows of a slice as a dictionary."""
        if isinstance(item, str):
            return super().__getitem__(item)
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.items()}
        return self._rows()[item]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self:
            return super().__getitem__(name)
        known = "" if name.startswith("_") else f"; it holds {list(self)}"
        raise AttributeError(f"BatchEncoding has no attribute or key {name!r}{known}")

    def copy(self) -> BatchEncoding:
        """Return a BatchEncoding of the same values."""
        return BatchEncoding(self, self._encodings, n_sequences=self._n_sequences, padding=self._padding)

    __copy__ = copy

    @property
    def data(self) -> dict[str, Any]:
        """The dictionary of values: this object itself."""
        return self

    @property
    def is_fast(self) -> bool:
        """Whether rows know their words and characters (they do when they come from a tokenizer)."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """How many sequences each row was made of."""
        if self._n_sequences is None and self._encodings:
            self._n_sequences = self._encodings[0].n_sequences
        return self._n_sequences

    @property
    def encodings(self) -> list[Encoding] | None:
        """The `tokenizers.Encoding` of each row, padded as the rows are."""
        return None if self._encodings is None else self._rows()

    def _rows(self) -> list[Encoding]:
        if self._encodings is None:
            raise ValueError(
                "this BatchEncoding was not made by a tokenizer call (or by `pad`), so it does not know "
                "tokens, words or characters; use the result of `tokenizer(...)` itself"
            )
        if self._padding is not None:
            # The arrays were padded without these objects; they catch up when somebody looks.
            pad, self._padding = self._padding, None
            for row in self._encodings:
                row.pad(
                    pad.width,
                    direction=pad.side,
                    pad_id=pad.pad_id,
                    pad_type_id=pad.type_id,
                    pad_token=pad.token,
                )
        return self._encodings

    def _place(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """Read `(index)` of the only row or `(row, index)`; a negative index counts from the end."""
        rows = self._rows()
        row, index = (0, first) if second is None else (first, second)
        encoding = rows[row]
        return encoding, index + len(encoding.ids) if index < 0 else index

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of a row as text, special tokens and padding included."""
        return list(self._rows()[batch_index].tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token of a row the index of its word, None for special tokens and padding."""
        return list(self._rows()[batch_index].word_ids)

    def words(self, batch_index: int = 0) -> list[int | None]:
        """Return what `word_ids` returns."""
        return self.word_ids(batch_index)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token 0 or 1, the sequence of the pair it belongs to, None for special tokens."""
        return list(self._rows()[batch_index].sequence_ids)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return which sequence of the pair a token belongs to."""
        encoding, index = self._place(batch_or_token_index, token_index)
        return encoding.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the index of the word that a token belongs to."""
        encoding, index = self._place(batch_or_token_index, token_index)
        return encoding.token_to_word(index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Return the characters of the text that a token covers."""
        encoding, index = self._place(batch_or_token_index, token_index)
        found = encoding.token_to_chars(index)
        return None if found is None else CharSpan(*found)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the tokens of a word."""
        row, index = (0, batch_or_word_index) if word_index is None else (batch_or_word_index, word_index)
        found = self._rows()[row].word_to_tokens(index, sequence_index)
        return None if found is None else TokenSpan(*found)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """Return the characters of a word.

        Raises:
            IndexError: when the text has no such word.
        """
        row, index = (0, batch_or_word_index) if word_index is None else (batch_or_word_index, word_index)
        found = self._rows()[row].word_to_chars(index, sequence_index)
        if found is None:
            raise IndexError(f"sequence {sequence_index} of row {row} has no word {index}")
        return CharSpan(*found)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the token that covers a character of the text, None where no token does."""
        row, index = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        return self._rows()[row].char_to_token(index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the word that a character of the text belongs to, None for whitespace."""
        row, index = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        return self._rows()[row].char_to_word(index, sequence_index)

    def convert_to_tensors(
        self, tensor_type: str | TensorType | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn every value into a tensor or an array, in place.

        Args:
            tensor_type: "pt", "np" or None for no change.
            prepend_batch_axis: whether to put an axis of length 1 in front.

        Raises:
            ValueError: when the rows of a value have different lengths, or hold no numbers.
        """
        if tensor_type is None:
            return self
        for key, value in self.items():
            try:
                self[key] = as_tensor([value] if prepend_batch_axis else value, tensor_type)
            except (ValueError, TypeError) as error:
                raise ValueError(_explain(key, value, error)) from error
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move every tensor to a device (a string, an index or a `torch.device`), in place.

        Raises:
            TypeError: for anything else, a dtype for instance: token ids are never cast.
        """
        if not (isinstance(device, (str, int)) or type(device).__name__ == "device"):
            raise TypeError(
                f"BatchEncoding.to takes a device, not {device!r}; token ids stay integers, so cast single "
                "tensors if that is what you want"
            )
        for key, value in self.items():
            if callable(getattr(value, "to", None)):
                self[key] = value.to(device=device, non_blocking=non_blocking)
        return self


def as_tensor(value: Any, kind: str | TensorType) -> Any:
    """Turn nested lists, arrays or tensors into one tensor.

    Args:
        value: numbers, nested to any depth, every level of one length.
        kind: "pt" or "np".

    Returns:
        A `torch.Tensor` or `numpy.ndarray`; int64 for integers and for empty values, float32 ("pt") or
        float64 ("np") for floats.

    Raises:
        ValueError: when lengths differ.
    """
    if tensor_type(kind) is TensorType.NUMPY:
        return _as_array(value)
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], torch.Tensor):
        return torch.stack(list(value))
    array = _as_array(value)
    if array.dtype == np.float64 and not isinstance(value, np.ndarray):
        array = array.astype(np.float32)
    return torch.from_numpy(array)


def _as_array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        return np.asarray(value.detach().cpu())
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "detach"):
        value = [np.asarray(item.detach().cpu()) for item in value]
    array = np.array(value)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it holds {type(_leaf(value)).__name__}, not numbers")
    return array


def _leaf(value: Any) -> Any:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value


def _explain(key: str, value: Any, error: Exception) -> str:
    lengths = (
        sorted({len(row) for row in value if hasattr(row, "__len__")}) if hasattr(value, "__iter__") else []
    )
    if len(lengths) > 1:
        return (
            f"cannot make one tensor of {key!r}: its rows have {lengths[0]} to {lengths[-1]} entries. Ask "
            "for padding=True to pad them to one length, and truncation=True to cut those that are too long"
        )
    return f"cannot make a tensor of {key!r}: {error}"
