"""What every assembly answers, and the model without a head, called as the ecosystem calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.notices import refuse_unknown
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.dropout import notice_left_on
from formers.nn.interface import calls_of, say_uncalled
from formers.nn.kernels import hooked
from formers.nn.layout import Layout
from formers.nn.masks import without_blocks
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.prompts import ROLES
from formers.nn.stems import STEMS
from formers.nn.tree import add_aliases, has, leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.layer import layer_class
from formers.stacks.stack import Ask, States

# inputs of older versions, which code that was written for them passes on as None
_OLDER = frozenset({"head_mask", "decoder_head_mask", "cross_attn_head_mask"})
# what collators say of examples that share a row, beside positions that start again for each
_BORDERS = frozenset({"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx"})
_ASKED = ("output_attentions", "output_hidden_states")
# what assemblies add to their records
_BESIDE = (
    "encoder_last_hidden_state",
    "encoder_hidden_states",
    "encoder_attentions",
    "encoder_global_attentions",
    *("encoder_last_hidden_state_vision", "encoder_last_hidden_state_text", "encoder_vision_hidden_states"),
    *("encoder_text_hidden_states", "encoder_logits", "encoder_pred_boxes"),
    "decoder_router_logits",
    "encoder_router_logits",
    "image_hidden_states",
    "video_hidden_states",
    "attention_mask",
    "mask",
    "ids_restore",
    "reshaped_hidden_states",
    "start_logits",
    "end_logits",
    "relevance_logits",
    "entity_last_hidden_state",
    "intermediate_hidden_states",
    "intermediate_logits",
    "intermediate_reference_points",
    "init_reference_points",
    "reference_points",
    "enc_topk_logits",
    "enc_topk_bboxes",
    "enc_outputs_class",
    "enc_outputs_coord_logits",
    "denoising_meta_values",
    "entity_hidden_states",
    "last_hidden_state_ngram",
    "hidden_states_ngram",
    "ngram_attentions",
    "text_embeds",
    "text_model_output",
    "vision_model_output",
    "extract_features",
    "hidden_states_spatial_dimensions",
    "pixel_decoder_last_hidden_state",
    "pixel_decoder_hidden_states",
    "transformer_decoder_last_hidden_state",
    "transformer_decoder_hidden_states",
    "transformer_decoder_intermediate_states",
    "masks_queries_logits",
    "prior_means",
    "prior_log_variances",
    "deepstack_features",
    "transformer_decoder_object_queries",
    "transformer_decoder_contrastive_queries",
    "transformer_decoder_mask_predictions",
    "transformer_decoder_class_predictions",
    "transformer_decoder_auxiliary_predictions",
    "text_queries",
    "task_token",
    *("vision_output", "pooled_output", "language_hidden_states", "vision_hidden_states"),
    *("language_attentions", "vision_attentions", "cross_encoder_attentions"),
)


class Assembly:
    """Named stacks and what ties them.

    Attributes:
        inputs: names of what the model reads, in the order of the ecosystem's calls.
        main: the input that the others go with.
        encoder_decoder: there are two stacks, of which the second reads text.
        wraps: a decoder begins with the last token of what it is to predict.
        cache: the name that callers know its cache by; `keeps` is how they say whether they want it.
        mask: name of the mask over what is read.
        means: what inputs are, where that is not what they usually are.
        decodes: the stack that predicts what comes next, by name.
        once: inputs that are read with a prompt, and not again.
        in_place: what those show stands at tokens of the prompt, so that parts of both are read together.
        offers: methods that its models have beside those of every model, by name.
        by_processor: a picture cannot be prepared without a text, in which places are kept for it.
        unused: names in files of a whole model that one with this assembly, a part of it, leaves be.
        returns: the records that `output` makes, beside it in the class; None where that is not said.
    """

    inputs: tuple[str, ...] = ()
    main: str = "input_ids"
    encoder_decoder: bool = False
    wraps: bool = False
    once: tuple[str, ...] = ()
    in_place: bool = False
    cache: str = "past_key_values"
    keeps: str = "use_cache"
    mask: str = "attention_mask"
    means: Mapping[str, str] = MappingProxyType({})
    decodes: str = "decoder"
    offers: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    by_processor: bool = False
    unused: tuple[str, ...] = ()
    returns: Any = None

    def __reduce__(self) -> Any:
        """What a pickle or a copy holds of one that a family has is where it is found again."""
        origin = vars(self).get("_origin")
        return super().__reduce__() if origin is None else (reached, origin)

    @property
    def is_known(self) -> bool:
        """Whether a family has it, so that it stays, and copies find it again."""
        return "_origin" in vars(self)

    def take(self, other: Assembly) -> None:
        """Become like another one; where that is found says nothing of this one."""
        vars(self).update(vars(other))
        vars(self).pop("_origin", None)

    def known_as(self, find: Callable[[str], Any], key: str, path: tuple[str, ...] = ()) -> None:
        """Note that `find(key)` has this assembly, and those within it, for copies and pickles of models."""
        if "_origin" in vars(self):
            return
        self._origin = (find, key, path)
        for name, value in list(vars(self).items()):
            if isinstance(value, Assembly):
                value.known_as(find, key, (*path, name))
            for inside, one in value.items() if isinstance(value, dict) else ():
                if isinstance(one, Assembly):
                    one.known_as(find, key, (*path, name, inside))

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stacks on `model`, with a pooler, and with what stands in place of hidden inputs."""
        raise NotImplementedError(f"{type(self).__name__} places nothing")

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Compute the states that heads read; `given` holds inputs by name."""
        raise NotImplementedError(f"{type(self).__name__} computes nothing")

    def output(self, model: Any, states: States) -> ModelOutput:
        """The record that a caller of the model without a head gets."""
        raise NotImplementedError(f"{type(self).__name__} returns nothing")

    def mask_of(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        """Which rows are real, [B, T], by the inputs of a call."""
        found: Tensor | None = without_blocks(given.get(self.mask))[0]
        return found

    def received(self, states: States, given: Mapping[str, Any]) -> States:
        """What a model gave to its caller for those inputs, as heads read it."""
        return states

    def passed_on(self, states: States) -> dict[str, Any]:
        """What a head's record holds of the states, by name."""
        return {
            "hidden_states": states.hidden,
            "attentions": states.attentions,
            self.cache: states.cache,
        }

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The stacks by name; empty where the model itself is the one stack."""
        return {}

    def ties(self, model: Any) -> dict[str, str]:
        """Names of parameters that are another's twin: target -> source."""
        return {}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Deviation of fresh weights, and exceptions by ending of the name."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing")

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table."""
        raise NotImplementedError(f"{type(self).__name__} has no token table")

    def room(self, config: Any) -> int | None:
        """How many tokens a row may have."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    def positions(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        """Where the tokens of a prompt stand, by its inputs; None where that follows from their number."""
        return None

    def unread(self, model: Any, ids: Tensor, held: int, given: dict[str, Any]) -> dict[str, Any]:
        """A prompt's inputs without what belongs to the first `held` columns of its ids, [B, T], alone."""
        return given

    def encoding(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs of a prompt as the encoder reads them, before a decoder goes on."""
        return given

    def shown_before(self, model: Any, ids: Tensor, stop: int, given: dict[str, Any]) -> dict[str, Any]:
        """A prompt's inputs without what belongs to the columns from `stop` on of its ids, [B, T], alone."""
        return given

    def edge(self, model: Any, ids: Tensor, stop: int, given: dict[str, Any]) -> int:
        """The first column from `stop` on where a prompt, ids [B, T], may be cut to be read in parts."""
        return stop

    def shown_in(self, model: Any, ids: Tensor, given: dict[str, Any], rows: Tensor) -> dict[str, Any]:
        """Those of the inputs `once` that belong to the batch `rows` of prompts, ids [B, T]."""
        return {
            name: value.index_select(0, rows.to(value.device)) if isinstance(value, Tensor) else value
            for name, value in given.items()
        }

    def text_options(self, model: Any) -> dict[str, Any]:
        """Keywords by which a tokenizer or processor prepares texts for it, where they are not the usual."""
        return {}

    def before(self, model: Any, given: dict[str, Any]) -> int:
        """How many rows stand before a text, which is given among those inputs."""
        return 0

    def spec(self, config: Any) -> spec.Stack:
        """The stack whose states heads read."""
        raise NotImplementedError(f"{type(self).__name__} has no stack")

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One of its stacks as an assembly of its own, for a head that reads that alone."""
        raise NotImplementedError(f"{type(self).__name__} has no part {part!r}")

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Names of the layers' classes, which no sharding cuts."""
        return list(self.spec(config_class()).layer_classes)

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of layers of that name."""
        return layer_class(name)


def reached(find: Callable[[str], Any], key: str, path: tuple[str, ...]) -> Assembly:
    """The assembly that lies at that path within the one of `find(key)`."""
    found = find(key).assembly
    for name in path:
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert isinstance(found, Assembly)
    return found


_MEANING = {
    **{name: meaning for stem in STEMS.values() for name, meaning in stem.inputs.items()},
    "attention_mask": "[B, S], 1 at real tokens; or 3-D or 4-D with the queries' own axis.",
    "past_key_values": "a cache of earlier calls, or the older tuple of tuples.",
    "cache_params": "a cache of earlier calls.",
    "state": "what earlier calls left, as they returned it: five tensors, [B, E, layers] each.",
    "encoder_hidden_states": "[B, S, E], what cross attention reads.",
    "encoder_attention_mask": "[B, S], 1 at real tokens of what cross attention reads.",
    "decoder_input_ids": "what the decoder reads, [B, T], int64.",
    "decoder_attention_mask": "[B, past + T], 1 at real tokens.",
    "encoder_outputs": "what the encoder returned before, as a record or a tuple; it does not run again.",
    "decoder_inputs_embeds": "[B, T, E], in place of `decoder_input_ids`.",
    "decoder_position_ids": "[B, T], int64, where the decoder's tokens stand.",
    "use_cache": "return a cache (decoders).",
    "output_attentions": "return attention weights, [B, H, T, S] per layer.",
    "output_hidden_states": "return hidden states, [B, T, E] for the embeddings and every layer.",
    "output_router_logits": "return the logits of every router, [B * T, experts], and what they cost.",
    "return_dict": "a record (default) or a tuple.",
    "cache_position": "positions of the new tokens; they follow from the cache and must agree with it.",
    "labels": "what to predict; the loss is returned with the logits.",
    "start_positions": "[B], int64, first tokens of the answers; positions past the end count for nothing.",
    "end_positions": "[B], int64, last tokens of the answers, likewise.",
    "question_positions": "[B, Q], int64, where questions stand.",
    "table_mask": "[B, T], 1 at tokens of cells; without one those whose row is not the first.",
    "aggregation_labels": "[B], int64, the right operators.",
    "float_answer": "[B], floating, the answers that are numbers, else NaN.",
    "numeric_values": "[B, T], floating, the number of every token's cell, else NaN.",
    "numeric_values_scale": "[B, T], floating, how many tokens its cell has.",
    "entity_labels": "[B, N], int64, what hidden entities are, -100 where nothing is hidden.",
    "entity_start_positions": "[B, N], int64, columns of the entities' first tokens.",
    "entity_end_positions": "[B, N], int64, columns of their last tokens.",
    "next_sentence_label": "[B], int64: 0 follows, 1 does not.",
    "mc_token_ids": "[B] or [B, choices], int64, the place that stands for its text; the last by default.",
    "mc_labels": "[B], int64, the fitting choice; its loss is `mc_loss`.",
    "num_items_in_batch": "divisor of the summed loss, for gradient accumulation.",
    "return_loss": "return the loss of texts and images that belong together, the first with the first.",
    "vision_feature_layer": "which hidden states of the vision tower are read: a number, or several.",
    "vision_feature_select_strategy": '"default" leaves the class token out, "full" keeps it.',
    "mm_encoder_outputs": "what `get_image_features` returned before, under the key `image`.",
    "logits_to_keep": "how many of the last places get logits (0 for all), or which; "
    "a mask [B, T] gives [kept, V].",
}


def signed(
    cls: type[Any],
    forward: Callable[..., Any],
    names: Iterable[str],
    says: str,
    means: Mapping[str, str] = MappingProxyType({}),
    returns: Any = None,
) -> Callable[..., Any]:
    """A copy of `forward` for one class, whose signature and docstring name its inputs.

    `returns` are the records that it makes: packages read off their fields what a model has to say.
    """

    def run(self: Any, *args: Any, **given: Any) -> Any:
        return forward(self, *args, **given)

    # code of its own, by which the compiler counts graphs
    run.__code__ = run.__code__.replace(co_name=f"{cls.__name__}.forward")
    names, known = list(dict.fromkeys(names)), {**_MEANING, **means}
    kinds = inspect.Parameter
    parameters = [kinds("self", kinds.POSITIONAL_OR_KEYWORD)]
    parameters += [kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in names]
    run.__annotations__ = {} if returns is None else {"return": tuple[Any, ...] | returns}
    said = run.__annotations__.get("return", inspect.Signature.empty)
    setattr(run, "__signature__", inspect.Signature(parameters, return_annotation=said))  # noqa: B010  # no type has it
    run.__name__, run.__qualname__ = "forward", f"{cls.__name__}.forward"
    run.__module__ = cls.__module__
    lines = "\n".join(f"            {name}: {known.get(name, 'see the base model.')}" for name in names)
    run.__doc__ = f"{says}\n\n        Args:\n{lines}\n        "
    run.formers_inputs = tuple(names)  # type: ignore[attr-defined]
    return run


def said_of(assembly: Assembly) -> Any:
    """The records that an assembly's models return, as the class says that has `output`; None where not."""
    return next(vars(kind).get("returns") for kind in type(assembly).__mro__ if "output" in vars(kind))


def bound(model: Any, names: Sequence[str], args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name.

    Raises:
        TypeError: for too many, or one that is given twice.
    """
    where = f"{type(model).__name__}.forward"
    if len(args) > len(names):
        raise TypeError(f"{where} takes {len(names)} arguments by place, but {len(args)} were given")
    placed = dict(zip(names, args, strict=False))
    twice = [name for name in placed if name in given]
    if twice:
        raise TypeError(f"{where} got {', '.join(twice)} twice, by place and by name")
    return {**placed, **given}


class Assembled(PreTrainedModel):
    """A model over an assembly, with or without a head."""

    _assembly: ClassVar[Assembly]

    def _owner(self) -> Any:
        """The model that holds the stacks."""
        return self

    def get_encoder(self) -> nn.Module:
        """The encoder, which is called as a model without a head; this model where it is one stack."""
        found: nn.Module = self._assembly.stacks(self._owner()).get("encoder", self)
        return found

    def freeze_encoder(self) -> None:
        """The encoder's parameters get no gradients.

        Raises:
            TypeError: for a model that is one stack.
        """
        found = self._assembly.stacks(self._owner()).get("encoder")
        if found is None:
            raise TypeError(
                f"{type(self).__name__} has no encoder beside a decoder; freeze_base() freezes below a head"
            )
        found.requires_grad_(False)

    def set_lightweight_tuning(self) -> None:
        """The prompts that every layer sees get gradients, and nothing else.

        Raises:
            TypeError: for a model without prompts.
        """
        parts = self._assembly.stacks(self._owner()).values()
        found = [leaf(part, role) for part in parts for role in ROLES if has(part, role)]
        if not found:
            raise TypeError(
                f"{type(self).__name__} has no prompts to tune: load MVP with use_prompt=True, or train an "
                "adapter (LoRA)"
            )
        self.requires_grad_(False)
        for prompts in found:
            prompts.requires_grad_(True)

    def get_decoder(self) -> nn.Module:
        """The decoder, likewise."""
        owner = self._owner()
        found: nn.Module = self._assembly.stacks(owner).get(self._assembly.decodes, owner)
        return found

    def is_backend_compatible(self) -> bool:
        """Whether there is attention here, which asks functions of `AttentionInterface`."""
        return any(_attends(node) for node in self.modules())

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table, wherever it is used."""
        self._assembly.set_table(self._owner(), value)

    def _initial_deviations(self) -> tuple[float, Mapping[str, float]]:
        """From the specs."""
        return self._assembly.deviations(self._owner())

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """What a decoder reads to predict `input_ids`, [B, T] -> [B, T]."""
        return shift_right(input_ids, self.config, self._assembly.wraps)


class BaseModel(Assembled):
    """A model without a head: `BertModel`, `GPT2Model`, `T5Model`, `ViTModel`."""

    def __init__(
        self,
        config: PretrainedConfig,
        add_pooling_layer: bool | None = None,
        use_mask_token: bool = False,
        *,
        part: bool = False,
    ) -> None:
        super().__init__(config)
        self._assembly.place(self, config, add_pooling_layer, use_mask_token)
        show_config(self)
        if self._family is not None:
            add_aliases(self, self._family.aliases)
            if not type(self).__module__.startswith("formers."):  # all names of a class of one's own are free
                wiring(self).facts.pop("aliases", None)
        if not part:
            self.post_init()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        assembly = cls.__dict__.get("_assembly")
        if assembly is not None and "forward" not in cls.__dict__:
            cls.forward = signed(  # type: ignore[method-assign]  # a signature for each class
                cls, BaseModel.forward, assembly.inputs, "Run the model.", assembly.means, said_of(assembly)
            )
            cls.main_input_name = assembly.main

    def _tied_weights(self) -> dict[str, str]:
        """Those of the assembly."""
        return self._assembly.ties(self)

    def forward(self, *args: Any, **given: Any) -> Any:
        """Run the model.

        Returns:
            `last_hidden_state` [B, T, E] (zeros where padding was left out), `pooler_output` [B, E] where
            there is a pooler, and what was asked for.

        Raises:
            TypeError: for a keyword that the model does not take.
            ValueError: for inputs that do not fit each other.
        """
        assembly = self._assembly
        given = bound(self, assembly.inputs, args, given)
        refuse_inputs(self, given, assembly.inputs)
        notice_left_on(self)
        return_dict = given.pop("return_dict", None)
        ask = taken_ask(self, given)
        before = calls_of(ask.backend)
        states = self._encode(given, ask)
        say_uncalled(ask.backend, before, type(self).__name__)
        return returned(assembly.output(self, states), return_dict, self.config)

    def _encode(self, given: dict[str, Any], ask: Ask) -> States:
        """The states that heads read."""
        return self._assembly.run(self, {k: v for k, v in given.items() if k not in _OLDER | _BORDERS}, ask)


def show_config(model: PreTrainedModel) -> None:
    """Let nodes that attend show the config of the innermost model around them, as packages read it there."""
    for node in model.modules():
        if _attends(node):
            vars(node).setdefault("config", model.config)


def _attends(node: nn.Module) -> bool:
    """Whether a node holds the projections of attention: it shows their sizes."""
    return "head_dim" in vars(node)


def taken_ask(model: PreTrainedModel, given: dict[str, Any]) -> Ask:
    """What a caller of the model wants to see, taken out of `given`."""
    config = model.config
    attentions, hidden = (asked(given.pop(name, None), config, name) for name in _ASKED)
    backend = config._attn_implementation
    return Ask(attentions=attentions, hidden=hidden, backend=backend, rows=False)


def assembly_of(kind: Any) -> Any:
    """The assembly of a model, or of a class of models."""
    return kind._assembly


def owner_of(model: Any) -> Any:
    """The model that holds the stacks: a head's base, or the model itself."""
    return model._owner()


def initial_deviations(model: Any) -> tuple[float, Mapping[str, float]]:
    """Of fresh values, as a model's config has them, whatever its assembly says."""
    return PreTrainedModel._initial_deviations(model)


def own_deviations(model: Any) -> tuple[float, Mapping[str, float]]:
    """Of fresh values, as a model has them that may be part of another."""
    found: tuple[float, Mapping[str, float]] = model._initial_deviations()
    return found


def states_of(model: Any, given: dict[str, Any], ask: Ask) -> States:
    """The states of a model or stack that is part of another.

    What somebody watches, or has put there or written himself, is called as its users call it.
    """
    ours = isinstance(model, BaseModel) and hasattr(type(model).forward, "formers_inputs")
    if ours and not (ask.padded and (hooked(model) or watched(model))):
        found: States = model._encode(given, ask)
        return found
    named = {name: value for name, value in given.items() if value is not None}
    if ask.attentions or ask.hidden:
        wanted = {"output_attentions": ask.attentions, "output_hidden_states": ask.hidden}
        read = getattr(type(model).forward, "formers_inputs", wanted)
        named.update({name: value for name, value in wanted.items() if name in read})
    out = model(**named, return_dict=True) if isinstance(model, PreTrainedModel) else model(**named)
    return states_in(out, model._assembly.mask_of(model, named) if ours else named.get("attention_mask"))


def states_in(out: Any, mask: Tensor | None = None) -> States:
    """States from what a model returned to its caller: a record, a tuple, or [B, T, E] alone."""
    last = out if isinstance(out, Tensor) else out[0]
    last = last[-1] if isinstance(last, tuple) else last  # of all maps
    layout = Layout.dense(last.shape[0], last.shape[1])
    at = torch.arange(last.shape[1], device=last.device)[None]
    fits = isinstance(mask, Tensor) and tuple(mask.shape) == tuple(last.shape[:2])
    seen = Visibility(mask.bool() if fits and mask is not None else None)
    pass_ = Pass(Geometry(layout, at), seen, eager, watched=True)
    for name in ("hidden_states", "attentions", "cross_attentions", "global_attentions", "router_logits"):
        held = getattr(out, name, None)
        held = getattr(out, f"decoder_{name}", None) if held is None else held
        if held is not None:
            pass_.trace[name] = list(held)
    caches = (getattr(out, name, None) for name in ("past_key_values", "cache_params", "state"))
    cache = next((cache for cache in caches if cache is not None), None)
    states = States(last, pass_, cache, getattr(out, "pooler_output", None))
    for name in _BESIDE:
        if getattr(out, name, None) is not None:
            states.extras[name] = getattr(out, name)
    return states


def place_parts(
    model: PreTrainedModel,
    config: Any,
    parts: Mapping[str, tuple[str, Callable[[Any], type[PreTrainedModel]]]],
    given: Mapping[str, Any] | None,
) -> None:
    """Register models within a model, those that are given as they are, and others made of their configs.

    Args:
        model: holds them.
        config: its own.
        parts: path -> the field of the config that describes the part, and config -> its class.
        given: path -> a part that is there already.
    """
    for path, (field, kind_of) in parts.items():
        part = (given or {}).get(path)
        if part is None:
            own = getattr(config, field)
            part = kind_of(own)(own)
        setattr(config, field, part.config)  # which is one object with the part's
        place(model, path, path, part)


def ties_within(parts: Mapping[str, Any]) -> dict[str, str]:
    """What parts that are models of their own tie, by the names that it has in the whole's tree."""
    return {
        f"{name}.{target}": f"{name}.{source}"
        for name, part in parts.items()
        for target, source in part.all_tied_weights_keys.items()
    }


def asked(value: bool | list[int] | None, config: PretrainedConfig, name: str) -> Any:
    """What the caller wants, or else the config; of hidden states it may be a list of their numbers."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return bool(getattr(config, name, False)) if value is None else bool(value)


def returned(output: ModelOutput | Tensor, return_dict: bool | None, config: PretrainedConfig) -> Any:
    """The record, or its values as a tuple where the caller or the config wants that; a tensor stays one.

    Raises:
        TypeError: for a tensor, which was meant for another place.
    """
    if isinstance(return_dict, Tensor):
        raise TypeError("return_dict is True or False, not a tensor; pass labels and the like by name")
    wanted = getattr(config, "return_dict", True) if return_dict is None else return_dict
    return output if wanted or isinstance(output, Tensor) else output.to_tuple()


def without_older(model: Any, keywords: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keywords, less those of older versions that are None: code written for those passes them on.

    Less also what tells a decoder again where examples begin that share a row: it reads that off positions.

    Raises:
        TypeError: for one of those that has a value, and for borders that nothing would read.
    """
    borders = keywords.keys() & _BORDERS
    if borders:
        stack = wiring(model._owner()).facts.get("spec")
        if stack is None or not (stack.causal and stack.decoder):
            raise TypeError(
                f"{where} takes one example in a row, and got {sorted(borders)}, which tell several apart: "
                "collate with DataCollatorWithPadding; padding is left out of what is computed"
            )
        if keywords.get("position_ids") is None:
            raise TypeError(
                f"{where} reads where examples begin off position_ids, which start again at 0 for each, and "
                f"got {sorted(borders)} alone: DataCollatorWithFlattening(return_position_ids=True)"
            )
    for key in keywords.keys() & _OLDER:
        if keywords[key] is not None:
            raise TypeError(f"{where} takes no {key}: attention heads cannot be switched off; leave it out")
    return {key: value for key, value in keywords.items() if key not in _OLDER and key not in borders}


def refuse_inputs(model: PreTrainedModel, given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Refuse keywords that a model without a head does not take.

    Raises:
        TypeError: naming them; labels are told which classes take them.
    """
    name = type(model).__name__
    allowed = tuple(allowed)
    unknown = {k: v for k, v in without_older(model, given, f"{name}.forward").items() if k not in allowed}
    if "labels" in unknown:
        raise TypeError(
            f"{name}.forward takes no labels: without a head it computes no loss. Load the checkpoint with a "
            f"class for the task, such as AutoModelForSequenceClassification"
        )
    refuse_types(model, unknown)
    refuse_unknown(unknown, allowed, f"{name}.forward")


def refuse_types(model: PreTrainedModel, given: dict[str, Any]) -> None:
    """Take `token_type_ids` out of what a model without token types was given, where it is None.

    Raises:
        TypeError: where it has a value.
    """
    if given.pop("token_type_ids", None) is not None:
        raise TypeError(
            f"{model.config.model_type} models have no token types; leave token_type_ids out "
            f"(tokenizer(..., return_token_type_ids=False))"
        )


def shift_right(ids: Tensor, config: PretrainedConfig, wraps: bool = False) -> Tensor:
    """What the decoder reads to predict `ids`: the start token, then all but the last of them.

    Args:
        ids: [B, T], int64; -100 becomes padding.
        config: for `decoder_start_token_id` and `pad_token_id`.
        wraps: the last token of a row that is no padding stands first, in place of the start token.

    Returns:
        [B, T], int64.

    Raises:
        ValueError: when the config does not say which tokens those are.
    """
    from formers.nn.stems.tokens import check_ids

    check_ids(ids)
    start, pad = config.decoder_start_token_id, config.pad_token_id
    if pad is None or (start is None and not wraps):
        name = "pad_token_id" if pad is None else "decoder_start_token_id"
        raise ValueError(
            f"the decoder's inputs follow from the labels or inputs, but config.{name} is None; "
            f"set model.config.{name}, or pass decoder_input_ids"
        )
    ids = ids.masked_fill(ids == -100, pad)
    shifted = ids.roll(1, dims=-1)
    if wraps:
        shifted[..., :1] = ids.gather(-1, (ids.ne(pad).sum(-1, keepdim=True) - 1).clamp(min=0))
    else:
        shifted[..., 0] = start
    return shifted
