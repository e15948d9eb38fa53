"""What checkpoints and callers say of formats of weights: the fields of the ecosystem's records."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from formers.core.notices import notice
from formers.quantization.config import QuantizationConfig


def _one_of(config: Any, name: str, values: tuple[Any, ...]) -> None:
    found = getattr(config, name)
    if found not in values:
        raise ValueError(f"{name} is one of {', '.join(map(repr, values))}, not {found!r}")


def _group(config: Any) -> None:
    size = config.group_size
    if not isinstance(size, int) or (size != -1 and size <= 0):
        raise ValueError(f"group_size is a number of columns, or -1 for all of them, not {size!r}")


def _texts(config: Any) -> None:
    if isinstance(config.dataset, str):
        raise ValueError(
            f"dataset={config.dataset!r}: nothing is downloaded to quantize by: give a list of texts"
        )


def _without(config: Any, *left: str) -> dict[str, Any]:
    return {"quant_method": config.quant_method} | {
        one.name: getattr(config, one.name) for one in dataclasses.fields(config) if one.name not in left
    }


@dataclasses.dataclass
class GPTQConfig(QuantizationConfig):
    """GPTQ (Frantar et al. 2022, arXiv:2210.17323).

    Attributes:
        bits: 2, 3, 4 or 8.
        tokenizer: for `dataset`; a tokenizer, or the name of one.
        dataset: texts to quantize by, or lists of ids; None to round to the nearest.
        group_size: inputs that share a scale; -1 for all.
        damp_percent: what is added to the Hessian's diagonal, as a share of its mean.
        desc_act: whether inputs are quantized by descending size ("act-order").
        sym: whether the zero is the middle.
        format: "gptq", or "gptq_v2", where zeros are stored as they are.
        model_seqlen: tokens of a text that are read; None for 512.
        true_sequential: leaves of a block are fitted as they are called; otherwise all by the same passes.
        batch_size: taken; texts are read one by one, which gives the same sums.
        backend: kept for other readers, as is meta; which product computes is decided by what it measures.
        modules_in_block_to_quantize: lists of endings of paths; None for all leaves.

    Raises:
        ValueError: for a value outside of what is said above.
    """

    quant_method: ClassVar[str] = "gptq"
    skipped: ClassVar[str] = "_spared"
    bits: int = 4
    tokenizer: Any = None
    dataset: Any = None
    group_size: int = 128
    damp_percent: float = 0.1
    desc_act: bool = False
    sym: bool = True
    true_sequential: bool = True
    format: str = "gptq"
    meta: dict[str, Any] | None = None
    backend: str | None = None
    model_seqlen: int | None = None
    batch_size: int = 1
    modules_in_block_to_quantize: list[list[str]] | None = None
    dynamic: dict[str, Any] | None = None
    checkpoint_format: str | None = None

    def __post_init__(self) -> None:
        self.format = str(self.checkpoint_format or self.format).lower()
        self.checkpoint_format = self.format
        _one_of(self, "bits", (2, 3, 4, 8))
        _one_of(self, "format", ("gptq", "gptq_v2"))
        _group(self)
        if not 0 < self.damp_percent < 1:
            raise ValueError(f"damp_percent lies between 0 and 1, not {self.damp_percent}")
        if self.dynamic:
            raise ValueError("dynamic= (bits of their own for some leaves) is not available: leave it out")
        _texts(self)
        self._spared: list[str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`: without the texts and their tokenizer."""
        return _without(self, "dataset", "tokenizer", "dynamic")


