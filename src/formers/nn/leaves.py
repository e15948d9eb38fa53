"""The leaves that torch does not have, and which leaf a spec asks for."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from formers.nn.fresh import Constant, Normal, Uniform, begins, sinusoids
from formers.nn.spec import Grouped, LinearKind, Norm


class Conv1D(nn.Module):
    """A linear leaf whose weight is stored transposed, [in, out], as GPT-2's checkpoints have it.

    Args:
        nf: width out.
        nx: width in.
        drawn: whether the weight gets values (normal, 0.02); models draw theirs by themselves.
    """

    def __init__(self, nf: int, nx: int, drawn: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        if drawn:
            nn.init.normal_(self.weight, std=0.02)

    @property
    def nx(self) -> int:
        """Width in."""
        return self.weight.shape[0]

    @property
    def nf(self) -> int:
        """Width out."""
        return self.weight.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return nn.functional.linear(x, self.weight.t(), self.bias)

    def extra_repr(self) -> str:
        """Widths, as `nn.Linear` prints them."""
        return f"in_features={self.nx}, out_features={self.nf}"


class WideLinear(nn.Linear):
    """A linear leaf that computes in float32 whatever its dtype."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        bias = None if self.bias is None else self.bias.float()
        return nn.functional.linear(input.float(), self.weight.float(), bias)


