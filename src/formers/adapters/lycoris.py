"""What LoHa and LoKr share: a whole change of the weight, made of small parts."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import TargetedConfig, check_ranks, declared
from formers.adapters.layer import AdapterLayer, DeltaLayer
from formers.adapters.tuner import Tuner, by_pattern


@declared
class LycorisConfig(TargetedConfig):
    """What both say.

    Attributes:
        r: rank of the parts.
        alpha: the scaling is `alpha / r`.
        rank_dropout: share of the rows of the change that are left out, in training.
        module_dropout: how often the whole change is left out, in training.
        use_effective_conv2d: decompose kernels too (arXiv:2108.06098, proposition 3).
        init_weights: begin with no change; else all parts are drawn.
        rank_pattern: path, its end or an expression -> rank; `alpha_pattern` likewise.
    """

    r: int = 8
    alpha: float = 8
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    use_effective_conv2d: bool = False
    init_weights: bool | str = True
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rank_pattern, self.alpha_pattern = self.rank_pattern or {}, self.alpha_pattern or {}
        check_ranks(self.r, *self.rank_pattern.values())
        for name in ("rank_dropout", "module_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


class LycorisLayer(DeltaLayer):
    """A leaf beside which the product with the change stands."""

    other_param_names: ClassVar[tuple[str, ...]] = ("r", "alpha", "scaling", "said")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.r: dict[str, int] = {}
        self.alpha: dict[str, float] = {}
        self.scaling: dict[str, float] = {}
        self.said: dict[str, Any] = {}
        for kind in self.adapter_layer_names:
            setattr(self, kind, nn.ParameterDict())

    def make(self, name: str, config: Any, r: int) -> dict[str, tuple[Tensor, bool]]:
        """The parts by the names of their tables: empty tensors, and whether they begin with zeros."""
        raise NotImplementedError

    def hold(self, name: str, config: Any, r: int = 8, alpha: float = 8, **_: Any) -> None:
        """The parts."""
        self.r[name], self.alpha[name], self.said[name] = r, alpha, config
        self.scaling[name] = alpha / r
        for kind, (part, zero) in self.make(name, config, r).items():
            if zero:
                nn.init.zeros_(part)
            else:
                nn.init.kaiming_uniform_(part, a=5**0.5)
            getattr(self, kind)[name] = nn.Parameter(part)

    def holds(self, name: str) -> bool:
        """Whether an adapter of that name is here."""
        return name in self.r

    def kernel(self, config: Any) -> tuple[int, ...]:
        """The kernel where its places are decomposed too, () elsewhere."""
        size = tuple(getattr(self.get_base_layer(), "kernel_size", ()))
        return size if config.use_effective_conv2d and any(places > 1 for places in size) else ()

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + the product with the change."""
        config = self.said[name]
        if self.training and config.module_dropout and torch.rand(()) <= config.module_dropout:
            return result
        delta = self.get_delta_weight(name)
        if self.training and config.rank_dropout:
            kept = (torch.rand(len(delta), device=delta.device) > config.rank_dropout).to(delta.dtype)
            if getattr(config, "rank_dropout_scale", True):
                kept = kept / kept.mean()
            delta = delta * kept.view(-1, *(1,) * (delta.dim() - 1))
        return result + self.product(x.to(delta.dtype), delta)


class LycorisModel(Tuner):
    """A model with one of the two on its leaves."""

    layer: ClassVar[type[LycorisLayer]]

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves that store [out, in], and convolutions."""
        return self.layer(leaf) if isinstance(leaf, (nn.Linear, nn.Conv1d, nn.Conv2d)) else None

    def settings(self, config: Any, path: str) -> dict[str, Any]:
        """Rank and alpha, which patterns may choose by path."""
        return {
            "r": by_pattern(config.rank_pattern, path, config.r),
            "alpha": by_pattern(config.alpha_pattern, path, config.alpha),
        }


def with_kernel(core: Tensor, out: Tensor, read: Tensor) -> Tensor:
    """[r, r, places, 1 or places], [r, out], [r, in] -> [out, in, places, 1 or places]."""
    return torch.einsum("ijkl,io,jn->onkl", core, out, read)


def core_for(r: int, kernel: tuple[int, ...]) -> Tensor:
    """An empty core for a kernel."""
    return torch.empty(r, r, *kernel, *(1,) * (2 - len(kernel)))
