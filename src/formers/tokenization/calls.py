"""Text to rows of ids: `tokenizer(...)`, and the ways around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers.core.notices import notice, refuse_unknown
from formers.tokenization.encoding import BatchEncoding, Padding
from formers.tokenization.options import (
    LARGEST_LIMIT,
    Fit,
    PaddingStrategy,
    TensorType,
    TruncationStrategy,
    check_side,
    padding_strategy,
    tensor_type,
    truncation_strategy,
    whole_number,
)
from formers.tokenization.padding import pad_encoded, pad_rows, pad_to_array
from formers.tokenization.special import SpecialTokens

if TYPE_CHECKING:
    from tokenizers import Encoding

CALL_KEYWORDS = (
    "text",
    "text_pair",
    "text_target",
    "text_pair_target",
    "add_special_tokens",
    "padding",
    "truncation",
    "max_length",
    "stride",
    "is_split_into_words",
    "pad_to_multiple_of",
    "padding_side",
    "return_tensors",
    "return_token_type_ids",
    "return_attention_mask",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "verbose",
    "split_special_tokens",
)


class RenderedChat(str):
    """A conversation as a chat template wrote it: complete, so that encoding it adds no special tokens."""


@dataclass(frozen=True)
class Ragged:
    """The rows of a batch, each at its own length, nothing padded.

    Attributes:
        input_ids: one list of ids per text.
        token_type_ids: one list per text, or None when the model takes none.
        lengths: tokens of each row, special tokens included.
        cut: tokens that each text lost to truncation.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    lengths: list[int]
    cut: list[int]


def refuse_call_keywords(given: Mapping[str, Any], where: str) -> None:
    """Refuse unknown keywords of a call; those that belong to `datasets.map` say so."""
    if "batched" in given or "batch_size" in given:
        raise TypeError(
            f"{where} got {[key for key in ('batched', 'batch_size') if key in given]}, which are "
            "arguments of `datasets.Dataset.map`, not of a tokenizer: a tokenizer takes a whole list of "
            "texts at once, `tokenizer(texts)`; with datasets, `dataset.map(lambda rows: "
            "tokenizer(rows['text']), batched=True, batch_size=1000)`"
        )
    refuse_unknown(given, CALL_KEYWORDS, where)


