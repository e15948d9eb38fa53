"""Adapters of several methods on one model: each wraps a leaf that another may have wrapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer
from formers.adapters.methods import tuner_for
from formers.adapters.tuner import Tuner, parts_of

_MIXED = (PeftType.LORA, PeftType.LOHA, PeftType.LOKR, PeftType.ADALORA, PeftType.OFT)


def check_mixed(config: Any) -> None:
    """Refuse a method whose adapters cannot stand beside another's.

    Raises:
        ValueError: naming those that can.
    """
    if config.peft_type not in _MIXED:
        raise ValueError(
            f"The provided `peft_type` {config.peft_type!s} is not compatible with the `PeftMixedModel`. "
            f"Compatible types are: {', '.join(kind.value for kind in _MIXED)}"
        )


class MixedModel(Tuner):
    """A model whose leaves have adapters of several methods, one around the other."""

    def _method(self, config: Any) -> Tuner:
        """A tuner of the config's method for the same model and adapters."""
        kind = tuner_for(config)
        made = kind.__new__(kind)
        nn.Module.__init__(made)
        made.model, made.peft_config = self.model, self.peft_config
        return made

    def _around(self, path: str, config: Any) -> AdapterLayer:
        leaf = self.model.get_submodule(path)
        plain = leaf.get_base_layer() if isinstance(leaf, AdapterLayer) else leaf
        made = self._method(config).wrapped(plain, config, path)
        held: Any = leaf
        while isinstance(held, AdapterLayer):
            if type(held) is type(made):
                return held
            held = held.base_layer
        made.base_layer = leaf
        return made

    def prepare(self, config: Any) -> dict[str, Any]:
        """As the method."""
        return self._method(config).prepare(config)

    def settings(self, config: Any, path: str) -> dict[str, Any]:
        """As the method."""
        return self._method(config).settings(config, path)

    def settle(self, config: Any) -> None:
        """As the method."""
        self._method(config).settle(config)

    def from_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the method."""
        return self._method(self.peft_config[name]).from_files(name, tensors)

    def merge_adapter(self, adapter_names: Sequence[str] | None = None, safe_merge: bool = False) -> None:
        """Put adapters into the weights, the innermost first, as they compute."""
        for _, part in reversed(list(parts_of(self.model))):
            if isinstance(part, AdapterLayer):
                part.merge(safe_merge=safe_merge, adapter_names=adapter_names)
