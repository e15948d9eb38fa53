"""The methods of the ecosystem's version 4 that version 5 dropped, told by the documented ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from formers.core.notices import refuse_unknown
from formers.tokenization.encoder import notice_long
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import (
    CALL_KEYWORDS,
    EncodeOptions,
    TruncationStrategy,
    refuse_call_keywords,
    truncation_strategy,
)


class Fitted(NamedTuple):
    """One or two rows that fit, what was cut off, and how many tokens were too many (below 0: room left)."""

    ids: list[int]
    pair: list[int] | None
    overflow: list[int]
    surplus: int


class OlderCalls:
    """The part of a tokenizer that older scripts call."""

    def encode_plus(self: Any, text: Any, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:
        """Encode one text (or pair); the same as calling the tokenizer with it."""
        refuse_call_keywords(kwargs, "encode_plus()", "pad_to_max_length")
        call, words = self, kwargs.get("is_split_into_words")
        if isinstance(text, (list, tuple)) and text and not words:
            if isinstance(text[0], int):
                text, call = list(text), self.prepare_for_model
            elif isinstance(text[0], str) and text_pair is None:
                text = [_known(token, self.backend_tokenizer.token_to_id(token)) for token in text]
                call = self.prepare_for_model
        found: BatchEncoding = call(text, text_pair, **kwargs)
        return found

    def batch_encode_plus(self: Any, batch_text_or_text_pairs: Sequence[Any], **kwargs: Any) -> BatchEncoding:
        """Encode a batch of texts, or of (text, pair) tuples; the same as calling the tokenizer with it."""
        refuse_call_keywords(kwargs, "batch_encode_plus()", "pad_to_max_length")
        found: BatchEncoding = self(list(batch_text_or_text_pairs), **kwargs)
        return found

    def build_inputs_with_special_tokens(
        self: Any, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Put the model's special tokens around one or two rows of ids."""
        return list(self.around(token_ids_0, token_ids_1)[0])

    def create_token_type_ids_from_sequences(
        self: Any, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return the token type of each token that `build_inputs_with_special_tokens` gives."""
        return list(self.around(token_ids_0, token_ids_1)[1])

    def get_special_tokens_mask(
        self: Any,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for each special token and 0 for each other.

        Args:
            token_ids_0: ids.
            token_ids_1: ids of the second sequence.
            already_has_special_tokens: whether the ids hold their special tokens; else they are put around.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError(
                    "with already_has_special_tokens=True, pass the whole row as token_ids_0 alone"
                )
            special = set(self.all_special_ids)
            return [int(index in special) for index in token_ids_0]
        return list(self.around(token_ids_0, token_ids_1)[2])

    def sanitize_special_tokens(self: Any) -> int:
        """Add the special tokens that the vocabulary has not got, and return how many there were.

        When there were any, resize the model's embeddings to `len(tokenizer)`.
        """
        return int(self._add_special(self.all_special_tokens_extended))

    def truncate_sequences(
        self: Any,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: bool | str | TruncationStrategy = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Cut one or two rows of ids by a number of tokens.

        Returns:
            The two rows, and what was cut off (with `stride` tokens of what stayed beside it).
        """
        side, strategy = self.truncation_side, truncation_strategy
        return _cut(ids, pair_ids, num_tokens_to_remove, strategy, stride, side == "right")

    def fitted(self: Any, ids: list[int], pair: list[int] | None, options: EncodeOptions) -> Fitted:
        """Cut one or two rows so that they fit with their special tokens, where the options say so."""
        extra = self.num_special_tokens_to_add(pair is not None) if options.add_special_tokens else 0
        surplus = len(ids) + len(pair or []) + extra - (options.max_length or 0)
        if not options.cuts or surplus <= 0:
            return Fitted(ids, pair, [], surplus)
        ids, pair, overflow = self.truncate_sequences(ids, pair, surplus, options.truncation, options.stride)
        return Fitted(ids, pair, overflow, surplus)

    def prepare_for_model(
        self: Any,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Make the model's inputs of ids that were looked up before; the arguments are those of a call."""
        # Every keyword of a call is a field of the options; tensors are made at the very end.
        options = EncodeOptions.of(self, {**locals(), "return_tensors": None})
        refuse_unknown(kwargs, CALL_KEYWORDS, "prepare_for_model()")
        ids, pair_ids, overflow, surplus = self.fitted(ids, pair_ids, options)
        rows = (ids, pair_ids)
        row = (
            self.build_inputs_with_special_tokens(*rows) if add_special_tokens else [*ids, *(pair_ids or ())]
        )
        if verbose and not options.cuts:
            notice_long([row], self.model_max_length)
        values: dict[str, Any] = {"input_ids": row}
        if options.return_token_type_ids:
            bare = [0] * len(ids) + [1] * len(pair_ids or ())
            values["token_type_ids"] = (
                self.create_token_type_ids_from_sequences(*rows) if add_special_tokens else bare
            )
        if return_special_tokens_mask:
            values["special_tokens_mask"] = (
                self.get_special_tokens_mask(*rows) if add_special_tokens else [0] * len(row)
            )
        if options.return_attention_mask:
            values["attention_mask"] = [1] * len(row)
        made = BatchEncoding(values)
        if options.pads:
            sizes = {"max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of}
            made = self.pad(values, options.padding, padding_side=padding_side, verbose=verbose, **sizes)
        if return_overflowing_tokens:
            made["overflowing_tokens"] = overflow
            made["num_truncated_tokens"] = max(surplus, 0) if options.max_length else 0
        if return_length:
            made["length"] = len(made["input_ids"])
        return made.convert_to_tensors(return_tensors, prepend_batch_axis)

    def prepare_seq2seq_batch(
        self: Any,
        src_texts: list[str],
        tgt_texts: list[str] | None = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        padding: Any = "longest",
        truncation: Any = True,
        return_tensors: Any = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode sources, and targets as `labels`, each with its own length."""
        refuse_call_keywords(kwargs, "prepare_seq2seq_batch()")
        shared = {"padding": padding, "truncation": truncation, "return_tensors": return_tensors, **kwargs}
        inputs: BatchEncoding = self(src_texts, max_length=max_length, **shared)
        if tgt_texts is not None:
            length = max_length if max_target_length is None else max_target_length
            inputs["labels"] = self(text_target=tgt_texts, max_length=length, **shared)["input_ids"]
        return inputs

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Encode targets inside this block; nothing changes where texts and targets are framed alike."""
        yield


def _known(token: str, index: int | None) -> int:
    if index is None:
        raise ValueError(
            f"{token!r} is not a token of this vocabulary. A list of strings means a list of tokens here; "
            "for words pass is_split_into_words=True, for a batch of texts call the tokenizer"
        )
    return index


def _cut(
    ids: list[int], pair: list[int] | None, surplus: int, strategy: Any, stride: int, right: bool
) -> tuple[list[int], list[int] | None, list[int]]:
    """Cut one or two rows, at their right or left ends; see `OlderCalls.truncate_sequences`."""

    def kept(row: list[int], count: int) -> list[int]:
        return row[:count] if right else row[len(row) - count :]

    kind = truncation_strategy(strategy)
    if surplus <= 0 or kind is TruncationStrategy.DO_NOT_TRUNCATE:
        return ids, pair, []
    if kind is TruncationStrategy.LONGEST_FIRST and pair is not None:
        sizes = [len(ids), len(pair)]
        for _ in range(min(surplus, sum(sizes))):
            sizes[0 if sizes[0] > sizes[1] else 1] -= 1
        return kept(ids, sizes[0]), kept(pair, sizes[1]), []
    second = kind is TruncationStrategy.ONLY_SECOND and pair is not None
    row = (pair if second else ids) or []
    if len(row) <= surplus:
        raise ValueError(
            f"{surplus} tokens are too many, but the {'second' if second else 'first'} sequence has only "
            f"{len(row)}: choose a larger max_length or truncation='longest_first'"
        )
    window = min(len(row), stride + surplus)
    overflow = row[-window:] if right else row[:window]
    rest = kept(row, len(row) - surplus)
    return (ids, rest, overflow) if second else (rest, pair, overflow)
