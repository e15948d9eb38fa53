"""Methods of storing weights that somebody else brings: `register_quantization_config`, `register_quantizer`.

The methods here need no quantizer: `from_pretrained(quantization_config=...)` packs weights as they are read.
"""

from __future__ import annotations

import copy
import enum
import json
import re
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import nn

from formers.configs import PretrainedConfig
from formers.core.notices import did_you_mean
from formers.quantization.config import QuantizationConfig
from formers.quantization.formats import FORMATS, read_record

# methods by the names that files have for them
QuantizationMethod = enum.Enum(  # type: ignore[misc]  # its members are told by a table
    "QuantizationMethod",
    {
        "BITS_AND_BYTES": "bitsandbytes",
        "FPQUANT": "fp_quant",
        "AUTOROUND": "auto-round",
        "FOUR_OVER_SIX": "fouroversix",
        "COMPRESSED_TENSORS": "compressed-tensors",
    }
    | {
        name.upper(): name
        for name in (
            *("gptq", "awq", "aqlm", "vptq", "quanto", "eetq", "higgs", "hqq", "fbgemm_fp8", "torchao"),
            *("gguf", "bitnet", "spqr", "fp8", "quark", "mxfp4", "nvfp4", "mxfp8", "metal"),
        )
    },
    type=str,
    module=__name__,
)


class QuantizationConfigMixin(metaclass=ABCMeta):
    """Base of records of one's own: what is set on an instance is what files get.

    Attributes:
        quant_method: the method's name, under which it is registered.
    """

    quant_method: Any

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Out of a record of `config.json`; `kwargs` set attributes that there are."""
        made = cls(**{name: value for name, value in config_dict.items() if name != "quant_method"})
        unused = {name: kwargs[name] for name in kwargs if not hasattr(made, name)}
        for name in kwargs.keys() - unused.keys():
            setattr(made, name, kwargs[name])
        return (made, unused) if return_unused_kwargs else made

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`."""
        told = {name: value for name, value in copy.deepcopy(vars(self)).items() if name[0] != "_"}
        return {**told, "quant_method": _word(self.quant_method)}

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from an instance without arguments; all of it where there is none."""
        try:
            usual = type(self)().to_dict()
        except TypeError:
            usual = {}
        return {name: value for name, value in self.to_dict().items() if usual.get(name) != value}

    def to_json_string(self, use_diff: bool = True) -> str:
        """The record as JSON."""
        record = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(record, indent=2, sort_keys=True, default=str) + "\n"

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Set attributes that there are; the others are returned."""
        known = {name: value for name, value in kwargs.items() if hasattr(self, name)}
        vars(self).update(known)
        return {name: value for name, value in kwargs.items() if name not in known}


QuantizationConfigMixin.register(QuantizationConfig)


