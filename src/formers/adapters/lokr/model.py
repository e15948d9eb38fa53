"""LoKr put on a model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.adapters.config import PeftType
from formers.adapters.lycoris import LycorisLayer, LycorisModel, core_for, with_kernel


class LoKrLayer(LycorisLayer):
    """A leaf with a Kronecker product beside it."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = (
        *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    )

    def make(self, name: str, config: Any, r: int) -> dict[str, tuple[Tensor, bool]]:
        """Both factors, each whole or as two thin matrices, the second with a core for a kernel."""
        leaf: Any = self.get_base_layer()
        size = tuple(getattr(leaf, "kernel_size", ()))
        (in_m, in_n), (out_m, out_n) = (
            divided(count, config.decompose_factor)
            for count in (self.in_features // getattr(leaf, "groups", 1), self.out_features)
        )
        how = config.init_weights
        first, second = how is True, how == "lycoris"
        parts: dict[str, tuple[Tensor, bool]] = {}
        if config.decompose_both and r < max(out_m, in_m) / 2:
            parts["lokr_w1_a"] = (torch.empty(out_m, r), first)
            parts["lokr_w1_b"] = (torch.empty(r, in_m), False)
        else:
            parts["lokr_w1"] = (torch.empty(out_m, in_m), first)
        if r >= max(out_n, in_n) / 2:
            parts["lokr_w2"] = (torch.empty(out_n, in_n, *size), second)
        elif kernel := self.kernel(config):
            parts["lokr_t2"] = (core_for(r, kernel), False)
            parts["lokr_w2_a"] = (torch.empty(r, out_n), False)
            parts["lokr_w2_b"] = (torch.empty(r, in_n), second)
        else:
            places = torch.Size(size).numel()
            parts["lokr_w2_a"] = (torch.empty(out_n, r), False)
            parts["lokr_w2_b"] = (torch.empty(r, in_n * places), second)
        return parts

    def get_delta_weight(self, name: str) -> Tensor:
        """[out, in, ...]."""
        first = self.lokr_w1[name] if name in self.lokr_w1 else self.lokr_w1_a[name] @ self.lokr_w1_b[name]
        if name in self.lokr_w2:
            second = self.lokr_w2[name]
        elif name in self.lokr_t2:
            second = with_kernel(self.lokr_t2[name], self.lokr_w2_a[name], self.lokr_w2_b[name])
        else:
            second = self.lokr_w2_a[name] @ self.lokr_w2_b[name]
        first = first.view(*first.shape, *(1,) * (second.dim() - 2))
        whole = torch.kron(first, second.contiguous()) * self.scaling[name]
        return whole.reshape(self.get_base_layer().weight.shape)  # type: ignore[arg-type]  # a tensor


class LoKrModel(LycorisModel):
    """A model with LoKr on its leaves."""

    kind: ClassVar[PeftType] = PeftType.LOKR
    prefix: ClassVar[str] = "lokr_"
    layer = LoKrLayer


def divided(count: int, factor: int) -> tuple[int, int]:
    """A number as a product of two, the smaller first: `factor` where it divides, else near it.

    With -1 both are as near to the square root as can be.
    """
    if factor > 0 and count % factor == 0:
        return factor, count // factor
    highest = count if factor == -1 else factor
    small = max(d for d in range(1, int(count**0.5) + 1) if count % d == 0 and d <= highest)
    return small, count // small
