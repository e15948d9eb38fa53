"""One stack, encoder or decoder: BERT, GPT-2, LLaMA, Mamba, ViT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import Assembly, asked, refuse_types
from formers.configs import PretrainedConfig
from formers.core.notices import notice
from formers.core.outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.nn import spec
from formers.nn.cache import Cache, DynamicCache, EncoderDecoderCache
from formers.nn.masks import without_blocks
from formers.nn.recording import recording
from formers.nn.spec import Stack
from formers.nn.stems import STEMS
from formers.nn.tree import leaf, path_of, place, wiring
from formers.stacks.stack import Ask, Inputs, States, place_stack, run

_TEXT = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
    "past_key_values",
    "inputs_embeds",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "cache_position",
)
ROUTING = "output_router_logits"
_MARKED = "global_attention_mask"
_OTHER = ("attention_mask", "output_attentions", "output_hidden_states", "return_dict")


def inputs_of(stem: type[Any], cache: str = "past_key_values") -> tuple[str, ...]:
    """What a stack with that kind of stem reads, in the order of the ecosystem's calls."""
    if stem.reads != "input_ids":
        return tuple(dict.fromkeys((*STEMS[stem].inputs, *_OTHER)))
    return tuple(cache if name == "past_key_values" else name for name in _TEXT)


