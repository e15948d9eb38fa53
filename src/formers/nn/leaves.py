"""The leaves that torch does not have, and which leaf a spec asks for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.nn.fresh import Constant, begins, sinusoids
from formers.nn.spec import LinearKind, Norm


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
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        if self.wide:
            return (wide * (self.weight.float() + self.offset)).to(x.dtype)
        return self.weight * wide.to(self.weight.dtype if self.weight.dtype != torch.float32 else x.dtype)

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
        return nn.functional.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype)

    def extra_repr(self) -> str:
        """Epsilon."""
        return f"eps={self.eps}"


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

    def forward(self, input: Tensor) -> Tensor:
        """[...] -> [..., E]."""
        found = super().forward(input)
        return found * (torch.tensor(self.scale, dtype=found.dtype) if self.rounded else self.scale)


class ComputedSinusoids(nn.Module):
    """Sinusoids of any places, which no table bounds (Vaswani et al. 2017, arXiv:1706.03762, section 3.5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, places: Tensor) -> Tensor:
        """[..], int64 -> [.., E], float32."""
        return sinusoids(places, self.width)


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


def linear(kind: LinearKind, width_in: int, width_out: int, bias: bool = True) -> nn.Module:
    """A linear leaf of the given kind."""
    if kind == "conv1d":
        return Conv1D(width_out, width_in, drawn=False)
    return nn.Linear(width_in, width_out, bias=bias)


class HeadNorm(nn.Module):
    """A layer norm of every head by itself, with weights [H, D] and no bias."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, width))
        self.eps = eps

    def reset_parameters(self) -> None:
        """Scale by one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., H, D] -> [..., H, D], computed in float32."""
        wide = nn.functional.layer_norm(x.float(), x.shape[-1:], eps=self.eps)
        return (self.weight.float() * wide).to(x.dtype)


def norm(spec: Norm, width: int, each: int = 0) -> nn.Module:
    """A norm leaf, over `width` features; with weights of their own for `each` of so many heads."""
    if each:
        return begins(HeadNorm(each, width, spec.eps), weight=Constant(1.0))
    if spec.kind == "none":
        return nn.Identity()
    if spec.kind == "layer" and spec.offset:
        return begins(OffsetLayerNorm(width, eps=spec.eps), weight=Constant(0.0))
    if spec.kind == "layer":
        return nn.LayerNorm(width, eps=spec.eps, elementwise_affine=spec.weight, bias=spec.bias)
    if not spec.weight:
        return PlainRMSNorm(spec.eps)
    made = RMSNorm(width, spec.eps, spec.offset, spec.wide)
    return begins(made, weight=Constant(1.0 - spec.offset)) if spec.offset else made
