"""The leaves that torch does not have, and which leaf a spec asks for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.nn.fresh import Constant, begins
from formers.nn.spec import LinearKind, Norm


class Conv1D(nn.Module):
    """A linear leaf whose weight is stored transposed, [in, out], as GPT-2's checkpoints have it."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return nn.functional.linear(x, self.weight.t(), self.bias)

    def extra_repr(self) -> str:
        """Widths, as `nn.Linear` prints them."""
        return f"in_features={self.weight.shape[0]}, out_features={self.weight.shape[1]}"


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467).

    The mean square is taken in float32 and the result is cast back before the weight is applied; with an
    `offset`, that is added to the weight, and both are applied in float32.
    """

    def __init__(self, width: int, eps: float, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.eps, self.offset = eps, offset

    def reset_parameters(self) -> None:
        """Scale by one."""
        nn.init.constant_(self.weight, 1.0 - self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        if self.offset:
            return (wide * (self.weight.float() + self.offset)).to(x.dtype)
        return self.weight * wide.to(self.weight.dtype if self.weight.dtype != torch.float32 else x.dtype)

    def extra_repr(self) -> str:
        """Width and epsilon."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class ScaledEmbedding(nn.Embedding):
    """A token table whose vectors are multiplied by `scale` when looked up, in their dtype if `rounded`."""

    scale: float = 1.0
    rounded: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """[...] -> [..., E]."""
        found = super().forward(input)
        return found * (torch.tensor(self.scale, dtype=found.dtype) if self.rounded else self.scale)


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
        return Conv1D(width_in, width_out)
    return nn.Linear(width_in, width_out, bias=bias)


def norm(spec: Norm, width: int) -> nn.Module:
    """A norm leaf."""
    if spec.kind == "layer":
        return nn.LayerNorm(width, eps=spec.eps)
    made = RMSNorm(width, spec.eps, spec.offset)
    return begins(made, weight=Constant(1.0 - spec.offset)) if spec.offset else made