class Single(Assembly):
    """One stack.

    Args:
        stack: config -> its spec.
        stem: the kind of its stem, which says what the model reads.
        cache: the name that callers know its cache by.
        routes: there are mixtures of experts, whose routers' logits callers may ask for.
        tasks: its stem reads kinds of tasks.
        marks: callers may say which tokens see all, and are seen by all.
        reads: names of what it reads, where that is less than its kind of stack could.
        kind: of that cache.
        pools: a model without a head has the pooler, unless it is told otherwise.
        mask: see `Assembly`.
        apart: paths of the stack's roles where files of the layers alone have others.
        parts: assemblies of heads that read the same leaves otherwise, by the name in `Head.over`.
        types: whether a config can give token types, so that callers may ask the signature for them.
    """

    def __init__(
        self,
        stack: Callable[[Any], spec.Stack],
        stem: type[Any] = spec.Tokens,
        cache: str = "past_key_values",
        routes: bool = False,
        tasks: bool = False,
        marks: bool = False,
        reads: tuple[str, ...] | None = None,
        kind: type[Cache] = DynamicCache,
        pools: bool = True,
        mask: str = "attention_mask",
        apart: Mapping[str, str] = MappingProxyType({}),
        parts: Mapping[str, Assembly] = MappingProxyType({}),
        types: bool = True,
    ) -> None:
        self.mask, self._others = mask, dict(parts)
        self._stack, self.cache, self._kind, self._pools = stack, cache, kind, pools
        self._apart = dict(apart)  # models are copied whole
        self.main, self.means = stem.reads, STEMS[stem].inputs
        self.inputs = inputs_of(stem, cache) if reads is None else (*reads, *_OTHER[1:])
        if not types:
            self.inputs = tuple(name for name in self.inputs if name != "token_type_ids")
        if tasks:
            at = self.inputs.index("token_type_ids") + 1
            self.inputs = (*self.inputs[:at], "task_type_ids", *self.inputs[at:])
        self._routes, self._marks = routes, marks
        if marks:
            self.inputs = (*self.inputs[:2], _MARKED, *self.inputs[2:])
        if routes:
            self.inputs = (*self.inputs, ROUTING)

    def spec(self, config: Any) -> spec.Stack:
        """The stack."""
        return self._stack(config)

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One of the `parts`; or the `layers` by themselves, without what is made of their last states.

        Raises:
            NotImplementedError: for another part.
        """
        if part in self._others:
            return self._others[part]
        if part != "layers":
            super().alone(part, config_class)
        made = type(self).__new__(type(self))
        made.take(self)

        def layers(config: Any) -> spec.Stack:
            found = self._stack(config)
            names = {role: path for role, path in self._apart.items() if role in found.names.stack}
            return replace(found, final_norm=None, pooler=None, names=found.names.with_(stack=names))

        made._stack = layers
        return made

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stack on the model itself.

        Raises:
            TypeError: for a mask token in a stem that has none.
        """
        made = self._stack(config)
        stem = made.stem
        if isinstance(stem, spec.Patches):
            made = replace(made, stem=replace(stem, masked=masked or stem.masked))
        elif masked:
            kind = config.model_type
            raise TypeError(f"use_mask_token is for models of images; {kind} models read {stem.reads}")
        if not (self._pools if pooler is None else pooler):
            if str(made.names.stack.get("pooler")).partition(".")[0] == "pooler":
                model.pooler = None  # models around it ask whether it is there
            made = replace(made, pooler=None)
        elif pooler and made.pooler is None and "pooler" in made.names.stack:
            made = replace(made, pooler=made.width)
        place_stack(model, made)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read the inputs and compute."""
        s: spec.Stack = wiring(model).facts["spec"]
        past = self._cache(model, s, given.pop(self.cache, None), given.pop("use_cache", None))
        position = given.pop("cache_position", None)
        if position is not None and not recording():
            _check_position(position, past)
        if self._routes:
            ask.routing = asked(given.pop(ROUTING, None), model.config, ROUTING)
        mask, blocks = without_blocks(given.pop(self.mask, None))
        ids, types = given.get("input_ids"), given.get("token_type_ids")
        known = not isinstance(s.stem, spec.Tokens) or s.stem.types or s.stem.kinds or s.stem.share_types
        known = known or isinstance(s.attention, spec.Pooled)
        if not known:
            refuse_types(model, {"token_type_ids": types})
        read = mask is None and not getattr(s.stem, "tells_padding", False)
        if read and isinstance(ids, Tensor) and not s.causal and s.attention is not None:
            _notice_padding(model.config, ids)
        encoder, encoder_mask = (
            given.get(name) for name in ("encoder_hidden_states", "encoder_attention_mask")
        )
        if encoder is not None and not s.crosses:
            raise ValueError(
                "this model has no cross attention, so nothing would read encoder_hidden_states: leave them "
                "out, or set add_cross_attention in the config where its family has such layers"
            )
        if self._marks and given.get(_MARKED) is None and isinstance(mask, Tensor) and not recording():
            given[_MARKED] = mask > 1 if bool((mask > 1).any()) else None  # older code says so by a 2
        stem, beside = STEMS[type(s.stem)], self._beside(model, given, past)
        given = {name: value for name, value in given.items() if name in stem.inputs}
        if stem.reads_mask:
            given[self.mask] = mask
        inputs = Inputs(given, mask, past, encoder, encoder_mask, blocks=blocks, beside=beside)
        return self._compute(model, inputs, ask)

    def _beside(self, model: Any, given: dict[str, Any], past: Cache | None) -> dict[str, Any]:
        """What the layers read beside the rows, by the name that a pass holds it under."""
        return {}

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """The stack's states."""
        return run(model, inputs, ask, model.gradient_checkpointing)

    returns: Any = BaseModelOutput | BaseModelOutputWithPooling

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, and what was asked for."""
        s: spec.Stack = wiring(model).facts["spec"]
        values: dict[str, Any] = {
            "last_hidden_state": states.last,
            self.cache: states.cache,
            "hidden_states": states.hidden,
            "attentions": states.attentions,
            "cross_attentions": states.cross_attentions,
        }
        if self._routes:
            values["router_logits"] = states.router_logits
        if self._marks:
            values["global_attentions"] = states.global_attentions
        if s.pooler is None and "pooler" not in s.names.stack:
            return BaseModelOutput(**values)
        for name in ("deepstack_features", "intermediate_activations"):
            values[name] = states.extras.get(name)
        return BaseModelOutputWithPooling(**values, pooler_output=states.pooled)

    def passed_on(self, states: States) -> dict[str, Any]:
        """The logits of routers, and the weights of tokens that see all, where there are any."""
        own = {"router_logits": self._routes, "global_attentions": self._marks}
        more = {name: getattr(states, name) for name, kept in own.items() if kept}
        return {**super().passed_on(states), **more}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the spec."""
        s: spec.Stack = wiring(model).facts["spec"]
        return s.initial_std, dict(s.init)

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table.

        Raises:
            ValueError: for one of another size, where the family keeps integers beside its numbers.
        """
        held: Any = leaf(model, "token")
        count = getattr(held, "num_embeddings", None)
        if "weight_integer" in held._buffers and getattr(value, "num_embeddings", count) != count:
            raise ValueError(
                f"the {count} rows of this table have integers beside, which do not grow with it: make a "
                f"model from a config with another vocab_size"
            )
        mark_filled(value)
        place(model, "token", path_of(model, "token"), value)

    def room(self, config: Any) -> int | None:
        """What the stack's positions allow."""
        return self._stack(config).room

    def _cache(self, model: Any, s: Stack, past: Any, use_cache: bool | None) -> Cache | None:
        """The cache of this call; made when a decoder is asked for one. An encoder sees what it is given."""
        given = past is not None
        if not s.decoder and not given:
            return None
        if given and not isinstance(past, Cache):
            past = self._kind.from_legacy_cache(past)
        if use_cache is None:
            # a training step never reads the cache, and without one padding can be left out
            use_cache = bool(getattr(model.config, "use_cache", False)) and not model.training
        if model.training and model.is_gradient_checkpointing:
            use_cache = False
        if past is None and use_cache:
            past = EncoderDecoderCache(DynamicCache()) if s.crosses else self._kind()
        return past if isinstance(past, Cache) else None


def _check_position(position: Tensor, past: Cache | None) -> None:
    """Refuse positions that do not follow from the cache."""
    held = past.get_seq_length() if past is not None else 0
    if position.numel() and int(position.reshape(-1)[0]) != held:
        raise ValueError(
            f"cache_position begins at {int(position.reshape(-1)[0])}, but the cache holds {held} positions; "
            f"leave it out: positions follow from the cache"
        )


def _notice_padding(config: PretrainedConfig, input_ids: Tensor) -> None:
    """Say it when a batch, [B, T], that holds padding comes without a mask (on a CPU: elsewhere it costs)."""
    pad = config.pad_token_id
    if pad is None or input_ids.device.type != "cpu" or input_ids.dim() != 2 or not input_ids.numel():
        return
    if recording():
        return
    if bool((input_ids[:, 0] == pad).any()) or bool((input_ids[:, -1] == pad).any()):
        notice(
            f"input_ids hold padding (id {pad}) and there is no attention_mask, so padding is read as text: "
            f"pass all that the tokenizer returns, model(**inputs)",
            key="padding without a mask",
        )