@dataclasses.dataclass
class AwqConfig(QuantizationConfig):
    """AWQ (Lin et al. 2023, arXiv:2306.00978): 4 bits in the "gemm" form, asymmetric.

    Attributes:
        bits: 4.
        group_size: inputs that share a scale; -1 for all.
        zero_point: True.
        modules_to_not_convert: leaves that stay as they are.
        version: "gemm".
        backend: kept for other readers.
        dataset: texts, or lists of ids, by which scales are searched for; None to round to the nearest.
        tokenizer: for `dataset`; a tokenizer, or the name of one.
        model_seqlen: tokens of a text that are read; None for 512.

    Raises:
        ValueError: for a value outside of what is said above.
    """

    quant_method: ClassVar[str] = "awq"
    bits: int = 4
    group_size: int = 128
    zero_point: bool = True
    backend: str = "auto"
    modules_to_not_convert: list[str] | None = None
    version: str = "gemm"
    dataset: Any = None
    tokenizer: Any = None
    model_seqlen: int | None = None

    def __post_init__(self) -> None:
        self.version = str(self.version).lower()
        _one_of(self, "bits", (4,))
        _one_of(self, "version", ("gemm",))
        _one_of(self, "zero_point", (True,))
        _group(self)
        _texts(self)

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`: without what it was quantized by."""
        return _without(self, "dataset", "tokenizer", "model_seqlen")


@dataclasses.dataclass
class Mxfp4Config(QuantizationConfig):
    """MXFP4: experts in 4-bit floats. Such files are read dequantised, so that nothing is quantized after.

    Attributes:
        dequantize: taken; it is always done.
        modules_to_not_convert: taken; the files say which tensors are packed.
    """

    quant_method: ClassVar[str] = "mxfp4"
    modules_to_not_convert: list[str] | None = None
    dequantize: bool = False

    def is_quantizable(self) -> bool:
        """No: nothing is stored so."""
        return False


@dataclasses.dataclass
class GgufConfig(QuantizationConfig):
    """Keep linear leaves that a GGUF file has as Q4_0 or Q8_0 so; what else it has is dequantised.

    Scales of 4 bits are brought to bfloat16, as products in 4 bits read them. What is saved is in
    compressed-tensors' files.
    """

    quant_method: ClassVar[str] = "gguf"
    of_file: ClassVar[bool] = True


@dataclasses.dataclass
class HqqConfig(QuantizationConfig):
    """HQQ (Badri and Shaji 2023).

    Attributes:
        nbits: 1, 2, 3, 4 or 8.
        group_size: numbers that share a scale.
        view_as_float: False.
        axis: 1 (None too): groups along the input; 0: along the output.
        skip_modules: leaves that stay as they are.
    """

    quant_method: ClassVar[str] = "hqq"
    skipped: ClassVar[str] = "skip_modules"
    nbits: int = 4
    group_size: int = 64
    view_as_float: bool = False
    axis: int | None = None
    dynamic_config: dict[str, Any] | None = None
    skip_modules: list[str] | None = dataclasses.field(default_factory=lambda: ["lm_head"])

    def __post_init__(self) -> None:
        self.axis = 1 if self.axis is None else self.axis
        _one_of(self, "nbits", (8, 4, 3, 2, 1))
        _one_of(self, "axis", (0, 1))
        _one_of(self, "view_as_float", (False,))
        _group(self)
        if self.dynamic_config:
            raise ValueError("dynamic_config= (a format of their own for some leaves) is not available")

    @classmethod
    def from_dict(cls, config_dict: Any, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """See the base; files have the fields inside `quant_config`."""
        record = dict(config_dict)
        inner: dict[str, Any] = record.pop("quant_config", None) or {}
        record |= inner.get("weight_quant_params") or inner
        return super().from_dict(record, return_unused_kwargs, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As in `config.json`."""
        names = ("nbits", "group_size", "view_as_float", "axis")
        inner = {name: getattr(self, name) for name in names}
        weights = {"weight_quant_params": inner, "scale_quant_params": None, "zero_quant_params": None}
        return {"quant_method": "hqq", "quant_config": weights, "skip_modules": self.skip_modules}


@dataclasses.dataclass
class FineGrainedFP8Config(QuantizationConfig):
    """Floats in 8 bits (e4m3) with a scale for each block, as DeepSeek V3 has them; inputs stay as they are.

    Attributes:
        activation_scheme: "dynamic" or "static"; for readers with kernels of 8 bits.
        weight_block_size: rows and columns of a block; None for one scale.
        modules_to_not_convert: leaves that stay as they are.
        scale_fmt: "float".
        expert_dtype: "fp8".
    """

    quant_method: ClassVar[str] = "fp8"
    activation_scheme: str = "dynamic"
    weight_block_size: Any = (128, 128)
    dequantize: bool = False
    modules_to_not_convert: list[str] | None = None
    scale_fmt: str = "float"
    expert_dtype: str = "fp8"

    def __post_init__(self) -> None:
        self.activation_scheme = self.activation_scheme.lower()
        _one_of(self, "activation_scheme", ("dynamic", "static"))
        _one_of(self, "scale_fmt", ("float",))
        _one_of(self, "expert_dtype", ("fp8",))
        _one_of(self, "dequantize", (False,))
        size = self.weight_block_size
        if size is not None and (len(size) != 2 or min(size) <= 0):
            raise ValueError(f"weight_block_size is two numbers of rows and columns, not {size!r}")
        self.weight_block_size = None if size is None else [*size]


@dataclasses.dataclass
class CompressedTensorsConfig(QuantizationConfig):
    """The formats int-, pack-, float- and naive-quantized of compressed-tensors.

    Attributes:
        config_groups: name -> what its leaves (`targets`) are stored in.
        format: that of groups which name none.
        ignore: leaves that stay as they are: paths, or expressions after "re:".

    Raises:
        ValueError: for sparse weights.
    """

    quant_method: ClassVar[str] = "compressed-tensors"
    skipped: ClassVar[str] = "ignore"
    config_groups: dict[str, Any] | None = None
    format: str = "dense"
    quantization_status: str = "compressed"
    kv_cache_scheme: dict[str, Any] | None = None
    global_compression_ratio: float | None = None
    ignore: list[str] | None = None
    sparsity_config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.sparsity_config and self.sparsity_config.get("format", "dense") != "dense":
            raise ValueError(
                f"sparse weights ({self.sparsity_config['format']}) are not read: store them densely"
            )
        if self.kv_cache_scheme:
            notice("kv_cache_scheme: the cache keeps keys and values as they are computed")
        inputs = [group.get("input_activations") for group in (self.config_groups or {}).values()]
        if any(said and not said.get("dynamic") for said in inputs):
            notice("input_activations with fixed scales: inputs are multiplied as they are, unrounded")

    @classmethod
    def whole(cls, bits: int, size: int, dynamic: str, skipped: list[str] | None) -> CompressedTensorsConfig:
        """Whole numbers in all linear leaves, symmetric; see `layouts.Compressed`."""
        strategy = {"strategy": "group", "group_size": size} if size > 0 else {"strategy": "channel"}
        common = {"type": "int", "symmetric": True}
        weights = {"num_bits": bits, **common, **strategy}
        inputs = {
            "num_bits": 8,
            **common,
            "symmetric": dynamic == "token",
            "strategy": dynamic,
            "dynamic": True,
        }
        group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs if dynamic else None}
        name = "pack-quantized" if bits < 8 else "int-quantized"
        return cls({"group_0": group}, name, ignore=skipped)


@dataclasses.dataclass
class Int8DynamicConfig(QuantizationConfig):
    """Weights in int8 by row, inputs in 8 bits as they come; kept in compressed-tensors' files.

    Attributes:
        activations: "tensor": all rows of an input by one scale, which is faster; "token": each by its own,
            so that no result hangs on what is computed beside it.
        modules_to_not_convert: leaves that stay as they are.
    """

    quant_method: ClassVar[str] = "int8_dynamic"
    activations: str = "tensor"
    modules_to_not_convert: list[str] | None = None

    def __post_init__(self) -> None:
        _one_of(self, "activations", ("tensor", "token"))

    def stored(self) -> CompressedTensorsConfig:
        """See the base."""
        return CompressedTensorsConfig.whole(8, -1, self.activations, self.modules_to_not_convert)


@dataclasses.dataclass
class QuantoConfig(QuantizationConfig):
    """quanto's int8 by row and int4 by groups of 128; kept in compressed-tensors' files, as quanto has none.

    Attributes:
        weights: "int8" or "int4".
        activations: None.
        modules_to_not_convert: leaves that stay as they are.
    """

    quant_method: ClassVar[str] = "quanto"
    weights: str = "int8"
    activations: str | None = None
    modules_to_not_convert: list[str] | None = None

    def __post_init__(self) -> None:
        _one_of(self, "weights", ("int8", "int4"))
        _one_of(self, "activations", (None,))

    def stored(self) -> CompressedTensorsConfig:
        """See the base."""
        bits, size = (8, -1) if self.weights == "int8" else (4, 128)
        return CompressedTensorsConfig.whole(bits, size, "", self.modules_to_not_convert)


_TORCHAO = {
    "Int8DynamicActivationInt8WeightConfig": (8, "token"),
    "int8_dynamic_activation_int8_weight": (8, "token"),
    "Int8WeightOnlyConfig": (8, ""),
    "int8_weight_only": (8, ""),
    "Int4WeightOnlyConfig": (4, ""),
    "int4_weight_only": (4, ""),
}


@dataclasses.dataclass
class TorchAoConfig(QuantizationConfig):
    """torchao's int8 dynamic, int8 and int4 weights; kept in compressed-tensors' files.

    Attributes:
        quant_type: one of torchao's configs, or its name.
        modules_to_not_convert: leaves that stay as they are.
        group_size: of int4, where `quant_type` is a name.

    Raises:
        ValueError: for another of its configs.
    """

    quant_method: ClassVar[str] = "torchao"
    quant_type: Any = None
    modules_to_not_convert: list[str] | None = None
    include_input_output_embeddings: bool = False
    untie_embedding_weights: bool = False
    group_size: int | None = None

    def __post_init__(self) -> None:
        kind = self.quant_type if isinstance(self.quant_type, str) else type(self.quant_type).__name__
        if kind not in _TORCHAO:
            raise ValueError(f"quant_type is one of {', '.join(_TORCHAO)}, not {kind}")
        _one_of(self, "include_input_output_embeddings", (False,))
        _one_of(self, "untie_embedding_weights", (False,))
        self._kind = kind

    def stored(self) -> CompressedTensorsConfig:
        """See the base."""
        bits, dynamic = _TORCHAO[self._kind]
        size = self.group_size or getattr(self.quant_type, "group_size", None) or 128
        return CompressedTensorsConfig.whole(
            bits, size if bits == 4 else -1, dynamic, self.modules_to_not_convert
        )
