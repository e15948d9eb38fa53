"""What an adapter is: the configs that lie beside its weights, in PEFT's `adapter_config.json`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeVar

from formers.core.jsonfile import plain, read_json_object
from formers.core.notices import refuse_unknown
from formers.hub import Pushable, Source, split_hub_keywords
from formers.hub.files import ADAPTER_CONFIG_NAME

C = TypeVar("C", bound=type)


class TaskType(str, Enum):
    """What the adapted model is for."""

    SEQ_CLS = "SEQ_CLS"
    SEQ_2_SEQ_LM = "SEQ_2_SEQ_LM"
    CAUSAL_LM = "CAUSAL_LM"
    TOKEN_CLS = "TOKEN_CLS"
    QUESTION_ANS = "QUESTION_ANS"
    FEATURE_EXTRACTION = "FEATURE_EXTRACTION"

    __str__ = str.__str__


class PeftType(str, Enum):
    """The methods that are known here."""

    PROMPT_TUNING = "PROMPT_TUNING"
    MULTITASK_PROMPT_TUNING = "MULTITASK_PROMPT_TUNING"
    P_TUNING = "P_TUNING"
    PREFIX_TUNING = "PREFIX_TUNING"
    LORA = "LORA"
    ADALORA = "ADALORA"
    IA3 = "IA3"
    LOHA = "LOHA"
    LOKR = "LOKR"
    OFT = "OFT"
    VERA = "VERA"
    LN_TUNING = "LN_TUNING"

    __str__ = str.__str__


# method -> folder of its config and tuner, and the tuner's name there
HOMES: dict[PeftType, tuple[str, str]] = {
    PeftType.LORA: ("lora", "LoraModel"),
    PeftType.ADALORA: ("adalora", "AdaLoraModel"),
    PeftType.IA3: ("ia3", "IA3Model"),
    PeftType.LN_TUNING: ("ln_tuning", "LNTuningModel"),
    PeftType.LOHA: ("loha", "LoHaModel"),
    PeftType.LOKR: ("lokr", "LoKrModel"),
    PeftType.OFT: ("oft", "OFTModel"),
    PeftType.VERA: ("vera", "VeraModel"),
    PeftType.PROMPT_TUNING: ("prompts", "PromptModel"),
    PeftType.MULTITASK_PROMPT_TUNING: ("prompts", "PromptModel"),
    PeftType.P_TUNING: ("prompts", "PromptModel"),
    PeftType.PREFIX_TUNING: ("prompts", "PromptModel"),
}

# fields of configs of the ecosystem that ask for something that is not here, unless they have these values
_INERT: dict[str, Any] = {
    "megatron_core": "megatron.core",
    "qalora_group_size": 16,
    "runtime_config": None,
}
_BY_TYPE: dict[str, type[PeftConfig]] = {}


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def declared(kind: C) -> C:
    """Make a config class a dataclass that refuses what it does not know, and known under its type."""
    made: Any = dataclass(kind)
    construct, names = made.__init__, _names(made)

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        beside = {name: value for name, value in values.items() if name not in names}
        for name, value in beside.items():
            if name not in _INERT and name not in made.absent:
                refuse_unknown([name], names, kind.__name__)
            if value and value != _INERT.get(name):
                raise ValueError(
                    f"{kind.__name__}({name}=...) asks for what this version has not: leave it out"
                )
        construct(self, *args, **{name: value for name, value in values.items() if name in names})

    made.__init__ = __init__
    if made.kind is not None:
        _BY_TYPE[made.kind.value] = made
    return made  # type: ignore[no-any-return]  # what `dataclass` returns is the class itself


@declared
class PeftConfig(Pushable):
    """What all adapters say of themselves.

    Attributes:
        task_type: a `TaskType` or its name; it decides the class of the adapted model.
        peft_type: the method.
        auto_mapping: `base_model_class` and `parent_library`, where there is no task type.
        peft_version: of the library that wrote the file.
        base_model_name_or_path: what the adapter goes on.
        revision: of that.
        inference_mode: the adapter is frozen.
    """

    kind: ClassVar[PeftType | None] = None
    absent: ClassVar[tuple[str, ...]] = ()  # fields of the ecosystem's that ask for what is not here
    own: ClassVar[tuple[str, ...]] = ()  # fields that the ecosystem has not: written where they say something

    task_type: TaskType | str | None = None
    peft_type: PeftType | str | None = None
    auto_mapping: dict[str, Any] | None = None
    peft_version: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    inference_mode: bool = False

    def __post_init__(self) -> None:
        known = [task.value for task in TaskType]
        if self.task_type is not None:
            if self.task_type not in known:
                raise ValueError(
                    f"Invalid task type: {self.task_type!r}. Must be one of: {', '.join(known)}."
                )
            self.task_type = TaskType(self.task_type)
        self.peft_type = type(self).kind or self.peft_type

    @property
    def is_prompt_learning(self) -> bool:
        """Whether it adds tokens, and changes no leaf."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        values = {name: plain(getattr(self, name)) for name in _names(type(self))}
        unsaid = (*self.own, "peft_version")
        return {name: value for name, value in values.items() if value is not None or name not in unsaid}

    def save_pretrained(self, save_directory: str | os.PathLike[str], **more: Any) -> None:
        """Write `adapter_config.json`; `auto_mapping_dict` goes into it as `auto_mapping`.

        Raises:
            OSError: when the path is a file.
        """
        from formers.core.atomic import write_text

        refuse_unknown(more, ("auto_mapping_dict",), "save_pretrained")
        if os.path.isfile(save_directory):
            raise OSError(f"{save_directory} is a file; save_pretrained needs a folder")
        os.makedirs(save_directory, exist_ok=True)
        values = self.to_dict()
        if more.get("auto_mapping_dict") is not None:
            values["auto_mapping"] = more["auto_mapping_dict"]
        text = json.dumps(values, indent=2, sort_keys=True)
        write_text(os.path.join(save_directory, ADAPTER_CONFIG_NAME), text)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, subfolder: str | None = None, **options: Any
    ) -> Any:
        """Read the config of a folder or a Hub id; its class follows from `peft_type`.

        Raises:
            OSError: when there is none.
            ValueError: for a method or a setting that is not available.
        """
        hub, rest = split_hub_keywords({**options, "subfolder": subfolder})
        refuse_unknown(rest, (), "PeftConfig.from_pretrained")
        source = Source.of(pretrained_model_name_or_path, **hub)
        path = source.find(ADAPTER_CONFIG_NAME)
        if path is None:
            raise OSError(
                f"Can't find '{ADAPTER_CONFIG_NAME}' at '{pretrained_model_name_or_path}': it holds no "
                "adapter. A model is loaded with its Auto class"
            )
        values = read_json_object(path)
        if cls.kind is None and not values.get("peft_type"):
            raise ValueError(f"{path} does not say of what type the adapter is (peft_type): save it again")
        return cls.from_peft_type(**values)

    @classmethod
    def from_peft_type(cls, **values: Any) -> Any:
        """The config of the class that `peft_type` asks for.

        Raises:
            ValueError: for a method that is not available, or fields that ask for what is not known here.
        """
        made = cls
        if "peft_type" in values:
            kind = str(plain(values["peft_type"]))
            if kind not in HOMES:
                raise ValueError(
                    f"adapters of the type {kind!r} are not available; those that are: "
                    f"{', '.join(sorted(HOMES))}"
                )
            importlib.import_module(f"formers.adapters.{HOMES[PeftType(kind)][0]}.config")
            made = _BY_TYPE[kind]
        return made(**_known(made, values))


