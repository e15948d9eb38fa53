"""What a processor of scores is, the list that calls several, and what they share."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    Processors = list[Callable[..., Tensor]]
else:
    Processors = list


class LogitsProcessor:
    """Changes the scores of the next token: `processor(input_ids, scores) -> scores`.

    `input_ids` [B, T] int64 is all that each row holds so far, `scores` [B, V] floating. The scores that are
    given are never written into.
    """

    # whether a row of the result follows from that row of ids and scores alone, so that rows may be left out
    row_wise: bool = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores after this processor."""
        raise NotImplementedError(f"{type(self).__name__} has to define __call__(input_ids, scores)")


LogitsWarper = LogitsProcessor


class LogitsProcessorList(Processors):
    """Processors in the order in which they are called; functions of `(input_ids, scores)` too."""

    @property
    def row_wise(self) -> bool:
        """Whether all of them are."""
        return all(getattr(one, "row_wise", False) for one in self)

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        """The scores after all of them.

        Raises:
            ValueError: a processor takes a further argument that is not among `kwargs`.
        """
        for processor in self:
            of_ours = isinstance(processor, LogitsProcessor)
            names, needed, every = (
                _further(type(processor).__call__, 3) if of_ours else _further(processor, 2)
            )
            if not names and not every:
                scores = processor(input_ids, scores)
                continue
            if missing := [name for name in needed if name not in kwargs]:
                raise ValueError(
                    f"{type(processor).__name__} also takes {', '.join(missing)}: give that by name"
                )
            given = kwargs if every else {name: kwargs[name] for name in names if name in kwargs}
            scores = processor(input_ids, scores, **given)
        return scores


@functools.lru_cache(maxsize=256)
def _further(function: Callable[..., Any], skipped: int) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """What a call takes beside ids and scores: names, those without a default, whether it takes any."""
    stars = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    further = list(inspect.signature(function).parameters.values())[skipped:]
    named = [one for one in further if one.kind not in stars]
    needed = tuple(one.name for one in named if one.default is one.empty)
    every = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in further)
    return tuple(one.name for one in named), needed, every


def require(fits: bool, sentence: str) -> None:
    """Raise a ValueError that says `sentence`, unless `fits`."""
    if not fits:
        raise ValueError(sentence)


def whole(value: Any, name: str, least: int) -> int:
    """`value` as an int; ValueError where it is none, or below `least`."""
    good = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
    require(bool(good), f"{name} has to be a whole number of at least {least}, not {value!r}")
    return int(value)


def real(value: Any, name: str) -> float:
    """`value` as a float; ValueError where it is no number."""
    good = isinstance(value, int | float | np.number) and type(value) is not bool and not math.isnan(value)
    require(bool(good), f"{name} has to be a number, not {value!r}")
    return float(value)


def in_vocabulary(largest: int, scores: Tensor, name: str) -> None:
    """ValueError where `scores` [B, V] have none for token `largest`."""
    size = scores.shape[-1]
    require(largest < size, f"{name} names token {largest}, and the model's vocabulary has {size} tokens")


def above_zero(value: Any, name: str) -> float:
    """`value` as a float above 0."""
    require(real(value, name) > 0, f"{name} has to be above 0, not {value!r}")
    return float(value)


class TokenSet:
    """Ids of tokens that a setting names, checked against the vocabulary, on the host, when they are used.

    Args:
        ids: a number, numbers, or a tensor of them.
        name: the setting, for errors.
        device: where scores will lie.
    """

    def __init__(
        self, ids: int | Iterable[int] | Tensor, name: str, device: torch.device | str | None = None
    ):
        if isinstance(ids, Tensor):
            ids = ids.reshape(-1).tolist()
        self.name = name
        self.numbers = [
            whole(one, f"each id of {name}", 0) for one in (ids if isinstance(ids, Iterable) else [ids])
        ]
        self.largest = max(self.numbers, default=-1)
        self.ids = torch.tensor(self.numbers, dtype=torch.int64, device=device)

    def of(self, scores: Tensor) -> Tensor:
        """The ids [n], beside `scores`; ValueError where the vocabulary lacks one."""
        in_vocabulary(self.largest, scores, self.name)
        self.ids = self.ids.to(scores.device)
        return self.ids

    def banned(self, scores: Tensor) -> Tensor:
        """`scores` without these tokens."""
        return scores.index_fill(1, self.of(scores), -math.inf)

    def forced(self, scores: Tensor) -> Tensor:
        """Scores that leave these tokens alone, each with 0."""
        require(bool(self.numbers), f"{self.name} names no token")
        return torch.full_like(scores, -math.inf).index_fill_(1, self.of(scores), 0.0)


class EndTokens(TokenSet):
    """Tokens that end a text. One that the vocabulary lacks can never come, and is left out."""

    def of(self, scores: Tensor) -> Tensor:
        """The ids [n] that the vocabulary has."""
        if self.largest >= scores.shape[-1]:
            self.numbers = [one for one in self.numbers if one < scores.shape[-1]]
            self.largest = max(self.numbers, default=-1)
            self.ids = torch.tensor(self.numbers, dtype=torch.int64, device=scores.device)
        return super().of(scores)


def spread(ids: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Put an id that its row keeps where one is not `kept`, so that a scatter has no conflict.

    Args:
        ids: [B, n] int64, each kept one in the vocabulary, n at least 1.
        kept: [B, n] bool.

    Returns:
        The ids, and whether the row keeps any, [B, 1]; the ids of a row without are 0.
    """
    spare = ids.masked_fill(~kept, -1).amax(1, keepdim=True)
    return torch.where(kept, ids, spare).clamp_(min=0), spare >= 0


def ban(scores: Tensor, ids: Tensor, kept: Tensor) -> Tensor:
    """`scores` [B, V] without the tokens `ids` [B, n] that are `kept`; ids of no token ban nothing."""
    # to ask costs nothing where the host holds them, and mostly there is nothing to ban
    if not ids.shape[1] or (kept.device.type == "cpu" and not bool(kept.any())):
        return scores
    ids, some = spread(ids, kept & (ids < scores.shape[-1]) & (ids >= 0))
    return scores.scatter(1, ids, scores.gather(1, ids).masked_fill(some, -math.inf))
