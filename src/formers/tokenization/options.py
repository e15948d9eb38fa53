"""The choices of a call: how to pad, how to cut, what to return."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from formers.core.fields import Choice
from formers.core.notices import notice, refuse_unknown

# The ecosystem writes 1e30 where a checkpoint records no limit; anything above 1e20 means "none".
NO_LIMIT = int(1e30)
LARGEST_LIMIT = int(1e20)
# What a call takes, by the ecosystem's names.
TextInput, PreTokenizedInput, EncodedInput = str, list[str], list[int]
TextInputPair, PreTokenizedInputPair = tuple[str, str], tuple[list[str], list[str]]
EncodedInputPair = tuple[list[int], list[int]]
LONGEST_ROW = 1 << 24  # what padding makes at most, so that a slip does not fill the memory
VERY_LARGE_INTEGER, LARGE_INTEGER = NO_LIMIT, LARGEST_LIMIT  # the ecosystem's names


class TensorType(Choice):
    """The tensors that a call can return."""

    PYTORCH = "pt"
    NUMPY = "np"
    TENSORFLOW = "tf"
    JAX = "jax"
    MLX = "mlx"


class PaddingStrategy(Choice):
    """How far a batch is padded."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(Choice):
    """Which sequence of a pair loses tokens when both do not fit."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


C = TypeVar("C", bound=Choice)


def _choice(value: Any, when_true: C, when_false: C) -> C:
    if value is None or value is False:
        return when_false
    return when_true if value is True else type(when_true)(value)


def truncation_strategy(value: bool | str | TruncationStrategy | None) -> TruncationStrategy:
    """Read a `truncation=` argument."""
    return _choice(value, TruncationStrategy.LONGEST_FIRST, TruncationStrategy.DO_NOT_TRUNCATE)


def tensor_type(value: str | TensorType | None) -> TensorType | None:
    """Read a `return_tensors=` argument.

    Raises:
        ValueError: for a framework that this library does not speak.
    """
    kind = None if value is None else TensorType(value)
    if kind in (None, TensorType.PYTORCH, TensorType.NUMPY):
        return kind
    raise ValueError(
        f"return_tensors={str(kind)!r} is not available: only 'pt' (PyTorch) and 'np' (NumPy) are; take "
        "return_tensors='np' and convert the arrays"
    )


def check_side(side: str, name: str) -> str:
    """Return `side` when it is "left" or "right".

    Raises:
        ValueError: for anything else.
    """
    if side not in ("left", "right"):
        raise ValueError(f"{name} must be 'left' or 'right', but is {side!r}")
    return side


def whole_number(value: Any, name: str) -> int:
    """Return a number of tokens as an int; integers of numpy and tensors of one integer are such too.

    Raises:
        TypeError: for anything else, also for text that reads as a number.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(
        f"{name} must be a whole number of tokens, but is {value!r}, of type {type(value).__name__}"
    )


