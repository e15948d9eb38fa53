"""Objects in pictures, found by what layers of a decoder give, from where their queries stood before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from formers.core.object_outputs import LocatedObjectsOutput
from formers.core.outputs import ModelOutput
from formers.nn.box_refinement import labelling, moved, moving
from formers.nn.kernels import project
from formers.nn.matching import Matching, detection
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import States
from formers.tasks.base import TaskModel

_PARTS = {"labels": "class_embed", "boxes": "bbox_embed"}


@dataclass(frozen=True)
class Spec:
    """How boxes and labels are read off layers.

    Attributes:
        matching: what counts in the loss.
        count: how many there are of what labels and what moves queries.
        every: all layers count in the loss.
        inside: which of the two (`labels`, `boxes`) the decoder has too, under the same names.
        decoder: its path.
        prior: how likely a label is at first.
    """

    matching: Matching
    count: int
    every: bool
    inside: tuple[str, ...] = ()
    decoder: str = "model.decoder"
    prior: float = 0.01


class DeformableDetection(TaskModel):
    """Labels and boxes of queries."""

    _options = ("return_dict",)
    _says = (
        "Find objects. `labels`: for each picture a dictionary with `class_labels` and `boxes`; see "
        "`nn.matching`."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = int(self._assembly.spec(self.config).width)
        self.num_labels = int(config.num_labels)
        for role, path in _PARTS.items():
            homes = ["", f"{spec.decoder}."][: 1 + (role in spec.inside)]
            for start in homes:
                for i in range(spec.count):
                    place(self, f"{start}{role}_{i}", f"{start}{path}.{i}", self._part(role, spec, width))

    def _part(self, role: str, spec: Any, width: int) -> nn.Module:
        """What labels rows, or what moves boxes by rows."""
        return labelling(width, self.num_labels, spec.prior) if role == "labels" else moving(width)

    def _tied_weights(self) -> dict[str, str]:
        """Those of the stacks; what the decoder has too is one with it, else that of all layers is one."""
        found = super()._tied_weights()
        spec: Spec | None = wiring(self).facts.get("head")
        if spec is None or not self.config.tie_word_embeddings:
            return found
        for role, path in _PARTS.items():
            for i in range(spec.count):
                own = leaf(self, f"{role}_{i}")
                source = f"{spec.decoder}.{path}.{i}" if role in spec.inside else f"{path}.0"
                names = [name for name, _ in own.named_parameters(remove_duplicate=False)]
                found.update({f"{path}.{i}.{name}": f"{source}.{name}" for name in names})
        return {target: source for target, source in found.items() if target != source}

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = wiring(self).facts["head"]
        passed = self._assembly.passed_on(states)
        rows, later = passed["intermediate_hidden_states"], passed["intermediate_reference_points"]
        starts = [passed["init_reference_points"], *later.unbind(1)]
        labels = targets["labels"]
        last = rows.shape[1] - 1
        every = states.watched or (labels is not None and spec.every)
        each = [self._found(i, rows[:, i], starts[i]) for i in range(0 if every else last, last + 1)]
        (logits, boxes), loss, parts, earlier = each[-1], None, None, None
        if labels is not None:
            counted = [each[-1], *(each[:-1] if spec.every else ())]
            scores, places = zip(*counted, strict=True)
            loss, parts = detection(scores, places, labels, spec.matching)
            if spec.every:
                earlier = [{"logits": one, "pred_boxes": box} for one, box in each[:-1]]
        return LocatedObjectsOutput(
            loss, parts, logits, boxes, earlier, last_hidden_state=states.last, **passed
        )

    def _found(self, layer: int, rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, Q, C] and boxes [B, Q, 4] of what a layer gave, from where its queries stood."""
        logits = project(leaf(self, f"labels_{layer}"), rows)
        return logits, moved(leaf(self, f"boxes_{layer}")(rows), at)
