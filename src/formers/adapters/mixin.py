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
        return found

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
