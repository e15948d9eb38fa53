"""The number that losses are divided by, and whether a loss was divided by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_DIVISIONS = frozenset({"div", "div_", "divide", "divide_", "true_divide", "true_divide_"})
_PRODUCTS = frozenset({"mul", "mul_", "multiply", "multiply_"})
_INVERSIONS = frozenset({"__rdiv__", "__rtruediv__", "reciprocal"})
_READINGS = frozenset({"__int__", "__float__", "__index__", "__array__", "item", "tolist", "numpy"})


@dataclasses.dataclass
class Use:
    """What was done with a count: a loss was divided by it, or something was that does not tell."""

    divided: bool = False
    unclear: bool = False


class ItemCount(Tensor):
    """Number of items of an accumulation window: a tensor of no dimension that notes its use.

    Whoever computes a loss may divide by it, at once or after any arithmetic with it, or leave it alone.
    Numbers that are made from it stay counts and note the same use. To print or compare it is no use. A
    copy by `torch.tensor` is not followed; `Trainer.loss_is_normalised` then has to say it.
    """

    plain: Tensor
    number: Any
    use: Use
    inverted: bool

    @classmethod
    def of(cls, number: Any, use: Use | None = None, inverted: bool = False) -> ItemCount:
        """A count of `number` items (or one over a number, for `inverted`)."""
        plain = torch.as_tensor(number)
        count = plain.as_subclass(cls)
        count.plain, count.number = plain, number
        count.use, count.inverted = use or Use(), inverted
        return count

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, tuple(kwargs.values()))))
        count = next(value for value in given if isinstance(value, cls))
        result = func(*_bare(args), **dict(zip(kwargs, _bare(tuple(kwargs.values())), strict=True)))
        name, inverted = getattr(func, "__name__", ""), count.inverted
        others = [value for value in given if not isinstance(value, cls)]
        if others:
            by_it = name in _DIVISIONS and args[0] is not count and not inverted
            if (by_it or (name in _PRODUCTS and inverted)) and any(value.requires_grad for value in others):
                count.use.divided = True
            else:
                count.use.unclear = True
        elif name in _READINGS:
            count.use.unclear = True
        elif isinstance(result, Tensor):
            return cls.of(result, count.use, inverted != (name in _INVERSIONS))
        return result


def taken(count: Any) -> Any:
    """The bare number of a count, for whom it is known that a loss gets divided by it."""
    if isinstance(count, ItemCount):
        count.use.divided = True
        return count.number
    return count


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _tensors(entry)


def _bare(value: Any) -> Any:
    if isinstance(value, ItemCount):
        return value.plain
    if isinstance(value, (list, tuple)):
        return type(value)(_bare(entry) for entry in value)
    return value
