"""Heads over texts and regions of a picture that read each other: answers, and what was hidden of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.cross_modality_outputs import CrossedAnswerOutput, CrossedPreTrainingOutput
from formers.core.outputs import ModelOutput
from formers.model.initialise import mark_filled
from formers.nn.activations import Activation
from formers.nn.leaves import linear, norm
from formers.nn.losses import cross_entropy
from formers.nn.program import compute
from formers.nn.spec import Norm
from formers.nn.tree import Group
from formers.stacks.stack import States
from formers.tasks.base import TaskModel
from formers.tasks.next_sentence import PreTraining, PreTrainingSpec
from formers.tasks.pooling import of_pooler


@dataclass(frozen=True)
class AnswerSpec:
    """A head for answers.

    Attributes:
        paths: of its node, and of the list inside it; None where there is no such head.
        count: how many answers there are.
        norm: between its two layers.
    """

    paths: tuple[str, str] | None
    count: int
    norm: Norm


@dataclass(frozen=True, kw_only=True)
class CrossModalitySpec(PreTrainingSpec):
    """A head for words and pairs, one for answers, and one for regions.

    Attributes:
        answers: the head for answers.
        regions: paths of that for regions, and in it of the node `before`, of its `dense`, `act` and `norm`,
            and of the outputs, `out`; None where there is none.
        tells: what is told of regions -> numbers of each; those of `vectors` are compared themselves.
        vectors: which those are.
        weight: of what is told of regions, in the loss.
        words_count: hidden words are in the loss; `pairs_count` whether text and picture fit.
    """

    answers: AnswerSpec
    regions: Mapping[str, str] | None
    tells: Mapping[str, int]
    vectors: tuple[str, ...] = ("feat",)
    weight: float = 1.0
    words_count: bool = True
    pairs_count: bool = True


class Answering(Group):
    """Two layers with an activation and a norm between: [B, E] -> [B, A]."""

    def __init__(self, s: AnswerSpec, width: int) -> None:
        super().__init__()
        assert s.paths is not None
        self._list, wide = s.paths[1], 2 * width
        first, last = linear("linear", width, wide), linear("linear", wide, s.count)
        self.add_module(self._list, nn.Sequential(first, Activation("gelu"), norm(s.norm, wide), last))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The answers' logits."""
        found: Tensor = self.get_submodule(self._list)(hidden_states)
        return found


class InTurn(Group):
    """Its children, one behind the other."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[.., E] -> [.., E]."""
        for part in self.children():
            hidden_states = part(hidden_states)
        return hidden_states


class Telling(Group):
    """What regions are: [B, P, E] -> [B, P, count] of each kind, by name."""

    def __init__(self, s: CrossModalitySpec, width: int) -> None:
        super().__init__()
        assert s.regions is not None
        self._before, self._out = s.regions["before"], s.regions["out"]
        inside = InTurn()
        inside.add_module(s.regions["dense"], linear("linear", width, width))
        inside.add_module(s.regions["act"], Activation(str(s.act)))
        inside.add_module(s.regions["norm"], norm(s.answers.norm, width))
        self.add_module(self._before, inside)
        outputs = {name: linear("linear", width, count) for name, count in s.tells.items()}
        self.add_module(self._out, nn.ModuleDict(outputs))

    def forward(self, hidden_states: Tensor) -> dict[str, Tensor]:
        """[B, P, E] -> what is told."""
        x = self.get_submodule(self._before)(hidden_states)
        return {name: one(x) for name, one in self.get_submodule(self._out).named_children()}


class Answerable(TaskModel):
    """What models have whose head for answers may grow."""

    def _answers(self) -> Any:
        spec = self._formers.facts["head"]
        told: AnswerSpec = spec if isinstance(spec, AnswerSpec) else spec.answers
        return None if told.paths is None else self.get_submodule(".".join(told.paths))

    def get_qa_logit_layer(self) -> Any:
        """The output layer for answers; None where there is none."""
        found = self._answers()
        return None if found is None else found[-1]

    def resize_num_qa_labels(self, num_labels: int | None) -> Any:
        """Let the head tell so many answers apart; those that it knew stay, new ones are drawn.

        Returns:
            The output layer; None where there is no number, or no such head.

        Raises:
            ValueError: for less than one.
        """
        found, old = self._answers(), self.get_qa_logit_layer()
        if num_labels is None or old is None:
            return None
        if num_labels < 1:
            raise ValueError(f"a head tells 1 answer apart at least, not {num_labels}")
        if num_labels == old.out_features:
            return old
        new: Any = linear("linear", old.in_features, num_labels).to(old.weight)
        nn.init.normal_(new.weight, std=self._initial_deviations()[0])
        nn.init.zeros_(new.bias)
        kept = min(num_labels, old.out_features)
        new.weight.data[:kept], new.bias.data[:kept] = old.weight.data[:kept], old.bias.data[:kept]
        mark_filled(new)
        found[-1] = new
        self.config.num_qa_labels = self.num_qa_labels = num_labels
        return new