class Calls(SpecialTokens):
    """The part of a tokenizer that is called with text."""

    model_max_length: int
    model_input_names: list[str]
    padding_side: str
    truncation_side: str
    split_special_tokens: bool

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Turn text into the inputs of a model.

        Args:
            text: a string; a list of strings; with `is_split_into_words` a list of words or a list of those.
            text_pair: the second sequence(s), shaped as `text`.
            text_target: text whose ids are returned as `labels`.
            text_pair_target: the second sequence(s) of the targets.
            add_special_tokens: whether to add what the model expects around a text. The string that
                `apply_chat_template` wrote has them already and never gets them twice.
            padding: True or "longest" pads to the longest row, "max_length" to `max_length` (or the model's
                limit), False or "do_not_pad" not at all.
            truncation: True or "longest_first" cuts rows above `max_length` (or the model's limit),
                "only_first" and "only_second" cut one sequence of a pair, False or "do_not_truncate" none.
                None cuts when `max_length` is given and nothing is padded.
            max_length: in tokens, special tokens included.
            stride: tokens that a piece repeats of the one before, with `return_overflowing_tokens`.
            is_split_into_words: whether a list of strings is one text, split into words.
            pad_to_multiple_of: pad further, to a multiple of so many tokens.
            padding_side: "left" or "right"; None takes the tokenizer's.
            return_tensors: "pt", "np", or None for lists.
            return_token_type_ids: None returns them when the model takes them.
            return_attention_mask: None returns it when the model takes it.
            return_overflowing_tokens: whether what was cut comes back as more rows, with
                `overflow_to_sample_mapping` saying which text each row is of.
            return_special_tokens_mask: whether to return 1 for special tokens and 0 for others.
            return_offsets_mapping: whether to return (start, end) characters of each token.
            return_length: whether to return the length of each row.
            verbose: False keeps notices silent.
            split_special_tokens: whether special tokens in the text are treated as plain text.
            **kwargs: nothing; a keyword that is not listed is refused.

        Returns:
            A BatchEncoding of lists, or of int64 tensors [B, T].

        Raises:
            TypeError: for an unknown keyword, an input that is not text, or a length that is not a whole
                number.
            ValueError: for rows of different lengths with `return_tensors` and without padding, and for a
                `stride` that leaves no room to cut.
        """
        if kwargs:
            refuse_call_keywords(kwargs, f"{type(self).__name__}()")
        if text is None and text_target is None:
            raise ValueError("a tokenizer needs `text` or `text_target`, but both are None")
        options: dict[str, Any] = {
            "add_special_tokens": add_special_tokens,
            "fit": self._fit(padding, truncation, max_length, pad_to_multiple_of, padding_side, verbose),
            "stride": whole_number(stride, "stride"),
            "is_split_into_words": is_split_into_words,
            "return_tensors": tensor_type(return_tensors),
            "return_token_type_ids": return_token_type_ids,
            "return_attention_mask": return_attention_mask,
            "return_overflowing_tokens": return_overflowing_tokens,
            "return_special_tokens_mask": return_special_tokens_mask,
            "return_offsets_mapping": return_offsets_mapping,
            "return_length": return_length,
            "verbose": verbose,
            "split_special_tokens": split_special_tokens,
        }
        if text_target is None:
            return self._encode(text, text_pair, **options)
        targets = self._encode(text_target, text_pair_target, **options)
        if text is None:
            return targets
        inputs = self._encode(text, text_pair, **options)
        inputs["labels"] = targets["input_ids"]
        return inputs

    def _fit(
        self,
        padding: bool | str | PaddingStrategy | None = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        multiple: int | None = None,
        side: str | None = None,
        verbose: bool = True,
    ) -> Fit:
        """Settle the padding and truncation of a call."""
        max_length = None if max_length is None else whole_number(max_length, "max_length")
        multiple = whole_number(multiple, "pad_to_multiple_of") if multiple else None
        pad = padding_strategy(padding)
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        cut = truncation_strategy(truncation)
        if max_length is None:
            limit = self.model_max_length if self.model_max_length <= LARGEST_LIMIT else None
            if limit is None and cut is not TruncationStrategy.DO_NOT_TRUNCATE:
                if verbose:
                    notice(
                        "truncation was asked for without max_length, and the checkpoint records no limit: "
                        "nothing is cut. Pass max_length=..., or set tokenizer.model_max_length",
                        key="truncation without a limit",
                    )
                cut = TruncationStrategy.DO_NOT_TRUNCATE
            if limit is None and pad is PaddingStrategy.MAX_LENGTH:
                if verbose:
                    notice(
                        "padding='max_length' was asked for without max_length, and the checkpoint records "
                        "no limit: nothing is padded. Pass max_length=..., or set "
                        "tokenizer.model_max_length",
                        key="padding without a limit",
                    )
                pad = PaddingStrategy.DO_NOT_PAD
            max_length = limit
        elif max_length < 1:
            raise ValueError(f"max_length must be at least 1 token, but is {max_length}")
        cuts, pads = cut is not TruncationStrategy.DO_NOT_TRUNCATE, pad is not PaddingStrategy.DO_NOT_PAD
        if cuts and pads and multiple and max_length is not None and max_length % multiple:
            raise ValueError(
                f"rows cut at max_length={max_length} cannot be padded to a multiple of "
                f"pad_to_multiple_of={multiple}: choose a max_length that is such a multiple"
            )
        return Fit(pad, cut, max_length, multiple, check_side(side or self.padding_side, "padding_side"))

    def _encode(
        self,
        text: Any,
        pair: Any,
        *,
        add_special_tokens: bool,
        fit: Fit,
        stride: int,
        is_split_into_words: bool,
        return_tensors: TensorType | None,
        return_token_type_ids: bool | None,
        return_attention_mask: bool | None,
        return_overflowing_tokens: bool,
        return_special_tokens_mask: bool,
        return_offsets_mapping: bool,
        return_length: bool,
        verbose: bool,
        split_special_tokens: bool | None,
    ) -> BatchEncoding:
        batch, batched = batch_of(text, pair, is_split_into_words)
        if is_split_into_words and verbose:
            self._notice_glued_words()
        found = self._run(batch, add_special_tokens, is_split_into_words, fit, stride, split_special_tokens)
        sources: list[int] | None = None
        if return_overflowing_tokens:
            pieces = [[row, *row.overflowing] for row in found]
            sources = [index for index, rows in enumerate(pieces) for _ in rows]
            found = [row for rows in pieces for row in rows]
        ids = [row.ids for row in found]
        if verbose and not fit.cuts:
            self._notice_long(ids)
        wanted = self.model_input_names
        columns: dict[str, Any] = {"input_ids": ids}
        if return_token_type_ids or (return_token_type_ids is None and "token_type_ids" in wanted):
            columns["token_type_ids"] = [row.type_ids for row in found]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in wanted):
            columns["attention_mask"] = [[1] * len(row) for row in ids]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [row.special_tokens_mask for row in found]
        if return_offsets_mapping:
            columns["offset_mapping"] = [row.offsets for row in found]
        padded = self._pad_columns(columns, fit, return_tensors is not None) if fit.pads else None
        if return_length:
            columns["length"] = [len(row) for row in columns["input_ids"]]
        if sources is not None:
            columns["overflow_to_sample_mapping"] = sources
        if batched or return_tensors is not None or return_overflowing_tokens:
            values = columns
        else:
            values = {key: rows[0] for key, rows in columns.items()}
            if return_length:
                # The ecosystem gives a list here even for one text.
                values["length"] = columns["length"]
        return BatchEncoding(values, found, return_tensors, padding=padded)

    def _run(
        self,
        batch: list[Any],
        add_special_tokens: bool,
        is_split_into_words: bool,
        fit: Fit,
        stride: int = 0,
        split_special_tokens: bool | None = None,
        offsets: bool = True,
    ) -> list[Encoding]:
        """Encode a batch, cut as `fit` says; chats that a template wrote get no special tokens."""
        if batch and any(type(item) is RenderedChat for item in batch) and add_special_tokens:
            if not all(type(item) is RenderedChat for item in batch):
                raise ValueError(
                    "some texts of this batch were written by apply_chat_template and hold their special "
                    "tokens already, others were not: encode them in two calls"
                )
            add_special_tokens = False
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        with self._lock:
            backend = self._tokenizer
            if stride and fit.cuts and fit.max_length is not None:
                pairs = not is_split_into_words and any(isinstance(item, (list, tuple)) for item in batch)
                special = self.num_special_tokens_to_add(pairs) if add_special_tokens else 0
                if stride >= fit.max_length - special:
                    raise _stride_too_wide(fit, stride)
            self._set_truncation(fit, stride)
            if backend.encode_special_tokens != split:
                backend.encode_special_tokens = split
            encode = backend.encode_batch if offsets else backend.encode_batch_fast
            try:
                return list(
                    encode(batch, is_pretokenized=is_split_into_words, add_special_tokens=add_special_tokens)
                )
            except TypeError as error:
                raise TypeError(complain(batch, is_split_into_words)) from error
            except BaseException as error:
                # A stride that leaves no room in one row ends in an exception of no usual class.
                if type(error).__name__ == "PanicException" and "`stride` must be" in str(error):
                    raise _stride_too_wide(fit, stride) from error
                if "Truncation error" not in str(error):
                    raise
                raise ValueError(
                    f"truncation={fit.truncation.value!r} cannot bring a pair down to {fit.max_length} "
                    "tokens: the sequence that may be cut is too short. Choose truncation='longest_first' "
                    "or a larger max_length"
                ) from error

    def _set_truncation(self, fit: Fit, stride: int) -> None:
        backend = self._tokenizer
        present = backend.truncation
        if not fit.cuts:
            if present is not None:
                backend.no_truncation()
            return
        wanted: dict[str, Any] = {
            "max_length": fit.max_length,
            "stride": stride,
            "strategy": fit.truncation.value,
            "direction": check_side(self.truncation_side, "truncation_side"),
        }
        if present is None or {key: present.get(key) for key in wanted} != wanted:
            try:
                backend.enable_truncation(**wanted)
            except BaseException as error:
                # The library signals a stride that leaves no room with an exception of no usual class.
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise
                raise _stride_too_wide(fit, stride) from error

    def _notice_glued_words(self) -> None:
        splitter = self._tokenizer.pre_tokenizer
        if type(splitter).__name__ == "ByteLevel" and not getattr(splitter, "add_prefix_space", True):
            notice(
                "is_split_into_words=True with a byte-level vocabulary that puts no space in front of "
                "words: every word is read as the inside of one, which the model has hardly seen. Load the "
                "tokenizer with add_prefix_space=True",
                key="words without spaces",
            )

    def _notice_long(self, rows: list[list[int]]) -> None:
        longest = max(map(len, rows), default=0)
        if longest > self.model_max_length:
            notice(
                f"a text has {longest} tokens, but the model takes at most {self.model_max_length}: "
                "running it would fail or give wrong results. Pass truncation=True, or cut the text into "
                "windows with return_overflowing_tokens=True",
                key="text longer than the model",
            )

    def _pad_columns(self, columns: dict[str, Any], fit: Fit, arrays: bool) -> Padding | None:
        """Pad every column in place and say how, for those who look at the encodings later.

        With `arrays`, columns of integers become arrays on the way: tensors are made of those at once.
        """
        rows = columns["input_ids"]
        width = fit.width(max(map(len, rows), default=0))
        if all(len(row) == width for row in rows):
            return None
        token, index = self._padding_token()
        fill = self._fill(index)
        for name, column in columns.items():
            filling = fill.get(name, 0)
            pad = pad_to_array if arrays and isinstance(filling, int) else pad_rows
            columns[name] = pad(column, width, fit.side, filling)
        return Padding(width, fit.side, index, self.pad_token_type_id, token)

    def _fill(self, pad_id: int) -> dict[str, Any]:
        return {
            self.model_input_names[0]: pad_id,
            "input_ids": pad_id,
            "token_type_ids": self.pad_token_type_id,
            "attention_mask": 0,
            "special_tokens_mask": 1,
            "offset_mapping": (0, 0),
        }

    def encode_ragged(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        max_length: int | None = None,
        truncation: bool | str | TruncationStrategy = True,
        add_special_tokens: bool = True,
    ) -> Ragged:
        """Encode a batch without padding, for callers that lay rows out themselves.

        Args:
            texts: the texts.
            pairs: the second sequence of each text.
            max_length: in tokens; None takes the model's limit.
            truncation: as in a call; False cuts nothing.
            add_special_tokens: as in a call.

        Returns:
            The rows, their lengths, and how many tokens each text lost.
        """
        fit = self._fit(False, truncation, max_length, verbose=False)
        batch, _ = batch_of(list(texts), None if pairs is None else list(pairs), False)
        found = self._run(batch, add_special_tokens, False, fit, offsets=False)
        ids = [row.ids for row in found]
        types = [row.type_ids for row in found] if "token_type_ids" in self.model_input_names else None
        lengths = [len(row) for row in ids]
        cut = [0] * len(ids)
        if fit.cuts:
            full = [
                place
                for place, row in enumerate(found)
                if lengths[place] == fit.max_length and row.overflowing
            ]
            if full:
                whole = self._run(
                    [batch[place] for place in full], add_special_tokens, False, self._fit(), offsets=False
                )
                for place, row in zip(full, whole, strict=True):
                    cut[place] = len(row.ids) - lengths[place]
        return Ragged(ids, types, lengths, cut)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """Split a text into tokens, as strings; other keywords are those of a call."""
        found = self(text, pair, add_special_tokens=add_special_tokens, **kwargs)
        return found.tokens()

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """Return the ids of a text (or the tensor [1, T] with `return_tensors`); a list of lists for a batch.

        `text` may also be ids, around which the special tokens are put. Other keywords are those of a call.
        """
        if isinstance(text, (list, tuple)) and text and isinstance(text[0], int):
            refuse_unknown(kwargs, (), "encode() of ids")
            return (
                self.around(list(text), text_pair)[0] if add_special_tokens else [*text, *(text_pair or ())]
            )
        return self(text, text_pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]

    def around(
        self, ids: list[int], pair_ids: list[int] | None = None
    ) -> tuple[list[int], list[int], list[int]]:
        """Put the special tokens of the model around one or two rows of ids.

        Returns:
            The ids, the token type of each, and 1 for each special token; lists of one length.
        """
        frame = self._frame(pair_ids is not None)
        rows = (ids, pair_ids or [])
        every: tuple[list[int], list[int], list[int]] = ([], [], [])
        for index, kind, sequence in frame:
            piece = [index] if sequence is None else rows[sequence]
            every[0].extend(piece)
            every[1].extend([kind] * len(piece))
            every[2].extend([int(sequence is None)] * len(piece))
        return every

    def _frame(self, pair: bool) -> list[tuple[int, int, int | None]]:
        """Say what stands around rows: (id, token type, sequence or None for a special token)."""
        from tokenizers import Encoding as Row

        processor = self._tokenizer.post_processor
        with self._lock:
            self._set_truncation(self._fit(), 0)
            rows = [self._tokenizer.encode(word, add_special_tokens=False) for word in ("a", "a")]
        if not all(row.ids for row in rows):
            raise ValueError("this vocabulary cannot encode the letter 'a', so its frame cannot be found")
        row: Row = rows[0]
        if processor is not None:
            row = processor.process(rows[0], rows[1] if pair else None, True)
        elif pair:
            row = Row.merge(rows)
        frame: list[tuple[int, int, int | None]] = []
        for index, kind, sequence, special in zip(
            row.ids, row.type_ids, row.sequence_ids, row.special_tokens_mask, strict=True
        ):
            place = None if special else sequence if sequence is not None else 0
            if place is None or not frame or frame[-1][2] != place:
                frame.append((index, kind, place))
        return frame

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a text (or a pair) gets."""
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of text fit beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that were encoded before to one length.

        Args:
            encoded_inputs: a dictionary of rows, a list of dictionaries of one row each, or a BatchEncoding;
                rows are lists, arrays or tensors. Columns other than those a tokenizer makes are kept as
                they are and must be of one length per batch.
            padding: as in a call.
            max_length: as in a call; rows that are longer are left as they are.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: None returns it when the model takes it.
            return_tensors: "pt", "np", or None for what the rows are made of.
            verbose: False keeps notices silent.

        Returns:
            The padded columns, [B, T]; for one row that was not in a batch, [T].
        """
        fit = self._fit(padding, False, max_length, pad_to_multiple_of, padding_side, verbose)
        return pad_encoded(self, encoded_inputs, fit, return_attention_mask, tensor_type(return_tensors))


def batch_of(text: Any, pair: Any, words: bool) -> tuple[list[Any], bool]:
    """Lay the inputs of a call out as the list that the backend takes, and say whether it was a batch.

    Raises:
        TypeError: when an input is not text.
        ValueError: when the two sides of pairs differ in number.
    """
    text, pair = _as_list(text), _as_list(pair)
    batched = isinstance(text, (list, tuple))
    if words:
        if not batched:
            raise TypeError(
                "is_split_into_words=True takes a list of words (or a list of those), not "
                f"{type(text).__name__}"
            )
        batched = bool(text) and not isinstance(text[0], str)
        text = [_as_list(row) for row in text] if batched else text
    if not batched:
        # An empty second text counts as none, as everywhere in the ecosystem.
        return ([(text, pair)] if pair else [text]), False
    if pair is None:
        return list(text), True
    if isinstance(pair, str):
        raise TypeError(
            "`text` is a batch, so `text_pair` must be a list of the same length, but it is one string"
        )
    if len(pair) != len(text):
        raise ValueError(f"`text` holds {len(text)} texts, but `text_pair` holds {len(pair)}")
    if words:
        pair = [_as_list(row) for row in pair]
    return list(zip(text, pair, strict=True)), True


def _as_list(value: Any) -> Any:
    if value is None or isinstance(value, (str, list, tuple)):
        return value
    if isinstance(value, (bytes, dict)) or not isinstance(value, Iterable):
        raise TypeError(f"a tokenizer takes text (a str or a list of str), but got {type(value).__name__}")
    # Columns of datasets, pandas and numpy.
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _stride_too_wide(fit: Fit, stride: int) -> ValueError:
    return ValueError(
        f"cannot cut to max_length={fit.max_length} with stride={stride}: the stride must be smaller than "
        "max_length less the special tokens, and less the other text of a pair where only one is cut"
    )


def complain(batch: list[Any], words: bool) -> str:
    """Find the input that the backend would not take, and say what it is."""

    def is_text(item: Any) -> bool:
        if words:
            return isinstance(item, (list, tuple)) and all(isinstance(word, str) for word in item)
        return isinstance(item, str)

    def fits(item: Any) -> bool:
        return is_text(item) or (
            isinstance(item, (list, tuple)) and len(item) == 2 and all(map(is_text, item))
        )

    wanted = "a list of words" if words else "a text (str) or a pair of texts"
    for place, item in enumerate(batch):
        if not fits(item):
            shown = repr(item) if len(repr(item)) < 80 else repr(item)[:77] + "..."
            hint = ""
            if (
                not words
                and isinstance(item, (list, tuple))
                and item
                and all(isinstance(word, str) for word in item)
            ):
                hint = "; for texts that are split into words, pass is_split_into_words=True"
            elif item is None or isinstance(item, float):
                hint = "; empty cells of a table become None or nan, so fill or drop them first"
            return f"input {place} must be {wanted}, but is {shown} ({type(item).__name__}){hint}"
    return f"the backend refused the batch; each input must be {wanted}"
