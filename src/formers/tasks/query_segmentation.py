"""Segments of pictures: a label and a mask for every query."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import asked
from formers.core.outputs import ModelOutput
from formers.core.segment_outputs import SegmentsOutput, TaskedSegmentsOutput
from formers.nn.fresh import Constant
from formers.nn.nets.tree import call, fill, part_of
from formers.nn.segment_matching import Found, SegmentMatching, alike, checked, segmentation
from formers.nn.spec import nets
from formers.nn.tree import leaf, place_tensor, wiring
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """How segments are read off queries.

    Attributes:
        matching: what counts in the loss.
        width: E, of queries.
        pixels: channels of the map that masks are read off.
        every: queries of all layers count in the loss.
        gain: of fresh weights; see `nets.Conv`.
    """

    matching: SegmentMatching
    width: int
    pixels: int
    every: bool = False
    gain: float = 1.0


class LabelWeights:
    """One for every label but the last, which says that there is nothing."""

    def __init__(self, nothing: float) -> None:
        self.nothing = nothing

    def fill_(self, tensor: Tensor) -> None:
        """[C + 1]."""
        tensor.fill_(1.0)
        tensor[-1] = self.nothing


class SegmentTask(TaskModel):
    """What heads that find segments share: their targets, what they weigh, and what they return."""

    _options = ("output_auxiliary_logits", "return_dict")
    _targets = ("mask_labels", "class_labels")
    _says = (
        "Find segments. `mask_labels`: for each picture [N, height, width], 1 where a segment is; "
        "`class_labels`: for each [N], int64, what they are."
    )

    def _place_weights(self, spec: Any) -> None:
        value, fresh = torch.empty(self.num_labels + 1), LabelWeights(spec.matching.nothing)
        fresh.fill_(value)
        place_tensor(self, "weights", "criterion.empty_weight", value, fresh, trained=False)

    def _segments(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], found: list[Found]
    ) -> SegmentsOutput:
        """The record, of what the last layer found, and then the others from the first on."""
        loss, (logits, masks) = None, found[0]
        if any(value is not None for value in targets.values()):
            there = checked(targets["mask_labels"], targets["class_labels"], logits)
            matching = wiring(self).facts["head"].matching
            loss = segmentation(found, there, matching, leaf(self, "weights"))
        names = ("class_queries_logits", "masks_queries_logits")
        earlier = None
        if asked(given.get("output_auxiliary_logits"), self.config, "output_auxiliary_logits"):
            earlier = [dict(zip(names, one, strict=True)) for one in found[1:]]
        return SegmentsOutput(loss, logits, masks, earlier, **self._assembly.passed_on(states))


@dataclass(frozen=True)
class Labels:
    """How labels are read off queries whose masks the model without a head finds.

    Attributes:
        matching: what counts in the loss.
        width: E, of queries.
    """

    matching: SegmentMatching
    width: int


class MaskLabels(SegmentTask):
    """Labels of queries that have masks, behind every layer."""

    _by_place = ("pixel_values", "mask_labels", "class_labels", "pixel_mask", "output_hidden_states")

    def _place_head(self, spec: Labels, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        fill(self, nets.Node({"class_predictor": nets.Dense(spec.width, self.num_labels + 1)}))
        self._place_weights(spec)

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With those of all layers."""
        states = super()._states(given, replace(ask, hidden=True))
        states.extras["normed"] = states.extras.pop("transformer_decoder_intermediate_states")
        return states if ask.hidden else without_hidden(states)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        masks, normed = states.extras.pop("masks_queries_logits"), states.extras.pop("normed")
        labels = [call(part_of(self, "class_predictor"), (x.transpose(0, 1),), None) for x in normed]
        found = list(zip(labels, masks, strict=True))
        return self._segments(states, given, targets, [found[-1], *found[:-1]])


@dataclass(frozen=True)
class Tasked:
    """What segments that a task asked for are compared with.

    Attributes:
        matching: what counts in the loss.
        texts: there are texts, one for each query.
        share: weight of the loss of queries and texts in the sum.
        warmth: what their likeness is divided by, to begin with; None for no such loss.
    """

    matching: SegmentMatching
    texts: bool
    share: float
    warmth: float | None


class TaskedMasks(SegmentTask):
    """Segments that a task asks for, which the model without a head has found."""

    _by_place = ("pixel_values", "task_inputs", "text_inputs", "mask_labels", "class_labels", "pixel_mask")

    def _place_head(self, spec: Tasked, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        self._place_weights(spec)
        if spec.warmth is not None:
            begin = math.log(1 / spec.warmth)
            place_tensor(self, "scale", "criterion.logit_scale", torch.tensor(begin), Constant(begin))

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With hidden states where the config counts all layers."""
        return super()._states(given, replace(ask, hidden=ask.hidden or self.config.use_auxiliary_loss))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Tasked = wiring(self).facts["head"]
        passed, loss = self._assembly.passed_on(states), None
        names = ("class_queries_logits", "masks_queries_logits")
        earlier = passed.get("transformer_decoder_auxiliary_predictions")
        kinds = ("class", "mask")
        last = tuple(passed[f"transformer_decoder_{kind}_predictions"] for kind in kinds)
        if any(value is not None for value in targets.values()):
            there = checked(targets["mask_labels"], targets["class_labels"], last[0])
            every = [last, *((one[names[0]], one[names[1]]) for one in earlier or ())]
            loss = segmentation(every, there, spec.matching, leaf(self, "weights"))
            if spec.texts and spec.warmth is not None:
                asks = passed["transformer_decoder_contrastive_queries"]
                loss = loss + spec.share * alike(asks, passed["text_queries"], leaf(self, "scale"))
        shown = asked(given.get("output_auxiliary_logits"), self.config, "output_auxiliary_logits")
        return TaskedSegmentsOutput(
            loss=loss,
            auxiliary_predictions=earlier if shown else None,
            **dict(zip(names, last, strict=True)),
            **passed,
        )


def without_hidden(states: States) -> States:
    """Without the hidden states that nobody asked for."""
    states.pass_.trace.pop("hidden_states", None)
    for name in [name for name in states.extras if name.endswith("hidden_states")]:
        del states.extras[name]
    return states


class QuerySegmentation(SegmentTask):
    """Labels and masks of queries, whose products with the pixels are the masks."""

    _by_place = ("pixel_values", "mask_labels", "class_labels", "pixel_mask")

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        parts = {
            "class_predictor": nets.Dense(spec.width, self.num_labels + 1),
            "mask_embedder": nets.perceptron(*[spec.width] * 3, spec.pixels, gain=spec.gain),
        }
        fill(self, nets.Node(parts))
        self._place_weights(spec)

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With those of all layers, where these count."""
        every = wiring(self).facts["head"].every
        states = super()._states(given, replace(ask, hidden=ask.hidden or every))
        states.extras["every"] = states.extras.get("transformer_decoder_hidden_states")
        return states if ask.hidden else without_hidden(states)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        every, pixels = states.extras.pop("every"), states.extras["pixel_decoder_last_hidden_state"]
        last = states.extras["transformer_decoder_last_hidden_state"]
        several = wiring(self).facts["head"].every
        x = torch.stack(every) if several else last  # [.., B, Q, E]
        labels, own = (call(part_of(self, name), (x,), None) for name in ("class_predictor", "mask_embedder"))
        masks = torch.einsum("...bqc,bchw->...bqhw", own, pixels)
        found = list(zip(labels, masks, strict=True)) if several else [(labels, masks)]
        return self._segments(states, given, targets, [found[-1], *found[:-1]])
