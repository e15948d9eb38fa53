"""The choices of a call: how to pad, how to cut, which tensors to give."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

# The ecosystem writes 1e30 where a checkpoint records no limit; anything above 1e20 means "none".
NO_LIMIT = int(1e30)
LARGEST_LIMIT = int(1e20)


class Choice(str, Enum):
    """A string with a fixed set of values, whose refusal lists them."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise ValueError(f"{value!r} is not a {cls.__name__}; choose one of {[item.value for item in cls]}")

    def __str__(self) -> str:
        return str(self.value)


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


def _chosen(kind: type[C], value: Any, when_true: C, when_false: C) -> C:
    if value is None or value is False:
        return when_false
    return when_true if value is True else kind(value)


def padding_strategy(value: bool | str | PaddingStrategy | None) -> PaddingStrategy:
    """Read a `padding=` argument."""
    return _chosen(PaddingStrategy, value, PaddingStrategy.LONGEST, PaddingStrategy.DO_NOT_PAD)


def truncation_strategy(value: bool | str | TruncationStrategy | None) -> TruncationStrategy:
    """Read a `truncation=` argument."""
    return _chosen(
        TruncationStrategy, value, TruncationStrategy.LONGEST_FIRST, TruncationStrategy.DO_NOT_TRUNCATE
    )


def tensor_type(value: str | TensorType | None) -> TensorType | None:
    """Read a `return_tensors=` argument.

    Raises:
        ValueError: for a framework that this library does not speak.
    """
    if value is None:
        return None
    kind = TensorType(value)
    if kind in (TensorType.PYTORCH, TensorType.NUMPY):
        return kind
    raise ValueError(
        f"return_tensors={kind.value!r} is not available: only 'pt' (PyTorch) and 'np' (NumPy) are; take "
        "return_tensors='np' and convert the arrays"
    )


@dataclass(frozen=True)
class Fit:
    """How one call fits its rows into a shape.

    Attributes:
        padding: how far rows are padded.
        truncation: which tokens go when a row is too long.
        max_length: in tokens, special tokens included; None when neither padding nor cutting needs it.
        multiple: pad to a multiple of so many tokens.
        side: "left" or "right", where the padding goes.
    """

    padding: PaddingStrategy
    truncation: TruncationStrategy
    max_length: int | None
    multiple: int | None
    side: str

    @property
    def pads(self) -> bool:
        """Whether rows are padded at all."""
        return self.padding is not PaddingStrategy.DO_NOT_PAD

    @property
    def cuts(self) -> bool:
        """Whether rows are cut at all."""
        return self.truncation is not TruncationStrategy.DO_NOT_TRUNCATE

    def width(self, longest: int) -> int:
        """Return the padded length in tokens of a batch whose longest row has `longest` tokens."""
        width = longest
        if self.padding is PaddingStrategy.MAX_LENGTH and self.max_length is not None:
            width = max(longest, self.max_length)
        if self.multiple:
            width += -width % self.multiple
        return width


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