class CrossModalityAnswers(Answerable):
    """One logit for every answer, by the pooler's vector."""

    _options = ("return_dict",)
    _says = "Answer questions about regions of a picture. `labels`: [B], int64, the right answers."

    def _place_head(self, spec: AnswerSpec, config: Any) -> None:
        assert spec.paths is not None
        self.num_qa_labels = spec.count
        self.add_module(spec.paths[0], Answering(spec, self._width()))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: AnswerSpec = self._formers.facts["head"]
        assert spec.paths is not None
        logits: Tensor = self.get_submodule(spec.paths[0])(of_pooler(states))
        labels = targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels)
        return CrossedAnswerOutput(loss, logits, **self._assembly.passed_on(states))


class CrossModalityPreTraining(PreTraining, Answerable):
    """Hidden words, regions, whether a text fits its picture, and answers, all at once."""

    _targets = ("labels", "obj_labels", "matched_label", "ans")
    _options = ("return_dict",)
    _says = (
        "Predict what was hidden. `labels`: [B, T], int64; `obj_labels`: what is told of regions, by name, "
        "each with how much a region counts, [B, P]; `matched_label`: [B], int64, 1 where a text fits; "
        "`ans`: [B], int64."
    )

    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        if spec.regions is not None:
            self.add_module(spec.regions["home"], Telling(spec, self._width()))
        if spec.answers.paths is not None:
            self.num_qa_labels = spec.answers.count
            self.add_module(spec.answers.paths[0], Answering(spec.answers, self._width()))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: CrossModalitySpec = self._formers.facts["head"]
        flow, pool = states.flow(), of_pooler(states)
        flow.entered = pool
        compute(self, flow)
        assert flow.weights is not None
        words, pairs, path = flow.x, flow.weights, spec.answers.paths
        answers: Tensor = pool[0, 0] if path is None else self.get_submodule(path[0])(pool)
        losses = [
            cross_entropy(logits, targets[name])
            for name, logits, counts in (
                ("labels", words, spec.words_count),
                ("matched_label", pairs, spec.pairs_count),
                ("ans", answers, path is not None),
            )
            if targets[name] is not None and counts
        ]
        if targets["obj_labels"] is not None and spec.regions is not None:
            told = self.get_submodule(spec.regions["home"])(states.extras["vision_output"])
            losses += [_of_regions(spec, name, told[name], targets["obj_labels"]) for name in spec.tells]
        asked = any(one is not None for one in targets.values())
        loss = sum(losses, words.new_zeros(())) if asked else None
        return CrossedPreTrainingOutput(loss, words, pairs, answers, **self._assembly.passed_on(states))


def _of_regions(spec: CrossModalitySpec, name: str, found: Tensor, labels: Any) -> Tensor:
    """The loss of one thing that is told of regions.

    Raises:
        ValueError: where it is not among the labels, or does not fit.
    """
    flat = found.flatten(0, -2)
    try:
        right, counts = labels[name]
        right = right.reshape(flat.shape if name in spec.vectors else flat.shape[:1])
        counts = counts.reshape(flat.shape[:1])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise ValueError(
            f"obj_labels is a dictionary with the keys {', '.join(spec.tells)}, each a pair of tensors: what "
            f"regions are, and how much each counts, {list(found.shape[:2])}; that of {name} is not"
        ) from None
    if name in spec.vectors:
        each = F.smooth_l1_loss(flat, right, reduction="none").mean(1)
    else:
        each = F.cross_entropy(flat, right, reduction="none")
    total: Tensor = (each * counts).mean() * spec.weight
    return total
