"""Objects in pictures: a label and a box for every query; and the pixels of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from formers.core.outputs import ModelOutput, ObjectsOutput
from formers.nn.box_refinement import moved
from formers.nn.kernels import project
from formers.nn.matching import Matching, detection
from formers.nn.nets.query_masks import QueryMap, QueryMaskHead
from formers.nn.perceptron import Perceptron
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import States
from formers.tasks.base import TaskModel

_OF_STATES = (
    *("decoder_hidden_states", "decoder_attentions", "cross_attentions", "encoder_last_hidden_state"),
    *("encoder_hidden_states", "encoder_attentions", "hidden_states", "attentions"),
)


@dataclass(frozen=True)
class Spec:
    """How boxes and labels are read off queries.

    Attributes:
        matching: what counts in the loss.
        labels: path of the labels' layer; `boxes` of the layers that find boxes.
        layers: how many those are.
        nothing: whether the last label says that there is nothing.
        label_layers: how many find labels.
        queries: how many of the last states are those of queries; None for all.
    """

    matching: Matching
    labels: str = "class_labels_classifier"
    boxes: str = "bbox_predictor"
    layers: int = 3
    nothing: bool = True
    label_layers: int = 1
    queries: int | None = None


class ObjectDetection(TaskModel):
    """Labels and boxes of queries."""

    _options = ("return_dict",)
    _says = (
        "Find objects. `labels`: for each picture a dictionary with `class_labels` and `boxes`; see "
        "`nn.matching`."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = self._width()
        self.num_labels = int(config.num_labels)
        count, deep = self.num_labels + spec.nothing, spec.label_layers > 1
        labels = Perceptron(*[width] * spec.label_layers, count) if deep else nn.Linear(width, count)
        place(self, "labels", spec.labels, labels)
        place(self, "boxes", spec.boxes, Perceptron(*[width] * spec.layers, 4))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        return objects(self, states, targets["labels"], None, self._assembly)


def _found(model: Any, x: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Logits [.., labels] and boxes [.., 4] of queries [.., E], which stand at points [.., 2], or nowhere."""
    labels = leaf(model, "labels")
    logits = labels(x) if isinstance(labels, Perceptron) else project(labels, x)
    boxes = leaf(model, "boxes")(x)
    return logits, boxes.sigmoid() if at is None else moved(boxes, at)


def objects(
    model: ObjectDetection, states: States, targets: Any, masks: Tensor | None, assembly: Any
) -> ObjectsOutput:
    """The record of a model that finds boxes, with the loss where there are targets."""
    x, asked = states.last, wiring(model).facts["head"].queries
    passed = assembly.passed_on(states)
    # boxes with masks are learned as they are, wherever their queries look
    points = passed.get("reference_points") if masks is None else None
    at = None if points is None else points.transpose(0, 1)
    logits, boxes = _found(model, x if asked is None else x[:, -asked:], at)
    loss = parts = earlier = None
    if targets is not None:
        every = [(logits, boxes)]
        steps = passed.get("intermediate_hidden_states")
        if steps is not None:
            before = [_found(model, step, at) for step in steps[:-1]]
            earlier = [{"logits": one, "pred_boxes": box} for one, box in before]
            every += before
        costs = wiring(model).facts["head"].matching
        scores, places = zip(*every, strict=True)
        loss, parts = detection(scores, places, targets, costs, masks)
    kept = {name: passed.get(name) for name in _OF_STATES}
    return ObjectsOutput(loss, parts, logits, boxes, masks, earlier, x, **kept)


@dataclass(frozen=True)
class Masks:
    """The pixels of each object.

    Attributes:
        heads: H, of the attention of queries to the map.
        activation: between convolutions.
    """

    heads: int
    activation: str


class ObjectSegmentation(TaskModel):
    """Labels, boxes and masks of queries."""

    _options = ("return_dict",)
    _says = (
        "Find objects and their pixels. `labels`: for each picture a dictionary with `class_labels`, `boxes` "
        "and `masks`; see `nn.matching`."
    )

    def _place_head(self, spec: Masks, config: Any) -> None:
        width, net = self._width(), leaf(leaf(self, "detector").base_model, "maps").model
        place(
            self,
            "masks",
            "mask_head",
            QueryMaskHead(width, spec.heads, net.channels[::-1][1:4], spec.activation),
        )
        place(self, "map", "bbox_attention", QueryMap(width, spec.heads))

    def _width(self) -> int:
        return int(self._assembly.spec(self.config).width)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        found = states.pass_.memo.get("maps")
        if found is None:
            raise ValueError(
                "segments are drawn on the maps of pictures: give pixel_values, not inputs_embeds"
            )
        maps, narrow = found
        seen = maps[-1][1]
        memory = states.extras["encoder_last_hidden_state"].transpose(1, 2).reshape(narrow.shape)
        looked = leaf(self, "map")(states.last, memory, seen)
        masks = leaf(self, "masks")(narrow, looked, [one for one, _ in maps[-2:-5:-1]])
        detector = leaf(self, "detector")
        return objects(
            detector,
            states,
            targets["labels"],
            masks.view(*states.last.shape[:2], *masks.shape[2:]),
            self._assembly,
        )
