"""What a checkpoint or a caller says of how weights are stored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from formers.core.devices import named_dtype
from formers.core.notices import refuse_unknown

METHOD = "bitsandbytes"
# what the library's files say besides, and what the ecosystem takes without meaning
_SAID = ("quant_method", "_load_in_8bit", "_load_in_4bit")
_KINDS = ("nf4", "fp4")


class QuantizationConfig:
    """Base of the records that say how weights are stored; they are dataclasses."""

    quant_method: ClassVar[str]
    load_in_8bit: bool = False
    load_in_4bit: bool = False
    of_file: ClassVar[bool] = False  # whether a file's own numbers are kept as they are
    skipped: ClassVar[str] = "modules_to_not_convert"  # the field that names leaves which stay as they are

    def is_quantizable(self) -> bool:
        """Whether it asks for fewer bits at all."""
        return True

    def quantization_method(self) -> str | None:
        """What tells two ways of storing apart."""
        return self.quant_method

    def stored(self) -> QuantizationConfig:
        """The record that files get: itself, where its method has files of its own."""
        return self

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Out of a record of `config.json`; with what is no field of it, where that is wanted.

        Raises:
            TypeError: for an unknown field.
        """
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # they are dataclasses
        values = {name: value for name, value in {**config_dict, **kwargs}.items() if name not in _SAID}
        unused = {name: values.pop(name) for name in [*values] if name not in names}
        if return_unused_kwargs:
            return cls(**values), unused
        refuse_unknown(unused, names, cls.__name__)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`."""
        return {"quant_method": self.quant_method, **dataclasses.asdict(self)}  # type: ignore[call-overload]  # dataclasses are

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the defaults."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # they are dataclasses
        usual = {one.name: one.default for one in fields}
        return {name: value for name, value in self.to_dict().items() if usual.get(name) != value}

    def to_json_string(self, use_diff: bool = True) -> str:
        """The record as JSON."""
        record = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(record, indent=2, sort_keys=True) + "\n"


@dataclasses.dataclass
class BitsAndBytesConfig(QuantizationConfig):
    """Linear leaves in 8 bits (Dettmers et al. 2022, arXiv:2208.07339) or 4 (2023, arXiv:2305.14314).

    Attributes:
        load_in_8bit: int8 by row, of absolute maximum.
        load_in_4bit: blocks of 64 numbers in the 16 values of `bnb_4bit_quant_type`.
        llm_int8_threshold: inputs of at least this size are multiplied in floating point; 0 for none.
        llm_int8_skip_modules: names (whole, or the last or first parts of paths) of leaves that stay as they
            are; None for the head that gives scores of tokens.
        llm_int8_enable_fp32_cpu_offload: taken; leaves on a CPU are stored in 8 bits like all others.
        llm_int8_has_fp16_weight: must be False: weights that stay in half precision are not quantized.
        bnb_4bit_compute_dtype: in which products are taken, a dtype or its name; None for that of the input.
        bnb_4bit_quant_type: "nf4" or "fp4".
        bnb_4bit_use_double_quant: the blocks' maxima in 8 bits too.
        bnb_4bit_quant_storage: must be uint8.

    Raises:
        ValueError: for both kinds at once, or a value outside of what is said above.
    """

    quant_method: ClassVar[str] = METHOD
    skipped: ClassVar[str] = "llm_int8_skip_modules"
    load_in_8bit: bool = False
    load_in_4bit: bool = False
    llm_int8_threshold: float = 6.0
    llm_int8_skip_modules: list[str] | None = None
    llm_int8_enable_fp32_cpu_offload: bool = False
    llm_int8_has_fp16_weight: bool = False
    bnb_4bit_compute_dtype: torch.dtype | str | None = None
    bnb_4bit_quant_type: str = "fp4"
    bnb_4bit_use_double_quant: bool = False
    bnb_4bit_quant_storage: torch.dtype | str | None = None

    def __post_init__(self) -> None:
        for name in ("load_in_8bit", "load_in_4bit", "bnb_4bit_use_double_quant"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is True or False, not {getattr(self, name)!r}")
        if self.load_in_8bit and self.load_in_4bit:
            raise ValueError("load_in_8bit and load_in_4bit exclude each other: give one of them")
        if self.bnb_4bit_quant_type not in _KINDS:
            raise ValueError(f"bnb_4bit_quant_type is one of {_KINDS}, not {self.bnb_4bit_quant_type!r}")
        if self.llm_int8_has_fp16_weight:
            raise ValueError(
                "llm_int8_has_fp16_weight=True keeps the weights in half precision and quantizes nothing: "
                "leave it out, and load with dtype='float16' instead"
            )
        if not float(self.llm_int8_threshold) >= 0:
            raise ValueError(f"llm_int8_threshold is 0 or more, not {self.llm_int8_threshold}")
        if self.bnb_4bit_compute_dtype is not None:
            self.bnb_4bit_compute_dtype = named_dtype(self.bnb_4bit_compute_dtype)
        stored = self.bnb_4bit_quant_storage
        if stored is not None and _name(stored) != "uint8":
            raise ValueError(f"bnb_4bit_quant_storage={stored} is not available: bytes are stored as uint8")

    def is_quantizable(self) -> bool:
        """Whether it asks for fewer bits at all."""
        return self.load_in_8bit or self.load_in_4bit

    def quantization_method(self) -> str | None:
        """One of "llm_int8", "nf4" and "fp4", or None."""
        return "llm_int8" if self.load_in_8bit else self.bnb_4bit_quant_type if self.load_in_4bit else None

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`."""
        record = {"quant_method": METHOD, **dataclasses.asdict(self)}
        record["bnb_4bit_compute_dtype"] = _name(self.bnb_4bit_compute_dtype or torch.float32)
        record["bnb_4bit_quant_storage"] = "uint8"
        record["_load_in_8bit"], record["_load_in_4bit"] = self.load_in_8bit, self.load_in_4bit
        return record


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
