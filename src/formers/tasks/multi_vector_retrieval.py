"""A vector for every token of a text or page, for comparing many of one with many of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from formers.core.outputs import ModelOutput, RetrievalOutput
from formers.nn.program import build
from formers.nn.steps import dense
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A projection of every row.

    Attributes:
        out: its path.
        width: of the vectors.
    """

    out: str
    width: int


class MultiVectorRetrieval(TaskModel):
    """A linear layer, and the rows brought to length one; rows of padding are zeros.

    Faysse et al. 2024, arXiv:2407.01449, section 4.1.
    """

    _options = ("return_dict",)
    _says = (
        "Make a vector of every token. There is no loss: `labels`, which processors give beside pages, are "
        "taken and not read."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        build(self, [dense("out", self._width(), spec.width)], {"out": spec.out})

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        rows = self._compute(states, states.rows)
        vectors = states.spread(rows / rows.norm(dim=-1, keepdim=True))  # [B, T, E]
        mask = given.get("attention_mask")
        if isinstance(mask, torch.Tensor) and mask.dim() == 2:
            vectors = vectors * mask[:, -vectors.shape[1] :, None]
        return RetrievalOutput(embeddings=vectors, **self._assembly.passed_on(states))
