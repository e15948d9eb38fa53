"""Two stacks: T5 and BART over one token table, Whisper over sounds; and either half of them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, asked, shift_right, signed, states_in, states_of
from formers.assemblies.single import ROUTING, Single, inputs_of
from formers.core.outputs import BaseModelOutput, ModelOutput, Seq2SeqModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.model.vocabulary import resized_table
from formers.nn import spec
from formers.nn.leaves import token_table
from formers.nn.stems import STEMS
from formers.nn.stems.tokens import check_ids
from formers.nn.tree import has, leaf, path_of, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_HALVES = ("encoder", "decoder")
_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class StackPart(BaseModel):
    """The encoder or the decoder of a model; called as the model without a head would be.

    The class of one that a family has makes another from a config alone, with fresh weights.
    """

    def __init__(self, config: Any, assembly: Single | None = None) -> None:
        if assembly is not None:
            self.__dict__["_assembly"] = assembly  # before torch's own: placing needs it
        elif getattr(type(self), "_assembly", None) is None:
            raise TypeError(f"{type(self).__name__} is made by the model that it is part of")
        super().__init__(config, part=assembly is not None)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A pickle or a copy of one whose class is made for its assembly holds that."""
        held = super().__reduce_ex__(max(int(protocol), 2))
        own = vars(type(self)).get("_assembly")
        return held if own is None else (_blank, (type(self).__bases__[0], own), *held[2:])


def _part_class(stem: type[Any], routes: bool) -> type[StackPart]:
    own = {"__module__": __name__, "__doc__": StackPart.__doc__, "main_input_name": stem.reads}
    name = f"{'Routed' if routes else ''}{stem.__name__}Part"
    made: type[StackPart] = type(name, (StackPart,), own)
    read, inputs = STEMS[stem].inputs, (*inputs_of(stem), *([ROUTING] if routes else []))
    made.forward = signed(made, BaseModel.forward, inputs, "Run the stack.", read)  # type: ignore[method-assign]  # a signature for each class
    return made


_PARTS = {(stem, routes): _part_class(stem, routes) for stem in STEMS for routes in (False, True)}
globals().update({kind.__name__: kind for kind in _PARTS.values()})  # so that models can be pickled


def stack_part(config: Any, assembly: Single, stem: type[Any], routes: bool = False) -> StackPart:
    """A stack that stands within a model, with that kind of stem."""
    kind = _PARTS[stem, routes]
    return (_class_of(kind, assembly) if assembly.is_known else kind)(config, assembly)


_OWN: dict[tuple[Any, Single], type[StackPart]] = {}  # of families' assemblies alone, which stay


def _class_of(kind: type[StackPart], assembly: Single) -> type[StackPart]:
    if (kind, assembly) not in _OWN:
        own = {"__module__": __name__, "__doc__": StackPart.__doc__, "_assembly": assembly}
        _OWN[kind, assembly] = type(kind.__name__, (kind,), {**own, "forward": kind.forward})
    return _OWN[kind, assembly]


def _blank(kind: type[StackPart], assembly: Single) -> StackPart:
    made = _class_of(kind, assembly)
    return made.__new__(made)


def _together(config: Any) -> bool:
    """No stack has a token table of its own."""
    return False


