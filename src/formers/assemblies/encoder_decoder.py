"""Two stacks over one token table: T5, BART; and either half of them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, shift_right, signed, states_of
from formers.assemblies.single import Single
from formers.core.outputs import BaseModelOutput, ModelOutput, Seq2SeqModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.model.vocabulary import resized_table
from formers.nn import spec
from formers.nn.leaves import token_table
from formers.nn.stems.tokens import check_ids
from formers.nn.tree import has, leaf, path_of, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_HALVES = ("encoder", "decoder")


class StackPart(BaseModel):
    """The encoder or the decoder of a model; called as the model without a head would be."""

    def __init__(self, config: Any, assembly: Single) -> None:
        self.__dict__["_assembly"] = assembly  # before torch's own: placing needs it
        super().__init__(config, part=True)


StackPart.forward = signed(  # type: ignore[method-assign]
    StackPart, BaseModel.forward, Single.text_inputs, "Run the stack."
)


class EncoderDecoder(Assembly):
    """An encoder and a decoder over one token table, and what heads over both need.

    Args:
        half: (config, whether it is the decoder) -> the spec of one stack.
        shifts_inputs: a decoder without inputs of its own reads the shifted `input_ids`.
        may_untie: the config may keep the tables of both stacks apart.
    """

    encoder_decoder = True
    inputs: tuple[str, ...] = (
        "input_ids",
        "attention_mask",
        "decoder_input_ids",
        "decoder_attention_mask",
        "encoder_outputs",
        "past_key_values",
        "inputs_embeds",
        "decoder_inputs_embeds",
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "cache_position",
    )

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        shifts_inputs: bool = False,
        may_untie: bool = False,
    ) -> None:
        self.half, self.shifts_inputs, self.may_untie = half, shifts_inputs, may_untie
        self.halves = {
            "encoder": Single(self._encoder),
            "decoder": Single(self._decoder, crosses=True),
        }

    def _encoder(self, config: Any) -> spec.Stack:
        return self.half(config, False)

    def _decoder(self, config: Any) -> spec.Stack:
        return self.half(config, True)

    def spec(self, config: Any) -> spec.Stack:
        """The decoder: heads read its states."""
        return self.half(config, True)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the token table (role `token`, path `shared`), `encoder` and `decoder`."""
        self._place(model, config, _HALVES)

    def _place(self, model: PreTrainedModel, config: Any, halves: tuple[str, ...]) -> None:
        stem = self.halves[halves[0]].spec(config).stem
        assert isinstance(stem, spec.Tokens)
        table = token_table(stem.vocabulary, stem.width, stem.padding_idx, stem.table_scale)
        place(model, "token", "shared", table)
        for name in halves:
            place(model, name, name, StackPart(config, self.halves[name]))

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """Those of the two that the model has."""
        return {name: leaf(model, name) for name in _HALVES if has(model, name)}

    def ties(self, model: Any) -> dict[str, str]:
        """The token tables of the stacks are the shared one, unless family and config keep them apart."""
        if not has(model, "token") or (self.may_untie and not model.config.tie_word_embeddings):
            return {}
        return {
            f"{name}.{path_of(part, 'token')}.weight": "shared.weight"
            for name, part in self.stacks(model).items()
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
        """Make `value` the shared table, and that of the stacks that use it too.

        A table that a stack has for itself stays, and follows in size.
        """
        mark_filled(value)
        held = leaf(model, "token").weight
        for part in self.stacks(model).values():
            own = leaf(part, "token")
            if own.weight is held:
                place(part, "token", path_of(part, "token"), value)
            elif isinstance(value, nn.Embedding) and own.num_embeddings != value.num_embeddings:
                resized = resized_table(own, value.num_embeddings, mean=True)
                place(part, "token", path_of(part, "token"), resized)
        place(model, "token", "shared", value)

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of both stacks."""
        config = config_class()
        return list(dict.fromkeys(self.half(config, decoder).layer_class for decoder in (False, True)))

    def room(self, config: Any) -> int | None:
        """What the encoder's positions allow."""
        return self.halves["encoder"].room(config)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless that was done before, and decode.

        Raises:
            ValueError: when the decoder has nothing to read, or a mask does not fit.
        """
        ids, mask = given.get("input_ids"), given.get("attention_mask")
        if ids is not None:
            check_ids(ids)
        decoder_ids = self._decoder_ids(model, given, ids)
        ask.padded = watched(model) if ask.padded is None else ask.padded
        parts = self.stacks(model)
        before = given.get("encoder_outputs")
        if before is None:
            reads = {"input_ids": ids, "attention_mask": mask, "inputs_embeds": given.get("inputs_embeds")}
            encoded = states_of(parts["encoder"], reads, ask)
            memory = (encoded.last, encoded.hidden, encoded.attentions)
        else:
            memory = _given_memory(before)
        if mask is not None and tuple(mask.shape) != tuple(memory[0].shape[:2]):
            raise ValueError(
                f"attention_mask must have shape {list(memory[0].shape[:2])}, one entry for every token that "
                f"the encoder reads, but has {list(mask.shape)}"
            )
        reads = {
            "input_ids": decoder_ids,
            "attention_mask": given.get("decoder_attention_mask"),
            "inputs_embeds": given.get("decoder_inputs_embeds"),
            "past_key_values": given.get("past_key_values"),
            "encoder_hidden_states": memory[0],
            "encoder_attention_mask": mask,
            "use_cache": given.get("use_cache"),
            "cache_position": given.get("cache_position"),
        }
        states = states_of(parts["decoder"], reads, ask)
        states.extras.update(
            zip(
                ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions"),
                memory,
                strict=True,
            )
        )
        return states

    def _decoder_ids(self, model: Any, given: dict[str, Any], ids: Tensor | None) -> Tensor | None:
        found: Tensor | None = given.get("decoder_input_ids")
        if found is not None or given.get("decoder_inputs_embeds") is not None:
            return found
        if not self.shifts_inputs or ids is None:
            more = ", or labels to train on" if model.can_generate() else ""
            raise ValueError(
                f"the decoder has nothing to read: pass decoder_input_ids or decoder_inputs_embeds{more}"
            )
        return shift_right(ids, model.config)

    def passed_on(self, states: States) -> dict[str, Any]:
        """The decoder's states, and the encoder's beside them."""
        return {
            "past_key_values": states.cache,
            "decoder_hidden_states": states.hidden,
            "decoder_attentions": states.attentions,
            "cross_attentions": states.cross_attentions,
            **states.extras,
        }

    def output(self, model: Any, states: States) -> ModelOutput:
        """The decoder's last states, and what was asked for."""
        return Seq2SeqModelOutput(states.last, **self.passed_on(states))


class EncoderHalf(EncoderDecoder):
    """The encoder alone: `T5EncoderModel`. What is saved from here is a single stack."""

    encoder_decoder = False
    inputs = (
        "input_ids",
        "attention_mask",
        "inputs_embeds",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
    )

    def __init__(self, whole: EncoderDecoder) -> None:
        super().__init__(whole.half, whole.shifts_inputs, whole.may_untie)

    def spec(self, config: Any) -> spec.Stack:
        """The encoder."""
        return self.half(config, False)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the token table and `encoder`."""
        config.is_encoder_decoder = False
        config.use_cache = False
        self._place(model, config, ("encoder",))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode."""
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(leaf(model, "encoder"), given, ask)

    def passed_on(self, states: States) -> dict[str, Any]:
        """As over a single stack."""
        return Assembly.passed_on(self, states)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The encoder's last states, and what was asked for."""
        return BaseModelOutput(states.last, hidden_states=states.hidden, attentions=states.attentions)


class DecoderHalf(EncoderDecoder):
    """The decoder alone, under the path that it has beside an encoder: `BartForCausalLM`."""

    encoder_decoder = False

    def __init__(self, whole: EncoderDecoder) -> None:
        super().__init__(whole.half, whole.shifts_inputs, whole.may_untie)
        self.inputs = self.halves["decoder"].inputs

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register `decoder`."""
        part = StackPart(config, self.halves["decoder"])
        place(model, "decoder", "decoder", part)
        wiring(model).roles["token"] = ("decoder", *wiring(part).roles["token"])

    def ties(self, model: Any) -> dict[str, str]:
        """There is one table."""
        return {}

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table."""
        mark_filled(value)
        place(model, "token", path_of(model, "token"), value)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Decode."""
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(leaf(model, "decoder"), given, ask)

    def passed_on(self, states: States) -> dict[str, Any]:
        """As over a single stack."""
        return {**Assembly.passed_on(self, states), "cross_attentions": states.cross_attentions}

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the decoder's own."""
        return self.halves["decoder"].output(leaf(model, "decoder"), states)


def _given_memory(outputs: Any) -> tuple[Tensor, Any, Any]:
    """Last states, hidden states and attentions of an encoder that ran before: a record, or a tuple."""
    if isinstance(outputs, Tensor):
        return outputs, None, None
    if isinstance(outputs, (tuple, list)):
        states, *rest = outputs
        return states, *(*rest, None, None)[:2]
    return outputs[0], getattr(outputs, "hidden_states", None), getattr(outputs, "attentions", None)
