"""Graphs in fewer bits, by the packages that ONNX Runtime brings: int8 and float16."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from formers.core.extras import need
from formers.export import folder as folders
from formers.export.errors import ExportError
from formers.export.session import CPU, Session

_PRODUCTS = ["MatMul", "Gemm", "Attention"]  # what is computed in integers: convolutions lose too much
_OUTSIDE = "session.optimized_model_external_initializers_file_name"


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
    onnx = need("onnx", "onnx", "int8 graphs")
    quantization = need("onnxruntime.quantization", "onnx", "int8 graphs")
    outside = folders.data_of(file).is_file()
    chosen = {
        "op_types_to_quantize": _PRODUCTS,
        "per_channel": per_channel,
        "weight_type": quantization.QuantType.QInt8,
        "use_external_data_format": outside,
        "extra_options": {"MatMulConstBOnly": True},
    }
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as room, _quiet():
        prepared, part = f"{room}/prepared.onnx", f"{room}/{file.name}"
        onnx.save(_simplified(file, Path(room)), prepared, save_as_external_data=outside)
        if calibration is None:
            quantization.quantize_dynamic(prepared, part, **chosen)
        else:
            given = _reader(file, calibration, quantization.CalibrationDataReader)
            kind = quantization.QuantType.QUInt8
            quantization.quantize_static(prepared, part, given, activation_type=kind, **chosen)
        _replace(file, onnx.load(part))


def _simplified(file: Path, room: Path) -> Any:
    """A graph after ONNX Runtime's basic rewriting, without notes of shapes.

    Weights are turned later, and keep their names.
    """
    runtime = need("onnxruntime", "onnx", "int8 graphs")
    options, written = runtime.SessionOptions(), room / "simplified.onnx"
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(written)
    if folders.data_of(file).is_file():
        options.add_session_config_entry(_OUTSIDE, folders.data_of(written).name)
    runtime.InferenceSession(str(file), options, [CPU])
    made = need("onnx", "onnx", "int8 graphs").load(str(written))
    del made.graph.value_info[:]
    return made


def _replace(file: Path, made: Any) -> None:
    """Put another graph in a file's place; its weights lie beside it where they are large."""
    onnx = need("onnx", "onnx", "graphs in fewer bits")
    outside = sum(len(one.raw_data) for one in made.graph.initializer) > folders.LARGE
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as room:
        part, beside = Path(room) / file.name, folders.data_of(file)
        onnx.save(made, str(part), save_as_external_data=outside, location=beside.name)
        if outside:
            os.replace(folders.data_of(part), beside)
        os.replace(part, file)
    if not outside:
        beside.unlink(missing_ok=True)


def to_fp16(file: Path) -> None:
    """Replace a graph's numbers by float16; its inputs and outputs stay float32."""
    onnx = need("onnx", "onnx", "float16 graphs")
    half = need("onnxruntime.transformers.float16", "onnx", "float16 graphs")
    with _quiet():
        made = half.convert_float_to_float16(onnx.load(str(file)), keep_io_types=True)
    _replace(file, made)


def _reader(file: Path, batches: Sequence[Mapping[str, Any]], base: Any) -> Any:
    """What hands the batches of calibration data to ONNX Runtime, once through."""
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
