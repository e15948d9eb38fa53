"""Distillation: a small model learns what a large one would say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from formers.training.losses import IGNORED
from formers.training.trainer import Trainer


def soft_loss(student: Tensor, teacher: Tensor, real: Tensor, temperature: float) -> Tensor:
    """How far the student's distribution is from the teacher's (Hinton et al. 2015, arXiv:1503.02531).

    Args:
        student: logits [..., C].
        teacher: logits [..., C].
        real: [...], bool, which places count.
        temperature: T, of both; the divergence is weighed by its square, as its gradient falls by that.

    Returns:
        Scalar, float32: the mean over the places that count.
    """
    inputs, targets = (logits[real].float().div(temperature).log_softmax(-1) for logits in (student, teacher))
    return F.kl_div(inputs, targets, reduction="batchmean", log_target=True) * temperature**2


def states_loss(
    student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], real: Tensor, layers: Mapping[int, int]
) -> Tensor:
    """One less the cosine of hidden states [B, T, E], the mean over layers and places (Sanh et al. 2019).

    Args:
        student: of the embeddings and every layer.
        teacher: the same; of the same width E.
        real: [B, T], bool.
        layers: which of the student's is compared with which of the teacher's, as places in those tuples.

    Raises:
        ValueError: for other widths.
    """
    if student[0].shape[-1] != teacher[0].shape[-1]:
        raise ValueError(
            f"hidden states of {student[0].shape[-1]} and {teacher[0].shape[-1]} features cannot be compared:"
            " leave states_weight out, or take a student as wide as its teacher"
        )
    each = [1 - F.cosine_similarity(student[a][real], teacher[b][real], dim=-1) for a, b in layers.items()]
    return torch.stack(each).mean()


class DistillationTrainer(Trainer):
    """Trains a student on labels, where there are any, and on what its teacher says of the same batch.

    The loss is `(1 - soft_weight) * own + soft_weight * soft_loss + states_weight * states_loss`, a mean over
    the places of the batch; without labels the first part is left out. Both models read the same ids.

    Args:
        teacher: stays as it is, in evaluation mode.
        temperature: of both distributions.
        soft_weight: 0 to 1, the share of what the teacher says in the loss.
        states_weight: weight of the hidden states; 0 leaves them out.
        layers: the student's states -> the teacher's, as places in `hidden_states`; by default those that
            are as far up, the last with the last.
    """

    loss_is_normalised = False

    def __init__(
        self,
        *args: Any,
        teacher: nn.Module,
        temperature: float = 2.0,
        soft_weight: float = 0.5,
        states_weight: float = 0.0,
        layers: Mapping[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if temperature <= 0 or not 0 <= soft_weight <= 1 or states_weight < 0:
            raise ValueError(
                f"temperature is above 0, soft_weight between 0 and 1, states_weight not below 0; got "
                f"{temperature}, {soft_weight}, {states_weight}"
            )
        sizes = [getattr(getattr(m, "config", None), "vocab_size", None) for m in (self.bare_model, teacher)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"student and teacher read the same ids, but have vocabularies of {sizes[0]} and {sizes[1]}: "
                "take a student that was made for the teacher's tokenizer"
            )
        self.teacher = teacher.to(self.accelerator.device).eval().requires_grad_(False)
        self.temperature, self.soft_weight = temperature, soft_weight
        self.states_weight, self.layers = states_weight, layers

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch; the mean over its places."""
        wanted = {"output_hidden_states": True} if self.states_weight else {}
        outputs = model(**inputs, **wanted)
        with torch.no_grad():
            asked = self.teacher(**{k: v for k, v in inputs.items() if k != "labels"}, **wanted)
        if outputs["logits"].shape != asked["logits"].shape:
            raise ValueError(
                f"the student's logits have shape {list(outputs['logits'].shape)}, the teacher's "
                f"{list(asked['logits'].shape)}: both need one head, with the same labels"
            )
        loss = self.soft_weight * soft_loss(
            outputs["logits"], asked["logits"], self._places(inputs, outputs["logits"]), self.temperature
        )
        if inputs.get("labels") is not None:
            loss = loss + (1 - self.soft_weight) * outputs["loss"]
        if self.states_weight:
            states = outputs["hidden_states"], asked["hidden_states"]
            layers = self.layers or _as_far_up(len(states[0]) - 1, len(states[1]) - 1)
            loss = loss + self.states_weight * states_loss(*states, self._read(inputs, states[0][0]), layers)
        return (loss, outputs) if return_outputs else loss

    def _places(self, inputs: Mapping[str, Tensor], logits: Tensor) -> Tensor:
        """Which logits [..., C] count: of sequences all, of tokens those with a label, or read as text."""
        if logits.dim() == 2:
            return torch.ones(logits.shape[:1], dtype=torch.bool, device=logits.device)
        labels = inputs.get("labels")
        if labels is None:
            return self._read(inputs, logits)
        real = labels != IGNORED
        # where place i predicts label i + 1, the last place predicts none
        return F.pad(real[:, 1:], (0, 1)) if self.shifts_labels else real

    @staticmethod
    def _read(inputs: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        mask = inputs.get("attention_mask")
        real = torch.ones(rows.shape[:2], device=rows.device) if mask is None else mask
        return real.bool()


def _as_far_up(student: int, teacher: int) -> dict[int, int]:
    return {place: round(place * teacher / student) for place in range(1, student + 1)}