@declared
class TargetedConfig(PeftConfig):
    """What adapters say that go on modules.

    Attributes:
        target_modules: ends of paths, an expression for whole paths, "all-linear"; None: the usual ones.
        exclude_modules: ends of paths, or an expression, of what is left out.
        modules_to_save: ends of paths of modules that are trained and saved whole.
        layers_to_transform: numbers of the layers, with a list of targets; `layers_pattern` names their list.
    """

    target_modules: Any = None
    exclude_modules: Any = None
    modules_to_save: list[str] | None = None
    layers_to_transform: Any = None
    layers_pattern: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            setattr(self, name, set(value) if isinstance(value, (list, tuple)) else value)
        for name in ("layers_to_transform", "layers_pattern"):
            if isinstance(self.target_modules, str) and getattr(self, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError(
                "When `layers_pattern` is specified, `layers_to_transform` must also be specified. "
            )


def check_ranks(*ranks: Any) -> None:
    """Refuse what is no rank.

    Raises:
        ValueError: for anything but whole numbers above zero.
    """
    for rank in ranks:
        if isinstance(rank, bool) or not isinstance(rank, int) or rank <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {rank}")


def check_biases(bias: str, name: str) -> None:
    """Refuse what does not say which biases are trained.

    Raises:
        ValueError: for anything but "none", "all" and `name`.
    """
    if bias not in ("none", "all", name):
        raise ValueError(f"bias must be 'none', 'all' or {name!r}, got {bias!r}")


def as_config(given: Any) -> PeftConfig:
    """A config as it is; one of the `peft` package, or the fields of one, as the same of this library.

    Raises:
        TypeError: for what is no config of adapters.
        ValueError: for a method or a setting that is not available.
    """
    if isinstance(given, PeftConfig):
        return given
    fields = given.to_dict() if hasattr(given, "peft_type") and hasattr(given, "to_dict") else given
    if not isinstance(fields, dict):
        raise TypeError(
            f"adapter_config should be an instance of PeftConfig, such as LoraConfig, got {type(given)}"
        )
    made: PeftConfig = PeftConfig.from_peft_type(**fields)
    return made


def _known(kind: type[PeftConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file that a class has; others may be there as long as they ask for nothing."""
    names = _names(kind)
    asked = [
        name for name, value in values.items() if name not in names and value and value != _INERT.get(name)
    ]
    if asked:
        raise ValueError(
            f"the adapter's {ADAPTER_CONFIG_NAME} sets {', '.join(asked)}, which this version has not: it "
            "would compute something else"
        )
    return {name: value for name, value in values.items() if name in names}
