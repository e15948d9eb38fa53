"""Depths in metres: ZoeDepth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.core.outputs import KindOfDepthOutput, ModelOutput
from formers.nn.nets.depth_bins import Metric, Relative
from formers.nn.nets.tree import compute, fill
from formers.nn.spec import nets
from formers.nn.spec.depth_bins import Bins
from formers.nn.tree import leaf, place
from formers.stacks.stack import States
from formers.tasks.dense_prediction import DenseTask


@dataclass(frozen=True)
class Spec:
    """What reads the maps.

    Attributes:
        neck: its name, and a node that makes of maps the fused ones, and behind them the smallest.
        relative: path, and arguments of `nets.bins.Relative`.
        metric: path, and the bins.
        patch: height and width of a patch.
    """

    neck: tuple[str, nets.Node]
    relative: tuple[str, tuple[Any, ...]]
    metric: tuple[str, Bins]
    patch: tuple[int, int]
    chosen: None = None


class MetricDepth(DenseTask):
    """A depth in metres for every pixel; all pictures of a batch are of one kind, where there are several."""

    _targets = ()
    _says = "Estimate depths. There is no loss: how ZoeDepth learns is not in its model."

    def _place_head(self, spec: Any, config: Any) -> None:
        fill(self, nets.Node(dict([spec.neck])))
        place(self, "relative", spec.relative[0], Relative(*spec.relative[1]))
        place(self, "metric", spec.metric[0], Metric(spec.metric[1]))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        sizes = zip(given["pixel_values"].shape[2:], spec.patch, strict=True)
        size = (*(side // edge for side, edge in sizes),)
        *fused, smallest = compute(self, (spec.neck[0],), tuple(states.extras["maps"]), [], None, size)
        relative, seen = leaf(self, "relative")(tuple(fused))
        depths, kinds = leaf(self, "metric")(seen, smallest, fused, relative)
        return KindOfDepthOutput(None, depths[:, 0], kinds, states.hidden, states.attentions)
