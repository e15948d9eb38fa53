"""The maps from model types to classes that scripts look classes up in, filled when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from formers import auto
from formers.configs import PretrainedConfig
from formers.models.registry import families, family_of
from formers.models.table import FAMILIES
from formers.names import auto_of_map
from formers.tokenization.recipes import MODEL_TYPES


class LazyMapping(Mapping[Any, Any]):
    """A map whose keys are told by one function and whose values by another."""

    def __init__(
        self,
        keys: Callable[[], Iterator[Any]],
        value: Callable[[Any], Any],
        name: str,
        register: Callable[[Any, Any, bool], None] | None = None,
    ) -> None:
        self._keys, self._value, self.__name__, self._register = keys, value, name, register

    def __getitem__(self, key: Any) -> Any:
        found = self._value(key)
        if found is None:
            raise KeyError(f"{self.__name__} has no {getattr(key, '__name__', key)!r}")
        return found

    def __iter__(self) -> Iterator[Any]:
        return self._keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return self._value(key) is not None

    def register(self, key: Any, value: Any, exist_ok: bool = False) -> None:
        """Make a class of one's own the answer for a model type, or a config class.

        Raises:
            NotImplementedError: for a map that follows from others; the text says what to call.
        """
        if self._register is None:
            raise NotImplementedError(
                f"{self.__name__} follows from what is registered with the Auto classes"
            )
        self._register(key, value, exist_ok)

    def update(self, values: Mapping[Any, Any]) -> None:
        """Register several."""
        for key, value in values.items():
            self.register(key, value, exist_ok=True)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.register(key, value, exist_ok=True)

    def __repr__(self) -> str:
        return f"<{self.__name__} of {len(self)} entries>"


def _config_of(model_type: Any) -> Any:
    own = auto.registered_configs()
    if model_type in own:
        return own[model_type]
    return family_of(model_type).config if model_type in FAMILIES else None


def _config_name_of(model_type: Any) -> Any:
    found = _config_of(model_type)
    return None if found is None else found.__name__


def _types() -> Iterator[str]:
    yield from dict.fromkeys([*FAMILIES, *auto.registered_configs()])


def _model_map(auto_name: str, name: str) -> LazyMapping:
    """Config class -> model class of an Auto class."""
    auto_class = getattr(auto, auto_name)

    def value(config_class: Any) -> Any:
        if not (isinstance(config_class, type) and issubclass(config_class, PretrainedConfig)):
            return None
        return auto_class.class_of_config(config_class)

    def keys() -> Iterator[Any]:
        return (kind for kind in map(_config_of, _types()) if value(kind) is not None)

    return LazyMapping(keys, value, name, auto_class.register)


def _names_map(auto_name: str, name: str) -> LazyMapping:
    """Model type -> name of the model class of an Auto class."""
    classes = _model_map(auto_name, name)

    def value(model_type: Any) -> Any:
        config = _config_of(model_type)
        return classes[config].__name__ if config is not None and config in classes else None

    return LazyMapping(lambda: (t for t in _types() if value(t) is not None), value, name)


def _tokenizer_name_of(model_type: Any) -> Any:
    return f"{MODEL_TYPES[model_type]}Tokenizer" if model_type in MODEL_TYPES else None


def _tokenizer_of(config_class: Any) -> Any:
    """(slow, fast) tokenizer class of a config class; both are the same here."""
    from formers.tokenization import named_class

    name = _tokenizer_name_of(getattr(config_class, "model_type", None))
    return None if name is None else (named_class(name), named_class(name))


def _prepares(what: str) -> Callable[[], LazyMapping]:
    """Model type -> name of the class that prepares its inputs: "Processor" or "ImageProcessor"."""

    def value(model_type: Any) -> Any:
        from formers.processing import pairs, recipes

        held = (recipes if what == "ImageProcessor" else pairs).MODEL_TYPES
        return f"{held[model_type]}{what}" if model_type in held else None

    name = "IMAGE_PROCESSOR_MAPPING_NAMES" if what == "ImageProcessor" else "PROCESSOR_MAPPING_NAMES"
    return lambda: LazyMapping(lambda: (kind for kind in _types() if value(kind)), value, name)


_MAPS: dict[str, Callable[[], LazyMapping]] = {
    "IMAGE_PROCESSOR_MAPPING_NAMES": _prepares("ImageProcessor"),
    "PROCESSOR_MAPPING_NAMES": _prepares("Processor"),
    "CONFIG_MAPPING": lambda: LazyMapping(_types, _config_of, "CONFIG_MAPPING", auto.AutoConfig.register),
    "CONFIG_MAPPING_NAMES": lambda: LazyMapping(_types, _config_name_of, "CONFIG_MAPPING_NAMES"),
    "TOKENIZER_MAPPING_NAMES": lambda: LazyMapping(
        lambda: iter(MODEL_TYPES), _tokenizer_name_of, "TOKENIZER_MAPPING_NAMES"
    ),
    "TOKENIZER_MAPPING": lambda: LazyMapping(
        lambda: (family.config for family in families() if _tokenizer_of(family.config)),
        _tokenizer_of,
        "TOKENIZER_MAPPING",
        lambda key, value, exist_ok: auto.AutoTokenizer.register(key, value, exist_ok=exist_ok),
    ),
}


def __getattr__(name: str) -> LazyMapping:
    auto_name = auto_of_map(name)
    if name in _MAPS:
        made = _MAPS[name]()
    elif auto_name is not None:
        made = (_names_map if name.endswith("_NAMES") else _model_map)(auto_name, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made
    return made
