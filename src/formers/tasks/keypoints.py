"""Points of a picture that are found again in others: SuperPoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from formers.core.outputs import KeypointsOutput, ModelOutput
from formers.nn.nets.keypoints import PointDescriber, PointFinder
from formers.nn.stems.base import pixels_in
from formers.nn.tree import leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """Two readers of the last map.

    Attributes:
        points, looks: path, and paths in it: where points are, and what they look like.
        read: channels of the map; `inner` between two convolutions; `width` of what points look like.
        find: keywords of `PointFinder`.
    """

    points: tuple[str, Mapping[str, str]]
    looks: tuple[str, Mapping[str, str]]
    read: int
    inner: int
    width: int
    find: Mapping[str, Any]


class KeypointDetection(TaskModel):
    """Points of every picture, as many as there are."""

    _targets = ()
    _options = ("return_dict",)
    _flat_pooler = False
    _says = "Find points. There is no loss: how SuperPoint learns is not in its model."

    def _place_head(self, spec: Spec, config: Any) -> None:
        (path, names), (beside, others) = spec.points, spec.looks
        place(self, "points", path, PointFinder(spec.read, spec.inner, names, **spec.find))
        place(self, "looks", beside, PointDescriber(spec.read, spec.inner, spec.width, others))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        """Pictures are grey: their channels are alike, and the first is read."""
        given["pixel_values"] = pixels_in(given)[:, :1]

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        each = [one[None] for one in states.rows]
        points, scores = zip(*(leaf(self, "points")(one) for one in each), strict=True)
        looks = [leaf(self, "looks")(one, at[None]) for one, at in zip(each, points, strict=True)]
        high, wide = given["pixel_values"].shape[2:]
        shares = [at / at.new_tensor([wide, high]) for at in points]
        return KeypointsOutput(
            keypoints=_filled(shares),
            scores=_filled(scores),
            descriptors=_filled(looks),
            mask=_filled([one.new_ones(len(one)).int() for one in scores]),
            hidden_states=states.hidden,
        )


def _filled(rows: Any) -> Tensor:
    """Rows [K, ..] of all pictures as one tensor, with zeros behind the shorter ones."""
    return pad_sequence(list(rows), batch_first=True)
