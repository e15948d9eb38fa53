"""Adapters put straight into a model of the library, without a `PeftModel` around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Adaptable:
    """What models can do with adapters of their own: the ecosystem's names."""

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Put a fresh adapter on the model and let it compute; the first one freezes the model.

        Args:
            adapter_config: a config of this library or of the `peft` package, or its fields.
            adapter_name: what to call it; "default" where None.

        Raises:
            ValueError: for a name that is taken, targets or settings that are not there.
            TypeError: for what is no config of adapters.
        """
        from formers.adapters.config import as_config

        name, adapter_config = adapter_name or "default", as_config(adapter_config)
        if name in _configs(self):
            raise ValueError(f"Adapter with name {name} already exists. Please use a different name.")
        adapter_config.base_model_name_or_path = self.__dict__.get("name_or_path") or None
        _inject(self, name, adapter_config)
        self.set_adapter(name)

    def load_adapter(
        self,
        peft_model_id: Any = None,
        adapter_name: str | None = None,
        peft_config: Any = None,
        adapter_state_dict: Any = None,
        low_cpu_mem_usage: bool = False,
        is_trainable: bool = False,
        adapter_kwargs: dict[str, Any] | None = None,
        hotswap: bool | str = "auto",
        **options: Any,
    ) -> Any:
        """Put a saved adapter on the model.

        Args:
            peft_model_id: folder or Hub id.
            adapter_name: what to call it; "default" where None.
            peft_config: a config, or its fields, in place of a file's.
            adapter_state_dict: its weights, in place of a file's.
            low_cpu_mem_usage: draw no values before the weights are there.
            is_trainable: whether it is trained further; else it is frozen, and the model in evaluation mode.
            adapter_kwargs: keywords of the Hub.
            hotswap: put it in the place of the one of that name, whose values alone change, so that a
                compiled model stays compiled. "auto": where `enable_peft_hotswap` was called before.
            options: the same.

        Returns:
            What was missing and what had no place, both empty.

        Raises:
            OSError: when there is no adapter.
            LoadError: when it is another model's.
        """
        from formers.adapters.config import PeftConfig, as_config
        from formers.adapters.state import check_loaded, load_peft_weights, set_peft_model_state_dict
        from formers.core.notices import refuse_unknown
        from formers.hub import HUB_KEYWORDS, split_hub_keywords

        name, options = adapter_name or "default", {**(adapter_kwargs or {}), **options}
        refuse_unknown(options, HUB_KEYWORDS, "load_adapter")
        hub, _ = split_hub_keywords(options)
        room = self.__dict__.get("_swapping")
        if hotswap is True or (hotswap == "auto" and room is not None and name in _configs(self)):
            return _swapped(self, peft_model_id, name, (peft_config, adapter_state_dict), hub)
        if name in _configs(self):
            raise ValueError(f"Adapter with name {name} already exists. Please use a different name.")
        if peft_model_id is None and (peft_config is None or adapter_state_dict is None):
            raise ValueError(
                "load_adapter needs a folder or Hub id, or a peft_config and an adapter_state_dict"
            )
        if peft_config is None:
            config = PeftConfig.from_pretrained(peft_model_id, **hub)
        else:
            config = as_config(peft_config)
        config.inference_mode = not is_trainable
        tensors = (
            load_peft_weights(peft_model_id, **hub) if adapter_state_dict is None else adapter_state_dict
        )
        tuner = _inject(self, name, config, low_cpu_mem_usage)
        found = set_peft_model_state_dict(self, tensors, name)
        check_loaded(found, peft_model_id, tuner.model)
        tuner.set_adapter(name, inference_mode=not is_trainable)
        if not is_trainable:
            tuner.model.eval()
        if room is not None:
            from formers.adapters.hotswap import prepare_model_for_compiled_hotswap

            prepare_model_for_compiled_hotswap(tuner.model, config=_configs(self), **room)
        return found

    def enable_peft_hotswap(self, target_rank: int = 128, check_compiled: str = "error") -> None:
        """Make room for adapters up to a rank, which `load_adapter` then swaps in under one name.

        Args:
            target_rank: the highest rank to come.
            check_compiled: what to do where the model is compiled already: "error", "warn" or "ignore".

        Raises:
            RuntimeError: where an adapter is loaded already, and `check_compiled` is "error".
        """
        if _configs(self) and check_compiled == "error":
            raise RuntimeError("Call `enable_peft_hotswap` before loading the first adapter.")
        self.__dict__["_swapping"] = {"target_rank": target_rank, "check_compiled": check_compiled}

    def set_adapter(self, adapter_name: str | Sequence[str]) -> None:
        """Let one adapter compute, or several.

        Raises:
            ValueError: where there is none of that name.
        """
        _tuner(self).set_adapter(adapter_name)

    def disable_adapters(self) -> None:
        """Let the model compute without its adapters."""
        _tuner(self).disable_adapter_layers()

    def enable_adapters(self) -> None:
        """Let the active adapters compute again."""
        _tuner(self).enable_adapter_layers()

    def active_adapters(self) -> list[str]:
        """Names of the adapters that compute."""
        found: list[str] = _tuner(self).active_adapters
        return found

    def delete_adapter(self, adapter_names: str | Sequence[str]) -> None:
        """Forget adapters.

        Raises:
            ValueError: for a name that is not there.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        for name in names:
            _tuner(self).delete_adapter(name)

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: Any = None
    ) -> dict[str, Any]:
        """The weights of one adapter, the first active one where None."""
        from formers.adapters.state import get_peft_model_state_dict

        name = adapter_name or next(iter(self.active_adapters()))
        return get_peft_model_state_dict(self, state_dict, name)

    def load_adapter_weights(self, folder: Any) -> None:
        """Take the weights of a checkpoint into the adapters that are here."""
        from formers.adapters.peft_model import load_weights

        _tuner(self)
        load_weights(self, Path(folder))


