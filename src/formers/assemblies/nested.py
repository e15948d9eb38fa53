"""A model as the one part of another, which adds a few leaves to it or nothing but its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from formers.assemblies.base import Assembly, BaseModel, states_of
from formers.core.outputs import BaseModelOutputWithPooling, ModelOutput, PassageOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import build, compute
from formers.nn.steps import First, Normalise, dense
from formers.nn.tree import leaf, place
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class Nested(Assembly):
    """A part, and the vectors that it makes of texts.

    Args:
        kind: the class of the part; called when it is needed.
        path: where it lies.
        others: paths -> the same for heads that hold it elsewhere.
    """

    inputs: tuple[str, ...] = (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "inputs_embeds",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
    )

    def __init__(
        self, kind: Callable[[], type[BaseModel]], path: str, others: Mapping[str, Assembly] | None = None
    ) -> None:
        self.kind, self.path, self._others = kind, path, others or {}

    def part(self, model: Any) -> Any:
        """The part."""
        return leaf(model, "part")

    def spec(self, config: Any) -> spec.Stack:
        """The part's."""
        return self.kind()._assembly.spec(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part."""
        place(model, "part", self.path, self.kind()(config, False, part=True))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states; places whose id is that of padding are no text."""
        ids, pad = given.get("input_ids"), model.config.pad_token_id
        if given.get("attention_mask") is None and ids is not None and pad is not None:
            given = {**given, "attention_mask": ids.ne(pad).long()}
        ask.first_only = not ask.hidden
        return self.inside(model, given, ask)

    def inside(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states."""
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(self.part(model), given, ask)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The vectors."""
        return BaseModelOutputWithPooling(
            pooler_output=states.pooled, hidden_states=states.hidden, attentions=states.attentions
        )

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """The part's."""
        own = self.part(model)
        found: tuple[float, Mapping[str, float]] = own._assembly.deviations(own)
        return found

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the part's token table."""
        self.part(model).set_input_embeddings(value)

    def room(self, config: Any) -> int | None:
        """The part's."""
        return self.kind()._assembly.room(config)

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """Another holder of the part."""
        return self._others[part]


class Wrapped(Nested):
    """A part of a file, under the path that it has there, which computes what it computes by itself.

    Args:
        kind: see `Nested`; its class is `inner`'s.
        path: see `Nested`.
        inner: the part's assembly.
    """

    def __init__(self, kind: Callable[[], type[BaseModel]], path: str, inner: Assembly) -> None:
        super().__init__(kind, path)
        self.inputs, self.main, self.means = inner.inputs, inner.main, dict(inner.means)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part, with its pooler."""
        place(model, "part", self.path, self.kind()(config, part=True))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """As the part has it."""
        return self.inside(model, given, ask)

    def output(self, model: Any, states: States) -> ModelOutput:
        """Likewise."""
        found: ModelOutput = self.kind()._assembly.output(self.part(model), states)
        return found


class Within(Wrapped):
    """A model of a family of its own, whose config lies within the config, and which a head reads.

    Args:
        model_of: a config -> the class of its family without a head.
        path: where the part lies.
        field: of the config, with the part's.
        inner: the part's assembly.
    """

    def __init__(
        self, model_of: Callable[[Any], type[BaseModel]], path: str, field: str, inner: Assembly
    ) -> None:
        super().__init__(lambda: BaseModel, path, inner)
        self._model_of, self._field, self._inner = model_of, field, inner

    def spec(self, config: Any) -> spec.Stack:
        """The part's."""
        return self._inner.spec(getattr(config, self._field))

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part."""
        own = getattr(config, self._field)
        place(model, "part", self.path, self._model_of(own)(own, part=True))

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the part has it."""
        return self._inner.output(self.part(model), states)

    def passed_on(self, states: States) -> dict[str, Any]:
        """Likewise."""
        return self._inner.passed_on(states)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The part."""
        return {self.path: self.part(model)}

    def room(self, config: Any) -> int | None:
        """The part's."""
        return self._inner.room(getattr(config, self._field))


class Vectors(Nested):
    """The first token's state, and a projection of it, `width` wide, where that is not 0."""

    def __init__(
        self, kind: Callable[[], type[BaseModel]], path: str, out: str, width: Callable[[Any], int]
    ) -> None:
        super().__init__(kind, path)
        self._out, self._width = out, width

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part and the projection."""
        super().place(model, config)
        width = self._width(config)
        steps = [dense("vector", self.spec(config).width, width)] if width else []
        build(model, [First(), *steps], {"vector": self._out, "pool": ""})

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states, and their vector."""
        states = self.inside(model, given, ask)
        flow = states.flow()
        compute(model, flow)
        states.pooled = flow.x
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """States and vectors."""
        return BaseModelOutputWithPooling(
            states.last, states.pooled, hidden_states=states.hidden, attentions=states.attentions
        )


class Transformed(Nested):
    """A part whose last states a norm and a linear layer change; the first token's stand for texts.

    Args:
        kind, path: see `Nested`.
        norm: config -> of the part's states.
        norm_path, out: paths of both.
        width: config -> of what is made.
    """

    inputs: tuple[str, ...] = (*Nested.inputs[:3], "position_ids", *Nested.inputs[3:])

    def __init__(
        self,
        kind: Callable[[], type[BaseModel]],
        path: str,
        norm: Callable[[Any], spec.Norm],
        norm_path: str,
        out: str,
        width: Callable[[Any], int],
    ) -> None:
        super().__init__(kind, path)
        self._norm, self._width = norm, width
        self._paths = {"transform_norm": norm_path, "transform": out}

    def spec(self, config: Any) -> spec.Stack:
        """The part's, with states as wide as they become."""
        return replace(super().spec(config), projected=self._width(config))

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part, the norm and the layer."""
        super().place(model, config)
        width = super().spec(config).width
        read = dense("transform", width, self._width(config))
        build(model, [Normalise("transform_norm", self._norm(config), width), read], self._paths)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states, changed, and the vectors."""
        states = self.inside(model, given, ask)
        flow = states.flow()
        compute(model, flow)
        states.rows = flow.x
        states.pooled = states.last[:, 0]
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """States and vectors."""
        return BaseModelOutputWithPooling(
            states.last, states.pooled, hidden_states=states.hidden, attentions=states.attentions
        )


class Passages(Nested):
    """Where the answer stands in every passage, and how well the passage answers."""

    def __init__(self, kind: Callable[[], type[BaseModel]], path: str, spans: str, relevance: str) -> None:
        super().__init__(kind, path)
        self._paths = {"spans": (spans, 2), "relevance": (relevance, 1)}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part and two output layers."""
        super().place(model, config)
        for role, (path, count) in self._paths.items():
            place(model, role, path, linear("linear", self.spec(config).width, count))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states, and what is read off them."""
        states = self.inside(model, given, ask)
        both = states.spread(project(leaf(model, "spans"), states.rows, None, states.watched))  # [B, T, 2]
        first = states.pass_.first(states.rows)
        states.extras["start_logits"], states.extras["end_logits"] = (t.contiguous() for t in both.unbind(-1))
        states.extras["relevance_logits"] = project(leaf(model, "relevance"), first, None, states.watched)[
            :, 0
        ]
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """All of it."""
        return answers(states)


class Reader(Nested):
    """A part that reads passages."""

    inputs: tuple[str, ...] = tuple(name for name in Nested.inputs if name != "token_type_ids")

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """As the part has it."""
        return self.inside(model, given, ask)

    def output(self, model: Any, states: States) -> ModelOutput:
        """Likewise."""
        return answers(states)


def answers(states: States) -> PassageOutput:
    """The record of a reader."""
    return PassageOutput(**states.extras, hidden_states=states.hidden, attentions=states.attentions)
