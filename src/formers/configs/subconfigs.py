"""Configs inside a config: dictionaries become config objects, and are written back as dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.configs.record import ConfigFile


class SubConfigs:
    """What a config knows of those that it holds.

    `sub_configs` names the fields that hold configs of their own: `{"text_config": SomeConfig}`. In place of
    a class there may be a function that says, of the dictionary, which class it is for.
    `sub_defaults` says what one that is not given is made of; a dictionary without a `model_type` has the
    default's. What a file has under `{name}_dict`, an older spelling, wins.
    """

    sub_configs: ClassVar[dict[str, Any]] = {}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {}

    def _take_sub_configs(self, kwargs: dict[str, Any], *, from_file: bool) -> None:
        for name in self.sub_configs:
            value = kwargs.pop(name, self.__dict__.get(name))
            older = kwargs.pop(f"{name}_dict", None)
            if older is not None:
                held = value.to_dict() if isinstance(value, ConfigFile) else value or {}
                value = {**held, **self._sub_config(name, older, from_file=from_file).to_dict()}
            self.__dict__[name] = self._sub_config(name, value, from_file=from_file)

    def _sub_config(self, name: str, value: Any, *, from_file: bool) -> Any:
        value = self.sub_defaults.get(name) if value is None else value
        if value is None or isinstance(value, ConfigFile):
            return value
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{type(self).__name__}.{name} takes a config or a dictionary, not {type(value).__name__}"
            )
        usual = self.sub_defaults.get(name, {}).get("model_type")
        value = value if usual is None else {"model_type": usual, **value}
        kind: Any = self.sub_configs[name]
        if not isinstance(kind, type):
            kind = kind(value)
        return kind.from_content(value) if from_file else kind(**value)

    def _parts(self) -> dict[str, Any]:
        """The configs that are there."""
        held = {name: self.__dict__.get(name) for name in self.sub_configs}
        return {name: part for name, part in held.items() if isinstance(part, ConfigFile)}

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """Return the part that describes the text model, or the config itself where it has no parts."""
        names: list[str] = []
        if decoder == encoder or encoder:
            names += ["text_encoder"]
        if decoder == encoder or decoder:
            names += ["decoder", "generator", "text_config"]
        found = [part for name in names if isinstance(part := self.__dict__.get(name), ConfigFile)]
        if len(found) > 1:
            raise ValueError(f"{type(self).__name__} has more than one text config: say which, by name")
        return found[0] if found else self
