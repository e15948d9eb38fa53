"""Objects in pictures: a label and a box for every query, which every layer of a decoder makes better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.object_outputs import RefinedObjectsOutput
from formers.core.outputs import ModelOutput
from formers.nn.box_refinement import labelling, moving
from formers.nn.matching import Matching, detection
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.detection import ObjectDetection


@dataclass(frozen=True)
class Spec:
    """How boxes and labels are read off every layer.

    Attributes:
        matching: what counts in the loss.
        count: layers, each of which has what labels and what moves its queries.
        labels: path of the list of the former; `boxes` of the latter. The decoder calls them.
        every: all layers count in the loss.
        prior: how likely a label is at first.
        twice: they stand at the last names of their paths too, where nothing calls them.
    """

    matching: Matching
    count: int
    labels: str
    boxes: str
    every: bool
    prior: float
    twice: bool = False


class IterativeDetection(TaskModel):
    """Labels and boxes of queries, of every layer."""

    _options = ("return_dict",)
    _says = ObjectDetection._says

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = self._width()
        self.num_labels = int(config.num_labels)
        for twin in (False, True)[: 1 + spec.twice]:
            for role, path in (("labels", spec.labels), ("boxes", spec.boxes)):
                home, name = path.rpartition(".")[2] if twin else path, f"{'twin_' if twin else ''}{role}"
                for i in range(spec.count):
                    made = (
                        labelling(width, self.num_labels, spec.prior) if role == "labels" else moving(width)
                    )
                    place(self, f"{name}_{i}", f"{home}.{i}", made)

    def _tied_weights(self) -> dict[str, str]:
        """Those of the stacks, and of what stands twice."""
        found = super()._tied_weights()
        spec: Spec | None = wiring(self).facts.get("head")
        if spec is None or not spec.twice:
            return found
        for role, path in (("labels", spec.labels), ("boxes", spec.boxes)):
            for i in range(spec.count):
                for name, _ in leaf(self, f"{role}_{i}").named_parameters():
                    end = f"{i}.{name}"
                    found[f"{path.rpartition('.')[2]}.{end}"] = f"{path}.{end}"
        return found

    def _width(self) -> int:
        return int(self._assembly.spec(self.config).width)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        given["labels"] = targets["labels"]

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        passed = self._assembly.passed_on(states)
        logits, boxes = passed["intermediate_logits"], passed["intermediate_reference_points"]
        found = {"loss": None, "loss_dict": None, "auxiliary_outputs": None}
        if targets["labels"] is not None:
            meta = passed.get("denoising_meta_values")
            best = [passed[name] for name in ("enc_topk_logits", "enc_topk_bboxes")]
            found = self._compared(logits, boxes, best, targets["labels"], meta)
        return RefinedObjectsOutput(
            **found, logits=logits[:, -1], pred_boxes=boxes[:, -1], last_hidden_state=states.last, **passed
        )

    def _compared(
        self, logits: Tensor, boxes: Tensor, best: list[Tensor], targets: Any, meta: Any
    ) -> dict[str, Any]:
        """The loss of all layers, [B, layers, Q, ..], and of the places where queries began."""
        spec: Spec = wiring(self).facts["head"]
        noisy = None
        if meta is not None:
            (first, logits), (start, boxes) = (
                torch.split(one, meta["dn_num_split"], 2) for one in (logits, boxes)
            )
            noisy = (first.unbind(1), start.unbind(1), meta) if spec.every else None
        scores, places = [logits[:, -1]], [boxes[:, -1]]
        if spec.every:
            scores += [*logits[:, :-1].unbind(1), best[0]]
            places += [*boxes[:, :-1].unbind(1), best[1]]
        loss, parts = detection(scores, places, targets, spec.matching, noisy=noisy)
        earlier = [
            {"logits": one, "pred_boxes": box} for one, box in zip(scores[1:], places[1:], strict=True)
        ]
        return {"loss": loss, "loss_dict": parts, "auxiliary_outputs": earlier if spec.every else None}
