"""Labels of texts about regions of a picture: answers, judgements, and which region a phrase means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.leaves import linear
from formers.nn.losses import cross_entropy
from formers.nn.tree import Group, leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.next_sentence import PicturePreTraining, PreTrainingSpec
from formers.tasks.pooling import at_column
from formers.tasks.sequence_classification import SequenceClassification


def shares(labels: Any, logits: Tensor, what: str) -> Tensor:
    """Labels that say how much of each row falls on which logit.

    Raises:
        ValueError: for another shape.
    """
    if not isinstance(labels, Tensor) or labels.shape != logits.shape:
        found = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels say {what}, a tensor {list(logits.shape)}, not {found}")
    return labels


def divergence(scores: Tensor, labels: Tensor) -> Tensor:
    """Kullback-Leibler divergence of log-shares from the labels' shares, summed, by rows of the batch."""
    return F.kl_div(scores, labels.to(scores.dtype), reduction="batchmean")


class RegionQuestions(SequenceClassification):
    """One logit for every answer, by the last word of the question.

    With labels the logits come back normalised, as logarithms of shares.
    """

    _says = "Answer questions about regions. `labels`: [B, C], floating, the share of each answer."

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.first_only = False

    def _logits(self, states: States, given: dict[str, Any]) -> Tensor:
        """Those of the place before the last separator.

        Raises:
            ValueError: for a text of one token.
        """
        ids, mask = given.get("input_ids"), given.get("attention_mask")
        rows = given["inputs_embeds"] if ids is None else ids
        counts = rows.new_full(rows.shape[:1], rows.shape[1]).long() if mask is None else mask.sum(1).long()
        if int(counts.min()) < 2:
            raise ValueError(
                "a question is answered by the state of its last word, before the separator, but a row of "
                "attention_mask has fewer than two tokens"
            )
        return self._compute(states, at_column(states, counts - 2)[:, None])[:, 0]  # the shape that hooks see

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels, loss = self._logits(states, given), targets["labels"], None
        if labels is not None:
            logits = logits.log_softmax(-1)
            loss = divergence(logits, shares(labels, logits, "the share of each answer"))
        return self._record(TaskOutput, states, loss, logits)


class RegionReasoning(SequenceClassification):
    """One label for a text about two pictures, whose regions stand behind it."""

    _says = "Judge texts about regions. `labels`: [B], int64."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = self._logits(states, given), targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)


@dataclass(frozen=True, kw_only=True)
class PhraseSpec(PreTrainingSpec):
    """A head for pretraining, which stays, and one of queries and keys, `heads` times narrower than E."""

    attention: str = "attention"
    heads: int = 1


class Chooser(Group):
    """What compares places of a text with regions: [B, Q, E], [B, P, E], mask [B, P] -> [B, Q, P]."""

    def forward(self, query: Tensor, key: Tensor, attention_mask: Tensor) -> Tensor:
        """Products, over the root of their width; the least number at padding."""
        queries, keys = leaf(self, "phrase_query")(query), leaf(self, "phrase_key")(key)
        scores: Tensor = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
        hidden = (1.0 - attention_mask.to(scores.dtype)) * torch.finfo(scores.dtype).min
        return scores + hidden[:, None]


class RegionPhrases(PicturePreTraining):
    """Which regions a phrase means (Plummer et al. 2015, arXiv:1505.04870)."""

    _targets = ("region_to_phrase_position", "labels")
    _options = ("return_dict",)
    _says = (
        "Find the regions that phrases mean. `region_to_phrase_position`: [B, Q], int64, the place of each "
        "phrase, -1 for none; `labels`: [B, Q, P], floating, the share of each region."
    )

    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        width, node = self._width(), Chooser()
        self.add_module(spec.attention, node)
        for role in ("query", "key", "value"):
            place(node, f"phrase_{role}", role, linear("linear", width, width // spec.heads))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        where, labels, loss = targets["region_to_phrase_position"], targets["labels"], None
        seen, mask = given.get("visual_embeds"), given.get("visual_attention_mask")
        if where is None or seen is None:
            raise ValueError(
                "region_to_phrase_position says where phrases stand, and visual_embeds what they may mean: "
                "pass both"
            )
        last, count = states.last, seen.shape[1]  # [B, T + P, E]
        if where.dim() != 2 or len(where) != len(last) or int(where.max()) >= last.shape[1]:
            raise ValueError(
                f"region_to_phrase_position has shape [{len(last)}, phrases] and places below {last.shape[1]}"
                f", or -1; its shape is {list(where.shape)}, its largest {int(where.max())}"
            )
        chosen = last.gather(1, where.clamp(min=0)[..., None].expand(-1, -1, last.shape[-1]))
        mask = last.new_ones(last.shape[0], count) if mask is None else mask
        attention: Any = self._modules[self._formers.facts["head"].attention]
        logits: Tensor = attention(chosen, last[:, -count:], mask)
        if labels is not None:
            loss = divergence(logits.log_softmax(-1), shares(labels, logits, "the share of each region"))
        return self._record(TaskOutput, states, loss, logits)
