"""One label for a whole image."""

from __future__ import annotations

from typing import Any

from torch import nn

from formers.nn.program import Step, build
from formers.nn.steps import First, Flatten, Project
from formers.tasks.sequence_classification import SequenceClassification, Spec


class ImageClassification(SequenceClassification):
    """The class token's state, and one logit per label; without labels the state itself."""

    _unread_inputs = ("bool_masked_pos",)
    _says = "Classify images. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if self._count(config):
            super()._place_head(spec, config)
        else:
            self.num_labels = 0
            first: list[Step] = [First()] if spec.pool == "first" else []
            first += [Flatten("flat")] if spec.flat else []
            build(self, [*first, Project("out", nn.Identity)], spec.names())
