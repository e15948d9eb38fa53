"""An ONNX file that runs: tensors in by name, tensors out by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formers.core.extras import need
from formers.core.jsonfile import parse_json
from formers.export.errors import BrokenGraph

CPU = "CPUExecutionProvider"
LIMITS = "formers.limits"  # where a file says how small and how large open axes may be, as JSON
Limits = Mapping[str, tuple[int, int | None]]  # least and most of an axis by its name
_KINDS = {
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(bool)": torch.bool,
}


class Session:
    """A file in ONNX Runtime.

    Args:
        file: a graph; weights beside it are found by the names in it.
        providers: what runs it, the first that can; the CPU by default.
        provider_options: for each of them.
        options: `onnxruntime.SessionOptions`; with one thread for each of torch's by default.

    Raises:
        BrokenGraph: for a file that is not there, cut off, or of no graph.
        ValueError: for a provider that this ONNX Runtime does not have.
        MissingExtra: where it is not installed.
    """

    def __init__(
        self,
        file: Path,
        providers: Sequence[str] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        options: Any = None,
    ) -> None:
        runtime = need("onnxruntime", "onnx", "models in ONNX Runtime")
        known = runtime.get_available_providers()
        wanted = list(providers or (CPU,))
        if absent := [name for name in wanted if name not in known]:
            raise ValueError(
                f"this ONNX Runtime has no {', '.join(absent)}; it has {', '.join(known)} (a GPU needs the "
                "package onnxruntime-gpu)"
            )
        if options is None:
            options = runtime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
        if not file.is_file():
            raise BrokenGraph(f"there is no ONNX file {file}")
        self.file = file
        try:
            self._held = runtime.InferenceSession(str(file), options, wanted, provider_options)
        except Exception as error:  # the package has one class for each status, of no common kind
            raise BrokenGraph(_why(file, error)) from error
        self.inputs = {one.name: _KINDS.get(one.type, torch.float32) for one in self._held.get_inputs()}
        self.shapes = {one.name: tuple(one.shape) for one in self._held.get_inputs()}
        self.outputs = tuple(one.name for one in self._held.get_outputs())
        said = self._held.get_modelmeta().custom_metadata_map.get(LIMITS)
        read: dict[str, list[int | None]] = parse_json(said, str(file)) if said else {}
        self.limits = {axis: (least or 0, most) for axis, (least, most) in read.items()}

    @property
    def providers(self) -> list[str]:
        """What runs it."""
        return list(self._held.get_providers())

    def run(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the outputs of a graph; inputs are cast to the kinds that it reads.

        Raises:
            ValueError: for an axis that is shorter or longer than the graph holds for.
        """
        for name in self.inputs if self.limits else ():
            for axis, size in zip(self.shapes[name], given[name].shape, strict=False):
                least, most = self.limits.get(str(axis), (0, None))
                if size < least or (most is not None and size > most):
                    bound = f"from {least}" if size < least else f"up to {most}"
                    raise ValueError(f"{self.file.name} reads {axis} {bound}, and {name} has {size}")
        return self.compute(given)

    def compute(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`run` whatever the limits say: the check that finds these asks so."""
        read = {name: _array(given[name], kind) for name, kind in self.inputs.items()}
        values = self._held.run(None, read)
        return {name: torch.from_numpy(np.asarray(v)) for name, v in zip(self.outputs, values, strict=True)}


def write_limits(file: Path, limits: Limits) -> None:
    """Let a graph's file say how small and how large its open axes may be."""
    onnx = need("onnx", "onnx", "the ONNX export")
    made = onnx.load(str(file), load_external_data=False)
    onnx.helper.set_model_props(made, {LIMITS: limits_text(limits)})
    onnx.save(made, str(file))


def limits_text(limits: Limits) -> str:
    """Limits as a file holds them."""
    return json.dumps(limits)


def _array(value: Tensor, kind: torch.dtype) -> Any:
    return value.detach().to("cpu", kind).contiguous().numpy()


def _why(file: Path, error: Exception) -> str:
    """Why a file cannot be read, and what to do."""
    size, said = os.path.getsize(file), str(error).strip().splitlines()[0][:200]
    if "external data" in str(error).lower() or "_data" in str(error):
        return f"{file} keeps weights in a file beside it, which is missing or cut off: {said}"
    return f"{file} ({size:,} bytes) is cut off, or no ONNX graph: {said}. Export it again"
