"""Positions: rotary rules, relative buckets. Pure functions from a frozen record to a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rotary:
    """Rotary positions (Su et al. 2021, arXiv:2104.09864).

    Attributes:
        width: features of a head that are rotated.
        theta: base of the geometric progression of wavelengths.
        rule: name of the scaling rule, a key of `RULES`.
        trained_length: positions that the checkpoint was trained on.
        options: the rule's own numbers, as sorted pairs.
        adjacent: features 2i and 2i + 1 turn together; otherwise i and width / 2 + i.
        stored: the checkpoint holds the frequencies, and those count.
        sections: positions have several axes, such as time, row and column, and so many frequencies turn by
            each (Wang et al. 2024, arXiv:2409.12191, section 2.1); empty where there is one axis.
        shared: "runs" gives an axis its frequencies one after the other; in "turns" the axes take one by one
            until they have theirs, and the first the rest; with "each" all have the same, of their own; in
            "strides" they take one by one, and those of an axis stand together.
    """

    width: int
    theta: float = 10000.0
    rule: str = "default"
    trained_length: int = 2048
    options: tuple[tuple[str, Any], ...] = ()
    adjacent: bool = False
    stored: bool = False
    sections: tuple[int, ...] = ()
    shared: Literal["runs", "turns", "each", "strides"] = "runs"

    def __post_init__(self) -> None:
        if self.sections and sum(self.sections) != self.width // 2:
            raise ValueError(
                f"sections {list(self.sections)} share out {sum(self.sections)} frequencies, but a head has "
                f"{self.width // 2}"
            )

    @classmethod
    def of(
        cls, width: int, parameters: Mapping[str, Any], trained_length: int, adjacent: bool = False
    ) -> Rotary:
        """Read the ecosystem's `rope_parameters` (or the older `rope_scaling` with its `type`).

        Of `width` features the share that `partial_rotary_factor` names is turned.

        Raises:
            ValueError: for a rule that is not known, naming those that are; for one whose numbers are
                missing or do not fit; for a share that is none.
        """
        rest = dict(parameters)
        rule = rest.pop("rope_type", rest.pop("type", None)) or "default"
        rest.pop("type", None)
        theta = float(rest.pop("rope_theta", 10000.0))
        share = rest.pop("partial_rotary_factor", None)
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"partial_rotary_factor is a share of a head's features, not {share}")
        width = int(width * (share or 1.0))
        if rule not in RULES:
            raise ValueError(f"unknown rotary rule {rule!r}; known rules: {', '.join(sorted(RULES))}")
        _check_numbers(rule, rest, width)
        options = tuple(
            sorted((key, tuple(v) if isinstance(v, list) else v) for key, v in rest.items() if v is not None)
        )
        return cls(width, theta, rule, trained_length, options, adjacent)

    def table(self, positions: Tensor, frequencies: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Cosines and sines of `positions`, [..], int64, by `frequencies` [width / 2] or the rule's own.

        Where there are several axes positions are [.., axes], or [.., 1] for the same on all.

        Returns:
            Two tensors [.., width], float32, the halves repeated, attention factor included.
        """
        # where the rule depends on it: the value leaves the device, and no export can follow it
        length = int(positions.max()) + 1 if self.rule in _BY_LENGTH and positions.numel() else 1
        inverse, factor = RULES[self.rule](self, length)
        inverse = inverse if frequencies is None else frequencies.float()
        inverse = inverse.to(positions.device, non_blocking=True)  # nobody waits for a GPU here
        angles = positions.float()[..., None] * inverse  # [.., width/2], or [.., axes, width/2]
        if self.sections:
            angles = self._of_axes(angles)
        angles = torch.cat((angles, angles), dim=-1)  # [.., width]
        return angles.cos() * factor, angles.sin() * factor

    def _of_axes(self, angles: Tensor) -> Tensor:
        """The angle by which every frequency turns: [.., axes or 1, frequencies] -> [.., width / 2]."""
        count = len(self.sections)
        angles = angles.expand(*angles.shape[:-2], count, -1)
        if self.shared == "each":
            return angles.flatten(-2)
        if self.shared == "strides":
            return torch.cat([angles[..., axis, axis::count] for axis in range(count)], dim=-1)
        if self.shared == "runs":
            axes = [axis for axis, size in enumerate(self.sections) for _ in range(size)]
        else:
            axes = [i % count if i < self.sections[i % count] * count else 0 for i in range(self.width // 2)]
        index = torch.tensor(axes, device=angles.device).expand(*angles.shape[:-2], 1, -1)
        return angles.gather(-2, index).squeeze(-2)

    def fill_(self, tensor: Tensor) -> None:
        """The frequencies that a checkpoint holds, before it was trained: [width / 2]."""
        tensor.copy_(RULES[self.rule](self, 1)[0])

    @property
    def sharpening(self) -> float:
        """The factor on attention scores that goes with a longer context, where the rule states one."""
        weight = self.numbers.get("mscale_all_dim") if self.rule != "default" else None
        return _magnitude(float(self.numbers["factor"]), weight) ** 2 if weight else 1.0

    @property
    def numbers(self) -> dict[str, Any]:
        """The rule's own numbers by name."""
        return dict(self.options)


def _plain(rotary: Rotary, theta: float | None = None) -> Tensor:
    width = rotary.width // len(rotary.sections) if rotary.shared == "each" else rotary.width
    exponents = torch.arange(0, width, 2, dtype=torch.int64).float() / width
    return 1.0 / ((theta or rotary.theta) ** exponents)


def _default(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    return _plain(rotary), 1.0


def _linear(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    return _plain(rotary) / float(rotary.numbers["factor"]), 1.0


def _dynamic(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    """NTK-aware base that grows once the trained length is passed."""
    factor, trained = float(rotary.numbers["factor"]), rotary.trained_length
    ratio = max(length, trained) * factor / trained - (factor - 1)
    return _plain(rotary, rotary.theta * ratio ** (rotary.width / (rotary.width - 2))), 1.0


def _llama3(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    """Llama 3.1: long wavelengths divided by the factor, short ones kept, a ramp between."""
    numbers = rotary.numbers
    factor = float(numbers["factor"])
    low, high = float(numbers["low_freq_factor"]), float(numbers["high_freq_factor"])
    trained = float(numbers["original_max_position_embeddings"])
    inverse = _plain(rotary)
    wavelength = 2 * math.pi / inverse
    ramp = ((trained / wavelength - low) / (high - low)).clamp(0, 1)
    return (1 - ramp) * inverse / factor + ramp * inverse, 1.0


def _yarn(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023, arXiv:2309.00071, section 3)."""
    numbers = rotary.numbers
    trained = numbers.get("original_max_position_embeddings") or rotary.trained_length
    factor = float(numbers.get("factor") or rotary.trained_length / trained)
    fast, slow = float(numbers.get("beta_fast") or 32), float(numbers.get("beta_slow") or 1)

    def rotations_at(turns: float) -> float:
        return rotary.width * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(rotary.theta))

    low, high = rotations_at(fast), rotations_at(slow)
    if numbers.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary.width - 1)
    steps = torch.arange(rotary.width // 2, dtype=torch.float32)
    kept = 1 - ((steps - low) / ((high - low) or 0.001)).clamp(0, 1)
    inverse = _plain(rotary)
    return inverse / factor * (1 - kept) + inverse * kept, _yarn_factor(numbers, factor)


def _yarn_factor(numbers: Mapping[str, Any], factor: float) -> float:
    given = numbers.get("attention_factor")
    if given is not None:
        return float(given)

    weight, weight_all = numbers.get("mscale"), numbers.get("mscale_all_dim")
    if weight and weight_all:
        return _magnitude(factor, weight) / _magnitude(factor, weight_all)
    return _magnitude(factor, 1.0)


def _magnitude(scale: float, weight: float) -> float:
    return 1.0 if scale <= 1 else 0.1 * weight * math.log(scale) + 1.0


def _longrope(rotary: Rotary, length: int) -> tuple[Tensor, float]:
    """LongRoPE (Ding et al. 2024, arXiv:2402.13753): one divisor per frequency, short or long."""
    numbers = rotary.numbers
    trained = numbers.get("original_max_position_embeddings") or rotary.trained_length
    factor = float(numbers.get("factor") or rotary.trained_length / trained)
    scale = numbers.get("attention_factor")
    if scale is None:
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
    reach = "long" if length > trained else "short"
    scale, divisors = numbers.get(f"{reach}_mscale") or scale, numbers[f"{reach}_factor"]
    return _plain(rotary) / torch.tensor(divisors, dtype=torch.float32), float(scale)


RULES: dict[str, Callable[[Rotary, int], tuple[Tensor, float]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
_NEEDS = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor"),
}


def _check_numbers(rule: str, given: Mapping[str, Any], width: int) -> None:
    missing = [name for name in _NEEDS.get(rule, ()) if given.get(name) is None]
    if missing:
        raise ValueError(f"the rotary rule {rule!r} needs {' and '.join(missing)} in rope_parameters")
    for name in ("short_factor", "long_factor") if rule == "longrope" else ():
        if len(given[name]) not in (1, width // 2):
            raise ValueError(
                f"{name} holds {len(given[name])} numbers, one for each of {width // 2} is right"
            )


_BY_LENGTH = ("dynamic", "longrope")  # rules that ask for one more than the largest position


def rotate(x: Tensor, cos: Tensor, sin: Tensor, adjacent: bool = False) -> Tensor:
    """Turn the first features of every head by its position's angles.

    Args:
        x: [.., heads, D].
        cos: [.., width] with width <= D, in the dtype of `x`.
        sin: [.., width], likewise.
        adjacent: see `Rotary`.

    Returns:
        [.., heads, D]; features past `width` pass unchanged.
    """
    width = cos.shape[-1]
    if width != x.shape[-1]:
        return torch.cat((rotate(x[..., :width], cos, sin, adjacent), x[..., width:]), dim=-1)
    if adjacent:
        cos, sin = (t[..., None, : width // 2] for t in (cos, sin))
        first, second = x[..., ::2], x[..., 1::2]
        return torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    if torch.is_grad_enabled() or x.dtype is not torch.float32:  # narrow sums round as the ecosystem's do
        return x * cos + torch.cat((-second, first), dim=-1) * sin
    turned, sin = x * cos, sin[..., : width // 2]  # the same without copies of the halves
    low, high = turned.chunk(2, dim=-1)
    low.addcmul_(second, sin, value=-1)
    high.addcmul_(first, sin)
    return turned


@dataclass(frozen=True)
class Alibi:
    """A bias that falls with distance, by a slope for each head (Press et al. 2021, arXiv:2108.12409).

    Attributes:
        limit: the last of a power of two of heads has the slope 2**-limit.
        columns: keys are numbered by their columns; otherwise by the real tokens before them.
        rounded: the bias is computed in bfloat16, as Falcon's checkpoints were trained.
        scale: factor on the bias.
    """

    limit: float = 8.0
    columns: bool = False
    rounded: bool = False
    scale: float = 1.0

    def slopes(self, heads: int) -> Tensor:
        """[H], float32: those of a power of two of heads, then every other one of twice as many."""
        whole = 2 ** math.floor(math.log2(heads))
        first = [2 ** (-self.limit * i / whole) for i in range(1, whole + 1)]
        between = [2 ** (-self.limit * i / (2 * whole)) for i in range(1, 2 * whole, 2)]
        return torch.tensor((first + between)[:heads], dtype=torch.float32)

    def bias(self, key: Tensor, heads: int) -> Tensor:
        """[1 or B, H, 1, S], float32, for keys numbered [S] or [B, S].

        It grows with the key's number where it should fall with the distance: a softmax sees no difference.
        """
        numbers = key[None] if key.dim() == 1 else key
        slopes = self.slopes(heads).to(key.device)[None, :, None, None]
        numbers = numbers[:, None, None, :]
        if self.rounded:
            return (slopes.bfloat16() * numbers).float() * self.scale
        return slopes * numbers * self.scale if self.scale != 1.0 else slopes * numbers


@dataclass(frozen=True)
class Buckets:
    """Relative-position bias by bucket (Raffel et al. 2019, arXiv:1910.10683, section 2.1).

    Half of the buckets hold exact distances, the others grow logarithmically up to `distance`.
    """

    count: int = 32
    distance: int = 128
    two_sided: bool = True

    def index(self, query: Tensor, key: Tensor) -> Tensor:
        """Bucket of every pair: `query` [T] and `key` [S] give [T, S], int64."""
        return self.of(key[None, :] - query[:, None])

    def of(self, offset: Tensor) -> Tensor:
        """Bucket of every offset, how far behind its query a key stands: [..] -> [..], int64."""
        count = self.count
        base = torch.zeros_like(offset)
        if self.two_sided:
            count //= 2
            base = (offset > 0).long() * count
            back = offset.abs()
        else:
            back = (-offset).clamp(min=0)
        exact = count // 2
        far = torch.log(back.float().clamp(min=1) / exact) / math.log(self.distance / exact)
        far = (exact + (far * (count - exact)).long()).clamp(max=count - 1)
        return base + torch.where(back < exact, back, far)


@dataclass(frozen=True)
class ClippedDistances(Buckets):
    """A bias for every distance up to `distance`, that of the farthest for all beyond; `count` of them.

    Shaw et al. 2018, arXiv:1803.02155, section 3.2, of scores. Two sides have biases of their own.
    """

    def of(self, offset: Tensor) -> Tensor:
        """Bias of every offset, see `Buckets.of`."""
        if self.two_sided:
            return offset.clamp(-self.distance, self.distance - 1) + self.distance
        return offset.abs().clamp(max=self.distance - 1)


@dataclass(frozen=True)
class PageBuckets:
    """Biases by how far apart two places of a page stand: in the order of reading, and across and down.

    Xu et al. 2020, arXiv:2012.14740, section 2.1. They are as wide as scores, and not learned: a pass takes
    them as they are. Roles of `Stack.names.stack`: `order_bias`, `across_bias`, `down_bias`.

    Attributes:
        order: of the numbers of two places; None for no bias at all.
        sides: of the left edges of two boxes, and of their lower edges; None where boxes are not compared.
        scaled: they are scaled as scores are.
        alone: boxes are compared where numbers are not, too; otherwise their tables lie idle.
    """

    order: Buckets | None
    sides: Buckets | None
    scaled: bool = True
    alone: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing is added."""
        return self.order is None and not self.alone

    @property
    def tables(self) -> dict[str, int]:
        """Role -> how many distances are told apart."""
        found = {} if self.order is None else {"order_bias": self.order.count}
        sides = ("across_bias", "down_bias")
        return found if self.sides is None else {**found, **dict.fromkeys(sides, self.sides.count)}
