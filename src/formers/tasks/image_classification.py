"""One label for a whole image."""

from __future__ import annotations

from typing import Any

from torch import nn

from formers.nn.tree import place
from formers.tasks.sequence_classification import SequenceClassification, Spec


class ImageClassification(SequenceClassification):
    """The class token's state, and one logit per label; without labels the state itself."""

    _says = "Classify images. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _place_head(self, spec: Spec, config: Any) -> None:
        super()._place_head(spec, config)
        if not self.num_labels:
            place(self, "out", spec.out, nn.Identity())
