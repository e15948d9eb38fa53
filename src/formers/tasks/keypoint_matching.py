"""Points of two pictures that show the same: SuperGlue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import MatchedPointsOutput, ModelOutput
from formers.nn.fresh import Constant
from formers.nn.nets.point_matching import (
    PointEncoder,
    PointGraph,
    Projection,
    centred,
    hidden_points,
    matched,
    transported,
)
from formers.nn.tree import leaf, place, place_tensor
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """What compares the points.

    Attributes:
        names: paths. Roles: `encoder`, with its list `encoder_layers` of nodes (`dense`, `norm`, `act`);
            `graph`, with its list `graph_layers` of nodes with `attention` and the list `feedforward`;
            `attention` holds the nodes `mix` (`q`, `k`, `v`, `weights_dropout`) and `out` (`dense_out`);
            `projection`, which holds `dense_projection`; `none`, the score of having no match.
        width: of vectors; `inner` of the encoder's layers, `heads` of attention, `dropout` of its weights.
        kinds: of the layers, "self" and "cross".
        rounds: of the transport.
        threshold: what is less likely is no match.
    """

    names: Mapping[str, str]
    width: int
    inner: Sequence[int]
    heads: int
    dropout: float
    kinds: Sequence[str]
    rounds: int
    threshold: float


class KeypointMatching(TaskModel):
    """Matches of points, in both directions."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Match points. There is no loss: how SuperGlue learns is not in its model."

    def _place_head(self, spec: Spec, config: Any) -> None:
        names, wide = spec.names, spec.width
        place(self, "encoder", names["encoder"], PointEncoder((*spec.inner, wide), names))
        graph = PointGraph(spec.kinds, wide, spec.heads, spec.dropout, names)
        place(self, "graph", names["graph"], graph)
        place(self, "projection", names["projection"], Projection(wide, names["dense_projection"]))
        place_tensor(self, "none", names["none"], torch.tensor(1.0), Constant(1.0))

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With what was asked for, which the part knows nothing of."""
        states = super()._states(given, ask)
        states.extras["asked"] = ask
        return states

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        points, ask, size = states.extras["points"], states.extras["asked"], given["pixel_values"].shape[-2:]
        mask, at = points.mask, points.keypoints.unflatten(0, (-1, 2))
        seen = mask.unflatten(0, (-1, 2))
        if not at.shape[2]:
            none = torch.full(at.shape[:-1], -1, dtype=torch.int, device=at.device)
            return MatchedPointsOutput(None, none, at.new_zeros(none.shape), at, seen, *_nothing(ask))
        x = states.rows
        places = centred(points.keypoints * points.keypoints.new_tensor(size[::-1]), size).to(x.dtype)
        encoded, trace = leaf(self, "encoder")(places, points.scores.to(x.dtype))
        x, made, weights = leaf(self, "graph")(x + encoded, hidden_points(mask, x.dtype))
        x = leaf(self, "projection")(x)
        trace = [*trace, *made, x]
        first, second = x.unflatten(0, (-1, 2)).unbind(1)  # [B, N, E] each
        scores = first @ second.transpose(1, 2) / spec.width**0.5
        both = (seen[:, 0, :, None] > 0) & (seen[:, 1, None] > 0)
        scores = scores.masked_fill(~both, torch.finfo(scores.dtype).min)
        likely = transported(scores, leaf(self, "none"), spec.rounds)
        numbers, sure = matched(likely, spec.threshold)
        hidden = tuple(_of_pairs(one).transpose(-1, -2) for one in trace) if ask.hidden else None
        looks = tuple(_of_pairs(one) for one in weights) if ask.attentions else None
        return MatchedPointsOutput(None, numbers, sure, at, seen, hidden, looks)


def _nothing(ask: Ask) -> tuple[Any, Any]:
    """Hidden states and attentions of no points."""
    return () if ask.hidden else None, () if ask.attentions else None


def _of_pairs(x: Tensor) -> Tensor:
    """[2 B, ..] -> [B, 2, ..]."""
    return x.reshape(-1, 2, *x.shape[1:])
