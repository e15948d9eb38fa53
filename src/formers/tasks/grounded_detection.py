"""Objects that a text names, found by what layers of a decoder give: Grounding DINO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.vision.grounded_detection import ContrastiveEmbedding
from formers.core.object_outputs import GroundedObjectsOutput
from formers.core.outputs import ModelOutput
from formers.nn.box_refinement import moved
from formers.nn.matching import detection
from formers.nn.phrases import Words, named
from formers.nn.tree import leaf, wiring
from formers.stacks.stack import States
from formers.tasks.deformable_detection import DeformableDetection
from formers.tasks.deformable_detection import Spec as Layered


@dataclass(frozen=True)
class Spec(Layered):
    """See `layered_detection.Spec`.

    Attributes:
        room: W, how many words are read.
        marks: ids of what is part of no phrase.
        shared: all layers move boxes alike.
    """

    room: int = 256
    marks: tuple[int, ...] = ()
    shared: bool = True


class GroundedDetection(DeformableDetection):
    """Words and boxes of queries."""

    _says = (
        "Find what a text names. `labels`: for each picture a dictionary with `class_labels`, numbers of the "
        "text's phrases, and `boxes`; see `nn.matching`."
    )

    def _part(self, role: str, spec: Any, width: int) -> nn.Module:
        """What compares rows with words, or what moves boxes by rows."""
        return ContrastiveEmbedding(spec.room) if role == "labels" else super()._part(role, spec, width)

    def _tied_weights(self) -> dict[str, str]:
        """What the decoder has too is one with this head's, and all layers' one with the first's."""
        spec: Spec | None = wiring(self).facts.get("head")
        found = super(DeformableDetection, self)._tied_weights()
        if spec is None or not self.config.tie_word_embeddings:
            return found
        for i in range(spec.count):
            for name, _ in leaf(self, f"boxes_{i}").named_parameters(remove_duplicate=False):
                source = f"bbox_embed.{0 if spec.shared else i}.{name}"
                found[f"{spec.decoder}.bbox_embed.{i}.{name}"] = source
                if source != f"bbox_embed.{i}.{name}":
                    found[f"bbox_embed.{i}.{name}"] = source
        return found

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = wiring(self).facts["head"]
        passed = self._assembly.passed_on(states)
        ids, words = given["input_ids"], passed["encoder_last_hidden_state_text"]
        mask = given.get("attention_mask")
        read = ids[:, : spec.room]
        real = (torch.ones_like(read) if mask is None else mask[:, : spec.room]).bool()
        rows, later = passed["intermediate_hidden_states"], passed["intermediate_reference_points"]
        starts, labels = [passed["init_reference_points"], *later.unbind(1)], targets["labels"]
        last = rows.shape[1] - 1
        every = states.watched or (labels is not None and spec.every)
        each = [
            self._grounded(i, rows[:, i], starts[i], words, real)
            for i in range(0 if every else last, last + 1)
        ]
        if states.watched:  # one tensor of all layers, so that gradients reach what is hooked of each
            together = [torch.stack(one).unbind() for one in zip(*each, strict=True)]
            each = list(zip(*together, strict=True))
        (logits, boxes), loss, parts, earlier = each[-1], None, None, None
        if labels is not None:
            room = (0, spec.room - read.shape[1])
            marks = torch.tensor(spec.marks, device=ids.device)
            names = Words(named(read, marks, spec.room), nn.functional.pad(real, room))
            counted = [each[-1], *(each[:-1] if spec.every else ())]
            scores, places = zip(*counted, strict=True)
            loss, parts = detection(scores, places, labels, spec.matching, words=names)
            scores, places = (passed["encoder_logits"],), (passed["encoder_pred_boxes"],)
            more, others = detection(scores, places, labels, spec.matching, words=names)
            loss = loss + more
            parts.update({f"{name}_enc": value for name, value in others.items()})
            if spec.every:
                earlier = [{"logits": one, "pred_boxes": box} for one, box in each[:-1]]
        return GroundedObjectsOutput(
            loss, parts, logits, boxes, earlier, last_hidden_state=states.last, input_ids=ids, **passed
        )

    def _grounded(
        self, layer: int, rows: Tensor, at: Tensor, words: Tensor, real: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, Q, W] and boxes [B, Q, 4] of what a layer gave, from where its queries stood."""
        logits = leaf(self, f"labels_{layer}")(
            vision_hidden_state=rows, text_hidden_state=words, text_token_mask=real
        )
        return logits, moved(leaf(self, f"boxes_{layer}")(rows), at)
