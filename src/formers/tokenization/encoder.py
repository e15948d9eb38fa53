"""Text to rows of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers.core.notices import notice
from formers.tokenization.checks import told
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import EncodeOptions, check_side
from formers.tokenization.padding import Filling, pad_columns
from formers.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_AS_THEY_ARE = EncodeOptions()
_MANY_SINGLES = 1_000


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


class Encoder:
    """Turns texts into rows of ids, as the options of a call say."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._singles = 0

    def encode(
        self, text: Any, pair: Any, options: EncodeOptions, limit: int, filling: Callable[[], Filling]
    ) -> BatchEncoding:
        """Encode a text, words, or a batch of those.

        Rows above the `limit` (in tokens) that were not to be cut are noticed; `filling` is asked for what to
        pad with when there is something to pad.
        """
        batch, batched = batch_of(text, pair, options.is_split_into_words)
        if options.is_split_into_words and options.verbose:
            self._notice_glued_words()
        found = self.rows(batch, options)
        sources: list[int] | None = None
        if options.return_overflowing_tokens:
            pieces = [[row, *row.overflowing] for row in found]
            sources = [index for index, rows in enumerate(pieces) for _ in rows]
            found = [row for rows in pieces for row in rows]
        ids = [self.vocabulary.ids_in(row) for row in found]
        if options.verbose and not options.cuts:
            notice_long(ids, limit)
        columns: dict[str, Any] = {"input_ids": ids}
        if options.return_token_type_ids:
            columns["token_type_ids"] = [row.type_ids for row in found]
        if options.return_attention_mask:
            columns["attention_mask"] = [[1] * len(row) for row in ids]
        if options.return_special_tokens_mask:
            columns["special_tokens_mask"] = [row.special_tokens_mask for row in found]
        if options.return_offsets_mapping:
            columns["offset_mapping"] = [row.offsets for row in found]
        padding = pad_columns(columns, options, filling) if options.pads else None
        if options.return_length:
            columns["length"] = [len(row) for row in columns["input_ids"]]
        if sources is not None:
            columns["overflow_to_sample_mapping"] = sources
        if batched or options.return_tensors is not None or sources is not None:
            values = columns
        else:
            self._notice_single()
            values = {key: rows[0] for key, rows in columns.items()}
            if options.return_length:
                # The ecosystem gives a list here even for one text.
                values["length"] = columns["length"]
        return BatchEncoding(values, found, options.return_tensors, padding=padding)

    def rows(self, batch: list[Any], options: EncodeOptions, offsets: bool = True) -> list[Encoding]:
        """Encode a batch, cut as the options say; chats that a template wrote get no special tokens."""
        special, words = options.add_special_tokens, options.is_split_into_words
        if special and any(type(item) is RenderedChat for item in batch):
            if not all(type(item) is RenderedChat for item in batch):
                raise ValueError(
                    "some texts of this batch were written by apply_chat_template and hold their special "
                    "tokens already, others were not: encode them in two calls"
                )
            special = False
        with self.vocabulary.lock:
            backend = self.vocabulary.cutter
            if options.stride and options.cuts and options.max_length is not None:
                pairs = not words and any(isinstance(item, (list, tuple)) for item in batch)
                if options.stride >= options.max_length - (self.special_count(pairs) if special else 0):
                    raise _stride_too_wide(options)
            self._set_truncation(backend, options)
            if backend.encode_special_tokens != options.split_special_tokens:
                backend.encode_special_tokens = options.split_special_tokens
            fast = not offsets and self.vocabulary.segmenter is None  # the fast way forgets the tokens' texts
            encode = backend.encode_batch_fast if fast else backend.encode_batch
            try:
                with told("encode a text of this batch"):
                    return list(encode(batch, is_pretokenized=words, add_special_tokens=special))
            except TypeError as error:
                raise TypeError(_complaint(batch, words)) from error
            except BaseException as error:
                # A stride that leaves no room in one row ends in an exception of no usual class.
                if "`stride` must be" in str(error):
                    raise _stride_too_wide(options) from error
                if "Truncation error" not in str(error):
                    raise
                raise ValueError(
                    f"truncation={options.truncation.value!r} cannot bring a pair down to "
                    f"{options.max_length} tokens: the sequence that may be cut is too short. Choose "
                    "truncation='longest_first' or a larger max_length"
                ) from error

    def ragged(self, texts: list[Any], pairs: list[Any] | None, options: EncodeOptions) -> Ragged:
        """Encode a batch without padding, and count what each text lost."""
        batch, _ = batch_of(texts, pairs, False)
        found = self.rows(batch, options, offsets=False)
        ids = [self.vocabulary.ids_in(row) for row in found]
        types = [row.type_ids for row in found] if options.return_token_type_ids else None
        lengths = [len(row) for row in ids]
        cut = [0] * len(ids)
        full = [
            place
            for place, row in enumerate(found)
            if options.cuts and lengths[place] == options.max_length and row.overflowing
        ]
        if full:
            whole = EncodeOptions(
                add_special_tokens=options.add_special_tokens,
                split_special_tokens=options.split_special_tokens,
            )
            every = self.rows([batch[place] for place in full], whole, offsets=False)
            for place, row in zip(full, every, strict=True):
                cut[place] = len(row.ids) - lengths[place]
        return Ragged(ids, types, lengths, cut)

    @staticmethod
    def _set_truncation(backend: Tokenizer, options: EncodeOptions) -> None:
        present = backend.truncation
        if not options.cuts:
            if present is not None:
                backend.no_truncation()
            return
        wanted: dict[str, Any] = {
            "max_length": options.max_length,
            "stride": options.stride,
            "strategy": options.truncation.value,
            "direction": check_side(options.truncation_side, "truncation_side"),
        }
        if present is None or {key: present.get(key) for key in wanted} != wanted:
            try:
                backend.enable_truncation(**wanted)
            except BaseException as error:
                # The library signals a stride that leaves no room with an exception of no usual class.
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise
                raise _stride_too_wide(options) from error

    def _notice_single(self) -> None:
        """Say it when text after text is encoded by itself, as `dataset.map` does unless told otherwise."""
        self._singles += 1
        if self._singles == _MANY_SINGLES:
            notice(
                f"{_MANY_SINGLES} texts were tokenized one by one; many at once are several times as fast: "
                "tokenizer(texts), or dataset.map(lambda rows: tokenizer(rows['text']), batched=True)",
                key="tokenized one by one",
            )

    def _notice_glued_words(self) -> None:
        splitter = self.vocabulary.backend.pre_tokenizer
        if type(splitter).__name__ == "ByteLevel" and not getattr(splitter, "add_prefix_space", True):
            notice(
                "is_split_into_words=True with a byte-level vocabulary that puts no space in front of "
                "words: every word is read as the inside of one, which the model has hardly seen. Load the "
                "tokenizer with add_prefix_space=True",
                key="words without spaces",
            )

    def special_count(self, pair: bool) -> int:
        """Return how many special tokens a text (or a pair) gets."""
        return int(self.vocabulary.backend.num_special_tokens_to_add(pair))

    def frame(self, pair: bool) -> list[tuple[int, int, int | None]]:
        """Say what stands around rows: (id, token type, sequence or None for a special token)."""
        from tokenizers import Encoding as Row

        backend = self.vocabulary.backend
        processor = backend.post_processor
        with self.vocabulary.lock:
            self._set_truncation(backend, _AS_THEY_ARE)
            with told("encode the letter 'a'"):
                rows = [backend.encode(word, add_special_tokens=False) for word in ("a", "a")]
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

    def is_surrounded(self) -> bool:
        """Whether a text stands between a start and an end token, or one, or none, and a pair is two such."""
        if not self.special_count(False):
            return not self.special_count(True)
        single = [(index, place) for index, _, place in self.frame(False)]
        pair = [(index, place) for index, _, place in self.frame(True)]
        second = [(index, None if place is None else 1) for index, place in single]
        return len(single) <= 3 and pair == single + second

    def around(self, ids: list[int], pair: list[int] | None) -> tuple[list[int], list[int], list[int]]:
        """Put the special tokens around one or two rows of ids: (ids, token types, special tokens mask)."""
        rows = (ids, pair or [])
        every: tuple[list[int], list[int], list[int]] = ([], [], [])
        for index, kind, sequence in self.frame(pair is not None):
            piece = [index] if sequence is None else rows[sequence]
            every[0].extend(piece)
            every[1].extend([kind] * len(piece))
            every[2].extend([int(sequence is None)] * len(piece))
        return every