class EncodeOptions(NamedTuple):
    """One call, settled: its keywords as asked for, and the tokenizer's own choice where nothing was.

    `max_length` counts special tokens, and is None where neither padding nor cutting needs it.
    """

    padding: PaddingStrategy = PaddingStrategy.DO_NOT_PAD
    truncation: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    stride: int = 0
    add_special_tokens: bool = True
    split_special_tokens: bool = False
    is_split_into_words: bool = False
    return_token_type_ids: bool = False
    return_attention_mask: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_overflowing_tokens: bool = False
    return_length: bool = False
    return_tensors: TensorType | None = None
    verbose: bool = True

    @classmethod
    def of(cls, tokenizer: Any, asked: Mapping[str, Any]) -> EncodeOptions:
        """Settle the keywords of a call (`asked`, where others are passed over) to a tokenizer.

        Raises:
            TypeError: for a length that is not a whole number.
            ValueError: for a choice that there is not, and lengths that do not go together.
        """
        given: dict[str, Any] = {**_UNASKED, **asked}
        for name in ("max_length", "pad_to_multiple_of", "stride"):
            if given[name] is not None:
                given[name] = whole_number(given[name], name)
        pads, cuts, length = given["padding"], given["truncation"], given["max_length"]
        if given.get("kwargs", {}).pop("pad_to_max_length", False) and pads is False:  # so before 2021
            pads, cuts = "max_length", bool(length) if cuts is None else cuts
        padding = _choice(pads, PaddingStrategy.LONGEST, PaddingStrategy.DO_NOT_PAD)
        truncation = truncation_strategy(
            True if cuts is None and length is not None and pads is False else cuts
        )
        if length is None:
            limit = tokenizer.model_max_length
            length, padding, truncation = _limited(limit, padding, truncation, given["verbose"])
        elif length < 1:
            raise ValueError(f"max_length must be at least 1 token, but is {length}")
        multiple = given["pad_to_multiple_of"]
        if (
            multiple
            and length is not None
            and length % multiple
            and padding is not PaddingStrategy.DO_NOT_PAD
            and truncation is not TruncationStrategy.DO_NOT_TRUNCATE
        ):
            raise ValueError(
                f"rows cut at max_length={length} cannot be padded to a multiple of "
                f"pad_to_multiple_of={multiple}: choose a max_length that is such a multiple"
            )
        given |= {"padding": padding, "truncation": truncation, "max_length": length}
        side = given["padding_side"] or tokenizer.padding_side
        given["padding_side"] = check_side(side, "padding_side")
        given["truncation_side"] = tokenizer.truncation_side
        given["return_tensors"] = tensor_type(given["return_tensors"])
        if given["split_special_tokens"] is None:
            given["split_special_tokens"] = tokenizer.split_special_tokens
        for name in ("return_token_type_ids", "return_attention_mask"):
            if given[name] is None:
                given[name] = name.removeprefix("return_") in tokenizer.model_input_names
        return cls(*map(given.__getitem__, cls._fields))

    @property
    def pads(self) -> bool:
        """Whether rows are padded at all."""
        return self.padding is not PaddingStrategy.DO_NOT_PAD

    @property
    def cuts(self) -> bool:
        """Whether rows are cut at all."""
        return self.truncation is not TruncationStrategy.DO_NOT_TRUNCATE

    def width(self, longest: int, most: int | None = None) -> int:
        """Return the padded length of a batch whose longest row counts `longest` tokens, or something else.

        `most` is the length with padding="max_length"; None takes that of tokens.
        """
        width, most = longest, self.max_length if most is None else most
        if self.padding is PaddingStrategy.MAX_LENGTH and most is not None:
            width = max(longest, most)
        if self.pad_to_multiple_of:
            width += -width % self.pad_to_multiple_of
        if width > max(longest, LONGEST_ROW):
            raise ValueError(
                f"rows of {longest} tokens would be padded to {width}: choose a smaller max_length or "
                f"pad_to_multiple_of ({LONGEST_ROW:,} at most)"
            )
        return width


# What a call that says nothing asks for.
_UNASKED: dict[str, Any] = {
    **dict(zip(EncodeOptions.__annotations__, EncodeOptions(), strict=True)),
    **dict.fromkeys(("truncation", "padding_side", "split_special_tokens")),
    **dict.fromkeys(("return_token_type_ids", "return_attention_mask")),
    "padding": False,
}
CALL_KEYWORDS = ("text", "text_pair", "text_target", "text_pair_target") + tuple(
    name for name in EncodeOptions.__annotations__ if name != "truncation_side"
)


def refuse_call_keywords(given: Mapping[str, Any], where: str, *older: str) -> None:
    """Refuse unknown keywords of a call, but `older` ones; those that belong to `datasets.map` say so."""
    if "batched" in given or "batch_size" in given:
        raise TypeError(
            f"{where} got {[key for key in ('batched', 'batch_size') if key in given]}, which are "
            "arguments of `datasets.Dataset.map`, not of a tokenizer: a tokenizer takes a whole list of "
            "texts at once, `tokenizer(texts)`; with datasets, `dataset.map(lambda rows: "
            "tokenizer(rows['text']), batched=True, batch_size=1000)`"
        )
    refuse_unknown(given, (*CALL_KEYWORDS, *older), where)


def _limited(
    limit: int, pad: PaddingStrategy, cut: TruncationStrategy, verbose: bool
) -> tuple[int | None, PaddingStrategy, TruncationStrategy]:
    """Take the model's limit for the length; without one, neither cutting nor padding to it can be done."""
    if limit <= LARGEST_LIMIT:
        return limit, pad, cut
    if cut is not TruncationStrategy.DO_NOT_TRUNCATE:
        cut = TruncationStrategy.DO_NOT_TRUNCATE
        if verbose:
            notice(
                "truncation was asked for without max_length, and the checkpoint records no limit: "
                "nothing is cut. Pass max_length=..., or set tokenizer.model_max_length",
                key="truncation without a limit",
            )
    if pad is PaddingStrategy.MAX_LENGTH:
        pad = PaddingStrategy.DO_NOT_PAD
        if verbose:
            notice(
                "padding='max_length' was asked for without max_length, and the checkpoint records "
                "no limit: nothing is padded. Pass max_length=..., or set tokenizer.model_max_length",
                key="padding without a limit",
            )
    return None, pad, cut
