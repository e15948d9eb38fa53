"""Losses over vectors of texts, and the trainer that makes the vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.layout import Layout
from formers.pipelines.text.embedding import Recipe, pool
from formers.training.data.collators import DataCollatorWithPadding
from formers.training.trainer import Trainer

_SCALE, _MARGIN = 20.0, 0.5


def ranking(vectors: Tensor, scores: Tensor | None) -> Tensor:
    """Cross-entropy of finding each text's partner among those of the batch, and all further texts.

    Multiple negatives ranking (Henderson et al. 2017, section 4.4), over cosines times 20.

    Args:
        vectors: [G, B, E]; of first texts, of their partners, and of texts that are none.
        scores: not read.
    """
    unit = F.normalize(vectors, dim=-1)
    cosines = unit[0] @ unit[1:].flatten(0, 1).T  # [B, (G - 1) * B]
    return F.cross_entropy(_SCALE * cosines, torch.arange(len(cosines), device=cosines.device))


def cosine(vectors: Tensor, scores: Tensor | None) -> Tensor:
    """Mean squared difference of the cosines of pairs [2, B, E] and `scores` [B]."""
    assert scores is not None  # rows without one have another loss
    return F.mse_loss(F.cosine_similarity(vectors[0], vectors[1], dim=-1), scores)


def triplet(vectors: Tensor, scores: Tensor | None) -> Tensor:
    """How far the second of three texts [3, B, E] is not nearer to the first, by 0.5, than the third.

    The distance is 1 - cosine (Schroff et al. 2015, section 3.1).
    """
    near, far = (F.cosine_similarity(vectors[0], vectors[at], dim=-1) for at in (1, 2))
    return F.relu(far - near + _MARGIN).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "ranking": ranking,
    "cosine": cosine,
    "triplet": triplet,
}


class GroupCollator:
    """Rows of `texts` (ids of each text) -> ids [G * B, T] in the order of the texts, and `labels` [B]."""

    def __init__(self, tokenizer: Any) -> None:
        self.pad = DataCollatorWithPadding(tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Pad and stack."""
        texts = [
            {"input_ids": ids} for group in zip(*(row["texts"] for row in rows), strict=True) for ids in group
        ]
        return {**self.pad(texts), "labels": torch.tensor([row["labels"] for row in rows])}


class ContrastTrainer(Trainer):
    """Fits an encoder by a loss over the vectors of its texts.

    Args:
        recipe: how the states of a text become its vector.
        loss: name of one of `LOSSES`.
    """

    loss_is_normalised = False

    def __init__(self, *args: Any, recipe: Recipe, loss: str, **kwargs: Any) -> None:
        self.recipe, self.loss = recipe, LOSSES[loss]
        super().__init__(*args, **kwargs)
        self.recipe.steps.to(self.args.device)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch of `GroupCollator`."""
        given = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**given)
        layout = Layout.of(given["attention_mask"].bool())
        vectors = self.recipe.steps(pool(self.recipe.pools, layout.pack(outputs.last_hidden_state), layout))
        scores = inputs["labels"]
        loss = self.loss(vectors.unflatten(0, (-1, len(scores))), scores)
        return (loss, outputs) if return_outputs else loss
