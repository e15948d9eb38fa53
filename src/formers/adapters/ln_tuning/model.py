"""Tuned norms put on a model: a copy of a norm computes in its place."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer
from formers.adapters.targets import norm_leaves
from formers.adapters.tuner import Tuner


class LNTuningLayer(AdapterLayer):
    """A module in whose place the copy of the active adapter computes."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = ("ln_tuning_layers",)

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.ln_tuning_layers = nn.ModuleDict()

    def hold(self, name: str, config: Any, **_: Any) -> None:
        """A copy."""
        self.ln_tuning_layers[name] = copy.deepcopy(self.get_base_layer())

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the module, or as the active copy.

        Raises:
            ValueError: where several are active: one module cannot be two.
        """
        own = [name for name in self._active_adapter if self.holds(name)]
        if self._disable_adapters or self.merged or not own:
            return self.base_layer(x, *args, **kwargs)
        if len(own) > 1:
            raise ValueError(f"LN tuning does not allow more than one active adapter at a time, got {own}")
        return self.ln_tuning_layers[own[0]](x, *args, **kwargs)

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """What the copy makes of x."""
        made: Tensor = self.ln_tuning_layers[name](x)
        return made

    def merge(self, safe_merge: bool = False, adapter_names: Sequence[str] | None = None) -> None:
        """Let the copy and the module change places."""
        names = self._active_adapter if adapter_names is None else adapter_names
        own = [name for name in names if self.holds(name) and name not in self.merged_adapters]
        if len(own) + len(self.merged_adapters) > 1:
            raise ValueError(f"LN tuning does not allow merging more than one adapter at a time, got {own}")
        for name in own:
            self._exchange(name)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Let them change back."""
        while self.merged_adapters:
            self._exchange(self.merged_adapters.pop())

    def _exchange(self, name: str) -> None:
        table = self.ln_tuning_layers
        self.base_layer, table[name] = table[name], self.base_layer


class LNTuningModel(Tuner):
    """A model whose norms are tuned."""

    kind: ClassVar[PeftType] = PeftType.LN_TUNING
    prefix: ClassVar[str] = "ln_tuning_"
    widens: ClassVar[bool] = False  # a copy is of the module's dtype

    def settle(self, config: Any) -> None:
        """The norms, where nothing is named."""
        if config.target_modules is None:
            config.target_modules = norm_leaves(self.model) or None
        super().settle(config)

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Whatever has a weight of its own."""
        return LNTuningLayer(leaf) if leaf._parameters.get("weight") is not None else None