PeftAdapterMixin = Adaptable  # as the ecosystem calls it


def _configs(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = model.__dict__.get("peft_config", {})
    return found


def _swapped(model: Any, folder: Any, name: str, given: tuple[Any, Any], hub: dict[str, Any]) -> Any:
    """Swap a saved adapter in; what was missing and what had no place, both empty."""
    from formers.adapters.hotswap import hotswap_adapter
    from formers.adapters.state import Loaded

    if name not in _configs(model):
        raise ValueError(
            "To hotswap an adapter, there must already be an existing adapter with the same adapter name."
        )
    if folder is None or any(one is not None for one in given):
        raise ValueError(
            "hotswap=True takes a folder or Hub id alone; weights in memory go in by "
            "hotswap_adapter_from_state_dict(model, state_dict, adapter_name, config)"
        )
    hotswap_adapter(model, folder, name, **hub)
    return Loaded([], [])


def has_adapters(model: Any) -> bool:
    """Whether adapters were put on a model, so that they are what is saved."""
    return bool(_configs(model))


def _inject(model: Any, name: str, config: Any, low_cpu_mem_usage: bool = False) -> Any:
    from formers.adapters.methods import tuner_for, tuner_of

    if config.is_prompt_learning:
        raise ValueError(
            f"{config.peft_type} changes what a model reads, and goes around it: "
            "get_peft_model(model, config)"
        )
    tuner = tuner_for(config)
    if not _configs(model):
        return tuner(model, config, name, low_cpu_mem_usage)
    found = tuner_of(model)
    if type(found) is not tuner:
        raise ValueError(f"one model has adapters of one method: these are {found.kind.value}")
    found.inject_adapter(name, config, low_cpu_mem_usage)
    return found


def _tuner(model: Any) -> Any:
    from formers.adapters.methods import tuner_of

    return tuner_of(model)
