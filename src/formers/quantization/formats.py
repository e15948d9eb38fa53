"""The formats there are: what a method is called, its record, and the leaf that stores and multiplies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from formers.core.notices import notice, refuse_unknown
from formers.quantization import configs
from formers.quantization.config import METHOD, BitsAndBytesConfig, QuantizationConfig
from formers.quantization.eight_bits import Linear8bit
from formers.quantization.floats import FloatLinear
from formers.quantization.four_bits import Linear4bit
from formers.quantization.groups import GroupedLinear
from formers.quantization.layouts import Awq, Compressed, Gptq, Hqq
from formers.quantization.packed import PackedLinear

Widths = tuple[int, int, bool]  # in, out, and whether there is a bias


def _bitsandbytes(config: Any, path: str, widths: Widths) -> PackedLinear:
    if config.load_in_8bit:
        return Linear8bit(*widths, config.llm_int8_threshold)
    kind, nested = config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant
    return Linear4bit(*widths, kind, nested, config.bnb_4bit_compute_dtype)


def _gptq(config: Any, path: str, widths: Widths) -> PackedLinear | None:
    named = config.modules_in_block_to_quantize
    if named is not None and not any(path.endswith(f".{one}") for part in named for one in part):
        return None
    layout = Gptq(config.bits, config.group_size, config.sym, second=config.format == "gptq_v2")
    return GroupedLinear(*widths, layout)


def _awq(config: Any, path: str, widths: Widths) -> PackedLinear:
    return GroupedLinear(*widths, Awq(4, config.group_size, symmetric=False))


def _hqq(config: Any, path: str, widths: Widths) -> PackedLinear:
    return GroupedLinear(*widths, Hqq(config.nbits, config.group_size, symmetric=False, axis=config.axis))


def _fp8(config: Any, path: str, widths: Widths) -> PackedLinear:
    block = config.weight_block_size or (-1, -1)
    return FloatLinear(*widths, "weight_scale_inv", tuple(block))


def _compressed(config: Any, path: str, widths: Widths) -> PackedLinear | None:
    """By the group that names the leaf.

    Raises:
        ValueError: for a format that is not there.
    """
    group = next((one for one in (config.config_groups or {}).values() if _targeted(one, path)), None)
    said = group.get("weights") if group else None
    if not group or not said:
        return None
    name = group.get("format") or config.format
    strategy, bits = said.get("strategy") or "tensor", said.get("num_bits", 8)
    if said.get("type", "int") == "float" and bits == 8 and name in ("float-quantized", "naive-quantized"):
        blocks = {"tensor": (-1, -1), "channel": (1, -1), "block": tuple(said.get("block_structure") or ())}
        if blocks.get(strategy):
            return FloatLinear(*widths, "weight_scale", blocks[strategy])
    packs = name == "pack-quantized"
    known = packs or name in ("int-quantized", "naive-quantized")
    if said.get("type", "int") != "int" or bits not in ((4, 8) if packs else range(2, 9)) or not known:
        raise ValueError(
            f"{path}: compressed-tensors' {name} with {said.get('type')} in {bits} bits by {strategy} is not "
            "read: whole numbers in 4 or 8 bits and floats in 8 are"
        )
    size = said.get("group_size") or -1
    symmetric = said.get("symmetric", True)
    inputs = group.get("input_activations") or {}
    rows = not packs and symmetric and size < 0
    dynamic = inputs.get("strategy", "") if rows and inputs.get("dynamic") and inputs["num_bits"] == 8 else ""
    layout = Compressed(bits, size, symmetric, packs=packs, dynamic=dynamic)
    return GroupedLinear(*widths, layout)


def _targeted(group: Mapping[str, Any], path: str) -> bool:
    def hit(target: str) -> bool:
        if target.startswith("re:"):
            return re.match(target[3:], path) is not None
        return target in ("Linear", path) or path.endswith(f".{target}")

    return any(hit(target) for target in group.get("targets", ()))


@dataclass(frozen=True)
class WeightFormat:
    """One way to store weights.

    Attributes:
        config: the class of its records.
        leaf: record, path and widths -> a leaf without values, or None for one that stays as it is.
        marks: what lies beside a leaf's path in files that have it packed.
        names: what `formers quantize --to` calls it -> fields of the record.
    """

    config: type[QuantizationConfig]
    leaf: Callable[[Any, str, Widths], PackedLinear | None]
    marks: tuple[str, ...]
    names: Mapping[str, Mapping[str, Any]]


# quant_method -> format; methods without files of their own are kept in another's
FORMATS: dict[str, WeightFormat] = {
    METHOD: WeightFormat(
        BitsAndBytesConfig,
        _bitsandbytes,
        ("SCB", "weight.absmax"),
        {
            "bnb-int8": {"load_in_8bit": True},
            "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
            "fp4": {"load_in_4bit": True},
        },
    ),
    "gptq": WeightFormat(configs.GPTQConfig, _gptq, ("qweight",), {"gptq": {"bits": 4}}),
    "awq": WeightFormat(configs.AwqConfig, _awq, ("qweight",), {"awq": {}}),
    "hqq": WeightFormat(configs.HqqConfig, _hqq, ("W_q",), {"hqq": {}}),
    "gguf": WeightFormat(configs.GgufConfig, lambda *_: None, (), {}),
    "mxfp4": WeightFormat(configs.Mxfp4Config, lambda *_: None, ("_blocks",), {}),
    "fp8": WeightFormat(configs.FineGrainedFP8Config, _fp8, ("weight_scale_inv",), {"fp8": {}}),
    "compressed-tensors": WeightFormat(
        configs.CompressedTensorsConfig, _compressed, ("weight_packed", "weight_scale"), {}
    ),
    "int8_dynamic": WeightFormat(configs.Int8DynamicConfig, _compressed, (), {"int8": {}}),
    "quanto": WeightFormat(configs.QuantoConfig, _compressed, (), {"int4": {"weights": "int4"}}),
    "torchao": WeightFormat(configs.TorchAoConfig, _compressed, (), {}),
}


def settled(given: Any, stored: Any, short: Mapping[str, Any]) -> QuantizationConfig | None:
    """What weights are loaded by: what a caller gives, or what the checkpoint says.

    Args:
        given: `quantization_config=`, a config or a record of one; None.
        stored: the record in the checkpoint's `config.json`; None. Where nothing is to be packed by it, files
            are read dequantised.
        short: `load_in_8bit=` and `load_in_4bit=`, where given.

    Raises:
        ValueError: for a method that is not there, or two that are asked for at once.
        TypeError: for what is no field of a record that a caller gives.
    """
    asked = {name: value for name, value in short.items() if value}
    if given is not None and asked:
        raise ValueError(f"give either quantization_config or {', '.join(asked)}, not both")
    if asked:
        given = BitsAndBytesConfig(**asked)
    found = None if given is None else read_record(given, given=True)
    if stored:
        held = read_record(stored)
        if not FORMATS[held.quant_method].marks:
            raise ValueError(
                f"files of {held.quant_method!r} hold tensors of a class of its own, which are not read: "
                "load the checkpoint that they were made from with this config"
            )
        if found is not None and found.quantization_method() not in (None, held.quantization_method()):
            notice(
                f"the checkpoint is quantized already ({held.quantization_method()}): "
                "it is loaded as it is, not as quantization_config says"
            )
        return held if held.is_quantizable() else None
    if isinstance(found, configs.Mxfp4Config):
        raise ValueError("files in MXFP4 are read, and no weights are brought to it: leave the config out")
    if isinstance(found, (configs.GPTQConfig, configs.AwqConfig)) and found.dataset is None:
        name = type(found).__name__
        notice(f"{name} without dataset=: numbers are rounded to the nearest, not fitted to what is read")
    return found.stored() if found is not None and found.is_quantizable() else None


def read_record(value: Any, given: bool = False) -> QuantizationConfig:
    """A config out of a record; one that a caller gives must have no field that is unknown.

    Raises:
        ValueError: for an unknown method.
        TypeError: for an unknown field, or what is no record.
    """
    if isinstance(value, QuantizationConfig):
        return value
    told = value.to_dict() if hasattr(value, "to_dict") else value
    record = dict(told) if isinstance(told, Mapping) else None
    if record is None:
        raise TypeError(
            f"quantization_config is a config such as BitsAndBytesConfig or a record, not {value!r}"
        )
    method = record.get("quant_method", METHOD if {"load_in_8bit", "load_in_4bit"} & {*record} else None)
    method = str(getattr(method, "value", method))
    if method not in FORMATS:
        said = f"by {method!r}" if method != "None" else "by an unnamed method"
        raise ValueError(
            f"weights quantized {said} are not read by this version, which knows {', '.join(FORMATS)}: load "
            "the checkpoint that it was made from, or one whose weights were unpacked to bfloat16"
        )
    kind: Any = FORMATS[method].config
    config, unused = kind.from_dict(record, return_unused_kwargs=True)
    if given and isinstance(value, Mapping):  # files say what other programs need besides
        refuse_unknown(unused, [field.name for field in fields(kind)], f"quantization_config of {method!r}")
    found: QuantizationConfig = config
    return found
