"""Auto classes: look a checkpoint's config up in the registry and take the fitting class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from formers.adapters.folders import beneath
from formers.configs import PretrainedConfig
from formers.core.notices import did_you_mean
from formers.export.folder import is_exported
from formers.models.registry import families, family_of, named_in_gguf
from formers.models.table import FAMILIES
from formers.tasks.table import AUTO

if TYPE_CHECKING:
    from formers.assemblies.family import Family
    from formers.model.base import PreTrainedModel


def __getattr__(name: str) -> Any:
    from formers.models.classes import find  # brings torch, which the names alone do without

    found = None if name.startswith("_") else find(name)
    if found is None:
        raise AttributeError(
            f"module 'formers' has no attribute {name!r}{did_you_mean(name, [*derived_names(), *globals()])}"
        )
    return found


def derived_names() -> Iterator[str]:
    """Names of all classes that families give rise to."""
    from formers.models.classes import endings

    layers: dict[str, None] = {}  # a whole and its parts may have the same
    for family in families():
        yield from (one.__name__ for one in (family.config, *family.settings))
        for ending, head in endings(family).items():
            if head is None or not head.other:  # those are the other family's
                yield family.class_name(ending)
        own = family.assembly.layer_classes(family.config)
        layers |= dict.fromkeys(name for name in own if name.startswith(family.name))
    yield from layers


def _config_of(name: Any, options: dict[str, Any]) -> tuple[PretrainedConfig, dict[str, Any]]:
    """The config of a checkpoint, and the keywords that were not for finding it."""
    from formers.hub import split_hub_keywords

    hub, rest = split_hub_keywords(options)
    return AutoConfig.from_pretrained(name, **hub), rest


class AutoConfig:
    """The config class that a checkpoint's `model_type` asks for."""

    def __init__(self) -> None:
        raise OSError("AutoConfig is used through AutoConfig.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the config of a folder or a Hub id; of an adapter, that of the model that it goes on.

        Args:
            pretrained_model_name_or_path: folder, `owner/name`, or a `hub.Source`.
            options: Hub keywords, `return_unused_kwargs`, and config fields to set.

        Raises:
            OSError: when there is no config.
            ValueError: for a model type that is not available.
        """
        from formers.hub import Source, split_hub_keywords

        options.pop("trust_remote_code", None)
        hub, _ = split_hub_keywords(dict(options))
        under = beneath(pretrained_model_name_or_path, hub)
        if under is not None:  # an adapter: what it goes on has the config
            pretrained_model_name_or_path, given = under
            hub, options = (
                given,
                {**{key: value for key, value in options.items() if key not in hub}, **given},
            )
        values, _ = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **hub)
        model_type = values.get("model_type")
        header = Source.of(pretrained_model_name_or_path, **hub).gguf
        if header is not None:
            model_type = named_in_gguf(header.architecture)
        if model_type is None:
            raise ValueError(
                f"config.json of {pretrained_model_name_or_path} has no `model_type`, so its architecture is "
                f"unknown; add one, or use a config class directly"
            )
        if "auto_map" in values and model_type not in {*FAMILIES, *_own_configs}:
            raise ValueError(
                f"{pretrained_model_name_or_path} brings code of its own for {model_type!r} models "
                f"(auto_map), and no code is loaded from checkpoints. If you trust it, import its classes "
                f"yourself and make them known with AutoConfig.register and AutoModel.register"
            )
        config_class = _own_configs.get(model_type) or family_of(model_type).config
        found = config_class.from_pretrained(pretrained_model_name_or_path, **options)
        if header is not None:
            family = family_of(model_type)
            (found[0] if isinstance(found, tuple) else found).architectures = [
                family.class_name(next(iter(family.heads)))
            ]
        return found

    @staticmethod
    def for_model(model_type: str, **values: Any) -> PretrainedConfig:
        """A fresh config of that type."""
        own = _own_configs.get(model_type)
        return (family_of(model_type).config if own is None else own)(**values)

    @staticmethod
    def register(model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Make a config class of one's own known; its models follow with `AutoModel.register`."""
        if model_type in FAMILIES and not exist_ok:
            raise ValueError(f"model type {model_type!r} exists already")
        _own_configs[model_type] = config


def registered_configs() -> dict[str, type[PretrainedConfig]]:
    """The config classes that `AutoConfig.register` made known, by model type."""
    return dict(_own_configs)


_own_configs: dict[str, type[PretrainedConfig]] = {}
_own_models: dict[tuple[type[PretrainedConfig], str], type[PreTrainedModel]] = {}


class _AutoModel:
    """Base of the Auto model classes; each names the head that it takes."""

    tasks: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        name = type(self).__name__
        raise OSError(f"{name} is used through {name}.from_pretrained(name) or {name}.from_config(config)")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        """Load a checkpoint with this head; keywords as `PreTrainedModel.from_pretrained` takes them.

        Raises:
            OSError: when there is no such checkpoint.
            ValueError: when its family has no such head.
        """
        config = options.pop("config", None)
        if not isinstance(config, PretrainedConfig):
            config, _ = _config_of(config or pretrained_model_name_or_path, options)
        model_class = cls._class_for(config)
        if is_exported(pretrained_model_name_or_path):
            from formers.export.classes import load

            return load(model_class, pretrained_model_name_or_path, config, options)
        return model_class.from_pretrained(pretrained_model_name_or_path, *args, config=config, **options)

    @classmethod
    def from_config(cls, config: PretrainedConfig, **options: Any) -> PreTrainedModel:
        """A model with this head and random weights.

        Raises:
            TypeError: when `config` is no configuration.
        """
        if not isinstance(config, PretrainedConfig):
            raise TypeError(
                f"{cls.__name__}.from_config takes a configuration, not {type(config).__name__}: "
                f"AutoConfig.from_pretrained(name), or {cls.__name__}.from_pretrained(name) with the weights"
            )
        options.pop("trust_remote_code", None)
        return cls._class_for(config)._from_config(config, **options)

    @classmethod
    def register(
        cls, config_class: type[PretrainedConfig], model_class: type[PreTrainedModel], exist_ok: bool = False
    ) -> None:
        """Make a model class of one's own the answer for a config class."""
        key = (config_class, cls.__name__)
        if key in _own_models and not exist_ok:
            raise ValueError(f"{cls.__name__} has a class for {config_class.__name__} already")
        _own_models[key] = model_class

    @classmethod
    def class_of_config(cls, config_class: type[PretrainedConfig]) -> type[PreTrainedModel] | None:
        """The model class for a config class, None where there is none with this head."""
        from formers.models.classes import class_of

        own = _own_models.get((config_class, cls.__name__))
        if own is not None or config_class.model_type not in FAMILIES:
            return own
        family = family_of(config_class.model_type)
        ending = cls._ending(family)
        return None if ending is None else class_of(family, ending)

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        found = cls.class_of_config(type(config))
        if found is None:
            family = family_of(config.model_type)
            fitting = [kind.__name__ for kind in _AutoModel.__subclasses__() if kind._ending(family)]
            raise ValueError(
                f"{cls.__name__} has no class for {family.model_type!r} models; those that have: "
                f"{', '.join(fitting)}"
            )
        return found

    @classmethod
    def _ending(cls, family: Family) -> str | None:
        hides = any(head.task in ("masked_lm", "any_lm") for head in family.heads.values())
        if cls.tasks == ("encoder",) and not family.assembly.encoder_decoder and hides:
            return "Model"  # an encoder is one already
        for task in cls.tasks:
            for ending, head in family.heads.items():
                if head.task == task:
                    return ending
        return None


_BaseAutoModelClass = _AutoModel  # as the ecosystem calls it


class AutoModel(_AutoModel):
    """The base model, without a head."""

    @classmethod
    def _ending(cls, family: Family) -> str | None:
        return "Model" if family.bare else None


for _name, (_tasks, _says) in AUTO.items():
    globals()[_name] = type(_name, (_AutoModel,), {"tasks": _tasks, "__doc__": _says, "__module__": __name__})


class AutoTokenizer:
    """The tokenizer that lies beside a checkpoint."""

    def __init__(self) -> None:
        raise OSError("AutoTokenizer is used through AutoTokenizer.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, *inputs: Any, **options: Any) -> Any:
        """Load the tokenizer of a folder or a Hub id; keywords as the tokenizer takes them."""
        from formers.tokenization import load

        options.setdefault("token_limit", _token_limit)
        try:
            return load(pretrained_model_name_or_path, *inputs, **options)
        except OSError:
            under = _under_adapter(pretrained_model_name_or_path, options)
            if under is None:
                raise
        return load(under[0], *inputs, **under[1])

    @staticmethod
    def register(
        config_class: type[PretrainedConfig],
        tokenizer_class: Any = None,
        slow_tokenizer_class: Any = None,
        fast_tokenizer_class: Any = None,
        exist_ok: bool = False,
    ) -> None:
        """Make a tokenizer class of one's own the answer for a config class, and where a checkpoint names it.

        Raises:
            TypeError: for what has no `from_pretrained`.
            ValueError: when the config class has a tokenizer class already.
        """
        from formers.tokenization.classes import register

        own = fast_tokenizer_class or tokenizer_class or slow_tokenizer_class
        if not (isinstance(own, type) and hasattr(own, "from_pretrained")):
            raise TypeError(
                f"AutoTokenizer.register takes a tokenizer class, with a from_pretrained, but got {own!r}"
            )
        if not (isinstance(config_class, type) and issubclass(config_class, PretrainedConfig)):
            raise TypeError(f"AutoTokenizer.register takes a config class first, but got {config_class!r}")
        register(own, config_class.model_type, exist_ok)


class AutoProcessor:
    """What prepares a checkpoint's inputs: texts and pictures together, or the one that the model reads."""

    def __init__(self) -> None:
        raise OSError("AutoProcessor is used through AutoProcessor.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the processor that the files name or the model type has; else tokenizer or image processor.

        Raises:
            OSError: when there is nothing of that kind.
            ValueError: for a processor that is not part of this version.
        """
        from formers.core.jsonfile import read_json_object
        from formers.hub import Source, split_hub_keywords
        from formers.processing.auto import AutoImageProcessor
        from formers.processing.pairs import CLASSES, MODEL_TYPES
        from formers.processing.processor_classes import named_pair

        name, hub = pretrained_model_name_or_path, split_hub_keywords(dict(options))[0]
        source, found = Source.of(name, **hub), {}
        for file in (
            "processor_config.json",
            "preprocessor_config.json",
            "tokenizer_config.json",
            "config.json",
        ):
            path = source.find(file)
            found[file] = {} if path is None else read_json_object(path)
        kind = found["config.json"].get("model_type")
        if kind in _own_processors:
            return _own_processors[kind].from_pretrained(name, **options)
        said = next((one["processor_class"] for one in found.values() if one.get("processor_class")), None)
        if said is None and kind in MODEL_TYPES:
            said = f"{MODEL_TYPES[kind]}Processor"
        if said in CLASSES:
            return named_pair(said).from_pretrained(name, **options)
        if said is not None:
            raise ValueError(
                f"{name} names a {said}, which is not part of this version; those that are: "
                f"{', '.join(CLASSES)}"
            )
        pictured = found["preprocessor_config.json"] or "pretrained_cfg" in found["config.json"]
        if pictured and not found["tokenizer_config.json"]:
            return AutoImageProcessor.from_pretrained(name, **options)
        return AutoTokenizer.from_pretrained(name, **options)

    @staticmethod
    def register(config_class: type[PretrainedConfig], processor_class: Any, exist_ok: bool = False) -> None:
        """Make a processor class of one's own the answer for a config class.

        Raises:
            TypeError: for what has no `from_pretrained`.
            ValueError: when the config class has one already.
        """
        from formers.processing.pairs import MODEL_TYPES

        if not (isinstance(processor_class, type) and hasattr(processor_class, "from_pretrained")):
            raise TypeError(
                f"AutoProcessor.register takes a class with a from_pretrained, but got {processor_class!r}"
            )
        kind = config_class.model_type
        if (kind in _own_processors or kind in MODEL_TYPES) and not exist_ok:
            raise ValueError(f"model type {kind!r} has a processor already")
        _own_processors[kind] = processor_class


_own_processors: dict[str, Any] = {}


def _under_adapter(name: Any, options: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """What an adapter without a tokenizer goes on, and the keywords for it; None for no adapter."""
    from formers.hub import split_hub_keywords

    hub, rest = split_hub_keywords(options)
    try:
        under = beneath(name, hub)
    except OSError:  # the first failure says what is wrong
        return None
    return None if under is None else (under[0], {**rest, **under[1]})


def _token_limit(values: Mapping[str, Any]) -> int | None:
    """How many tokens the model of a config.json takes: its family says it, where it is known here."""
    from formers.tokenization.recipes import limit_of

    kind = values.get("model_type")
    if kind not in FAMILIES:
        return limit_of(values)
    family = family_of(str(kind))
    try:
        return family.max_tokens(family.config.from_dict(dict(values)))
    except (TypeError, ValueError):  # no model can be made of it, but a tokenizer can
        return limit_of(values)
