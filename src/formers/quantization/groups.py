"""Weights as whole numbers with a scale and a zero for each group along a row, in any layout of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.kernels import int8_product, largest_of, plain_product
from formers.nn.low_bit_products import DynamicInt8, Int4, Int8
from formers.quantization.packed import PackedLinear


@dataclass(frozen=True)
class Groups:
    """A weight is (code - zero) * scale.

    Attributes:
        codes: [out, in], uint8 or int8.
        scale: [out, groups], floating.
        zero: [out, groups], or one number.
        order: [in], the group of each column; None where groups of one size lie one after the other.
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor | float
    order: Tensor | None = None

    def values(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """[out, in]."""
        out, read = self.codes.shape
        count = self.scale.shape[1]
        scale, zero = self.scale.float(), self.zero
        if self.order is None and read % count == 0:
            each = self.codes.view(out, count, -1).float()
            if isinstance(zero, Tensor):
                zero = zero.float()[..., None]
            return each.sub_(zero).mul_(scale[..., None]).view(out, read).to(dtype)
        assert self.order is not None
        column = self.order.long()
        if isinstance(zero, Tensor):
            zero = zero.float()[:, column]
        return self.codes.float().sub_(zero).mul_(scale[:, column]).to(dtype)


@dataclass(frozen=True)
class Grid:
    """Which whole numbers there are, and how many columns share a scale.

    Attributes:
        bits: of a code.
        size: columns of a group; -1 for all.
        symmetric: the zero is the middle code.
    """

    bits: int
    size: int = -1
    symmetric: bool = True

    @property
    def middle(self) -> int:
        """The zero of symmetric codes."""
        return 1 << (self.bits - 1)

    def count(self, read: int) -> int:
        """Groups of a row."""
        return 1 if self.size < 0 else -(-read // self.size)

    def scales(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero of each group: [.., size] -> [..] twice; the extremes get the outermost codes."""
        most = (1 << self.bits) - 1
        low, high = weight.amin(-1).clamp(max=0), weight.amax(-1).clamp(min=0)
        if self.symmetric:
            scale = torch.maximum(high, -low) * 2 / most
            zero = torch.full_like(scale, self.middle)
        else:
            scale = (high - low) / most
            zero = (-low / scale.clamp(min=1e-12)).round_()
        return torch.where(scale > 0, scale, 1.0), zero

    def code(self, weight: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """The nearest codes, uint8; scale and zero broadcast."""
        return (weight / scale + zero).round_().clamp_(0, (1 << self.bits) - 1).to(torch.uint8)

    def nearest(self, weight: Tensor, stored: torch.dtype = torch.float16) -> Groups:
        """Round a weight, [out, in]; scales are rounded to the dtype that files keep."""
        out, read = weight.shape
        size = read if self.size < 0 else self.size
        wide = F.pad(weight.detach().float(), (0, -read % size)).view(out, -1, size)
        scale, zero = self.scales(wide)
        scale = scale.to(stored).float().clamp(min=torch.finfo(stored).tiny)
        codes = self.code(wide, scale[..., None], zero[..., None]).view(out, -1)[:, :read]
        return Groups(codes.contiguous(), scale.to(stored), zero, self.ordered(None, read, scale.shape[1]))

    def ordered(self, said: Tensor | None, read: int, count: int) -> Tensor | None:
        """The group of each column, from what files say; None where groups of one size lie in a row."""
        if read % count == 0:
            plain = said is None or torch.equal(
                said, torch.arange(read, device=said.device) // (read // count)
            )
            return None if plain else said
        return torch.arange(read) // self.size if said is None else said


class Layout(Protocol):
    """How groups lie in files: one for each format."""

    @property
    def bits(self) -> int:
        """Of a code."""

    @property
    def codes(self) -> str:
        """The name of the tensor with the codes."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The names that files have to hold."""

    @property
    def dynamic(self) -> str:
        """How inputs are brought to 8 bits too: all rows alike ("tensor"), each ("token"), or not ("")."""

    def quantized(self, weight: Tensor) -> Groups:
        """Round a weight, [out, in]."""

    def pack(self, codes: Tensor) -> Tensor:
        """The tensor with the codes, from [out, in]."""

    def unpack(self, packed: Tensor, out: int, read: int) -> Tensor:
        """The way back."""

    def keep(self, groups: Groups) -> dict[str, Tensor]:
        """The other tensors of the files."""

    def beside(self, held: Mapping[str, Tensor], out: int, read: int) -> tuple[Tensor, Any, Tensor | None]:
        """Scale, zero and order out of them."""


class GroupedLinear(PackedLinear):
    """A linear leaf in whole numbers.

    It holds the tensors of its files under their names. Where an operator wants the codes in another order
    they are kept in that one alone, and put back for whoever saves, copies or casts the leaf.

    Args:
        in_features: width in.
        out_features: width out.
        bias: whether it has one.
        layout: how it lies in files.
    """

    keeps_stored = True

    def __init__(self, in_features: int, out_features: int, bias: bool, layout: Layout) -> None:
        super().__init__(in_features, out_features, bias)
        self.layout = layout
        self._fast: Any = None
        self._turn: Tensor | None = None  # columns by group, where the fast product wants them so
        self._tried = False
        self._lent = ""  # the tensor of scales that the fast product holds, where it has them as they are

    def take(self, weight: Tensor) -> None:
        """Pack a weight, [out, in]."""
        self.put(self.layout.quantized(weight))

    def put(self, groups: Groups) -> None:
        """Hold what was quantized elsewhere."""
        self._fast, self._tried, self._lent = None, False, ""
        self._parameters["weight"] = None
        self._place(self.layout.codes, self.layout.pack(groups.codes))
        for name, value in self.layout.keep(groups).items():
            self._place(name, value)

    def _place(self, name: str, value: Tensor | None) -> None:
        if name == "weight":
            self._parameters[name] = None if value is None else nn.Parameter(value, False)
        else:
            self._buffers[name] = value

    def expect(self, shape: Callable[[str], tuple[int, ...]], held: set[str]) -> None:
        """Make places for what files hold; see the base."""
        self.refuse_lacking(held, self.layout.needs)
        self._parameters["weight"] = None
        for name in sorted(held - {"bias"}):
            self._place(name, torch.empty(shape(name), dtype=torch.uint8, device="meta"))

    @property
    def packed_bytes(self) -> int:
        """What an operator's own order of the codes takes, beside parameters and buffers."""
        return 0 if self._fast is None else int(self._fast.nbytes)

    def groups(self) -> Groups:
        """The codes, with their scales."""
        held = {
            name: value
            for name, value in (*self._buffers.items(), ("weight", self.weight))
            if value is not None
        }
        widths = (self.out_features, self.in_features)
        if self._lent:
            held[self._lent] = self._fast.scales()
        scale, zero, order = self.layout.beside(held, *widths)
        if self._fast is None:
            codes = self.layout.unpack(held[self.layout.codes], *widths)
        else:
            codes = self._fast.codes()
            codes = codes if self._turn is None else codes[:, self._turn.argsort()]
        return Groups(codes, scale, zero, order)

    def plain(self) -> None:
        """Put the codes back into the order of the files."""
        if self._fast is not None:
            found = self.groups()
            if self._lent:
                self._place(self._lent, found.scale)
            self._fast, self._tried, self._lent = None, False, ""
            self._place(self.layout.codes, self.layout.pack(found.codes))

    def _ready(self) -> Any:
        """The fast product, if there is one; made when it is first wanted."""
        if not self._tried:
            self._tried, found = True, self.groups()
            whole = found.scale.shape[1] == 1 and found.codes.dtype is torch.int8 and found.order is None
            codes, scale = found.codes, found.scale.float()
            if self.layout.dynamic:
                self._fast = DynamicInt8.of(codes, scale[:, 0]) if self.layout.dynamic == "tensor" else None
            elif whole and not isinstance(found.zero, Tensor):
                self._fast = Int8.of(codes, scale[:, 0])
            elif codes.dtype is torch.uint8 and self.layout.bits == 4:
                order = found.order
                even = order is None or bool((order.bincount() == self.in_features // scale.shape[1]).all())
                self._turn = None if order is None else order.argsort(stable=True)
                codes = codes if self._turn is None else codes[:, self._turn]
                self._fast = Int4.of(codes, scale, found.zero) if even else None
                if self._fast is not None and found.scale.dtype is torch.bfloat16:
                    at = found.scale.data_ptr()
                    same = (name for name, x in self._buffers.items() if x is not None and x.data_ptr() == at)
                    self._lent = next(same, "")
                    if self._lent:
                        self._place(self._lent, None)
            if self._fast is not None:
                self._place(self.layout.codes, None)
        return self._fast

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight, [out, in]."""
        return self.groups().values(dtype)

    def product(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        fast = None if self.layout.dynamic == "token" else self._ready()
        if fast is not None and (fast.most is None or len(x) <= fast.most):
            turned = x if self._turn is None else x[:, self._turn]
            made: Tensor = fast(turned).to(x.dtype)
            return made
        if not self.layout.dynamic:
            return plain_product(x, self.dequantized(x.dtype), None)
        found = self.groups()
        return int8_product(x, found.codes, found.scale[:, 0].float(), largest_of(x))

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        self.plain()
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.plain()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def __getstate__(self) -> dict[str, Any]:
        self.plain()
        return self.__dict__.copy()

    def extra_repr(self) -> str:
        """Widths and layout."""
        return f"{super().extra_repr()}, {self.layout}"