def over_root_mean_square(x: Tensor, eps: float) -> Tensor:
    """[..., E] -> [..., E], each row over its root mean square."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467).

    The mean square is taken in float32 and the result is cast back before the weight is applied; where it is
    `wide` the weight is applied in float32 too, and so is an `offset` that is added to it.
    """

    def __init__(self, width: int, eps: float, offset: float = 0.0, wide: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.eps, self.offset, self.wide = eps, offset, wide or bool(offset)

    def reset_parameters(self) -> None:
        """Scale by one."""
        nn.init.constant_(self.weight, 1.0 - self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        wide = over_root_mean_square(x.float(), self.eps)
        if self.wide:
            return (wide * (self.weight.float() + self.offset)).to(x.dtype)
        weight = self.weight
        wide = wide.to(weight.dtype if weight.dtype != torch.float32 else x.dtype)
        own = not torch.is_grad_enabled() and type(weight) is nn.Parameter and wide.dtype is weight.dtype
        return wide.mul_(weight) if own else weight * wide

    def extra_repr(self) -> str:
        """Width and epsilon."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class PlainRMSNorm(nn.Module):
    """A root-mean-square norm without a weight, computed in float32."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        return over_root_mean_square(x.float(), self.eps).to(x.dtype)

    def extra_repr(self) -> str:
        """Epsilon."""
        return f"eps={self.eps}"


class GatedRMSNorm(nn.Module):
    """A root-mean-square norm of every one of `groups` equal parts, and silu(gate) times what it reads.

    The gate's factor comes after the norm where that is `first`. All is taken in float32; the weight is
    applied in the dtype of what is read, unless it is `wide`.
    """

    def __init__(
        self, width: int, eps: float, groups: int = 1, first: bool = False, wide: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps, self.groups, self.first, self.wide = eps, groups, first, wide

    def reset_parameters(self) -> None:
        """Scale by one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """[..., E] and a gate of that shape -> [..., E]."""
        factor = nn.functional.silu(gate.float())
        wide = x.float() if self.first else x.float() * factor
        parts = wide.reshape(*x.shape[:-1], self.groups, -1)  # [..., groups, E / groups]
        parts = parts * torch.rsqrt(parts.square().mean(-1, keepdim=True) + self.eps)
        normed = self.weight * parts.flatten(-2).to(torch.float32 if self.wide else x.dtype)
        found: Tensor = normed * factor if self.first else normed
        return found.to(x.dtype)


class OffsetLayerNorm(nn.LayerNorm):
    """A layer norm whose stored weight is what its scale differs from one by."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        return nn.functional.layer_norm(input, self.normalized_shape, self.weight + 1.0, self.bias, self.eps)

    def reset_parameters(self) -> None:
        """Scale by one."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ScaledEmbedding(nn.Embedding):
    """A token table whose vectors are multiplied by `scale` when looked up, in their dtype if `rounded`."""

    scale: float = 1.0
    rounded: bool = False
    _shown: Tensor | None = None

    @property
    def embed_scale(self) -> Tensor | float:
        """The scale by the name that packages know; a scalar tensor if `rounded`, which they may write to."""
        if not self.rounded:
            return self.scale
        if self._shown is None:
            self._shown = torch.tensor(self.scale, dtype=torch.float64, device="cpu")
        return self._shown

    @embed_scale.setter
    def embed_scale(self, value: Tensor | float) -> None:
        self.scale = float(value)
        if self._shown is not None:
            self._shown.fill_(self.scale)

    def forward(self, input: Tensor) -> Tensor:
        """[...] -> [..., E]."""
        found = super().forward(input)
        if not self.rounded:
            return found * self.scale
        if self._shown is not None:
            return found * self._shown.to(found.dtype)
        return found * torch.tensor(self.scale, dtype=found.dtype)


class ComputedSinusoids(nn.Module):
    """Sinusoids of any places, which no table bounds (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).

    That of the place `padding_idx` is zero; `cosines` come first, or behind.
    """

    def __init__(
        self, width: int, closed: bool = True, padding_idx: int | None = None, cosines: bool = False
    ) -> None:
        super().__init__()
        self.width, self.closed, self.padding_idx, self.cosines = width, closed, padding_idx, cosines

    def forward(self, places: Tensor) -> Tensor:
        """[..], int64 -> [.., E], float32."""
        found = sinusoids(places, self.width, self.closed, self.cosines)
        return found if self.padding_idx is None else found * (places != self.padding_idx)[..., None]


def token_table(
    count: int,
    width: int,
    padding_idx: int | None = None,
    scale: float = 1.0,
    weight: Tensor | None = None,
    rounded: bool = False,
) -> nn.Embedding:
    """A table of `count` vectors, over a given `weight` [count, width] or a fresh one.

    Raises:
        ValueError: for a padding row outside it.
    """
    if padding_idx is not None and not -count <= padding_idx < count:
        raise ValueError(f"the padding id {padding_idx} lies outside a table of {count} rows")
    kind = nn.Embedding if scale == 1.0 else ScaledEmbedding
    table = kind(count, width, padding_idx=padding_idx, _weight=weight)
    if isinstance(table, ScaledEmbedding):
        table.scale, table.rounded = scale, rounded
    return table


class GroupedLinear(nn.Module):
    """A linear leaf of parts, each from its share of the features to its share of the results."""

    def __init__(self, count: int, width_in: int, width_out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width_in // count, width_out // count))
        self.bias = nn.Parameter(torch.zeros(width_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return _by_group(x, self.weight, self.bias)


class Pointwise(nn.Conv1d):
    """A convolution in groups that reads one place at a time."""

    def __init__(self, count: int, width_in: int, width_out: int, bias: bool = True) -> None:
        super().__init__(width_in, width_out, 1, groups=count, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, T] -> [B, out, T]; rows [N, in] -> [N, out]."""
        if input.dim() == 3:
            return super().forward(input)
        weight = self.weight.view(self.groups, -1, self.weight.shape[1])  # [G, out / G, in / G]
        return _by_group(input, weight.transpose(1, 2), self.bias)


def _by_group(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[..., in] through [G, in / G, out / G] -> [..., out]."""
    count, each, _ = weight.shape
    grouped = x.reshape(-1, count, each).transpose(0, 1)  # [G, N, in / G]
    if bias is None:
        found = torch.bmm(grouped, weight)
    else:
        found = torch.baddbmm(bias.view(count, 1, -1), grouped, weight)  # [G, N, out / G]
    return found.transpose(0, 1).reshape(*x.shape[:-1], -1)


class Affine(nn.Module):
    """In place of a norm: every feature is scaled and shifted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))  # counted first in an optimizer's file
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        return torch.addcmul(self.bias, x, self.weight)


class ChannelNorm(nn.LayerNorm):
    """A layer norm of the features of [B, E, T], or of rows [N, E]."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        if input.dim() == 2:
            return super().forward(input)
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class RowConv(nn.Conv1d):
    """A convolution over single rows, which stand before their features: [.., in] -> [.., out]."""

    row_wise = True

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Compute."""
        return nn.functional.linear(input, self.weight[..., 0], self.bias)


def linear(kind: LinearKind, width_in: int, width_out: int, bias: bool = True) -> nn.Module:
    """A linear leaf of the given kind."""
    if isinstance(kind, Grouped):
        if width_in % kind.count or width_out % kind.count:
            raise ValueError(f"{width_in} and {width_out} features do not make {kind.count} equal groups")
        return (Pointwise if kind.pointwise else GroupedLinear)(kind.count, width_in, width_out, bias)
    if kind == "conv1d":
        return Conv1D(width_out, width_in, drawn=False)
    return nn.Linear(width_in, width_out, bias=bias)


def fan_in_conv(
    read: int,
    made: int,
    kernel: int,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    padding: int = 0,
) -> nn.Conv1d:
    """A convolution along time whose fresh weights follow from what each result reads (arXiv:1502.01852)."""
    made_of = nn.Conv1d(read, made, kernel, 1, padding, dilation, groups, bias)
    return spread_by_fan_in(made_of, read // groups * kernel)


C = TypeVar("C", bound="nn.Conv1d | nn.ConvTranspose1d")


def spread_by_fan_in(conv: C, count: int) -> C:
    """The convolution, whose fresh weights are for so many numbers that each result reads."""
    begins(conv, weight=Normal(math.sqrt(2 / count)))
    return conv if conv.bias is None else begins(conv, bias=Uniform(math.sqrt(1 / count)))


class HeadNorm(nn.Module):
    """A layer norm of every head by itself, with weights [H, D], and such a bias or none."""

    def __init__(self, heads: int, width: int, eps: float, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, width))
        self.bias = nn.Parameter(torch.zeros(heads, width)) if bias else None
        self.eps = eps

    def reset_parameters(self) -> None:
        """Scale by one, add nothing."""
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., H, D] -> [..., H, D], computed in float32."""
        wide = nn.functional.layer_norm(x.float(), x.shape[-1:], eps=self.eps)
        made = self.weight.float() * wide
        return (made if self.bias is None else made + self.bias.float()).to(x.dtype)


class HeadNorms(nn.Module):
    """Layer norms of every head by itself, a leaf for each under `norms`, without biases."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=eps, bias=False) for _ in range(heads))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[N, H, D], or [B, H, T, D] where every leaf is called -> the same."""
        if x.dim() == 3:
            weight = torch.stack([one.weight for one in self.norms])  # type: ignore[misc]  # of layer norms
            return nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps) * weight
        parts = x.chunk(len(self.norms), dim=1)
        return torch.cat([one(part) for one, part in zip(self.norms, parts, strict=True)], dim=1)


