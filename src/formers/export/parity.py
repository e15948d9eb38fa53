"""Whether a graph computes what the model does, over sizes that it was not recorded with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.core.notices import notice
from formers.export.caches import PAST, PRESENT
from formers.export.errors import ExportError
from formers.export.graph import Graph
from formers.export.samples import OPEN
from formers.export.session import Session, write_limits

TOLERANCE = 1e-4  # of float32; the largest difference of any number, where it is more than 1 by its share
HALF = 3e-2  # of float16
_TEXT = "sequence_length"  # of what is read at once, where no cache goes on behind it
# axes that are as long as others together
_SUMS = {"total_sequence_length": ("past_sequence_length", _TEXT)}


def check(graph: Graph, file: Path, tolerance: float = TOLERANCE) -> float:
    """Compare a file with what it was made from: over the example, and over other sizes of all open axes.

    Each open axis is tried shorter and longer, and just above the bound that the recording left on it, with
    the other axes as they are. A size that the model itself does not read is tried smaller or larger. A bound
    is taken back where the numbers above it are right too. Where a graph does not hold for texts of one
    token, its file says so, and refuses them.

    Returns:
        The largest difference.

    Raises:
        ExportError: where outputs differ by more than the tolerance, or a size is not read, naming each.
    """
    session, largest, wrong = Session(file), 0.0, list[str]()
    limits = dict(session.limits)
    spared = _TEXT if not any(name.startswith(PAST) for name in graph.inputs) else None
    for axis, size, given, wanted in tried(graph, session):
        far, told = _compared(session, given, wanted, tolerance)
        least, most = limits.get(axis, (0, None))
        if not told and most is not None and size > most:  # what was decided by the size changes no number
            limits[axis] = (least, None)
        if told and size == 1 and axis == spared:
            limits[axis] = (2, most)
            notice(f"the graph {graph.file} reads {axis} from 2: it does not hold for one ({told[0]})")
            continue
        largest, wrong = max(largest, far), [*wrong, *told]
    if wrong:
        raise ExportError(
            f"the graph {graph.file} does not compute what {type(graph.owner).__name__} does (up to "
            f"{tolerance:g} is allowed): {'; '.join(wrong[:6])}"
        )
    if limits != session.limits:
        write_limits(file, {axis: one for axis, one in limits.items() if one != (0, None)})
    return largest


def _compared(
    session: Session, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], tolerance: float
) -> tuple[float, list[str]]:
    """The largest difference for some inputs, and what is wrong about them."""
    sizes = "; ".join(f"{n} {list(v.shape)}" for n, v in given.items() if not n.startswith(PAST))
    try:
        found = session.compute(given)
    except Exception as error:  # the package has one class for each status, of no common kind
        return 0.0, [f"{sizes} is not read: {' '.join(str(error).split())[:200]}"]
    apart = differences(wanted, found, given)
    told = [f"{n} differs by {far:.2g} for {sizes}" for n, far in apart.items() if not far <= tolerance]
    return max(apart.values(), default=0.0), told


def differences(
    wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> dict[str, float]:
    """The largest difference of every output, by name, where a token is real.

    Numbers above 1 differ by their share. Numbers that are no numbers on one side alone differ endlessly.
    """
    masks = [given[name].bool() for name in given if name.endswith("attention_mask")]
    return {name: _farthest(name, value, found[name], masks) for name, value in wanted.items()}


def tried(graph: Graph, session: Session) -> Iterator[tuple[str, int, dict[str, Tensor], dict[str, Tensor]]]:
    """The axis that has another size, and that size; inputs of it, and what the model makes of them."""
    with torch.no_grad():
        example = dict(graph.inputs)
        yield "", 0, example, graph.run(example)
        sizes = _open_sizes(graph, session)
        for axis, size in sizes.items():
            least, most = session.limits.get(axis, (0, None))
            above = [] if most is None else [most + 1]
            one = [1] if axis == _TEXT and least < 2 else []
            for choices in (one, _shorter(axis, size), _longer(axis, size), above):
                found = next(_read(graph, session, sizes, axis, choices), None)
                if found is not None:
                    yield found


def _open_sizes(graph: Graph, session: Session) -> dict[str, int]:
    """The sizes of the example's axes that the graph leaves open, by name; sums of others left out."""
    found: dict[str, int] = {}
    for name, value in graph.inputs.items():
        for axis, size in zip(session.shapes[name], value.shape, strict=True):
            if isinstance(axis, str) and not (axis in _SUMS or _is_expression(axis)):
                found.setdefault(axis, size)
    return found


def _is_expression(axis: str) -> bool:
    return not axis.isidentifier()


def _shorter(axis: str, size: int) -> list[int]:
    """Sizes that are tried until the model reads one; a cache may be empty, and one token is tried apart."""
    least = {"past_sequence_length": 0, _TEXT: 2}.get(axis, 1)
    ladder = [least, size // 2, size - 1] if axis in OPEN else [size // 2, size - 1]
    return [one for one in dict.fromkeys(ladder) if least <= one < size]


def _longer(axis: str, size: int) -> list[int]:
    whole = [3 * size] if axis not in OPEN else []
    return [2 * size + 1, 2 * size, *whole, size + 1]


def _read(
    graph: Graph, session: Session, sizes: Mapping[str, int], axis: str, choices: list[int]
) -> Iterator[tuple[str, int, dict[str, Tensor], dict[str, Tensor]]]:
    """The example with one axis of other sizes, those that the model reads."""
    for size in choices:
        given = _stretched(graph, session, {**sizes, axis: size})
        try:
            yield axis, size, given, graph.run(given)
        except (IndexError, RuntimeError, ValueError):  # no size that the model reads
            continue


def _stretched(graph: Graph, session: Session, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """The example in other sizes: its rows and columns fewer, or several times, in their order."""
    found = {}
    for name, value in graph.inputs.items():
        for i, axis in enumerate(session.shapes[name]):
            parts = _SUMS.get(str(axis), ())
            wanted = sum(sizes[part] for part in parts) if parts else sizes.get(str(axis), value.shape[i])
            if wanted != value.shape[i]:
                places = torch.arange(wanted) * value.shape[i] // max(wanted, 1)
                value = value.index_select(i, places)
        found[name] = value
    return found


def _farthest(name: str, wanted: Tensor, found: Tensor, masks: list[Tensor]) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return float((wanted != found).sum())
    if name.startswith(f"{PRESENT}.") and wanted.dim() == 4:  # [B, G, S, D]
        wanted, found = wanted.transpose(1, 2), found.transpose(1, 2)
    for mask in masks:
        if wanted.shape[: mask.dim()] == mask.shape:
            wanted, found = wanted[mask], found[mask]
            break
    if not wanted.numel():
        return 0.0
    if not bool((wanted.isfinite() == found.isfinite()).all()):
        return float("inf")
    both = wanted.isfinite()
    wanted, found = wanted[both].double(), found[both].double()
    far: Any = ((wanted - found).abs() / wanted.abs().clamp(min=1)).max() if wanted.numel() else 0.0
    return float(far)
