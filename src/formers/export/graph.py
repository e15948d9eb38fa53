"""One graph: a module and example inputs in, an ONNX file out. torch's exporter does the work."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.extras import need
from formers.core.outputs import ModelOutput
from formers.export import folder as folders
from formers.export.errors import ExportError
from formers.export.samples import OPEN, Axes, axes_of, own_axis
from formers.export.session import LIMITS, limits_text

OPSET = 20  # Gelu is one node since then
OLDEST = 18  # that torch's exporter writes
_ANY = 1 << 31  # a bound that no input reaches


@dataclass(frozen=True, eq=False)
class Graph:
    """What becomes one file.

    Attributes:
        file: its name.
        run: inputs by name -> outputs by name; what it computes.
        owner: the module that it runs.
        inputs: example inputs by name, in the order of the graph's inputs.
        axes: names of the axes of inputs that have others than `samples.AXES` says.
    """

    file: str
    run: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    owner: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Axes]

    def axes_of(self, name: str) -> Axes:
        """Names of an input's axes. Inputs that only some models have share the batch by its size."""
        named = self.axes.get(name) or axes_of(name, self.inputs[name], self.owner)
        size, batch = self.inputs[name].shape[:1], next(iter(self.inputs.values())).shape[:1]
        return (
            ("batch_size", *named[1:]) if named and named[0] == own_axis(name, 0) and size == batch else named
        )


class _Placed(nn.Module):
    """A graph's pass, called by place and answering with a tuple: what torch's exporter reads."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.owner, self._names, self._run = graph.owner, tuple(graph.inputs), graph.run

    def forward(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs in their order."""
        return tuple(self._run(dict(zip(self._names, values, strict=True))).values())


def tensors_of(record: ModelOutput, leave: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """The tensors of a model's record by name, without losses, caches and what only explains."""
    shown = {"loss", "hidden_states", "attentions", "past_key_values", "cache_params", *leave}
    found = {}
    for name, value in record.items():
        if name in shown or name.endswith(("hidden_states", "attentions")) and not isinstance(value, Tensor):
            continue
        if isinstance(value, Tensor):
            found[name] = value
    return found


def write(graph: Graph, folder: Path, opset: int | None = None) -> Path:
    """Write one graph.

    Args:
        graph: what is written.
        folder: where; it is there.
        opset: the version of ONNX's operators; the newest that all runtimes of the extra know by default.

    Returns:
        The file. Weights of more than a GiB lie beside it, in `<file>_data`.

    Raises:
        ExportError: for an opset that is too old, a model that cannot be recorded, or a graph that serves
            only the batch size or the length of the example.
        MissingExtra: where the packages are not installed.
    """
    need("onnx", "onnx", "the ONNX export")
    need("onnxscript", "onnx", "the ONNX export")
    opset = checked_opset(opset)
    # not views, whose bases torch would compare their sizes with
    values = tuple(value.clone(memory_format=torch.contiguous_format) for value in graph.inputs.values())
    with torch.no_grad(), _quiet():
        outputs = tuple(graph.run(dict(graph.inputs)))
        free = tuple(dict.fromkeys(range(value.dim()), torch.export.Dim.AUTO) for value in values)
        placed = _Placed(graph).eval()
        try:
            recorded = torch.export.export(placed, (values,), dynamic_shapes=(free,), strict=False)
            program = torch.onnx.export(
                recorded,
                input_names=list(graph.inputs),
                output_names=list(outputs),
                opset_version=opset,
                custom_translation_table=_translations(),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises whatever a pass raises, and kinds of its own
            raise ExportError(f"{graph.file} cannot be recorded: {_first_line(error)}") from error
    assert program is not None
    named, bounds = _name_axes(graph, program.model.graph), _bounds(recorded)
    limits = {named[size]: (0, most) for size, most in bounds.items() if size in named}
    if limits:
        program.model.metadata_props[LIMITS] = limits_text(limits)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in which file of this machine each node was computed
    file = folder / graph.file
    size = sum(p.numel() * p.element_size() for p in graph.owner.parameters())
    outside = folders.data_of(file).name if size > folders.LARGE else None
    need("onnx_ir", "onnx", "the ONNX export").save(program.model, file, external_data=outside)
    return file


def _translations() -> dict[Any, Any]:
    """Operators that torch's exporter writes only where sizes are numbers, as ONNX has them for all sizes."""
    op = need("onnxscript", "onnx", "the ONNX export").values.Opset("", OLDEST)

    def remainder(x: Any, divisor: Any) -> Any:
        divisor = op.CastLike(divisor, x)
        if not x.dtype.is_floating_point():
            return op.Mod(x, divisor)
        return op.Sub(x, op.Mul(op.Floor(op.Div(x, divisor)), divisor))

    return {torch.ops.aten.remainder.Scalar: remainder}


def checked_opset(opset: int | None) -> int:
    """The opset that is written.

    Raises:
        ExportError: for one that torch's exporter does not write.
    """
    if opset is None:
        return OPSET
    if not OLDEST <= opset <= 23:
        raise ExportError(f"opset {opset} is not written: use one of {OLDEST} to 23 ({OPSET} by default)")
    return opset


def _bounds(recorded: Any) -> dict[str, int]:
    """The largest sizes that a recording holds for, by symbol, of those that have one."""
    ranges = recorded.range_constraints.items()
    return {str(size): int(one.upper) for size, one in ranges if one.upper.is_Integer and one.upper < _ANY}


def _name_axes(graph: Graph, made: Any) -> dict[str, str]:
    """Call the open axes of inputs and outputs by their names.

    Returns:
        The name of each symbol.

    Raises:
        ExportError: where an axis that must be open has one size alone.
    """
    names: dict[str, str] = {}
    for value in made.inputs:
        axes = graph.axes_of(value.name)
        for i, axis in enumerate(axes):
            size = str(getattr(value.shape[i], "value", value.shape[i]))
            if not size.isdigit():  # a symbol, or an expression of some
                names.setdefault(size, axis)
            elif axis in OPEN:
                raise ExportError(
                    f"the graph {graph.file} reads {value.name} of {axis} {size} alone: something in "
                    f"{type(graph.owner).__name__} computes with that size as a number"
                )
    for value in (*made.inputs, *made.outputs):
        for i, size in enumerate(value.shape or ()):
            found = str(getattr(size, "value", size))
            value.shape[i] = int(found) if found.isdigit() else names.get(found, found)
    return names


def _first_line(error: BaseException) -> str:
    """What went wrong, told by the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:300]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says to its own developers."""
    names = ("torch.onnx", "torch.export", "torch.__trace", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
