"""Pre-training tasks over pairs of sentences, alone or beside masked words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from formers.core.outputs import ModelOutput, PreTrainingOutput, SentenceOrderOutput, TaskOutput
from formers.nn.leaves import linear
from formers.nn.losses import cross_entropy
from formers.nn.program import Flow, Step, build, compute
from formers.nn.steps import Drop, dense
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States
from formers.tasks import language_model
from formers.tasks.base import TaskModel
from formers.tasks.pooling import of_pooler


@dataclass(frozen=True)
class Spec:
    """A head for pairs of sentences: the path of its output layer."""

    follows: str = "cls.seq_relationship"


class NextSentencePrediction(TaskModel):
    """Two logits: the second sentence follows the first, or not (Devlin et al. 2018, arXiv:1810.04805)."""

    _says = "Judge pairs. `labels`: [B], int64: 0 follows, 1 does not."

    def _place_head(self, spec: Spec, config: Any) -> None:
        build(self, [dense("follows", self._width(), 2)], {"follows": spec.follows})

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.first_only = True

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = self._compute(states, of_pooler(states)), targets["labels"]  # [B, 2]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)


class Follow(Step):
    """Whether the sentences belong together, from the pooled vector; it stands beside the words' logits."""

    adds = attends = True  # its node is told the pooled vector, and returns two results

    def __init__(self, width: int) -> None:
        super().__init__()
        self.leaves = {"follows": lambda: linear("linear", width, 2)}

    def run(self, node: Any, flow: Flow) -> None:
        """Pooled vectors [B, E] -> [B, 2]; the words' logits pass unchanged."""
        flow.weights = leaf(node, "follows")(flow.entered)


@dataclass(frozen=True, kw_only=True)
class PreTrainingSpec(language_model.Spec):
    """A head for words, and the path of the output layer for pairs of sentences.

    If `words_suffice`, there is a loss without a label for the pair.
    """

    follows: str = "cls.seq_relationship"
    words_suffice: bool = False


class PreTraining(language_model.MaskedLM):
    """Masked words and next sentence at once."""

    _targets: ClassVar[tuple[str, ...]] = ("labels", "next_sentence_label")
    _options = TaskModel._options

    def _steps(self, spec: Any, config: Any) -> tuple[list[Step], dict[str, str | None]]:
        steps, names = super()._steps(spec, config)
        return [*steps, Follow(self._width())], {**names, "follows": spec.follows}

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        flow = states.flow()
        flow.entered = of_pooler(states)
        compute(self, flow)
        words, follows = states.spread(flow.x), flow.weights  # [B, T, V], [B, 2]
        labels, next_label, loss = targets["labels"], targets[self._targets[1]], None
        if labels is not None and (next_label is not None or self._formers.facts["head"].words_suffice):
            # two losses with different counts have no common divisor
            loss = cross_entropy(words, labels)
            if next_label is not None:
                assert follows is not None
                loss = loss + cross_entropy(follows, next_label)
        return PreTrainingOutput(loss, words, follows, states.hidden, states.attentions)


class PicturePreTraining(PreTraining):
    """Masked words, and whether a text fits its picture, at once; words' labels are of all rows."""

    _targets = ("labels", "sentence_image_labels")


@dataclass(frozen=True, kw_only=True)
class OrderSpec(language_model.Spec):
    """A head for words, and the paths of that for the order of sentences and of its dropout."""

    order: str
    dropout: float
    dropout_path: str


class _Beside(Step):
    """The pooled vector takes the place of the words' logits, which the flow keeps."""

    def run(self, node: Any, flow: Flow) -> None:
        """[.., V] -> [B, E]."""
        assert flow.entered is not None
        flow.normed, flow.x = flow.x, flow.entered


class SentenceOrder(language_model.MaskedLM):
    """Masked words and the order of sentences at once (Lan et al. 2019, arXiv:1909.11942, section 3.1)."""

    _targets = ("labels", "sentence_order_label")
    _options = TaskModel._options

    def _steps(self, spec: Any, config: Any) -> tuple[list[Step], dict[str, str | None]]:
        steps, names = super()._steps(spec, config)
        order = [Drop("dropout", spec.dropout), dense("order", self._width(), config.num_labels)]
        return [*steps, _Beside(), *order], {**names, "order": spec.order, "dropout": spec.dropout_path}

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        flow = states.flow()
        flow.entered = of_pooler(states)
        compute(self, flow)
        assert flow.normed is not None
        words, order = states.spread(flow.normed), flow.x  # [B, T, V], [B, C]
        labels, order_label, loss = targets["labels"], targets["sentence_order_label"], None
        if labels is not None and order_label is not None:
            loss = cross_entropy(words, labels) + cross_entropy(order, order_label)
        return SentenceOrderOutput(loss, words, order, states.hidden, states.attentions)
