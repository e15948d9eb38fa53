"""The methods of the ecosystem's version 4 that version 5 dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from formers.core.notices import refuse_unknown
from formers.tokenization.calls import CALL_KEYWORDS, refuse_call_keywords
from formers.tokenization.chat import Chat
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import TruncationStrategy, truncation_strategy
from formers.tokenization.padding import pad_encoded


class Legacy(Chat):
    """The part of a tokenizer that older scripts call."""

    def encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:
        """Encode one text (or pair); the same as calling the tokenizer with it."""
        refuse_call_keywords(kwargs, "encode_plus()")
        if isinstance(text, (list, tuple)) and text and not kwargs.get("is_split_into_words"):
            if isinstance(text[0], int):
                return self.prepare_for_model(list(text), text_pair, **kwargs)
            if isinstance(text[0], str) and text_pair is None:
                return self.prepare_for_model([_known(self, token) for token in text], **kwargs)
        return self(text, text_pair, **kwargs)

    def batch_encode_plus(self, batch_text_or_text_pairs: Sequence[Any], **kwargs: Any) -> BatchEncoding:
        """Encode a batch of texts, or of (text, pair) tuples; the same as calling the tokenizer with it."""
        refuse_call_keywords(kwargs, "batch_encode_plus()")
        return self(list(batch_text_or_text_pairs), **kwargs)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Put the model's special tokens around one or two rows of ids."""
        return self.around(token_ids_0, token_ids_1)[0]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return the token type of each token that `build_inputs_with_special_tokens` gives."""
        return self.around(token_ids_0, token_ids_1)[1]

    def get_special_tokens_mask(
        self,
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
        return self.around(token_ids_0, token_ids_1)[2]

    def sanitize_special_tokens(self) -> int:
        """Add the special tokens that the vocabulary has not got, and return how many there were.

        When there were any, resize the model's embeddings to `len(tokenizer)`.
        """
        return self._add_special(self.all_special_tokens_extended)

    def truncate_sequences(
        self,
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
        return cut_rows(
            ids, pair_ids, num_tokens_to_remove, truncation_strategy, stride, self.truncation_side
        )

    def prepare_for_model(
        self,
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
        refuse_unknown(kwargs, CALL_KEYWORDS, "prepare_for_model()")
        fit = self._fit(padding, truncation, max_length, pad_to_multiple_of, padding_side, verbose)
        extra = self.num_special_tokens_to_add(pair_ids is not None) if add_special_tokens else 0
        surplus = len(ids) + len(pair_ids or []) + extra - (fit.max_length or 0)
        overflow: list[int] = []
        if fit.cuts and surplus > 0:
            ids, pair_ids, overflow = cut_rows(
                ids, pair_ids, surplus, fit.truncation, stride, self.truncation_side
            )
        row, types, special = self.around(ids, pair_ids) if add_special_tokens else _bare(ids, pair_ids)
        if verbose and not fit.cuts:
            self._notice_long([row])
        values: dict[str, Any] = {"input_ids": row}
        if return_token_type_ids or (
            return_token_type_ids is None and "token_type_ids" in self.model_input_names
        ):
            values["token_type_ids"] = types
        if return_special_tokens_mask:
            values["special_tokens_mask"] = special
        made = pad_encoded(self, values, fit, return_attention_mask, None)
        if return_overflowing_tokens:
            made["overflowing_tokens"] = overflow
            made["num_truncated_tokens"] = max(surplus, 0) if fit.max_length else 0
        if return_length:
            made["length"] = len(made["input_ids"])
        return made.convert_to_tensors(return_tensors, prepend_batch_axis)

    def prepare_seq2seq_batch(
        self,
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
        inputs = self(src_texts, max_length=max_length, **shared)
        if tgt_texts is not None:
            length = max_length if max_target_length is None else max_target_length
            inputs["labels"] = self(text_target=tgt_texts, max_length=length, **shared)["input_ids"]
        return inputs

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Encode targets inside this block. Sources and targets share one vocabulary, so nothing changes."""
        yield


def _known(tokenizer: Legacy, token: str) -> int:
    index = tokenizer.backend_tokenizer.token_to_id(token)
    if index is None:
        raise ValueError(
            f"{token!r} is not a token of this vocabulary. A list of strings means a list of tokens here; "
            "for words pass is_split_into_words=True, for a batch of texts call the tokenizer"
        )
    return int(index)


def _bare(ids: list[int], pair: list[int] | None) -> tuple[list[int], list[int], list[int]]:
    """Lay out rows without special tokens: ids, token types, special tokens mask."""
    row = [*ids, *(pair or ())]
    return row, [0] * len(ids) + [1] * (len(row) - len(ids)), [0] * len(row)


def cut_rows(
    ids: list[int],
    pair: list[int] | None,
    surplus: int,
    strategy: bool | str | TruncationStrategy,
    stride: int,
    side: str,
) -> tuple[list[int], list[int] | None, list[int]]:
    """Cut one or two rows of ids by `surplus` tokens; see `Legacy.truncate_sequences`."""
    kind = truncation_strategy(strategy)
    if surplus <= 0 or kind is TruncationStrategy.DO_NOT_TRUNCATE:
        return ids, pair, []
    sizes = [len(ids), len(pair or [])]
    if kind is TruncationStrategy.LONGEST_FIRST and pair is not None:
        for _ in range(min(surplus, sum(sizes))):
            sizes[0 if sizes[0] > sizes[1] else 1] -= 1
        return _keep(ids, sizes[0], side), _keep(pair, sizes[1], side), []
    place = 1 if kind is TruncationStrategy.ONLY_SECOND and pair is not None else 0
    row = (ids, pair or [])[place]
    if len(row) <= surplus:
        raise ValueError(
            f"{surplus} tokens are too many, but the {'second' if place else 'first'} sequence has only "
            f"{len(row)}: choose a larger max_length or truncation='longest_first'"
        )
    kept = _keep(row, len(row) - surplus, side)
    window = min(len(row), stride + surplus)
    overflow = row[-window:] if side == "right" else row[:window]
    return (ids, kept, overflow) if place else (kept, pair, overflow)


def _keep(row: list[int], count: int, side: str) -> list[int]:
    return row[:count] if side == "right" else row[len(row) - count :]