def rows_of_table(table: nn.Module) -> Tensor:
    """All rows of a table, [n, E]: its weight, or what stands in its place makes of every index."""
    weight: Any = table.weight
    if type(table) is nn.Embedding:
        return weight  # type: ignore[no-any-return]  # a parameter
    found: Tensor = table(torch.arange(len(weight), device=weight.device))
    return found


def norm(spec: Norm, width: int, each: int = 0, apart: bool = False) -> nn.Module:
    """A norm leaf, over `width` features; with weights of their own for `each` of so many heads."""
    if each and apart:
        return HeadNorms(each, width, spec.eps)
    if each:
        heads = begins(HeadNorm(each, width, spec.eps, spec.bias), weight=Constant(1.0))
        return heads if heads.bias is None else begins(heads, bias=Constant(0.0))
    if spec.kind == "none":
        return nn.Identity()
    if spec.kind == "affine":
        return begins(Affine(width), weight=Constant(1.0), bias=Constant(0.0))
    if spec.kind == "layer" and spec.offset:
        return begins(OffsetLayerNorm(width, eps=spec.eps), weight=Constant(0.0))
    if spec.kind == "layer":
        made = ChannelNorm if spec.channels else nn.LayerNorm
        return made(width, eps=spec.eps, elementwise_affine=spec.weight, bias=spec.bias)
    if not spec.weight:
        return PlainRMSNorm(spec.eps)
    root = RMSNorm(width, spec.eps, spec.offset, spec.wide)
    return begins(root, weight=Constant(1.0 - spec.offset)) if spec.offset else root
