"""What entities in a text are: hidden ones, and labels of one, of a pair, and of every span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import EntityWordsOutput, ModelOutput, TaskOutput
from formers.nn.fresh import Constant
from formers.nn.losses import binary, cross_entropy
from formers.nn.program import Bare, Flow, Inner, Step, build, compute, run_inner
from formers.nn.steps import Drop, dense
from formers.nn.tree import leaf, path_of
from formers.stacks.stack import States
from formers.tasks import language_model
from formers.tasks.base import TaskModel
from formers.tasks.transform import Transform


def entities_of(states: States, least: int = 1) -> Tensor:
    """The states of entities, [B, N, E].

    Raises:
        ValueError: where there are fewer than the head reads.
    """
    found: Tensor | None = states.extras.get("entity_last_hidden_state")
    if found is None or found.shape[1] < least:
        count = 0 if found is None else found.shape[1]
        raise ValueError(
            f"this head reads {least} or more entities a row, but got {count}: pass entity_ids and "
            "entity_position_ids"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class WordsSpec(language_model.Spec):
    """A head for words, and one for entities.

    Attributes:
        entities: what stands before their table; `inner` is its width.
        entity_out: path of the table, which is that of the stem where the config ties tables.
        entity_bias: path of a tensor that is added.
        entity_count: rows of the table.
    """

    entities: Transform
    inner: int
    entity_out: str
    entity_bias: str
    entity_count: int


class _Offset(Step):
    """A tensor that is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.leaves = {"bias": lambda: Bare(torch.zeros(width), Constant(0.0))}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., C] -> [.., C]."""
        flow.x = flow.x + leaf(node, "bias")


class _Predict(Step):
    """Logits of entities, from their states; it stands beside the words' logits."""

    def __init__(self, spec: WordsSpec, width: int) -> None:
        super().__init__()

        def steps() -> list[Step]:
            out = dense("out", spec.inner, spec.entity_count, bias=False)
            return [*spec.entities.steps(width, spec.inner), out, _Offset(spec.entity_count)]

        self.inner = {"entity_": Inner(steps)}

    def run(self, node: Any, flow: Flow) -> None:
        """States of entities [B, N, E] -> [B, N, entities]; the words' logits pass unchanged."""
        if flow.entered is not None:
            flow.entered = run_inner(node, "entity_", flow.entered, flow)


class HiddenEntities(language_model.MaskedLM):
    """Predict hidden words and hidden entities (Yamada et al. 2020, arXiv:2010.01057, section 3.3)."""

    _targets = ("labels", "entity_labels")
    _options = TaskModel._options
    _says = "Predict hidden words and entities. Labels [B, T] and [B, N], int64, -100 where there is none."

    def _steps(self, spec: Any, config: Any) -> tuple[list[Step], dict[str, str | None]]:
        steps, names = super()._steps(spec, config)
        own = {**spec.entities.names, "out": spec.entity_out, "bias": spec.entity_bias}
        names |= {f"entity_{role}": path for role, path in own.items()}
        return [*steps, _Predict(spec, self._width())], names

    def _tied_weights(self) -> dict[str, str]:
        """The tables of entities, and both names of the words' bias."""
        spec: WordsSpec = self._formers.facts["head"]
        ties = super()._tied_weights()
        if self.config.tie_word_embeddings:
            table = path_of(self._owner(), "entity")
            ties[f"{spec.entity_out}.weight"] = f"{self.base_model_prefix}.{table}.weight"
            ties[str(spec.bias_path)] = f"{spec.out}.bias"
        return ties

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        flow = states.flow()
        flow.entered = states.extras.get("entity_last_hidden_state")
        compute(self, flow)
        words, entities = states.spread(flow.x), flow.entered  # [B, T, V], [B, N, entities]
        labels, entity_labels = targets["labels"], targets["entity_labels"]
        if entity_labels is not None and entities is None:
            raise ValueError("entity_labels are those of entities: pass entity_ids and entity_position_ids")
        if labels is not None and entity_labels is not None:
            items = None  # two losses with different counts have no common divisor
        of_words = None if labels is None else cross_entropy(words, labels, items)
        of_entities = None
        if entity_labels is not None and entities is not None:
            of_entities = cross_entropy(entities, entity_labels, items)
        told = [loss for loss in (of_words, of_entities) if loss is not None]
        loss = torch.stack(told).sum() if told else None
        passed = self._assembly.passed_on(states)
        del passed[self._assembly.cache]
        return EntityWordsOutput(loss, of_words, of_entities, words, entities, **passed)


@dataclass(frozen=True)
class Spec:
    """A head for entities: the output layer's path, dropout, and how many entities one label is about."""

    out: str
    dropout: float = 0.0
    count: int = 1
    bias: bool = True


class EntityClassification(TaskModel):
    """One logit per label, from the states of the first entities of every row."""

    _says = "Label entities. `labels`: one each, int64, or as many as the logits, 0 or 1."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = config.num_labels
        out = dense("out", self._width() * self._read(spec), config.num_labels, bias=spec.bias)
        build(self, [Drop("dropout", spec.dropout), out], {"out": spec.out, "dropout": "dropout"})

    def _read(self, spec: Spec) -> int:
        """How many states are read for a label."""
        return spec.count

    def _vectors(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, count * E]."""
        count = self._formers.facts["head"].count
        return entities_of(states, count)[:, :count].flatten(1)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = self._compute(states, self._vectors(states, given)), targets["labels"]
        loss = None
        if labels is not None:
            several = labels.dim() == logits.dim()
            loss = (binary if several else cross_entropy)(logits, labels, items=items)
        return self._record(TaskOutput, states, loss, logits)


class SpanClassification(EntityClassification):
    """One logit per label for every entity, from its state and those of its first and last token."""

    _options = ("entity_start_positions", "entity_end_positions", *TaskModel._options)

    def _read(self, spec: Spec) -> int:
        """Three."""
        return 3

    def _vectors(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, N, 3 * E]."""
        entities, found = entities_of(states), []
        for name in self._options[:2]:
            at = given.get(name)
            if not isinstance(at, Tensor) or at.shape != entities.shape[:2]:
                raise ValueError(f"pass {name}, {list(entities.shape[:2])}: columns of the entities' tokens")
            found.append(states.last.gather(1, at[..., None].expand_as(entities)))
        return torch.cat((*found, entities), dim=-1)
