"""First values of parameters that do not begin as others of their kind do: `fill_(tensor)` writes them."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Fill(Protocol):
    """Something that writes first values."""

    def fill_(self, tensor: Tensor) -> None:
        """Write them."""


class Drawn:
    """Normal, as the model's matrices are; `initialise` knows their deviation."""

    def fill_(self, tensor: Tensor, deviation: float = 0.02) -> None:
        """Draw them."""
        tensor.normal_(0.0, deviation)


class Constant:
    """All the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def fill_(self, tensor: Tensor) -> None:
        """Write them."""
        tensor.fill_(self.value)


class Uniform:
    """Evenly drawn from `least` to `bound`; from -bound, where nothing else is said."""

    def __init__(self, bound: float, least: float | None = None) -> None:
        self.bound, self.least = bound, -bound if least is None else least

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        tensor.uniform_(self.least, self.bound)


class Normal:
    """Normal."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        tensor.normal_(0.0, self.deviation)


class Xavier:
    """Even, so that what a layer gives varies as what it reads, times `gain` (Glorot and Bengio 2010)."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        nn.init.xavier_uniform_(tensor, self.gain)


class Rays:
    """Offsets (x, y) of places: every head looks in a direction of its own, and each point a step further.

    Zhu et al. 2020, arXiv:2010.04159, appendix A.2.
    """

    def __init__(self, heads: int, points: int) -> None:
        self.heads, self.points = heads, points

    def fill_(self, tensor: Tensor) -> None:
        """[heads * maps * points * 2]."""
        turns = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        ways = torch.stack((turns.cos(), turns.sin()), -1)
        ways = ways / ways.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)[:, None]
        found = (ways[:, None, None] * steps).expand(
            -1, tensor.numel() // (2 * self.heads * self.points), -1, -1
        )
        tensor.copy_(found.reshape(-1))


class Fades:
    """What softplus turns into minus the logarithms of factors whose squares are even, `least` to `most`."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        squares = torch.empty(tensor.shape, dtype=torch.float32, device=tensor.device)
        squares.uniform_(self.least**2, self.most**2)
        tensor.copy_(torch.log(torch.expm1(-0.5 * squares.log())))


class Spread:
    """Normal, cut at -2 and 2."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        nn.init.trunc_normal_(tensor, std=self.deviation)


class Cut(float):
    """A deviation of normal values that are drawn anew beyond `at` of it, on both sides."""

    at: float

    def __new__(cls, deviation: float, at: float) -> Cut:
        """The deviation, and where it is cut."""
        made = super().__new__(cls, deviation)
        made.at = at
        return made

    def __reduce__(self) -> tuple[type[Cut], tuple[float, float]]:
        """What a copy is made of: models that are copied hold their spec."""
        return Cut, (float(self), self.at)


class BySize(float):
    """A deviation that follows from a matrix: the root of one over the sum of its sizes."""

    def of(self, tensor: Tensor) -> float:
        """That of a matrix."""
        return 1 / math.sqrt(sum(tensor.shape))


class Counts:
    """Logarithms of 1, 2, .. along the last axis."""

    def fill_(self, tensor: Tensor) -> None:
        """[.., n]."""
        counts = torch.arange(1, tensor.shape[-1] + 1, dtype=torch.float32, device=tensor.device)
        tensor.copy_(counts.log().expand_as(tensor))


class Powers:
    """`shift` + `scale` * x ** `power`, x even along the last axis from 0, to 1 where that is `closed`."""

    def __init__(self, power: float, scale: float = 1.0, shift: float = 0.0, closed: bool = False) -> None:
        self.power, self.scale, self.shift, self.closed = power, scale, shift, closed

    def fill_(self, tensor: Tensor) -> None:
        """[.., n]."""
        x = torch.arange(tensor.shape[-1], device=tensor.device) / max(tensor.shape[-1] - self.closed, 1)
        tensor.copy_((x**self.power * self.scale + self.shift).expand_as(tensor))


class Zigzag:
    """`shift`, and half of one more, less or nothing by turns."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def fill_(self, tensor: Tensor) -> None:
        """[.., n]."""
        turns = torch.arange(1, tensor.shape[-1] + 1, device=tensor.device) % 3 - 1
        tensor.copy_((turns * 0.5 + self.shift).expand_as(tensor))


