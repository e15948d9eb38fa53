"""Heads over two towers with layers over both: whether texts fit images, and vectors that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.bridged_tower_outputs import BridgedTowersContrastOutput
from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.fresh import Constant
from formers.nn.leaves import linear
from formers.nn.losses import cross_entropy
from formers.nn.tree import Group, leaf, place_tensor
from formers.stacks.stack import States
from formers.tasks.base import TaskModel
from formers.tasks.pooling import of_pooler


@dataclass(frozen=True)
class FitSpec:
    """Whether a text fits: path of the node, and width of what it reads."""

    path: str
    width: int


@dataclass(frozen=True)
class ContrastSpec:
    """Vectors that are compared.

    Attributes:
        paths: of the heads over the first states of texts, over those of images, and over both.
        width: of states.
        size: of the vectors.
        scale: logarithm of the factor on their cosines, in a fresh model.
    """

    paths: tuple[str, str, str]
    width: int
    size: int
    scale: float


class Reading(Group):
    """One layer."""

    def __init__(self, read: int, made: int) -> None:
        super().__init__()
        self.fc = linear("linear", read, made)

    def forward(self, rows: Tensor) -> Tensor:
        """[B, read] -> [B, made]."""
        found: Tensor = self.fc(rows)
        return found


class ImageTextMatching(TaskModel):
    """Two logits: it does not, it does."""

    _options = ("return_dict",)
    _unread_inputs = ("image_token_type_idx", "interpolate_pos_encoding")
    _says = "Judge whether texts fit pictures. `labels`: [B], int64, 1 where one does."

    def _place_head(self, spec: FitSpec, config: Any) -> None:
        self.add_module(spec.path, Reading(2 * spec.width, 2))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: FitSpec = self._formers.facts["head"]
        logits: Tensor = self.get_submodule(spec.path)(of_pooler(states))
        labels = targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels)
        return TaskOutput(loss, logits, **self._assembly.passed_on(states))


class BridgedTowersContrast(TaskModel):
    """Vectors of texts, of images, and of both, each of which is to be nearest to its own."""

    _targets = ()
    _options = ("return_loss", "return_dict")
    _unread_inputs = ("image_token_type_idx", "interpolate_pos_encoding")
    _says = "Compare texts and images. `return_loss`: compute the loss of those that belong together."

    def _place_head(self, spec: ContrastSpec, config: Any) -> None:
        for path, read in zip(spec.paths, (spec.width, spec.width, 2 * spec.width), strict=True):
            self.add_module(path, Reading(read, spec.size))
        factor = torch.tensor(float(spec.scale))
        place_tensor(self, "scale", "logit_scale", factor, Constant(spec.scale), False)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: ContrastSpec = self._formers.facts["head"]
        texts, images = (one[-1] for one in states.pass_.trace["hidden_states"][:2])
        base: Any = self.base_model
        marks = base.token_type_embeddings(torch.full((1,), 1, device=texts.device))
        seen = base.vision_model.visual.closed(images)
        images = self._assembly.brought(base, seen) + marks  # type: ignore[attr-defined]  # of these towers
        read = (texts[:, 0], images[:, 0], of_pooler(states))
        made = [
            F.normalize(self.get_submodule(path)(one), dim=-1)
            for path, one in zip(spec.paths, read, strict=True)
        ]
        loss = None
        if given.get("return_loss"):
            right = torch.arange(len(texts), device=texts.device)
            pairs = ((0, 1), (0, 2), (1, 2))
            factor = leaf(self, "scale").exp()
            each = [cross_entropy(made[one] @ made[other].t() * factor, right) for one, other in pairs]
            loss = torch.stack(each).mean()
        return BridgedTowersContrastOutput(
            loss, torch.stack(made, dim=-2), made[0], made[1], made[2], **self._assembly.passed_on(states)
        )
