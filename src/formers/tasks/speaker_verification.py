"""A vector for a voice (Snyder et al. 2018, "X-vectors")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.audio.waveform_encoder import real_rows
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import VoiceOutput
from formers.nn.fresh import Normal, begins
from formers.nn.program import build
from formers.nn.steps import dense
from formers.nn.tree import has, hold, leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.audio_classification import mixed, place_mix
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A head for voices.

    Attributes:
        widths: of the layers that read several moments; `kernels` how many, `dilations` how far apart.
        out: width of the vector.
        mixed: as that of `audio_classification.Spec`; `count` too.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    out: int
    mixed: str | None = None
    count: int = 0


class SeveralMoments(nn.Module):
    """A linear layer over several moments that lie `dilation` apart."""

    def __init__(self, before: int, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel, self.reach, self.dilation = nn.Linear(before * kernel, width), kernel, dilation
        self.activation = nn.ReLU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, T, E] -> [B, T - dilation * (kernel - 1), E']."""
        count = hidden_states.shape[1] - self.dilation * (self.reach - 1)
        if count < 1:
            raise ValueError(f"{hidden_states.shape[1]} moments are too few for a vector: pad the sounds")
        each = [hidden_states[:, at * self.dilation :][:, :count] for at in range(self.reach)]
        found: Tensor = self.activation(self.kernel(torch.cat(each, -1)))
        return found


class MarginLoss(nn.Module):
    """Cosines to one direction for each label, less a margin for the right one (arXiv:1801.05599)."""

    row_wise = True

    def __init__(self, width: int, labels: int, scale: float = 30.0, margin: float = 0.4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, labels))
        self.scale, self.margin = scale, margin
        begins(self, weight=Normal(1.0))

    def forward(self, hidden_states: Tensor, labels: Tensor) -> Tensor:
        """[B, D] and [B], int64 -> the loss."""
        labels = labels.flatten()
        cosines = F.normalize(hidden_states, dim=1) @ F.normalize(self.weight, dim=0)
        less = self.margin * F.one_hot(labels, cosines.shape[1])
        return F.cross_entropy(self.scale * (cosines - less), labels)


class SpeakerVerification(TaskModel):
    """Means and deviations over time, and a vector of them."""

    _says = "Turn voices into vectors. `labels`: [B], int64, whose they are."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = config.num_labels
        place_mix(self, spec.mixed, spec.count)
        build(self, [dense("projector", self._width(), spec.widths[0])], {"projector": "projector"})
        before = (spec.widths[0], *spec.widths)
        layers = zip(before, spec.widths, spec.kernels, spec.dilations, strict=False)
        hold(self, "tdnn", nn.ModuleList(SeveralMoments(*one) for one in layers))
        place(self, "vector", "feature_extractor", nn.Linear(2 * spec.widths[-1], spec.out))
        place(self, "out", "classifier", nn.Linear(spec.out, spec.out))
        place(self, "objective", "objective", MarginLoss(spec.out, config.num_labels))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.hidden = ask.hidden or has(self, "mixed")
        ask.keep_padding = True  # moments before the end read those behind it

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        x = states.spread(self._compute(states, mixed(self, states)))  # [B, T, E]
        for layer in self.tdnn:
            x = layer(x)
        mask = given.get("attention_mask")
        if mask is None:
            parts = x.mean(1), x.std(1)
        else:
            counts = real_rows(self, mask, given[self.main_input_name]) - sum(k - 1 for k in spec.kernels)
            rows = [row[:count] for row, count in zip(x, counts.tolist(), strict=True)]
            parts = torch.stack([r.mean(0) for r in rows]), torch.stack([r.std(0) for r in rows])
        vectors: Tensor = leaf(self, "vector")(torch.cat(parts, -1))
        logits: Tensor = leaf(self, "out")(vectors)
        labels = targets["labels"]
        loss = None if labels is None else leaf(self, "objective")(logits, labels)
        return self._record(VoiceOutput, states, loss, logits, vectors)
