"""Which code is hidden at a moment, among those of others (Baevski et al. 2020, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import ContrastedOutput
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, Normal, Uniform, begins
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A head for hidden moments.

    Attributes:
        features: width of what the codes stand for.
        groups: of codes, from each of which one is chosen; `codes` how many a group has.
        width: of the chosen codes of all groups together.
        space: width of the space in which states and codes are compared.
        temperature: of the comparison.
        spread: factor of the loss that wants codes to be used evenly.
        dropout: on the features.
    """

    features: int
    groups: int
    codes: int
    width: int
    space: int
    temperature: float
    spread: float
    dropout: float = 0.0


class Codes(nn.Module):
    """One code of each group for every moment: in training drawn (Gumbel), else the best."""

    row_wise = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if spec.width % spec.groups:
            raise ValueError(f"codevector_dim={spec.width} cannot be divided by {spec.groups} groups")
        self.num_groups, self.num_vars, self.temperature = spec.groups, spec.codes, 2.0
        each = spec.width // spec.groups
        self.codevectors = nn.Parameter(torch.empty(1, spec.groups * spec.codes, each))
        begins(self, codevectors=Uniform(1.0, 0.0))
        made = nn.Linear(spec.features, spec.groups * spec.codes)
        self.weight_proj = begins(made, weight=Normal(1.0), bias=Constant(0.0))

    def forward(
        self, hidden_states: Tensor, mask_time_indices: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """[B, T, C] -> codes [B, T, width], and how many are used, of all groups together (a scalar).

        With `mask_time_indices` [B, T] those of hidden moments are counted.
        """
        batch, length, _ = hidden_states.shape
        scores = self.weight_proj(hidden_states).view(batch * length, self.num_groups, self.num_vars)
        if self.training:
            chosen = F.gumbel_softmax(scores.float(), tau=self.temperature, hard=True).type_as(scores)
            shares = scores.float().softmax(-1)
        else:
            shares = chosen = F.one_hot(scores.argmax(-1), self.num_vars).to(scores.dtype)
        counted = shares if mask_time_indices is None else shares[mask_time_indices.flatten().bool()]
        mean = counted.sum(0) / counted.shape[0]
        used = torch.exp(-torch.xlogy(mean, mean).sum(-1)).sum()
        codes = self.codevectors.view(self.num_groups, self.num_vars, -1)
        found = torch.einsum("ngv,gvd->ngd", chosen, codes)
        return found.reshape(batch, length, -1), used


class ContrastivePretraining(TaskModel):
    """States and codes in one space, and how well hidden ones are told from others."""

    _targets: ClassVar[tuple[str, ...]] = ("sampled_negative_indices",)
    _says = (
        "Learn from sounds. `sampled_negative_indices`: [B, T, N], int64, moments of the other codes, "
        "counted through the batch; with `mask_time_indices` the loss follows."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        place(self, "dropout", "dropout_features", Dropout(spec.dropout))
        place(self, "codes", "quantizer", Codes(spec))
        place(self, "states", "project_hid", nn.Linear(self._width(), spec.space))
        place(self, "chosen", "project_q", nn.Linear(spec.width, spec.space))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.keep_padding = True
        if targets["sampled_negative_indices"] is None:
            return
        if given.get("mask_time_indices") is None:
            raise ValueError("sampled_negative_indices need mask_time_indices, which say what is hidden")
        if wiring(self._owner()).facts["spec"].behind is not None:
            raise ValueError(
                "layers behind the encoder (add_adapter) make its rows fewer than those that are hidden, so "
                "there is no loss: leave sampled_negative_indices out, or add_adapter"
            )

    def set_gumbel_temperature(self, temperature: float) -> None:
        """How evenly codes are drawn in training."""
        leaf(self, "codes").temperature = temperature

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        hidden, others = given.get("mask_time_indices"), targets["sampled_negative_indices"]
        found = leaf(self, "states")(states.last)
        features = leaf(self, "dropout")(states.extras["extract_features"])
        codes, used = leaf(self, "codes")(features, mask_time_indices=hidden)
        wanted = leaf(self, "chosen")(codes.to(leaf(self, "chosen").weight.dtype))
        losses: tuple[Tensor | None, ...] = (None, None, None)
        if others is not None and hidden is not None:
            losses = _losses(spec, found, wanted, others, hidden, used)
        held = self._assembly.passed_on(states)
        return ContrastedOutput(losses[0], found, wanted, used, *held.values(), *losses[1:])


def _losses(
    spec: Spec, found: Tensor, wanted: Tensor, others: Tensor, hidden: Tensor, used: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and its two parts: hidden moments told from others, and codes used evenly."""
    hidden = hidden.bool()
    negative = wanted.flatten(0, 1)[others.long()[hidden]]  # [M, N, D]
    positive, states = wanted[hidden][:, None], found[hidden][:, None]
    scores = F.cosine_similarity(states.float(), torch.cat([positive, negative], 1).float(), dim=-1)
    scores = scores / spec.temperature
    same = (negative == positive).all(-1)
    scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(same, float("-inf"))], 1)
    right = torch.zeros(scores.shape[0], dtype=torch.long, device=scores.device)
    contrastive = F.cross_entropy(scores, right, reduction="sum")
    count = spec.groups * spec.codes
    even = (count - used) / count * hidden.sum()
    return contrastive + spec.spread * even, contrastive, even
