"""Texts to token ids: checked, tokenised in one call, and cut or windowed where they are too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from formers.core.batching import restore
from formers.core.notices import did_you_mean, notice
from formers.pipelines.frame import whole_number

Ids = npt.NDArray[np.int64]
Text = tuple[str, str | None]
LongText = Literal["truncate", "window", "error"]

_TEXTS_PER_CALL = 4096
_LONG = ("truncate", "window", "error")
_STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")
_PADDING = ("longest", "max_length", "do_not_pad")


@dataclasses.dataclass(slots=True)
class Prepared:
    """One input, ready to run.

    Attributes:
        windows: token ids of each window, [T] int64; one window unless the text was long and is windowed.
        types: segment ids of each window, [T] int64 ([T, kinds] where tokens have several), or None where the
            tokenizer gives none.
        length: real tokens, all windows together.
        cut: tokens of the input that no window holds.
    """

    windows: list[Ids]
    types: list[Ids] | None
    length: int
    cut: int = 0

    @property
    def ids(self) -> Ids:
        """Token ids of the first window, [T]."""
        return self.windows[0]

    def alone(self) -> list[Prepared]:
        """Every window as an input of its own."""
        types = [None] * len(self.windows) if self.types is None else [[kind] for kind in self.types]
        return [Prepared([row], kind, len(row)) for row, kind in zip(self.windows, types, strict=True)]


@dataclasses.dataclass(frozen=True)
class Fitting:
    """What becomes of texts, and of those longer than the model takes.

    Attributes:
        limit: tokens that a window holds at most, special tokens included; None for no limit.
        long_text: "truncate", "window" or "error".
        quiet: the caller asked for the cut, so that no notice is due.
        strategy: which text of a pair loses tokens: "longest_first", "only_first" or "only_second".
        stride: tokens that neighbouring windows share; None for an eighth of a window, or less where the
            second text of a pair leaves no room for that.
        add_special_tokens: whether the tokenizer adds its special tokens.
    """

    limit: int | None = None
    long_text: LongText = "truncate"
    quiet: bool = False
    strategy: str = "longest_first"
    stride: int | None = None
    add_special_tokens: bool = True

    @classmethod
    def of(cls, params: Mapping[str, Any], model_limit: int | None) -> Fitting:
        """Read the keywords of a call.

        Args:
            params: any of `truncation`, `padding`, `max_length`, `long_text`, `stride`, `add_special_tokens`.
            model_limit: tokens that the model takes at most.

        Raises:
            ValueError: for a value outside its choices, or two that contradict each other.
        """
        truncation = one_of("truncation", params.get("truncation"), _STRATEGIES, switch=True)
        one_of("padding", params.get("padding"), _PADDING, switch=True)
        refuses = truncation in (False, "do_not_truncate")
        long_text = params.get("long_text")
        if long_text is None:
            long_text = "error" if refuses else "truncate"
        elif one_of("long_text", long_text, _LONG) == "truncate" and refuses:
            raise ValueError("truncation=False and long_text='truncate' contradict each other: leave one out")
        stride = whole_number("stride", params.get("stride"), "tokens, at least 0", 0)
        if stride and long_text != "window":
            raise ValueError(f"stride={stride} is the overlap of windows: pass long_text='window' with it")
        asked = whole_number("max_length", params.get("max_length"), "tokens, at least 1")
        if asked is not None and model_limit is not None and asked > model_limit:
            notice(
                f"max_length={asked}, but the model takes at most {model_limit} tokens: {model_limit} is used"
            )
        limits = [limit for limit in (asked, model_limit) if limit is not None]
        return cls(
            limit=min(limits, default=None),
            long_text=cast(LongText, long_text),
            quiet=truncation not in (None, False) or asked is not None,
            strategy=truncation if isinstance(truncation, str) and not refuses else "longest_first",
            stride=stride,
            add_special_tokens=bool(params.get("add_special_tokens", True)),
        )


def prepare(tokenizer: Any, texts: Sequence[Text], fitting: Fitting, first: int | None = 0) -> list[Prepared]:
    """Tokenise checked texts and fit them to the model.

    Args:
        tokenizer: any tokenizer of the ecosystem's interface.
        texts: what `as_text` returned.
        fitting: what becomes of long ones.
        first: place of the first text among the caller's inputs, for messages; None for a single input.

    Raises:
        ValueError: for texts that are too long where `fitting` says that this is an error, a stride that is
            too wide for windows of that size, or half a surrogate pair in a text.
    """
    if fitting.long_text == "window" and fitting.stride and fitting.limit is not None:
        check_stride(fitting.stride, fitting.limit - _special(tokenizer, fitting), fitting)
    ready: list[Prepared] = []
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        part = texts[start : start + _TEXTS_PER_CALL]
        try:
            ready += _encode(tokenizer, part, fitting)
        except (TypeError, UnicodeError):
            for index, text in enumerate(part, start):
                refuse_surrogates(text, place_of(first, index))
            raise
    long = [i for i, item in enumerate(ready) if fitting.limit is not None and item.length > fitting.limit]
    if long:
        report_long(long, ready, fitting, place_of(first, long[0]))
    for index in long:
        ready[index] = _fit(tokenizer, texts[index], ready[index], fitting, place_of(first, index))
    for index in [i for i, item in enumerate(ready) if not item.length]:
        ready[index] = one_token(tokenizer, ready[index], place_of(first, index))
    return ready


def refuse_surrogates(text: Text, place: str) -> None:
    """Refuse a text that holds half of a surrogate pair, which tokenizers take for something else."""
    for name, part in zip(("", "the second text of "), text, strict=True):
        try:
            (part or "").encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(
                f"{name}{place} holds half of a surrogate pair, {half} at character {error.start}: the text "
                "was decoded wrongly. Read it again, or pass text.encode('utf-8', 'replace').decode()"
            ) from None


def _encode(tokenizer: Any, texts: Sequence[Text], fitting: Fitting) -> list[Prepared]:
    """Tokenise without cutting; single texts and pairs are separate calls of the tokenizer."""
    single = [i for i, (_, second) in enumerate(texts) if second is None]
    if len(single) == len(texts):
        return _whole(tokenizer, texts, fitting)
    paired = [i for i, (_, second) in enumerate(texts) if second is not None]
    found = [_whole(tokenizer, [texts[i] for i in places], fitting) for places in (single, paired)]
    return restore([single, paired], [*found[0], *found[1]])


def _whole(tokenizer: Any, texts: Sequence[Text], fitting: Fitting) -> list[Prepared]:
    """Tokenise texts, or pairs of texts, in one call."""
    if not texts:
        return []
    firsts = [first for first, _ in texts]
    seconds = None if texts[0][1] is None else [second for _, second in texts]
    special = fitting.add_special_tokens
    if hasattr(tokenizer, "encode_ragged"):
        found = tokenizer.encode_ragged(firsts, pairs=seconds, truncation=False, add_special_tokens=special)
        ids, kinds = found.input_ids, found.token_type_ids
    else:
        encoded = tokenizer(firsts, seconds, add_special_tokens=special, padding=False, truncation=False)
        ids, kinds = encoded["input_ids"], encoded.get("token_type_ids")
    rows = _arrays(ids)
    types = None if kinds is None else _arrays(kinds)
    return [Prepared([row], None if types is None else [types[i]], len(row)) for i, row in enumerate(rows)]


def _arrays(rows: Sequence[Any]) -> list[Ids]:
    return [np.asarray(row, dtype=np.int64) for row in rows]


def one_token(tokenizer: Any, empty: Prepared, place: str) -> Prepared:
    """A text without any token stands for one token, since a model cannot run on nothing."""
    for name in ("bos_token", "eos_token", "pad_token"):
        token = getattr(tokenizer, f"{name}_id", None)
        if token is not None:
            notice(
                f"an empty text has no tokens with this tokenizer; it is run as the single token {name}",
                key="pipeline-empty-text",
            )
            row = np.array([token], dtype=np.int64)
            return Prepared([row], None if empty.types is None else [np.zeros_like(row)], 1)
    raise ValueError(
        f"{place} has no tokens, and the tokenizer has no special token in their place: leave empty texts out"
    )


def _fit(tokenizer: Any, text: Text, whole: Prepared, fitting: Fitting, place: str) -> Prepared:
    """Cut one long text, or take it apart into windows."""
    windowed, limit, stride = fitting.long_text == "window", fitting.limit or 0, 0
    strategy = "only_first" if windowed and fitting.strategy == "longest_first" else fitting.strategy
    room = _room(tokenizer, text, whole, strategy, fitting, place)
    if windowed:
        stride = min(limit // 8, room - 1) if fitting.stride is None else fitting.stride
        check_stride(stride, room, fitting)
    encoded = tokenizer(
        [text[0]],
        None if text[1] is None else [text[1]],
        add_special_tokens=fitting.add_special_tokens,
        padding=False,
        truncation=strategy,
        max_length=limit,
        stride=stride,
        return_overflowing_tokens=windowed,
    )
    windows, kinds = _arrays(encoded["input_ids"]), encoded.get("token_type_ids")
    if len(windows[0]) > limit:
        raise ValueError(f"the tokenizer left {len(windows[0])} tokens of {place}, {limit} are allowed")
    length = sum(map(len, windows))
    cut = 0 if windowed else whole.length - length
    return Prepared(windows, None if kinds is None else _arrays(kinds), length, cut)


def _special(tokenizer: Any, fitting: Fitting, pair: bool = False) -> int:
    """Special tokens around a text, as far as the tokenizer says."""
    count = getattr(tokenizer, "num_special_tokens_to_add", None)
    return int(count(pair)) if fitting.add_special_tokens and callable(count) else 0


def _room(tokenizer: Any, text: Text, whole: Prepared, strategy: str, fitting: Fitting, place: str) -> int:
    """Tokens that are left for what is cut, at least 1 where windows are made and 0 elsewhere.

    Raises:
        ValueError: where nothing is left, or the text to be cut is not there.
    """
    paired, limit = text[1] is not None, fitting.limit or 0
    if strategy == "only_second" and not paired:
        raise ValueError(
            f"truncation='only_second' cuts the second text of a pair, but {place} ({whole.length} tokens, "
            f"{limit} allowed) is a single text: pass truncation=True"
        )
    room = limit - _special(tokenizer, fitting, paired)
    least = 1 if fitting.long_text == "window" else 0
    if room < least:
        raise ValueError(
            f"max_length={limit} leaves no room for a text: the special tokens alone are {limit - room}. "
            f"Pass max_length={limit - room + 1} or more"
        )
    if paired and strategy != "longest_first":
        kept = str(text[1]) if strategy == "only_first" else text[0]
        alone = dataclasses.replace(fitting, add_special_tokens=False)
        room -= _whole(tokenizer, [(kept, None)], alone)[0].length
        if room < 1:  # tokenizers do not cut a text down to nothing
            # windows run over one of the two texts
            instead = "long_text='truncate'" if least else "truncation='longest_first'"
            raise ValueError(
                f"truncation={strategy!r} cannot bring the pair of {place}, {whole.length} tokens, to "
                f"{limit}: the other text alone is too long. Pass {instead}"
            )
    return room


def check_stride(stride: int, room: int, fitting: Fitting) -> None:
    """Refuse windows that would not move on."""
    if stride >= room:
        raise ValueError(
            f"stride={stride} must be smaller than the {room} tokens of text that a window of "
            f"{fitting.limit} holds beside the special tokens and the second text of a pair"
        )


def as_text(item: Any, index: int | None) -> Text:
    """Check one input: a string, a pair, or `{"text": ..., "text_pair": ...}`.

    Args:
        item: what was given.
        index: its place among the inputs; None for a single input.

    Returns:
        The text and the second text of a pair (None where there is none).

    Raises:
        TypeError: for anything else, naming the place and the type.
    """
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping):
        return _from_mapping(item, index)
    pair = item
    if isinstance(pair, list | tuple) and len(pair) == 1 and isinstance(pair[0], list | tuple):
        pair = pair[0]  # the older spelling of a pair
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
        return pair[0], pair[1]
    raise TypeError(
        f"{place_of(index)} is {_described(item)}; expected a string, a pair of strings, "
        "or {'text': ..., 'text_pair': ...}"
    )


def _from_mapping(item: Mapping[Any, Any], index: int | None) -> Text:
    known = ("text", "text_pair")
    wrong = next(
        (f"the key {key!r}{did_you_mean(str(key), known)}" for key in item if key not in known), None
    )
    if wrong or "text" not in item:
        raise TypeError(
            f"{place_of(index)} has {wrong or 'no ' + repr('text')}; the keys are 'text' and, for a pair, "
            "'text_pair'. For one column of a dataset pass KeyDataset(dataset, column)"
        )
    for name, value in item.items():
        if not isinstance(value, str) and (name == "text" or value is not None):
            raise TypeError(f"{name!r} of {place_of(index)} is {_described(value)}; expected a string")
    return item["text"], item.get("text_pair")


def collate(
    prepared: Sequence[Prepared], *, pad_id: int, types: bool, always: bool = False
) -> dict[str, Ids]:
    """The windows of a batch as padded arrays.

    Args:
        prepared: the inputs of the batch.
        pad_id: what stands where there is no token.
        types: whether the model takes segment ids; they are left out where all are zero, models' default.
        always: leave them in, so that every batch has the same keys.

    Returns:
        `input_ids` and `attention_mask` [B, T] int64, padded on the right, and perhaps `token_type_ids`
        ([B, T, kinds] for a tokenizer that gives several).
        B counts windows, those of one input side by side.
    """
    rows = [window for item in prepared for window in item.windows]
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max()) < lengths[:, None]  # [B, T]
    batch = {
        "input_ids": np.full(mask.shape, pad_id, dtype=np.int64),
        "attention_mask": mask.astype(np.int64),
    }
    batch["input_ids"][mask] = np.concatenate(rows)
    if types and all(item.types is not None for item in prepared):
        kinds = np.concatenate([row for item in prepared for row in item.types or ()])
        if always or kinds.any():
            batch["token_type_ids"] = np.zeros((*mask.shape, *kinds.shape[1:]), dtype=np.int64)
            batch["token_type_ids"][mask] = kinds
    return batch


def one_of(name: str, value: Any, choices: Sequence[str], switch: bool = False) -> Any:
    """A keyword that is one of `choices`, by itself or as the value of an enum, or perhaps a switch.

    Raises:
        ValueError: for anything else, with the nearest choice.
    """
    value = getattr(value, "value", value)
    if value in choices or (switch and (value is None or isinstance(value, bool))):
        return value
    near = did_you_mean(str(value), choices)
    said = "True, False or one of" if switch else "one of"
    raise ValueError(f"{name} must be {said} {choices}, got {value!r}{near}")


def report_long(long: list[int], ready: list[Prepared], fitting: Fitting, place: str) -> None:
    """Refuse long texts, or say once that they are cut."""
    longest = max(ready[index].length for index in long)
    if fitting.long_text == "error":
        raise ValueError(
            f"{place} has {ready[long[0]].length} tokens, more than the {fitting.limit} allowed "
            f"({len(long)} of {len(ready)} texts are): pass long_text='truncate' or long_text='window'"
        )
    if fitting.long_text == "truncate" and not fitting.quiet:
        texts = "1 text was" if len(long) == 1 else f"{len(long)} texts were"
        notice(
            f"{texts} longer than the {fitting.limit} tokens that the model takes and cut there (the longest "
            f"had {longest}). Pass truncation=True to cut without this notice, or long_text='window' to read "
            "all of it",
            key="pipeline-long-text",
        )


def place_of(first: int | None, index: int = 0) -> str:
    """How a message names the input `index` places after the input `first`; None is a single input."""
    return "the input" if first is None else f"input {first + index}"


def _described(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"of type {kind} ({value!r})" if isinstance(value, bool | int | float) else f"of type {kind}"
