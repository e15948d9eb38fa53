"""(IA)^3 put on a model: features scaled by learned factors."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer, is_linear, is_transposed, widths
from formers.adapters.targets import ends_with, paths_of
from formers.adapters.tuner import Tuner

_READ, _SCALED = ("down",), ("k", "v", "cross_k", "cross_v", "qkv", "cross_kv")


class IA3Layer(AdapterLayer):
    """A leaf whose input or result is multiplied, feature by feature."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("ia3_l",)

    def __init__(self, base_layer: nn.Module, is_feedforward: bool) -> None:
        super().__init__(base_layer)
        self.ia3_l = nn.ParameterDict()
        self.is_feedforward = is_feedforward
        self.in_features, self.out_features = widths(self.get_base_layer())

    def hold(self, name: str, config: Any, **_: Any) -> None:
        """The factors: [1, in] or [out, 1]; of a convolution [1, channels, 1, ...]."""
        count = self.in_features if self.is_feedforward else self.out_features
        places = self.weight.dim() - 2
        whole = is_linear(self.get_base_layer())
        shape = ((1, count) if self.is_feedforward else (count, 1)) if whole else (1, count, *(1,) * places)
        made = torch.ones(shape) if config.init_ia3_weights else torch.randn(shape)
        self.ia3_l[name] = nn.Parameter(made)

    def _factors(self, name: str) -> Tensor:
        held: Tensor = self.ia3_l[name]
        return held.flatten() if is_linear(self.get_base_layer()) else held

    def entering(self, name: str, x: Tensor) -> Tensor:
        """x, scaled where it is what is scaled."""
        return (x * self._factors(name)).to(x.dtype) if self.is_feedforward else x

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result, scaled where it is what is scaled."""
        return result if self.is_feedforward else result * self._factors(name)

    def _over(self, name: str, weight: Tensor) -> Tensor:
        """The factors in the shape of the weight."""
        held: Tensor = self.ia3_l[name].to(weight.dtype)
        if is_linear(self.get_base_layer()):
            return held.t() if is_transposed(self.get_base_layer()) else held
        return held if self.is_feedforward else held.transpose(0, 1)

    def merged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The product."""
        return weight * self._over(name, weight)

    def unmerged_weight(self, name: str, weight: Tensor) -> Tensor:
        """The quotient."""
        return weight / self._over(name, weight)

    def shift_bias(self, name: str, sign: float) -> None:
        """Scale the bias too, or take that back."""
        bias: Any = self.get_base_layer().bias
        if bias is not None and not self.is_feedforward:
            factors = self.ia3_l[name].flatten().to(bias.dtype)
            bias.data = bias.data * factors if sign > 0 else bias.data / factors


class IA3Model(Tuner):
    """A model with (IA)^3 on its leaves."""

    kind: ClassVar[PeftType] = PeftType.IA3
    prefix: ClassVar[str] = "ia3_"

    def settle(self, config: Any) -> None:
        """Keys, values and what ends a feed-forward, where nothing is named; the last by what they read."""
        if config.target_modules is None:
            config.target_modules = paths_of(self.model, _READ + _SCALED)
            if config.feedforward_modules is None:
                config.feedforward_modules = paths_of(self.model, _READ)
        super().settle(config)
        if config.feedforward_modules is None:
            raise ValueError(
                "Please specify `feedforward_modules` in `peft_config`, too: which of the targets have "
                "their input scaled; [] for none"
            )

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves and convolutions."""
        if not is_linear(leaf) and not isinstance(leaf, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return None
        config.fan_in_fan_out = is_transposed(leaf)
        return IA3Layer(leaf, ends_with(path, config.feedforward_modules))
