"""Whether a graph computes what the model does, over sizes that it was not recorded with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.export.caches import PAST
from formers.export.errors import ExportError
from formers.export.graph import Graph
from formers.export.session import Session

TOLERANCE = 1e-4  # of float32; the largest difference of any number, where it is more than 1 by its share
HALF = 3e-2  # of float16


def difference(graph: Graph, session: Session, given: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest difference of every output, by name, where a token is real.

    Numbers above 1 differ by their share. Numbers that are no numbers on one side alone differ endlessly.
    """
    with torch.no_grad():
        wanted = graph.run(dict(given))
    found = session.run(given)
    masks = [given[name].bool() for name in given if name.endswith("attention_mask")]
    return {name: _farthest(value, found[name], masks) for name, value in wanted.items()}


def check(graph: Graph, file: Path, tolerance: float = TOLERANCE) -> float:
    """Compare a file with what it was made from: the example, and fewer rows and columns of it.

    Returns:
        The largest difference.

    Raises:
        ExportError: where outputs differ by more than the tolerance, naming each.
    """
    session, largest, wrong = Session(file), 0.0, []
    for given in (graph.inputs, smaller(graph)):
        for name, far in difference(graph, session, given).items():
            largest = max(largest, far)
            if not far <= tolerance:
                sizes = "; ".join(f"{n} {list(v.shape)}" for n, v in given.items() if not n.startswith(PAST))
                wrong.append(f"{name} differs by {far:.2g} for {sizes}")
    if wrong:
        raise ExportError(
            f"the graph {graph.file} does not compute what {type(graph.owner).__name__} does (up to "
            f"{tolerance:g} is allowed): {'; '.join(wrong[:6])}"
        )
    return largest


def smaller(graph: Graph) -> dict[str, Tensor]:
    """The example with a row and a column less, where the graph leaves their axes open."""
    found = {}
    for name, value in graph.inputs.items():
        for i, axis in enumerate(graph.axes_of(name)):
            less = {"batch_size": 1, "sequence_length": 1, "total_sequence_length": 1}.get(axis, 0)
            less = 1 if axis == "decoder_sequence_length" and value.shape[i] > 2 else less
            value = value.narrow(i, 0, value.shape[i] - less) if less else value
        found[name] = value
    return found


def _farthest(wanted: Tensor, found: Tensor, masks: list[Tensor]) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return float((wanted != found).sum())
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
