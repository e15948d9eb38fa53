"""A head over an assembly: what all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.assemblies.base import (
    Assembled,
    Assembly,
    BaseModel,
    asked,
    bound,
    refuse_types,
    returned,
    shift_right,
    show_config,
    signed,
    states_of,
    without_older,
)
from formers.assemblies.family import Head
from formers.configs import PretrainedConfig
from formers.core.notices import refuse_unknown
from formers.core.outputs import (
    ModelOutput,
    Seq2SeqSpanOutput,
    Seq2SeqTaskOutput,
    SpanOutput,
    TaskOutput,
)
from formers.model.base import PreTrainedModel
from formers.nn.dropout import notice_left_on
from formers.nn.interface import calls_of, say_uncalled
from formers.nn.program import Flow, compute
from formers.nn.recording import recording
from formers.nn.tree import has, path_of, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States
from formers.tasks.own_loss import put_own_loss
from formers.tasks.table import Task

_BESIDE_AN_ENCODER: dict[type[ModelOutput], type[ModelOutput]] = {
    TaskOutput: Seq2SeqTaskOutput,
    SpanOutput: Seq2SeqSpanOutput,
}
# after these the targets follow, as the ecosystem's calls by place have it
_BEFORE_TARGETS = {
    "input_ids",
    "input_features",
    "input_values",
    "flattened_patches",
    "pixel_values",
    "pixel_mask",
    "image",
    "image_embeds",
    "attention_mask",
    "token_type_ids",
    "task_type_ids",
    "langs",
    "lengths",
    "bbox",
    "position_ids",
    "entity_ids",
    "entity_attention_mask",
    "entity_token_type_ids",
    "entity_position_ids",
    "inputs_embeds",
    "decoder_input_ids",
    "decoder_attention_mask",
    "encoder_outputs",
    "decoder_inputs_embeds",
    "decoder_position_ids",
    "bool_masked_pos",
}


class TaskModel(Assembled):
    """A head over a base model, or over the stacks of one; subclasses say what the head computes."""

    _task: ClassVar[Task]
    _head: ClassVar[Head]
    _base_class: ClassVar[type[BaseModel] | None] = None  # None: the stacks stand on the model itself
    _targets: ClassVar[tuple[str, ...]] = ("labels",)
    _options: ClassVar[tuple[str, ...]] = ("return_dict", "num_items_in_batch")
    _flat_pooler: ClassVar[bool | None] = None  # whether stacks on the model itself have one; as they say
    _keeps_cache: ClassVar[bool] = False  # a head that reads all states at once has no next step
    _masked: ClassVar[bool] = False  # something stands in place of inputs that are hidden
    _unread_inputs: ClassVar[tuple[str, ...]] = ()  # what the base model reads for other tasks
    _by_place: ClassVar[tuple[str, ...]] = ()  # what a call begins with, where that is not the usual
    _says: ClassVar[str] = "Compute the head."

    def __init__(self, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        for name, value in self._head.sets.items():
            setattr(config, name, value)
        super().__init__(config, *args, **options)
        if self._base_class is None:
            self._assembly.place(self, config, self._flat_pooler)
            show_config(self)
        else:
            base = self._base_class(config, self._head.pooler, self._masked, part=True)
            self.add_module(self.base_model_prefix, base)
        spec = wiring(self).facts["head"] = self._head.spec(config)
        self._place_head(spec, config)
        self.post_init()

    def __getstate__(self) -> dict[str, Any]:
        """Without the head's spec, which follows from the config."""
        held = wiring(self).copy()
        held.facts.pop("head", None)
        return {**vars(self), "_formers": held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch does not type it
        wiring(self).facts["head"] = self._head.spec(self.config)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        assembly = cls.__dict__.get("_assembly")
        if assembly is not None and "forward" not in cls.__dict__:
            own = (*cls._targets, *cls._options)
            early = _BEFORE_TARGETS | ({assembly.cache} if assembly.encoder_decoder else set())
            inputs = [name for name in assembly.inputs if name not in cls._unread_inputs]
            first = [name for name in inputs if name in early]
            rest = [name for name in inputs if name not in first]
            names = (*cls._by_place, *first, *own, *rest)
            cls.forward = signed(cls, TaskModel.forward, names, cls._says, assembly.means)  # type: ignore[method-assign]  # likewise for each class
            cls.main_input_name = assembly.main
            cls.accepts_loss_kwargs = cls.accepts_loss_kwargs and "num_items_in_batch" in own

    # -- what a task says ---------------------------------------------------------------------------

    def _place_head(self, spec: Any, config: Any) -> None:
        """Register the head's leaves."""
        raise NotImplementedError(f"{type(self).__name__} places no head")

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        """Change the inputs, and what is asked of the stacks, as the task needs."""

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        """States to the task's record."""
        raise NotImplementedError(f"{type(self).__name__} computes nothing")

    # -- what all share -----------------------------------------------------------------------------

    def forward(self, *args: Any, **given: Any) -> Any:
        """Run the base model and the head.

        Returns:
            The task's record, with the loss when targets are given.

        Raises:
            TypeError: for a keyword that the model does not take.
            ValueError: for inputs that do not fit each other.
        """
        names = type(self)._input_names()
        given = bound(self, names, args, given)
        where = f"{type(self).__name__}.forward"
        given = without_older(self, given, where)
        self._refuse(given, names, where)
        notice_left_on(self)
        targets = {name: given.pop(name, None) for name in self._targets}
        return_dict, items = given.pop("return_dict", None), given.pop("num_items_in_batch", None)
        config = self.config
        ask = Ask(
            attentions=asked(given.pop("output_attentions", None), config, "output_attentions"),
            hidden=asked(given.pop("output_hidden_states", None), config, "output_hidden_states"),
            backend=config._attn_implementation,
            padded=watched(self),
        )
        before, keeps = calls_of(ask.backend), self._assembly.keeps
        if not self._keeps_cache and keeps in self._assembly.inputs and given.get(keeps) is None:
            given[keeps] = False
        self._prepare(given, targets, ask)
        if self._head.marks and given.get("global_attention_mask") is None:
            given["global_attention_mask"] = marked(self._head.marks, given, config)
        states = self._states(given, ask)
        own = self._own_loss is not None and any(value is not None for value in targets.values())
        made = self._finish(states, given, dict.fromkeys(targets) if own else targets, items)
        if own:
            put_own_loss(self, made, targets, items)
        say_uncalled(ask.backend, before, type(self).__name__)
        return returned(made, return_dict, config)

    @classmethod
    def _input_names(cls) -> tuple[str, ...]:
        for kind in cls.__mro__:
            names = getattr(kind.__dict__.get("forward"), "formers_inputs", None)
            if names is not None:
                return tuple(names)
        return cls._assembly.inputs

    def _refuse(self, given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
        unknown = {key: value for key, value in given.items() if key not in names}
        if "labels" in unknown:
            raise TypeError(
                f"{where} takes no labels; its targets are {' and '.join(self._targets) or 'none'}"
            )
        refuse_types(self, unknown)
        refuse_unknown(unknown, names, where)

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """The states that the head reads."""
        inputs = {name: value for name, value in given.items() if name in self._assembly.inputs}
        if self._base_class is None:
            return self._assembly.run(self, inputs, ask)
        states = states_of(self.base_model, inputs, ask)
        return states if self._head.whole else self._assembly.received(states, inputs)

    def _record(self, kind: type[ModelOutput], states: States, *values: Any) -> ModelOutput:
        """The head's output: its own values, then those that every head passes on."""
        if self._head.brief:
            return kind(*values, **Assembly.passed_on(self._assembly, states))
        if self._assembly.encoder_decoder:
            kind = _BESIDE_AN_ENCODER[kind]
        return kind(*values, **self._assembly.passed_on(states))

    def _compute(self, states: States, x: Tensor) -> Tensor:
        """Run the head's program on vectors or rows."""
        flow = Flow(x, states.pass_)
        compute(self, flow)
        return flow.x

    def _width(self) -> int:
        """E, the width of the states that the head reads."""
        placed = wiring(self._owner()).facts.get("spec") or self._assembly.spec(self.config)
        return int(placed.last_width)

    def _owner(self) -> Any:
        """The base model, or this model where the stacks stand on it."""
        return self if self._base_class is None else self.base_model

    def _optional_parts(self) -> list[str]:
        """The pooler, or a head that stands within the trunk."""
        if self._base_class is None:
            inside = self._stack_names()
            own = [name for name, _ in self.named_parameters(recurse=False)]
            return own + [f"{name}." for name, _ in self.named_children() if name not in inside]
        return super()._optional_parts()

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled

    def _tied_weights(self) -> dict[str, str]:
        """Those of the stacks, by the names that they have in this model's tree."""
        prefix = "" if self._base_class is None else f"{self.base_model_prefix}."
        base = self._owner()
        if not isinstance(base, PreTrainedModel):
            return {}
        return {prefix + a: prefix + b for a, b in self._assembly.ties(base).items()}

    def freeze_base(self) -> None:
        """Train the head alone: the stacks' parameters get no gradients."""
        if self._base_class is not None:
            super().freeze_base()
            return
        for name, parameter in self.named_parameters():
            if name.split(".")[0] in self._stack_names():
                parameter.requires_grad_(False)

    def _stack_names(self) -> set[str]:
        """Names of the children that are stacks, and of the table that those share."""
        stacks = self._assembly.stacks(self)
        held = {path_of(self, name) if has(self, name) else name for name in stacks}
        return {"shared", *stacks, *held}

    def _shift_inputs(self, given: dict[str, Any]) -> None:
        """Let a decoder without inputs of its own read the shifted inputs of the encoder."""
        ids, here = given.get("input_ids"), ("decoder_input_ids", "decoder_inputs_embeds")
        decodes = self._assembly.encoder_decoder and "decoder" in self._assembly.stacks(self._owner())
        if decodes and ids is not None and all(given.get(n) is None for n in here):
            given["decoder_input_ids"] = shift_right(ids, self.config, self._assembly.wraps)


def marked(which: str, given: Mapping[str, Any], config: Any) -> Tensor | None:
    """Which tokens see all, [B, T], bool, as `Head.marks` says; None where vectors do not tell the question.

    Raises:
        ValueError: where a row does not hold three separators, of which the first ends the question.
    """
    ids, vectors = given.get("input_ids"), given.get("inputs_embeds")
    rows = vectors if ids is None else ids
    if which == "first" and rows is not None:
        batch, length = rows.shape[:2]
        return (torch.arange(length) == 0).expand(batch, -1)
    if ids is None:
        return None
    ends: Tensor = ids == config.sep_token_id  # [B, T]
    if not recording() and bool((ends.sum(1) != 3).any()):
        raise ValueError(
            f"a question and its text hold three separators (id {config.sep_token_id}), the first behind the "
            f"question, but the rows hold {ends.sum(1).tolist()}; pass global_attention_mask to say yourself "
            f"which tokens see all"
        )
    column, end = torch.arange(ends.shape[1], device=ends.device), ends.byte().argmax(1, keepdim=True)
    return column < end if which == "question" else column > end + 1


def labels_on_padding(labels: Tensor | None, attention_mask: Any, none: int = -100) -> bool:
    """Whether a token-level loss counts places that the mask calls padding; then they must be computed.

    A place without a label has `none`.
    """
    if labels is None or not isinstance(attention_mask, Tensor) or attention_mask.dim() != 2:
        return False
    if labels.shape != attention_mask.shape or recording():
        return False
    return bool(((labels != none) & (attention_mask == 0)).any())


def first_set(*values: float | None, default: float = 0.0) -> float:
    """The first value that is not None."""
    return next((value for value in values if value is not None), default)
