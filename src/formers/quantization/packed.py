"""A linear leaf whose weight is stored in fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class PackedLinear(nn.Linear):
    """Base of linear leaves that keep their weight in another form; it is frozen, the bias is a parameter.

    It is made without a weight, and has one once `take` was given one or the files have it. What is beside
    the weight lies in buffers under the names of the files, `weight.absmax` for instance.

    Attributes:
        weight: the packed numbers; until then [out, in] on the meta device.
    """

    row_wise = True  # rows may be laid end to end
    _keep_float32: tuple[str, ...] = ()  # buffers that no cast of the model narrows
    keeps_stored = False  # whether all but the bias stays in the dtypes of the files

    def __init__(self, in_features: int, out_features: int, bias: bool) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device="meta"), False)
        held = nn.Parameter(torch.empty(out_features, device="meta")) if bias else None
        self.register_parameter("bias", held)

    def take(self, weight: Tensor) -> None:
        """Pack a weight, [out, in] in any floating dtype."""
        raise NotImplementedError

    def expect(self, shape: Callable[[str], tuple[int, ...]], held: set[str]) -> None:
        """Make places for what files hold.

        Args:
            shape: name of one of the leaf's tensors -> its shape in the files.
            held: the names there.
        """
        raise NotImplementedError

    def refuse_lacking(self, held: set[str], needs: Iterable[str]) -> None:
        """See `expect`.

        Raises:
            ValueError: where files lack what the format needs.
        """
        if lacking := sorted({*needs} - held):
            raise ValueError(
                f"a quantized leaf of {self.in_features} -> {self.out_features} lacks {', '.join(lacking)} "
                f"in the files, which hold {', '.join(sorted(held))}: they are damaged, or their config "
                "names another format"
            )

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight, [out, in]."""
        raise NotImplementedError

    def product(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out], without the bias."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out], in the dtype of the input."""
        rows = input.reshape(-1, self.in_features)
        if torch.is_grad_enabled() and input.requires_grad:
            found: Tensor = _Product.apply(rows, self)  # type: ignore[no-untyped-call]
        else:
            found = self.product(rows)
        found = found.view(*input.shape[:-1], self.out_features)
        return found if self.bias is None else found + self.bias.to(found.dtype)

    def reset_parameters(self) -> None:
        """Nothing: what is packed has its values."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        tables: tuple[Any, ...] = (self._buffers, self._parameters)
        kept = [
            (table, name, value.dtype)
            for table in tables
            for name, value in table.items()
            if value is not None
            and (name in self._keep_float32 or (self.keeps_stored and name != "bias"))
            and value.is_floating_point()
        ]
        before = {name: value for table in tables for name, value in table.items()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not say
        for table, name, dtype in kept:
            if table[name].dtype != dtype:
                moved = before[name].to(table[name].device)
                table[name] = nn.Parameter(moved, False) if table is self._parameters else moved
        return self


class _Product(torch.autograd.Function):
    """A product that goes forward as the leaf computes it, and back through its weight's values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, leaf: PackedLinear) -> Tensor:
        """[N, in] -> [N, out]."""
        ctx.leaf = leaf
        return leaf.product(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """[N, out] -> [N, in]; the weight has no gradient."""
        grad = grads[0]
        return grad @ ctx.leaf.dequantized(grad.dtype), None