class EncoderDecoder(Assembly):
    """An encoder and a decoder, and what heads over both need. Where both read tokens, they share one table.

    Args:
        half: (config, whether it is the decoder) -> the spec of one stack.
        shifts_inputs: a decoder without inputs of its own reads the shifted `input_ids`.
        may_untie: the config may keep the tables of both stacks apart.
        stem: the kind of the encoder's stem.
        places: callers may say where the decoder's tokens stand.
        apart: (config) -> whether both stacks have token tables of their own, of any sizes.
        marks: callers may say which of the encoder's tokens see all, and are seen by all.
        routes: there are mixtures of experts, whose routers' logits [B, T, experts] callers may ask for.
        flat: those logits are [B * T, experts].
        wraps: the decoder begins with the last token of what it is to predict, a language's code.
        composed: each stack has a config of its own, which the config has under its name; where that says
            `is_encoder_decoder=False` there is no decoder.
        hides_padding: without a mask, padding by its id is none the less not seen, by either stack ("both")
            or by the decoder.
        table: path of the token table that both stacks share; `doubled`: it stands beside a decoder's own
            in the decoder alone, too.
    """

    encoder_decoder = True

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        shifts_inputs: bool = False,
        may_untie: bool = False,
        stem: type[Any] = spec.Tokens,
        places: bool = False,
        wraps: bool = False,
        marks: bool = False,
        apart: Callable[[Any], bool] = _together,
        composed: bool = False,
        hides_padding: Literal["", "both", "decoder"] = "",
        routes: bool = False,
        flat: bool = False,
        table: str = "shared",
        doubled: bool = False,
    ) -> None:
        self.flat, self.table, self.doubled = flat, table, doubled
        self.wraps, self.apart, self.composed, self.hides_padding = wraps, apart, composed, hides_padding
        self.half, self.shifts_inputs, self.may_untie, self.routes = half, shifts_inputs, may_untie, routes
        self.halves = {
            "encoder": Single(self._encoder, stem, marks=marks, routes=routes),
            "decoder": Single(self._decoder, routes=routes),
        }
        self.shares = stem is spec.Tokens
        self.main, self.means = stem.reads, STEMS[stem].inputs
        self.reads: tuple[str, ...] = ("input_ids", "attention_mask", "inputs_embeds")
        if not self.shares:
            self.reads = tuple(dict.fromkeys((*self.means, "attention_mask")))
        marked = ("global_attention_mask",) if marks else ()
        if composed:
            self.reads = (*self.reads[:2], "position_ids", *self.reads[2:])
        first = 1 + ("attention_mask" in self.reads[:2])
        self.inputs = (
            *self.reads[:first],
            *("decoder_input_ids", "decoder_attention_mask", "encoder_outputs", *marked, "past_key_values"),
            *self.reads[first:],
            *("decoder_inputs_embeds", "decoder_position_ids")[: 1 + places],
            *("use_cache", *_ASKED, "cache_position", *([ROUTING] if routes else [])),
        )
        self.reads = (*self.reads, *marked)

    def _encoder(self, config: Any) -> spec.Stack:
        return self.half(config, False)

    def _decoder(self, config: Any) -> spec.Stack:
        return self.half(config, True)

    def spec(self, config: Any) -> spec.Stack:
        """The decoder, where there is one: heads read its states."""
        return self.half(config, self._decodes(config))

    def _decodes(self, config: Any) -> bool:
        return not self.composed or bool(config.is_encoder_decoder)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the token table (role `token`; path `shared`, or the decoder's), `encoder`, `decoder`."""
        self._place(model, config, _HALVES if self._decodes(config) else _HALVES[:1])

    def _place(self, model: PreTrainedModel, config: Any, halves: tuple[str, ...]) -> None:
        for name in halves:
            stem = self.halves[name].spec(config).stem
            if self._one_table(config) and isinstance(stem, spec.Tokens) and not has(model, "token"):
                table = token_table(stem.vocabulary, stem.width, stem.padding_idx, stem.table_scale)
                place(model, "token", self.table, table)
            own = getattr(config, name) if self.composed else config
            part = stack_part(own, self.halves[name], type(stem), self.routes)
            place(model, name, name, part)
            if has(part, "token") and not has(model, "token"):
                wiring(model).roles["token"] = (name, *wiring(part).roles["token"])

    def _one_table(self, config: Any) -> bool:
        return self.shares and not self.apart(config)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """Those of the two that the model has."""
        return {name: leaf(model, name) for name in _HALVES if has(model, name)}

    def ties(self, model: Any) -> dict[str, str]:
        """The token tables of the stacks are the shared one, unless family and config keep them apart.

        Those that are apart are one where the decoder holds the output table too, and the config says so.
        """
        parts, config = self.stacks(model), model.config
        decoder = parts.get("decoder") if self.apart(config) and config.tie_word_embeddings else None
        if decoder is not None and has(decoder, "final_projection"):
            own = {f"decoder.{path_of(decoder, 'final_projection')}.weight"}
            named = {name: part for name, part in parts.items() if has(part, "token")}
            own |= {f"{name}.{path_of(part, 'token')}.weight" for name, part in named.items()}
            table = f"decoder.{path_of(decoder, 'token')}.weight"
            return dict.fromkeys(sorted(own - {table}), table)
        if not self._one_table(model.config) or (self.may_untie and not model.config.tie_word_embeddings):
            return {}
        return {
            f"{path_of(model, name)}.{path_of(part, 'token')}.weight": f"{self.table}.weight"
            for name, part in self.stacks(model).items()
            if has(part, "token")
        }

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the specs."""
        std, special = 0.02, dict[str, float]()
        for part in self.stacks(model).values():
            made: spec.Stack = wiring(part).facts["spec"]
            std = made.initial_std
            special.update(made.init)
        return std, special

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Make `value` the token table; a shared one becomes that of the stacks that use it too.

        A table that a stack has for itself stays, and follows in size.
        """
        self._same_size(model, value)
        mark_filled(value)
        if not self._one_table(model.config):
            place(model, "token", path_of(model, "token"), value)
            return
        held = leaf(model, "token").weight
        for part in self.stacks(model).values():
            if not has(part, "token"):
                continue
            own = leaf(part, "token")
            if own.weight is held:
                place(part, "token", path_of(part, "token"), value)
            elif isinstance(value, nn.Embedding) and own.num_embeddings != value.num_embeddings:
                resized = resized_table(own, value.num_embeddings, mean=True)
                place(part, "token", path_of(part, "token"), resized)
        place(model, "token", self.table, value)

    def _same_size(self, model: Any, value: nn.Module) -> None:
        """Refuse a table of another size, where both stacks have tables of their own."""
        if self.shares and self.apart(model.config):
            count = leaf(model, "token").num_embeddings
            if getattr(value, "num_embeddings", count) != count:
                raise ValueError(
                    "the encoder and the decoder have token tables of their own, which do not grow by one "
                    "number: make a model from a config with other vocab_size and decoder_vocab_size"
                )

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One stack, on the model itself: the "bare encoder" or the "bare decoder"."""
        return self.halves[part.removeprefix("bare ")]

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of both stacks."""
        config = config_class()
        return list(dict.fromkeys(self.half(config, decoder).layer_class for decoder in (False, True)))

    def room(self, config: Any) -> int | None:
        """What the positions of the stack that reads tokens first allow."""
        return self.halves["encoder" if self.shares else "decoder"].room(config)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless that was done before, and decode.

        Raises:
            ValueError: when the decoder has nothing to read, or a mask does not fit.
        """
        parts, ids, mask = self.stacks(model), given.get("input_ids"), self._mask(model, given)
        ask.padded = watched(model) if ask.padded is None else ask.padded
        if "decoder" not in parts:
            return self._encoded(parts["encoder"], {**given, "attention_mask": mask}, ask)
        if ids is not None:
            check_ids(ids)
        decoder_ids = self._decoder_ids(model, given, ids)
        stem = wiring(parts["encoder"]).facts.get("stem")  # None where somebody put in another encoder
        before = given.get("encoder_outputs")
        routing = asked(given.get(ROUTING), model.config, ROUTING) if self.routes else None
        if before is None:
            reads = {**{name: given.get(name) for name in self.reads}, "attention_mask": mask}
            if self.routes:
                reads[ROUTING] = routing
            if model.training and stem is not None:
                reads = stem.trained_on(reads)
            encoded = states_of(parts["encoder"], reads, ask)
            memory = (encoded.last, encoded.hidden, encoded.attentions, encoded.global_attentions)
            routers = encoded.router_logits
        else:
            memory, routers = given_memory(before), getattr(before, "router_logits", None)
        mask = mask if stem is None else self._rows_mask(parts["encoder"], stem, mask)
        if mask is not None and tuple(mask.shape) != tuple(memory[0].shape[:2]):
            raise ValueError(
                f"attention_mask must have shape {list(memory[0].shape[:2])}, one entry for every token that "
                f"the encoder reads, but has {list(mask.shape)}"
            )
        reads = {
            "input_ids": decoder_ids,
            "attention_mask": self._mask(model, {**given, "decoder_input_ids": decoder_ids}, "decoder_"),
            "inputs_embeds": given.get("decoder_inputs_embeds"),
            "position_ids": given.get("decoder_position_ids"),
            "token_type_ids": given.get("decoder_token_type_ids"),
            "past_key_values": given.get("past_key_values"),
            "encoder_hidden_states": self._handed(model, memory[0]),
            "encoder_attention_mask": mask,
            "use_cache": given.get("use_cache"),
            "cache_position": given.get("cache_position"),
            **({ROUTING: routing} if self.routes else {}),
            **self._beside(given),
        }
        states = states_of(parts["decoder"], reads, ask)
        states.extras.update(
            zip(
                ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions"),
                memory[:3],
                strict=True,
            )
        )
        if memory[3] is not None:
            states.extras["encoder_global_attentions"] = memory[3]
        if routing:
            both = {"decoder": (states.last, states.router_logits), "encoder": (memory[0], routers)}
            for name, (last, logits) in both.items():
                shape = (-1,) if self.flat else last.shape[:2]
                each = tuple(t.reshape(*shape, t.shape[-1]) for t in logits or ())
                states.extras[f"{name}_router_logits"] = each
        return states

    def _encoded(self, encoder: Any, given: dict[str, Any], ask: Ask) -> States:
        """The states of an encoder that has no decoder beside it."""
        more = [name for name in given if name.startswith("decoder_") and given[name] is not None]
        if more:
            raise ValueError(f"there is no decoder (config.is_encoder_decoder is False): leave out {more}")
        return states_of(encoder, {name: given.get(name) for name in self.reads}, ask)

    def _mask(self, model: Any, given: dict[str, Any], of: str = "") -> Tensor | None:
        """What is no padding of the inputs whose names begin with `of`, [B, S]; None where nothing says.

        A decoder that keeps a cache, or reads one, sees all that it has read.
        """
        mask: Tensor | None = given.get(f"{of}attention_mask")
        ids, pad = given.get(f"{of}input_ids"), model.config.pad_token_id
        cached = given.get("past_key_values") is not None
        keeps = of and (cached or (not model.training and given.get("use_cache") is not False))
        hides = self.hides_padding == "both" or (of and self.hides_padding)
        if mask is not None or not hides or ids is None or pad is None or keeps:
            return mask
        found: Tensor = ids.ne(pad).long()
        return found

    def _rows_mask(self, encoder: Any, stem: Any, mask: Tensor | None) -> Tensor | None:
        """Which of the encoder's rows are real, [B, S], by a mask over what it reads."""
        found: Tensor | None = stem.rows_mask(mask)
        return found

    def _handed(self, model: Any, memory: Tensor) -> Tensor:
        """The encoder's states, [B, S, E], as the decoder reads them."""
        return memory

    def _beside(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the decoder reads beside, or in place of, tokens."""
        return {}

    def _decoder_ids(self, model: Any, given: dict[str, Any], ids: Tensor | None) -> Tensor | None:
        found: Tensor | None = given.get("decoder_input_ids")
        if found is not None or given.get("decoder_inputs_embeds") is not None:
            return found
        if not self.shifts_inputs or ids is None:
            more = ", or labels to train on" if model.can_generate() else ""
            raise ValueError(
                f"the decoder has nothing to read: pass decoder_input_ids or decoder_inputs_embeds{more}"
            )
        return shift_right(ids, model.config, self.wraps)

    def passed_on(self, states: States) -> dict[str, Any]:
        """The decoder's states, and the encoder's beside them."""
        if not states.extras:
            return super().passed_on(states)
        return of_both(states)

    returns: Any = Seq2SeqModelOutput | BaseModelOutput

    def output(self, model: Any, states: States) -> ModelOutput:
        """The decoder's last states, and what was asked for."""
        if not states.extras:
            return BaseModelOutput(states.last, hidden_states=states.hidden, attentions=states.attentions)
        return Seq2SeqModelOutput(states.last, **self.passed_on(states))


class EncoderHalf(EncoderDecoder):
    """The encoder alone: `T5EncoderModel`. What is saved from here is a single stack."""

    encoder_decoder = False

    def __init__(self, whole: EncoderDecoder) -> None:
        self.take(whole)
        first, *others = self.reads
        self.inputs = (first, *([] if self.shares else ["encoder_outputs"]), *others, *_ASKED)
        self.inputs += (ROUTING,) * self.routes

    def spec(self, config: Any) -> spec.Stack:
        """The encoder."""
        return self.half(config, False)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the token table, where the encoder has one, and `encoder`."""
        self._place(model, config, ("encoder",))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless that was done before."""
        before = given.pop("encoder_outputs", None)
        if before is not None:
            last, hidden, attentions, _ = given_memory(before)
            return states_in(BaseModelOutput(last, hidden_states=hidden, attentions=attentions))
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(leaf(model, "encoder"), {**given, "attention_mask": self._mask(model, given)}, ask)

    def passed_on(self, states: States) -> dict[str, Any]:
        """As over a single stack."""
        return Assembly.passed_on(self, states)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The encoder's last states, and what was asked for."""
        return self.halves["encoder"].output(leaf(model, "encoder"), states)


class DecoderHalf(EncoderDecoder):
    """The decoder alone, under the path that it has beside an encoder: `BartForCausalLM`."""

    encoder_decoder = False

    def __init__(self, whole: EncoderDecoder) -> None:
        self.take(whole)
        own = self.halves["decoder"]
        self.main, self.means, self.inputs = own.main, dict(own.means), own.inputs
        if not whole.shares:
            self.inputs = (*own.inputs[:2], "encoder_outputs", *own.inputs[2:])
        self.shares = whole.shares and whole.doubled  # else there is one table

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register `decoder`."""
        self._place(model, config, ("decoder",))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Decode."""
        before = given.pop("encoder_outputs", None)
        if before is not None:
            if given.get("encoder_hidden_states") is not None:
                raise ValueError("give one of encoder_outputs and encoder_hidden_states")
            given["encoder_hidden_states"] = given_memory(before)[0]
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(leaf(model, "decoder"), given, ask)

    def passed_on(self, states: States) -> dict[str, Any]:
        """As over a single stack."""
        return self.halves["decoder"].passed_on(states)

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the decoder's own."""
        return self.halves["decoder"].output(leaf(model, "decoder"), states)


def of_both(states: States) -> dict[str, Any]:
    """What a record holds of a decoder's states, and of the encoder's beside them, by name."""
    return {
        "past_key_values": states.cache,
        "decoder_hidden_states": states.hidden,
        "decoder_attentions": states.attentions,
        "cross_attentions": states.cross_attentions,
        **states.extras,
    }


def given_memory(outputs: Any) -> tuple[Tensor, Any, Any, Any]:
    """Last states, hidden states, both kinds of attentions of an encoder that ran: a record, or a tuple."""
    if isinstance(outputs, Tensor):
        return outputs, None, None, None
    if isinstance(outputs, (tuple, list)):
        states, *rest = outputs
        return states, *(*rest, None, None, None)[:3]
    kinds = ("hidden_states", "attentions", "global_attentions")
    return outputs[0], *(getattr(outputs, name, None) for name in kinds)