def notice_long(rows: list[list[int]], limit: int) -> None:
    """Notice a row that is longer than the model takes."""
    longest = max(map(len, rows), default=0)
    if longest > limit:
        notice(
            f"a text has {longest} tokens, but the model takes at most {limit}: running it would fail or "
            "give wrong results. Pass truncation=True, or cut the text into windows with "
            "return_overflowing_tokens=True",
            key="text longer than the model",
        )


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


def _stride_too_wide(options: EncodeOptions) -> ValueError:
    return ValueError(
        f"cannot cut to max_length={options.max_length} with stride={options.stride}: the stride must be "
        "smaller than max_length less the special tokens, and less the other text of a pair where only one "
        "is cut"
    )


def _complaint(batch: list[Any], words: bool) -> str:
    """Find the input that the backend would not take, and say what it is."""

    def are_words(item: Any) -> bool:
        return isinstance(item, (list, tuple)) and all(isinstance(word, str) for word in item)

    def is_text(item: Any) -> bool:
        return are_words(item) if words else isinstance(item, str)

    def fits(item: Any) -> bool:
        return is_text(item) or (
            isinstance(item, (list, tuple)) and len(item) == 2 and all(map(is_text, item))
        )

    wanted = "a list of words" if words else "a text (str) or a pair of texts"
    for place, item in enumerate(batch):
        if not fits(item):
            shown = repr(item) if len(repr(item)) < 80 else repr(item)[:77] + "..."
            hint = ""
            if not words and item and are_words(item):
                hint = "; for texts that are split into words, pass is_split_into_words=True"
            elif item is None or isinstance(item, float):
                hint = "; empty cells of a table become None or nan, so fill or drop them first"
            return f"input {place} must be {wanted}, but is {shown} ({type(item).__name__}){hint}"
    return f"the backend refused the batch; each input must be {wanted}"
