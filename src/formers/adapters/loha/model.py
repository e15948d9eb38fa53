"""LoHa put on a model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.adapters.config import PeftType
from formers.adapters.lycoris import LycorisLayer, LycorisModel, core_for, with_kernel


class LoHaLayer(LycorisLayer):
    """A leaf with two products of thin matrices beside it, multiplied number by number."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = (
        *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    )

    def make(self, name: str, config: Any, r: int) -> dict[str, tuple[Tensor, bool]]:
        """Four matrices, and two cores where a kernel is decomposed."""
        kernel, weight = self.kernel(config), self.weight
        out, read = self.out_features, self.in_features
        read = weight[0].numel() // (weight[0, 0].numel() if kernel else 1) if weight.dim() > 2 else read
        wide = torch.empty(r, out) if kernel else torch.empty(out, r)
        parts = {
            "hada_w1_a": (wide, False),
            "hada_w1_b": (torch.empty(r, read), False),
            "hada_w2_a": (wide.clone(), False),
            "hada_w2_b": (torch.empty(r, read), bool(config.init_weights)),
        }
        if kernel:
            parts |= {core: (core_for(r, kernel), False) for core in ("hada_t1", "hada_t2")}
        return parts

    def get_delta_weight(self, name: str) -> Tensor:
        """[out, in, ...]."""
        first, second = (
            self._half(name, which, core) for which, core in (("w1", self.hada_t1), ("w2", self.hada_t2))
        )
        return (first * second * self.scaling[name]).reshape(self.get_base_layer().weight.shape)  # type: ignore[arg-type]  # a tensor

    def _half(self, name: str, which: str, core: Any) -> Tensor:
        out, read = (getattr(self, f"hada_{which}_{side}")[name] for side in "ab")
        found: Tensor = with_kernel(core[name], out, read) if name in core else out @ read
        return found


class LoHaModel(LycorisModel):
    """A model with LoHa on its leaves."""

    kind: ClassVar[PeftType] = PeftType.LOHA
    prefix: ClassVar[str] = "hada_"
    layer = LoHaLayer
