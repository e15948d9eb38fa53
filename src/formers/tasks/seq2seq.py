"""Encoder-decoders: two stacks over one token table, without a head and with those that read the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.notices import refuse_unknown
from formers.core.outputs import (
    ModelOutput,
    Seq2SeqModelOutput,
    Seq2SeqSpanOutput,
    Seq2SeqTaskOutput,
    SpanOutput,
    TaskOutput,
)
from formers.model.base import PreTrainedModel
from formers.model.vocabulary import resized_table
from formers.nn import spec
from formers.nn.cache import Cache, EncoderDecoderCache
from formers.nn.leaves import token_table
from formers.nn.losses import cross_entropy
from formers.stacks.stack import States, check_ids, place_stack
from formers.tasks.base import StackModel, TaskModel, refuse_inputs, refuse_labels, returned, without_older
from formers.tasks.language_model import (
    place_vocabulary_head,
    set_vocabulary_table,
    vocabulary_logits,
    vocabulary_ties,
)
from formers.tasks.question_answering import QuestionAnswering
from formers.tasks.sequence_classification import SequenceClassification

SEQ2SEQ_KEYWORDS = (
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
_RECORDS: dict[type[ModelOutput], type[ModelOutput]] = {
    TaskOutput: Seq2SeqTaskOutput,
    SpanOutput: Seq2SeqSpanOutput,
}


class StackPart(StackModel):
    """The encoder or the decoder of a model; called as the model without a head would be."""

    def __init__(self, config: PretrainedConfig, made: spec.Stack) -> None:
        PreTrainedModel.__init__(self, config)
        self.spec = made
        place_stack(self, made)

    def _cache(
        self, past: Any, use_cache: bool | None, ids: Tensor | None, vectors: Tensor | None
    ) -> Cache | None:
        """As a single stack's; what is made here also holds the encoder's keys and values."""
        cache = super()._cache(past, use_cache, ids, vectors)
        return EncoderDecoderCache(cache) if past is None and cache is not None else cache


@dataclass(eq=False)
class Seq2SeqStates(States):
    """What an encoder-decoder computed: the decoder's states, and the encoder's beside them.

    Attributes:
        memory: the encoder's last hidden states, [B, S, E].
        memory_hidden: the encoder's hidden states, [B, S, E] each, when asked for.
        memory_attentions: the encoder's attention weights, [B, H, S, S] per layer, when asked for.
    """

    memory: Tensor | None = None
    memory_hidden: tuple[Tensor, ...] | None = None
    memory_attentions: tuple[Tensor, ...] | None = None

    def outputs(self) -> dict[str, Any]:
        """What every record over an encoder-decoder holds besides its own fields."""
        return {
            "past_key_values": self.cache,
            "decoder_hidden_states": self.unpacked_hidden,
            "decoder_attentions": self.attentions,
            "cross_attentions": self.cross_attentions,
            "encoder_last_hidden_state": self.memory,
            "encoder_hidden_states": self.memory_hidden,
            "encoder_attentions": self.memory_attentions,
        }


def shift_right(ids: Tensor, config: PretrainedConfig) -> Tensor:
    """What the decoder reads to predict `ids`: the start token, then all but the last of them.

    Args:
        ids: [B, T], int64; -100 becomes padding.
        config: for `decoder_start_token_id` and `pad_token_id`.

    Returns:
        [B, T], int64.

    Raises:
        ValueError: when the config does not say which tokens those are.
    """
    check_ids(ids)
    start, pad = config.decoder_start_token_id, config.pad_token_id
    if start is None or pad is None:
        name = "decoder_start_token_id" if start is None else "pad_token_id"
        raise ValueError(
            f"the decoder's inputs follow from the labels or inputs, but config.{name} is None; "
            f"set model.config.{name}, or pass decoder_input_ids"
        )
    shifted = ids.roll(1, dims=-1)
    shifted[..., 0] = start
    return shifted.masked_fill(shifted == -100, pad)


# -- the trunk: what a model without a head is, and what some heads hold directly ---------------------


def place_trunk(model: PreTrainedModel) -> None:
    """Register the token table (role `token`, path `shared`), `encoder` and `decoder`."""
    made = model._family.stack(model.config)
    assert isinstance(made, tuple)
    encoder, decoder = made
    e = encoder.embeddings
    model.place("token", "shared", token_table(e.vocabulary, e.width, e.padding_idx, e.table_scale))
    model.place("encoder", "encoder", StackPart(model.config, encoder))
    model.place("decoder", "decoder", StackPart(model.config, decoder))


def trunk_parts(model: PreTrainedModel) -> dict[str, StackPart]:
    """The stacks of a trunk by name."""
    return {name: model.leaf(name) for name in ("encoder", "decoder") if model.has(name)}  # type: ignore[misc]


def trunk_ties(model: PreTrainedModel) -> dict[str, str]:
    """The token tables of the stacks are the shared one, unless family and config keep them apart."""
    if model._family.options.get("may_untie_inputs") and not model.config.tie_word_embeddings:
        return {}
    return {
        f"{name}.{part.token_path()}.weight": "shared.weight" for name, part in trunk_parts(model).items()
    }


def trunk_deviations(model: PreTrainedModel) -> tuple[float, dict[str, float]]:
    """Deviation of fresh weights, from the specs."""
    std, special = 0.02, dict[str, float]()
    for part in trunk_parts(model).values():
        std = part.spec.initial_std
        special.update(part.spec.init)
    return std, special


def replace_tables(model: PreTrainedModel, value: nn.Module) -> None:
    """Make `value` the shared table, and that of the stacks that use it too.

    A table that a stack has for itself stays, and follows in size.
    """
    held = model.leaf("token").weight
    for part in trunk_parts(model).values():
        if part.get_input_embeddings().weight is held:
            part.set_input_embeddings(value)
        elif isinstance(value, nn.Embedding):
            own = part.get_input_embeddings()
            assert isinstance(own, nn.Embedding)
            if own.num_embeddings != value.num_embeddings:
                part.set_input_embeddings(resized_table(own, value.num_embeddings, mean=True))
    model.place("token", "shared", value)


def trunk_states(
    model: PreTrainedModel,
    *,
    from_inputs: bool,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    decoder_input_ids: Tensor | None = None,
    decoder_attention_mask: Tensor | None = None,
    encoder_outputs: Any = None,
    past_key_values: Any = None,
    inputs_embeds: Tensor | None = None,
    decoder_inputs_embeds: Tensor | None = None,
    use_cache: bool | None = None,
    **asked: Any,
) -> Seq2SeqStates:
    """Encode, unless that was done before, and decode; inputs as `EncoderDecoderModel.forward` has them.

    With `from_inputs`, a decoder without inputs of its own reads the shifted `input_ids`.

    Raises:
        ValueError: when the decoder has nothing to read.
    """
    asked.pop("cache_position", None)  # positions follow from the cache
    if input_ids is not None:
        check_ids(input_ids)
    if decoder_input_ids is None and decoder_inputs_embeds is None:
        if not from_inputs or input_ids is None:
            more = ", or labels to train on" if model.can_generate() else ""
            raise ValueError(
                f"the decoder has nothing to read: pass decoder_input_ids or decoder_inputs_embeds{more}"
            )
        decoder_input_ids = shift_right(input_ids, model.config)
    parts = trunk_parts(model)
    if encoder_outputs is None:
        encoded = parts["encoder"](
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            packed=True,
            **asked,
        )
        memory = (encoded.last, encoded.unpacked_hidden, encoded.attentions)
    else:
        memory = _given_memory(encoder_outputs)
    if attention_mask is not None and tuple(attention_mask.shape) != tuple(memory[0].shape[:2]):
        raise ValueError(
            f"attention_mask must have shape {list(memory[0].shape[:2])}, one entry for every token that the "
            f"encoder reads, but has {list(attention_mask.shape)}"
        )
    decoded = parts["decoder"](
        input_ids=decoder_input_ids,
        attention_mask=decoder_attention_mask,
        inputs_embeds=decoder_inputs_embeds,
        past_key_values=past_key_values,
        encoder_hidden_states=memory[0],
        encoder_attention_mask=attention_mask,
        use_cache=use_cache,
        packed=True,
        **asked,
    )
    return Seq2SeqStates(
        **vars(decoded), memory=memory[0], memory_hidden=memory[1], memory_attentions=memory[2]
    )


def _given_memory(outputs: Any) -> tuple[Tensor, Any, Any]:
    """Last states, hidden states and attentions of an encoder that ran before: a record, or a tuple."""
    if isinstance(outputs, Tensor):
        return outputs, None, None
    if isinstance(outputs, (tuple, list)):
        states, *rest = outputs
        return states, *(*rest, None, None)[:2]
    return outputs[0], getattr(outputs, "hidden_states", None), getattr(outputs, "attentions", None)


class EncoderDecoderModel(PreTrainedModel):
    """An encoder and a decoder without a head: `BartModel`, `T5Model`."""

    def __init__(self, config: PretrainedConfig, *, part: bool = False) -> None:
        super().__init__(config)
        place_trunk(self)
        if not part:
            self.post_init()

    def _initial_deviations(self) -> tuple[float, dict[str, float]]:
        """Deviation of fresh weights, from the specs."""
        return trunk_deviations(self)

    def _tied_weights(self) -> dict[str, str]:
        """The token tables of both stacks are the shared one."""
        return trunk_ties(self)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table, in both stacks."""
        replace_tables(self, value)

    def get_encoder(self) -> StackPart:
        """The encoder, which is called as a model without a head."""
        return trunk_parts(self)["encoder"]

    def get_decoder(self) -> StackPart:
        """The decoder, likewise."""
        return trunk_parts(self)["decoder"]

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """The ecosystem's name of `shift_right`, [B, T] -> [B, T]."""
        return shift_right(input_ids, self.config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        packed: bool = False,
        from_inputs: bool | None = None,
        **unknown: Any,
    ) -> Any:
        """Encode and decode.

        Args:
            input_ids: what the encoder reads, [B, S], int64.
            attention_mask: [B, S], 1 at real tokens; cross attention obeys it too.
            decoder_input_ids: what the decoder reads, [B, T], int64; some families shift `input_ids` where
                there are none.
            decoder_attention_mask: [B, past + T], 1 at real tokens.
            encoder_outputs: what the encoder returned before, as a record or a tuple; it does not run again.
            past_key_values: a cache of earlier calls, or the older tuple of tuples.
            inputs_embeds: [B, S, E], in place of `input_ids`.
            decoder_inputs_embeds: [B, T, E], in place of `decoder_input_ids`.
            use_cache: return a cache.
            output_attentions: return attention weights of both stacks, and across.
            output_hidden_states: return hidden states of both stacks.
            return_dict: a record (default) or a tuple.
            cache_position: accepted; positions follow from the cache.
            packed: return the `Seq2SeqStates` (for heads).
            from_inputs: whether `input_ids` are shifted where the decoder has nothing to read (for heads).
            unknown: refused.

        Returns:
            `last_hidden_state` of the decoder [B, T, E], `encoder_last_hidden_state` [B, S, E] (zeros where
            padding was left out), and what was asked for.

        Raises:
            ValueError: when a stack has nothing to read, or a mask does not fit.
        """
        refuse_inputs(self, unknown, SEQ2SEQ_KEYWORDS)
        if from_inputs is None:
            from_inputs = bool(self._family.options.get("shifts_inputs"))
        states = trunk_states(
            self,
            from_inputs=from_inputs,
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        if packed:
            return states
        return returned(Seq2SeqModelOutput(states.last, **states.outputs()), return_dict, self.config)


class Seq2SeqTask(TaskModel):
    """A head over an encoder-decoder, which is a module of its own or (`Head.flat`) this very model."""

    shifts_inputs: bool | None = True

    def __init__(self, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        if not self.head.flat:
            super().__init__(config, *args, **options)
            return
        PreTrainedModel.__init__(self, config, *args, **options)
        place_trunk(self)
        self.place_head(config)
        self.post_init()

    def make_base(self, config: PretrainedConfig) -> PreTrainedModel:
        """The encoder-decoder under this head."""
        from formers.tasks.classes import class_of

        return class_of(self._family, "Model")(config, part=True)

    @property
    def trunk(self) -> PreTrainedModel:
        """The model that holds the two stacks."""
        base = self.base_model
        assert isinstance(base, PreTrainedModel)
        return base

    def _initial_deviations(self) -> tuple[float, Any]:
        """Those of the trunk."""
        return trunk_deviations(self.trunk)

    def _tied_weights(self) -> dict[str, str]:
        """Those of the trunk."""
        ties = trunk_ties(self.trunk)
        prefix = "" if self.head.flat else f"{self.base_model_prefix}."
        return {prefix + target: prefix + source for target, source in ties.items()}

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table, in both stacks."""
        replace_tables(self.trunk, value)

    def get_encoder(self) -> StackPart:
        """The encoder, which is called as a model without a head."""
        return trunk_parts(self.trunk)["encoder"]

    def get_decoder(self) -> StackPart:
        """The decoder, likewise."""
        return trunk_parts(self.trunk)["decoder"]

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """The ecosystem's name of `shift_right`, [B, T] -> [B, T]."""
        return shift_right(input_ids, self.config)

    def freeze_base(self) -> None:
        """Train the head alone: the trunk's parameters get no gradients."""
        for part in (self.trunk.leaf("token"), *trunk_parts(self.trunk).values()):
            part.requires_grad_(False)

    def states(self, where: str, keywords: dict[str, Any], **inputs: Any) -> Seq2SeqStates:
        """Run the trunk and return its packed states; `where` names who refuses keywords."""
        # a decoder's rows are computed densely, so hints about the packing change nothing
        hints = ("keep_padding", "first_only")
        given = {key: value for key, value in inputs.items() if value is not None and key not in hints}
        refuse_labels(self, keywords, where)
        given = {**given, **without_older(keywords, where)}
        refuse_unknown(given, (*SEQ2SEQ_KEYWORDS, "labels", "num_items_in_batch"), where)
        given.pop("return_dict", None)
        if given.get("use_cache") is None:
            given["use_cache"] = False  # a head that reads all states at once has no next step
        if self.head.flat:
            return trunk_states(self, from_inputs=bool(self.shifts_inputs), **given)
        states = self.base_model(**given, from_inputs=self.shifts_inputs, packed=True)
        assert isinstance(states, Seq2SeqStates)
        return states

    def record(self, kind: type[ModelOutput], states: States, *values: Any) -> ModelOutput:
        """The counterpart of `kind` for an encoder-decoder."""
        assert isinstance(states, Seq2SeqStates)
        return _RECORDS[kind](*values, **states.outputs())


class Seq2SeqSequenceClassification(Seq2SeqTask, SequenceClassification):
    """A label for a sequence: the decoder's state where the sequence ends."""


class Seq2SeqQuestionAnswering(Seq2SeqTask, QuestionAnswering):
    """The span that answers a question, told by the decoder's states."""

    def place_head(self, config: PretrainedConfig) -> None:
        """Role `out`."""
        config.num_labels = 2  # readers of the saved config size the head by it
        super().place_head(config)


class ConditionalGeneration(Seq2SeqTask):
    """Turn one text into another: logits of the next token, given a text and the tokens so far."""

    shifts_inputs = None

    @classmethod
    def can_generate(cls) -> bool:
        """There is a next token to predict."""
        return True

    def place_head(self, config: PretrainedConfig) -> None:
        """Role `out`; path `logits_bias` (optional), a buffer [1, V]."""
        place_vocabulary_head(self, config)
        if "logits_bias" in self.head.paths:
            self.register_buffer(self.head.paths["logits_bias"], torch.zeros(1, config.vocab_size))

    def _tied_weights(self) -> dict[str, str]:
        """Those of the trunk, and the output table where the config ties it."""
        return {**super()._tied_weights(), **vocabulary_ties(self)}

    def _settle(self, names: list[str]) -> list[str]:
        """An output table in the files is one of its own, where the config leaves it open.

        Models that were saved without this head have no constant for the logits: it is zero.
        """
        out = ".".join(self.roles["out"]) + ".weight"
        if self.head.apart and getattr(self.config, self.head.apart) and out in names:
            self.config.tie_word_embeddings = False
        bias = self.head.paths.get("logits_bias")
        if bias is None or any(name.endswith(bias) for name in names):
            return []
        self.register_buffer(bias, torch.zeros(1, self.config.vocab_size, device="cpu"))
        return [bias]

    def get_output_embeddings(self) -> nn.Module:
        """The output table."""
        return self.leaf("out")

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output table; the constant that is added to the logits follows its size."""
        set_vocabulary_table(self, value)
        if "logits_bias" in self.head.paths:
            name = self.head.paths["logits_bias"]
            old, count = getattr(self, name), int(value.out_features)  # type: ignore[arg-type]
            new = old.new_zeros(1, count)
            kept = min(count, old.shape[1])
            new[:, :kept] = old[:, :kept]
            setattr(self, name, new)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads to predict `labels`: [B, T] -> [B, T], int64."""
        return shift_right(labels, self.config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Any = None,
        **keywords: Any,
    ) -> Any:
        """Predict tokens.

        Args:
            input_ids: what the encoder reads, [B, S], int64.
            attention_mask: [B, S], 1 at real tokens.
            decoder_input_ids: what the decoder reads, [B, T], int64; the shifted labels where there are none.
            decoder_attention_mask: [B, past + T], 1 at real tokens.
            encoder_outputs: what the encoder returned before, as a record or a tuple; it does not run again.
            past_key_values: a cache of earlier calls, or the older tuple of tuples.
            inputs_embeds: [B, S, E], in place of `input_ids`.
            decoder_inputs_embeds: [B, T, E], in place of `decoder_input_ids`.
            labels: [B, T], int64, -100 where there is none; not shifted.
            use_cache: return a cache; by default as the config says, but not beside a loss.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            keywords: as the base model takes them.

        Returns:
            `logits` [B, T, V], `loss` when labels are given, the cache, and what was asked for.

        Raises:
            ValueError: when the decoder has nothing to read.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = shift_right(labels, self.config)
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training and labels is None
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
        )
        logits = states.layout.unpack(vocabulary_logits(self, states.rows))  # [B, T, V]
        if "logits_bias" in self.head.paths:
            logits = logits + getattr(self, self.head.paths["logits_bias"]).to(logits)
        loss = None if labels is None else cross_entropy(logits, labels, num_items_in_batch)
        return returned(self.record(TaskOutput, states, loss, logits), return_dict, self.config)
