"""Leaves and where they live: blocks register parameters under the checkpoint's paths, by role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from formers.nn.spec import LinearKind, Norm


def _refuse_call(node: nn.Module) -> NoReturn:
    names = [name for name, _ in node.named_children()]
    holds = f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
    raise NotImplementedError(
        f"this {type(node).__name__}{holds} cannot be called: it only holds weights under the checkpoint's "
        "names, and the model computes with them. Call the model, with output_hidden_states=True for what "
        "comes out of the embeddings and of every layer"
    )


class Group(nn.Module):
    """A node of the module tree that only holds others; numbered children can be indexed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, and say what to call instead.

        Raises:
            NotImplementedError: always.
        """
        _refuse_call(self)

    def __getitem__(self, index: int) -> nn.Module:
        return list(self._modules.values())[index]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True


class Block(nn.Module):
    """A module that knows its leaves by role and looks them up when it computes.

    The look-up happens at call time, so a leaf that was replaced from outside is the one that runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.roles: dict[str, tuple[str, ...]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, and say what to call instead; blocks that compute have their own.

        Raises:
            NotImplementedError: always.
        """
        _refuse_call(self)

    def place(self, role: str, path: str, leaf: nn.Module) -> None:
        """Register `leaf` under the dotted `path` and make it known as `role`."""
        *groups, last = path.split(".")
        node: nn.Module = self
        for name in groups:
            if name not in node._modules:
                node.add_module(name, Group())
            node = node._modules[name]  # type: ignore[assignment]
        node.add_module(last, leaf)
        self.roles[role] = (*groups, last)

    def leaf(self, role: str) -> nn.Module:
        """The module that stands at the role's path now."""
        node: nn.Module = self
        for name in self.roles[role]:
            node = node._modules[name]  # type: ignore[assignment]
        return node

    def has(self, role: str) -> bool:
        """Whether this block has a leaf of that role."""
        return role in self.roles


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

    The mean square is taken in float32 and the result is cast back before the weight is applied.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(self.weight.dtype if self.weight.dtype != torch.float32 else x.dtype)

    def extra_repr(self) -> str:
        """Width and epsilon."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class ScaledEmbedding(nn.Embedding):
    """A token table whose vectors are multiplied by `scale` when they are looked up."""

    scale: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        """[...] -> [..., E]."""
        return super().forward(input) * self.scale


def token_table(
    count: int,
    width: int,
    padding_idx: int | None = None,
    scale: float = 1.0,
    weight: Tensor | None = None,
) -> nn.Embedding:
    """A table of `count` vectors, over a given `weight` [count, width] or a fresh one."""
    kind = nn.Embedding if scale == 1.0 else ScaledEmbedding
    table = kind(count, width, padding_idx=padding_idx, _weight=weight)
    if isinstance(table, ScaledEmbedding):
        table.scale = scale
    return table


def linear(kind: LinearKind, width_in: int, width_out: int, bias: bool = True) -> nn.Module:
    """A linear leaf of the given kind."""
    if kind == "conv1d":
        return Conv1D(width_in, width_out)
    return nn.Linear(width_in, width_out, bias=bias)


def norm(spec: Norm, width: int) -> nn.Module:
    """A norm leaf."""
    return RMSNorm(width, spec.eps) if spec.kind == "rms" else nn.LayerNorm(width, eps=spec.eps)
