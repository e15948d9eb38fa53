"""Graphs in fewer bits, by the packages that ONNX Runtime brings: int8 and float16."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from formers.core.extras import need
from formers.export.errors import ExportError

_PRODUCTS = ["MatMul", "Gemm", "Attention"]  # what is computed in integers: convolutions lose too much


def to_int8(
    file: Path, calibration: Sequence[Mapping[str, Any]] | None = None, per_channel: bool = True
) -> None:
    """Replace a graph's weights by 8-bit ones, a scale for every column.

    Args:
        file: the graph, which is replaced.
        calibration: batches of inputs by name; ranges of activations are theirs then (static), and else those
            of each call (dynamic).
        per_channel: whether each column has a scale of its own, or each matrix one.

    Raises:
        ExportError: for calibration data that lacks an input of the graph.
    """
    quantization = need("onnxruntime.quantization", "onnx", "int8 graphs")
    part = file.with_name(f".{file.name}.int8.onnx")
    prepared = file.with_name(f".{file.name}.ready.onnx")
    try:
        with _quiet():
            shapes = need("onnxruntime.quantization.shape_inference", "onnx", "int8 graphs")
            shapes.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
            _forget_shapes(prepared)
            if calibration is None:
                quantization.quantize_dynamic(
                    prepared,
                    part,
                    op_types_to_quantize=_PRODUCTS,
                    per_channel=per_channel,
                    weight_type=quantization.QuantType.QInt8,
                    extra_options={"MatMulConstBOnly": True},
                )
            else:
                quantization.quantize_static(
                    str(prepared),
                    str(part),
                    _reader(file, calibration, quantization.CalibrationDataReader),
                    op_types_to_quantize=_PRODUCTS,
                    per_channel=per_channel,
                    weight_type=quantization.QuantType.QInt8,
                    activation_type=quantization.QuantType.QUInt8,
                    extra_options={"MatMulConstBOnly": True},
                )
        os.replace(part, file)
    finally:
        for path in (part, prepared):
            path.unlink(missing_ok=True)


def _forget_shapes(file: Path) -> None:
    """Leave out the shapes that a graph notes of its values: weights are turned, and keep their names."""
    onnx = need("onnx", "onnx", "int8 graphs")
    made = onnx.load(str(file))
    del made.graph.value_info[:]
    onnx.save(made, str(file))


def to_fp16(file: Path) -> None:
    """Replace a graph's numbers by float16; its inputs and outputs stay float32."""
    onnx = need("onnx", "onnx", "float16 graphs")
    half = need("onnxruntime.transformers.float16", "onnx", "float16 graphs")
    with _quiet():
        made = half.convert_float_to_float16(onnx.load(str(file)), keep_io_types=True)
    part = file.with_name(f".{file.name}.fp16")
    onnx.save(made, str(part))
    os.replace(part, file)


def _reader(file: Path, batches: Sequence[Mapping[str, Any]], base: Any) -> Any:
    """What hands the batches of calibration data to ONNX Runtime, once through."""
    from formers.export.session import Session

    names = list(Session(file).inputs)
    for i, batch in enumerate(batches):
        if missing := [name for name in names if name not in batch]:
            raise ExportError(
                f"batch {i} of the calibration data has no {', '.join(missing)}, which the graph reads"
            )

    class Reader(base):  # type: ignore[misc]  # the package's own base
        def __init__(self) -> None:
            self._left: Iterator[Mapping[str, Any]] = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._left, None)
            return None if batch is None else {name: _array(batch[name]) for name in names}

    return Reader()


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that the packages log."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def batches_of(
    texts: Iterable[str], tokenizer: Any, size: int = 8, length: int = 128
) -> list[dict[str, Any]]:
    """Calibration data of texts: encoded batches, by name."""
    held = list(texts)
    parts = [held[i : i + size] for i in range(0, len(held), size)]
    return [
        dict(tokenizer(part, padding=True, truncation=True, max_length=length, return_tensors="np"))
        for part in parts
    ]