class HfQuantizer:
    """What a method of one's own does to a model; subclasses are registered with `register_quantizer`.

    Around `from_pretrained`: `validate_environment`, then `_process_model_before_weight_loading` on a model
    without storage (replace modules here), then weights are loaded by name, then
    `_process_model_after_weight_loading`.

    Args:
        quantization_config: the record.
        pre_quantized: whether the files have weights in this form; else they are plain, and it is the last of
            these steps that brings them to fewer bits.

    Raises:
        ValueError: where the method needs files in its form, and these are not.
    """

    requires_calibration: ClassVar[bool] = False
    _of_single_parameters: ClassVar[tuple[str, ...]] = ("create_quantized_param", "get_quantize_ops")

    def __init__(self, quantization_config: Any, **kwargs: Any) -> None:
        self.quantization_config = quantization_config
        self.pre_quantized = kwargs.pop("pre_quantized", True)
        if self.requires_calibration and not self.pre_quantized:
            raise ValueError(
                f"{_word(quantization_config.quant_method)!r} needs a checkpoint that is quantized already"
            )

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        """Raise where the method cannot run here."""

    def update_dtype(self, dtype: Any) -> Any:
        """The dtype to load in, where the method asks for another than `dtype`."""
        return dtype

    def update_device_map(self, device_map: Any) -> Any:
        """The device map, where the method asks for another."""
        return device_map

    def preprocess_model(self, model: nn.Module, dtype: Any = None, **kwargs: Any) -> None:
        """Before weights are loaded.

        Raises:
            NotImplementedError: for a method that turns one parameter at a time while files are read.
        """
        single = [name for name in self._of_single_parameters if hasattr(type(self), name)]
        if single and not self.pre_quantized:
            raise NotImplementedError(
                f"{type(self).__name__} turns single parameters while files are read ({single[0]}), which is "
                "not done here: do it to the loaded model, in _process_model_after_weight_loading"
            )
        held: Any = model
        held.is_quantized, held.quantization_method = True, self.quantization_config.quant_method
        self._process_model_before_weight_loading(model, **kwargs)

    def postprocess_model(self, model: nn.Module, **kwargs: Any) -> Any:
        """After weights are loaded; what it returns is the model."""
        held: Any = model
        held.config.quantization_config = self.quantization_config.to_dict()
        held.hf_quantizer = self
        made = self._process_model_after_weight_loading(model, **kwargs)
        return model if made is None else made

    def _process_model_before_weight_loading(self, model: nn.Module, **kwargs: Any) -> Any:
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **kwargs: Any) -> Any:
        return model

    def remove_quantization_config(self, model: Any) -> None:
        """Let the model be one like any other."""
        model.is_quantized = False
        vars(model).pop("hf_quantizer", None)
        vars(model).pop("quantization_method", None)
        vars(model.config).pop("quantization_config", None)

    def dequantize(self, model: Any, dtype: Any = None) -> Any:
        """The model with plain weights again, as `_dequantize` of the method makes it."""
        made = self._dequantize(model, dtype=dtype)
        self.remove_quantization_config(made)
        return made

    def _dequantize(self, model: Any, dtype: Any = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no way back to plain weights")

    def get_modules_to_not_convert(
        self,
        model: nn.Module,
        skip_modules: Iterable[str] | None = None,
        keep_in_fp32_modules: Iterable[str] | None = None,
        add_default_skips: bool = False,
    ) -> list[str]:
        """Paths of modules that stay as they are: those named, or the last one and what is tied to it."""
        from formers.quantization.attach import usual_exceptions

        found = list(skip_modules or ())
        if add_default_skips or skip_modules is None:
            found += usual_exceptions(model)
        return list(dict.fromkeys([*found, *(keep_in_fp32_modules or ())]))


# method -> class, of those that were registered; a name put in here counts as well
AUTO_QUANTIZER_MAPPING: dict[str, Any] = {}
AUTO_QUANTIZATION_CONFIG_MAPPING: dict[str, Any] = {name: one.config for name, one in FORMATS.items()}


def _registered(table: dict[str, Any], method: str, base: type, what: str) -> Callable[[type], type]:
    def register(cls: type) -> type:
        if method in table:
            raise ValueError(f"there is a {what} for {method!r}: {table[method]}")
        if not issubclass(cls, base):
            raise TypeError(f"{cls.__name__} must be a {base.__name__}")
        table[method] = cls
        return cls

    return register


def register_quantization_config(method: str) -> Callable[[type], type]:
    """A decorator for the class of records of a method.

    Raises:
        ValueError: for a method that there is already.
        TypeError: for a class that is no `QuantizationConfigMixin`.
    """
    return _registered(AUTO_QUANTIZATION_CONFIG_MAPPING, method, QuantizationConfigMixin, "config")


def register_quantizer(name: str) -> Callable[[type], type]:
    """A decorator for the quantizer of a method.

    Raises:
        ValueError: for a method that there is already.
        TypeError: for a class that is no `HfQuantizer`.
    """
    return _registered(AUTO_QUANTIZER_MAPPING, name, HfQuantizer, "quantizer")


class AutoQuantizationConfig:
    """The record of a method out of a dictionary, or of a checkpoint."""

    @classmethod
    def from_dict(cls, quantization_config_dict: Mapping[str, Any]) -> Any:
        """Out of a record with `quant_method`.

        Raises:
            ValueError: for a method that nobody knows.
        """
        method = _method(quantization_config_dict)
        if method in FORMATS:
            return read_record(quantization_config_dict)
        if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
            known = list(AUTO_QUANTIZATION_CONFIG_MAPPING)
            raise ValueError(
                f"there is no quantization method {method!r}{did_you_mean(str(method), known)}; "
                f"there are {', '.join(known)}"
            )
        return AUTO_QUANTIZATION_CONFIG_MAPPING[method].from_dict(quantization_config_dict)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Out of a checkpoint's `config.json`.

        Raises:
            ValueError: for one that is not quantized.
        """
        told, _ = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        if not told.get("quantization_config"):
            raise ValueError(f"{pretrained_model_name_or_path} is not quantized")
        return cls.from_dict(told["quantization_config"])


class AutoHfQuantizer:
    """The registered quantizer of a record."""

    @classmethod
    def from_config(cls, quantization_config: Any, **kwargs: Any) -> Any:
        """The quantizer for a record, a config or a dictionary.

        Raises:
            ValueError: for a method without one.
        """
        if isinstance(quantization_config, Mapping):
            quantization_config = AutoQuantizationConfig.from_dict(quantization_config)
        method = _method(quantization_config)
        if method in AUTO_QUANTIZER_MAPPING:
            return AUTO_QUANTIZER_MAPPING[method](quantization_config, **kwargs)
        if method in FORMATS:
            raise ValueError(
                f"weights by {method!r} are packed as they are read, by no quantizer: "
                "from_pretrained(..., quantization_config=...)"
            )
        raise ValueError(f"nobody registered a quantizer for {method!r}: register_quantizer({method!r})")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """The quantizer for a checkpoint."""
        config = AutoQuantizationConfig.from_pretrained(pretrained_model_name_or_path)
        return cls.from_config(config, **kwargs)

    @staticmethod
    def supports_quant_method(quantization_config_dict: Mapping[str, Any]) -> bool:
        """Whether a record's method is known."""
        return _method(quantization_config_dict) in {*AUTO_QUANTIZATION_CONFIG_MAPPING, *FORMATS}


def quantizer_of(given: Any, stored: Any) -> HfQuantizer | None:
    """The registered quantizer to load a model with: by the checkpoint's record, or a caller's."""
    told = stored or given
    if told is None or _method(told) not in AUTO_QUANTIZER_MAPPING:
        return None
    made: HfQuantizer = AutoHfQuantizer.from_config(told, pre_quantized=bool(stored))
    return made


def get_module_from_name(module: nn.Module, tensor_name: str) -> tuple[nn.Module, str]:
    """The module that a parameter's whole name belongs to, and the name that it has there."""
    path, _, name = tensor_name.rpartition(".")
    return module.get_submodule(path), name


def should_convert_module(full_name: str, patterns: Iterable[str] | None = None) -> bool:
    """Whether no pattern spares a path: its beginning up to a dot, or its end."""
    end = r"(?:(?<=\.)|(?=\.|$))"
    spared = list(patterns or ())
    return not any(re.match(f"(?:{one}){end}", full_name) or full_name.endswith(one) for one in spared)


def _method(told: Any) -> str | None:
    found = told.get("quant_method") if isinstance(told, Mapping) else getattr(told, "quant_method", None)
    if found is None and isinstance(told, Mapping) and {"load_in_8bit", "load_in_4bit"} & {*told}:
        return "bitsandbytes"
    return None if found is None else _word(found)


def _word(method: Any) -> str:
    return str(getattr(method, "value", method))
