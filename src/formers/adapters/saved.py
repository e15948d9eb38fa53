"""Modules that are trained and saved whole, one copy for each adapter."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from formers.adapters.layer import AdapterLayer, train
from formers.nn.tree import stand_for


class ModulesToSaveWrapper(nn.Module):
    """In place of a module: the copy of it that the active adapter trains, or the module itself."""

    row_wise = True
    adapter_layer_names: ClassVar[tuple[str, ...]] = ("modules_to_save",)

    def __init__(self, module_to_save: nn.Module) -> None:
        super().__init__()
        if isinstance(module_to_save, (AdapterLayer, nn.ModuleDict, nn.ModuleList)):
            raise TypeError(
                f"modules_to_save cannot be applied to modules of type {type(module_to_save).__name__}"
            )
        self.original_module = module_to_save
        self.modules_to_save = nn.ModuleDict()
        self._active: str | None = None
        self.enabled = True
        stand_for(self, module_to_save)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name in ("original_module", "modules_to_save"):
                raise
            return getattr(self._standing(), name)

    @property
    def active_adapters(self) -> list[str]:
        """The adapter whose copy computes, if any."""
        return [] if self._active is None else [self._active]

    @property
    def disable_adapters(self) -> bool:
        """Whether the module itself computes."""
        return not self.enabled

    def _standing(self) -> nn.Module:
        if self.enabled and self._active is not None:
            return self.modules_to_save[self._active]
        return self.original_module

    def update(self, name: str) -> None:
        """Make a copy for an adapter."""
        if name not in self.modules_to_save:
            self.modules_to_save[name] = copy.deepcopy(self.original_module)
        self.original_module.requires_grad_(False)

    def set_adapter(self, adapter_names: str | Sequence[str], inference_mode: bool = False) -> None:
        """Let one adapter's copy compute.

        Raises:
            ValueError: where several of those named have a copy: one module cannot be two.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        own = [name for name in names if name in self.modules_to_save]
        if len(own) > 1:
            raise ValueError(
                f"Only one adapter can be set at a time for modules_to_save, got {len(own)}: {own}"
            )
        self._active = own[0] if own else None
        for name, held in self.modules_to_save.items():
            train(held, name == self._active and not inference_mode)
        stand_for(self, self._standing())

    def enable_adapters(self, enabled: bool) -> None:
        """Let the copy compute again, or the module itself."""
        self.enabled = enabled
        for name, held in self.modules_to_save.items():
            train(held, enabled and name == self._active)
        stand_for(self, self._standing())

    def set_requires_grad(self, adapter_names: Sequence[str], requires_grad: bool = True) -> None:
        """Let copies train, or not."""
        for name in adapter_names:
            if name in self.modules_to_save:
                train(self.modules_to_save[name], requires_grad)

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter's copy."""
        if name in self.modules_to_save:
            del self.modules_to_save[name]
            self.set_adapter([])

    def chosen(self, names: Sequence[str] | None) -> nn.Module:
        """What stays when the adapters go: the copy of one that is merged (None: the active one)."""
        names = self.active_adapters if names is None else names
        own = [name for name in names if name in self.modules_to_save]
        return self.modules_to_save[own[0]] if own else self.original_module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the module that stands here."""
        return self._standing()(*args, **kwargs)
