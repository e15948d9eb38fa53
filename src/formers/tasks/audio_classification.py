"""One label for a whole sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.nn.fresh import Constant
from formers.nn.program import Step
from formers.nn.steps import Mean, dense
from formers.nn.tree import has, leaf, place_tensor
from formers.stacks.stack import Ask, States
from formers.tasks import sequence_classification
from formers.tasks.sequence_classification import SequenceClassification


@dataclass(frozen=True)
class Spec(sequence_classification.Spec):
    """A head for sounds.

    Attributes:
        inner: width of the layer `dense`, whose results are averaged over the sound.
        mixed: path of one weight for each kept hidden state, whose sum is read in place of the last; or None.
        count: how many hidden states there are.
    """

    inner: int = 256
    mixed: str | None = None
    count: int = 0

    def steps(self, width: int, labels: int) -> list[Step]:
        """[B, T, E] -> [B, C]."""
        return [dense("dense", width, self.inner), Mean(), dense("out", self.inner, labels)]


def place_mix(model: Any, path: str | None, count: int) -> None:
    """Register one weight for each kept hidden state, where there is a path for them."""
    if path is not None:
        even = 1.0 / count
        place_tensor(model, "mixed", path, torch.full((count,), even), Constant(even), keep=False)


def mixed(model: Any, states: States) -> Tensor:
    """The last states, or what the weights make of all: [N, E], or [B, T, E] in a watched pass.

    Raises:
        ValueError: where the hidden states are missing.
    """
    if not has(model, "mixed"):
        return states.rows
    held = states.hidden
    if held is None:
        raise ValueError(
            "the hidden states of all layers are read, but encoder_outputs hold none: encode with "
            "output_hidden_states=True"
        )
    made: Tensor = torch.stack(held, -1) @ leaf(model, "mixed").softmax(-1)  # [B, T, E, L + 1] @ [L + 1]
    return made if states.watched else states.layout.pack(made)


class AudioClassification(SequenceClassification):
    """The mean over time of projected states, and one logit per label."""

    _says = "Classify sounds. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        place_mix(self, spec.mixed, spec.count)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.hidden = ask.hidden or has(self, "mixed")

    def _logits(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, C]."""
        return self._compute(states, mixed(self, states))
