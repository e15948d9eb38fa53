"""The stem of queries that say themselves where in a map they look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from formers.nn import spec
from formers.nn.map_positions import box_waves
from formers.nn.passing import Pass
from formers.nn.perceptron import Perceptron
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.vectors import OWN, VectorStem
from formers.nn.tree import Block, leaf, place


class Waves:
    """What queries know of the map in every layer: waves of their points, which their own states shape.

    Args:
        points: waves of their points, [B, T, E].
        scale: makes of rows what the waves of the next layer are multiplied by.
    """

    def __init__(self, points: Tensor, scale: nn.Module) -> None:
        self._points, self._scale, self._rows = points, scale, dict[int, Tensor]()
        self._made: dict[int, Tensor] = {}

    def before(self, index: int, pass_: Pass) -> None:
        """Let the layer read them."""
        if index not in self._made:
            rows = self._rows.get(index - 1)
            shaped = self._points if pass_.watched else pass_.layout.pack(self._points)
            self._made[index] = shaped if rows is None else shaped * self._scale(rows)
        pass_.memo.put("waves", self._made[index])

    def after(self, index: int, x: Tensor, pass_: Pass) -> None:
        """Note what shapes the next layer's."""
        self._rows[index] = x


class ConditionalQueryStem(VectorStem):
    """See `spec.ConditionalQueries`."""

    def place(self, owner: Block, names: Paths) -> None:
        """What makes points of queries, and what shapes their waves."""
        want(names, "query_scale", "query_points")
        width = self.spec.width
        place(owner, "query_scale", str(names["query_scale"]), Perceptron(width, width, width))
        place(owner, "query_points", str(names["query_points"]), Perceptron(width, width, 2))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks. The pass holds the points, [B, T, 2], and what follows."""
        s: spec.ConditionalQueries = self.spec
        own = given.get(OWN)
        if own is None:
            raise ValueError(f"queries look at a map by what {OWN} says; it is missing")
        points = leaf(node, "query_points")(own).sigmoid()
        pass_.memo.put("points", points)
        pass_.memo.put("follow", Waves(box_waves(points, s.width // 2), leaf(node, "query_scale")))
        return super().run(node, given, pass_)