class Range:
    """Whole numbers from `first` on."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def fill_(self, tensor: Tensor) -> None:
        """[.., n]."""
        tensor.copy_(torch.arange(self.first, self.first + tensor.shape[-1]).expand_as(tensor))


class Rates:
    """Logarithms of numbers that are evenly drawn from `least` to `most`."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        tensor.uniform_(self.least, self.most).log_()


class Sinusoids:
    """Sines, then cosines, of places (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).

    Wavelengths grow by even factors from 2 pi to 20,000 pi, which is the last one where the range is
    `closed`, and would be the next one where it is not. In `turns`, a sine stands before its cosine.
    The row `blank` is zero.
    """

    def __init__(self, closed: bool = True, turns: bool = False, blank: int | None = None) -> None:
        self.closed, self.turns, self.blank = closed, turns, blank

    def fill_(self, tensor: Tensor) -> None:
        """[T, E]."""
        count, width = tensor.shape
        waves = sinusoids(torch.arange(count), width, self.closed)
        if self.turns:
            half = (width + 1) // 2
            waves[:, 0::2], waves[:, 1::2] = waves[:, :half].clone(), waves[:, half:].clone()
        if self.blank is not None:
            waves[self.blank] = 0.0
        tensor.copy_(waves)


def sinusoids(places: Tensor, width: int, closed: bool = True, cosines: bool = False) -> Tensor:
    """[..] -> [.., E], float32; of an odd width the last feature is 0 (`closed`), or there is one more sine.

    Open ranges are computed in float64, closed ones in float32, as trained models had them: far places tell.
    Cosines stand behind sines, or before them.
    """
    half = width // 2 if closed else (width + 1) // 2
    last, dtype = (max(half - 1, 1), torch.float32) if closed else (width / 2, torch.float64)
    rates = torch.exp(torch.arange(half, device=places.device, dtype=dtype) * (-math.log(10_000) / last))
    turns = places[..., None] * rates
    both = (turns.cos(), turns.sin()) if cosines else (turns.sin(), turns.cos())
    waves = torch.cat(both, dim=-1)[..., :width].float()
    return nn.functional.pad(waves, (0, width - waves.shape[-1]))


def alternating(places: Tensor, width: int) -> Tensor:
    """[..] -> [.., E], float32: a sine and a cosine in turns, computed in float32, as models were trained."""
    steps = torch.arange(0, width, 2, device=places.device).float()
    turns = places[..., None].float() * torch.exp(steps * (-math.log(10_000) / width))
    return torch.stack((turns.sin(), turns.cos()), dim=-1).flatten(-2)[..., :width]


def tables_by_rule(model: nn.Module) -> set[str]:
    """Names of tables of sinusoids and of ranges that are not trained: a file need not hold them."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        for name, fill in module.__dict__.get("_fresh", {}).items()
        if isinstance(fill, (Sinusoids, Range)) and not getattr(module, name).requires_grad
    }


class Steps:
    """What softplus turns into steps that are even in their logarithms, from `least` to `most`."""

    def __init__(self, least: float, most: float, floor: float) -> None:
        self.least, self.most, self.floor = least, most, floor

    def fill_(self, tensor: Tensor) -> None:
        """Draw them."""
        low, high = math.log(self.least), math.log(self.most)
        drawn = torch.rand(tensor.shape, dtype=torch.float32, device=tensor.device)
        step = (drawn * (high - low) + low).exp().clamp(min=self.floor)
        tensor.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


def begins(module: M, **values: Fill) -> M:
    """The module, whose parameters of these names begin with these values."""
    held: dict[str, Any] = module.__dict__.setdefault("_fresh", {})
    held.update(values)
    return module
