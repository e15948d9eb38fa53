"""Base models: a stack, or an encoder and a decoder, with the ecosystem's calling convention."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.notices import notice, refuse_unknown
from formers.core.outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.cache import Cache, DynamicCache
from formers.nn.dropout import drop
from formers.nn.recording import recording
from formers.stacks.stack import Inputs, States, place_stack, run

STATE_KEYWORDS = (
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
# inputs of older versions, which code that was written for them passes on as None
_OLDER = frozenset({"head_mask", "decoder_head_mask", "cross_attn_head_mask"})
# what the Hub calls the tasks
_PIPELINE_TAGS = {
    "causal_lm": "text-generation",
    "masked_lm": "fill-mask",
    "multiple_choice": "multiple-choice",
    "question_answering": "question-answering",
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
}


class StackModel(PreTrainedModel):
    """One stack, encoder or decoder, without a head: `BertModel`, `GPT2Model`, `LlamaModel`."""

    def __init__(
        self, config: PretrainedConfig, add_pooling_layer: bool | None = None, *, part: bool = False
    ) -> None:
        super().__init__(config)
        made = self._family.stack(config)
        assert isinstance(made, spec.Stack)
        self.spec = (
            made if add_pooling_layer in (None, made.pooler) else _with_pooler(made, bool(add_pooling_layer))
        )
        place_stack(self, self.spec)
        if not part:
            self.post_init()

    def _initial_deviations(self) -> tuple[float, dict[str, float]]:
        """Deviation of fresh weights, from the spec."""
        return self.spec.initial_std, dict(self.spec.init)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        packed: bool = False,
        keep_padding: bool = False,
        first_only: bool = False,
        **unknown: Any,
    ) -> Any:
        """Run the stack.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, S], 1 at real tokens; or 3-D or 4-D with the queries' own axis.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            past_key_values: a cache of earlier calls, or the older tuple of tuples.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            encoder_hidden_states: [B, S, E] for cross attention; `encoder_attention_mask` is [B, S].
            encoder_attention_mask: see `encoder_hidden_states`.
            use_cache: return a cache (decoders).
            output_attentions: return attention weights, [B, H, T, S] per layer.
            output_hidden_states: return hidden states, [B, T, E] for the embeddings and every layer.
            return_dict: a record (default) or a tuple.
            cache_position: accepted; positions follow from the cache.
            packed: return the packed `States` (for heads).
            keep_padding: compute padded places too.
            first_only: the head reads the first token alone (for heads).
            unknown: refused.

        Returns:
            `last_hidden_state` [B, T, E] (zeros where padding was left out), `pooler_output` [B, E] where
            there is a pooler, and what was asked for.
        """
        refuse_inputs(self, unknown, STATE_KEYWORDS)
        config = self.config
        if token_type_ids is not None and not (
            self.spec.embeddings.types or self.spec.embeddings.share_types
        ):
            raise TypeError(
                f"{config.model_type} models have no token types; leave token_type_ids out "
                f"(tokenizer(..., return_token_type_ids=False))"
            )
        if attention_mask is None and isinstance(input_ids, Tensor) and not _is_decoder(self):
            _notice_padding(config, input_ids)
        inputs = Inputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_key_values=self._cache(past_key_values, use_cache, input_ids, inputs_embeds),
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            output_attentions=_asked(output_attentions, config, "output_attentions"),
            output_hidden_states=_asked(output_hidden_states, config, "output_hidden_states"),
            attention=config._attn_implementation or "sdpa",
            keep_padding=keep_padding,
            first_only=first_only and packed,
        )
        states = run(self, self.spec, inputs, self.gradient_checkpointing)
        if packed:
            return states
        return returned(self._output(states), return_dict, config)

    def _output(self, states: States) -> ModelOutput:
        kind = BaseModelOutputWithPooling if "pooler" in self.spec.names.stack else BaseModelOutput
        values: dict[str, Any] = {
            "last_hidden_state": states.last,
            "past_key_values": states.cache,
            "hidden_states": states.unpacked_hidden,
            "attentions": states.attentions,
            "cross_attentions": states.cross_attentions,
        }
        if kind is BaseModelOutputWithPooling:
            values["pooler_output"] = states.pooled
        return kind(**values)

    def _cache(
        self, past: Any, use_cache: bool | None, ids: Tensor | None, vectors: Tensor | None
    ) -> Cache | None:
        """The cache of this call; made when a decoder is asked for one, refused when it cannot be kept."""
        if not _is_decoder(self):
            return None
        if past is not None and not isinstance(past, Cache):
            past = DynamicCache.from_legacy_cache(past)
        if use_cache is None:
            # a training step never reads the cache, and without one padding can be left out
            use_cache = bool(getattr(self.config, "use_cache", False)) and not self.training
        if self.training and self.is_gradient_checkpointing:
            use_cache = False
        if past is None and use_cache:
            past = DynamicCache()
        return past if isinstance(past, Cache) else None


def _with_pooler(s: spec.Stack, pooler: bool) -> spec.Stack:
    from dataclasses import replace

    return replace(s, pooler=pooler)


def _is_decoder(model: StackModel) -> bool:
    from formers.nn.masks import Causal

    return any(isinstance(layer.attention.mask, Causal) for layer in model.spec.layers[:1])


def without_older(keywords: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keywords, less those of older versions that are None: code written for those passes them on.

    Raises:
        TypeError: for one of those that has a value.
    """
    for key in keywords.keys() & _OLDER:
        if keywords[key] is not None:
            raise TypeError(f"{where} takes no {key}: attention heads cannot be switched off; leave it out")
    return {key: value for key, value in keywords.items() if key not in _OLDER}


def refuse_labels(model: PreTrainedModel, keywords: Mapping[str, Any], where: str) -> None:
    """Refuse `labels` for a head whose targets have other names, and name those.

    Raises:
        TypeError: when `labels` are among the keywords that the head's forward does not name.
    """
    if "labels" in keywords:
        names = inspect.signature(type(model).forward).parameters
        targets = [name for name in names if name.endswith(("_positions", "_label"))]
        raise TypeError(f"{where} takes no labels; its targets are {' and '.join(targets) or 'none'}")


def refuse_inputs(model: PreTrainedModel, unknown: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Refuse keywords that a model without a head does not take.

    Raises:
        TypeError: naming them; labels are told which classes take them.
    """
    name = type(model).__name__
    unknown = without_older(unknown, f"{name}.forward")
    if "labels" in unknown:
        raise TypeError(
            f"{name}.forward takes no labels: without a head it computes no loss. Load the checkpoint with a "
            f"class for the task, such as AutoModelForSequenceClassification"
        )
    refuse_unknown(unknown, ("input_ids", *allowed), f"{name}.forward")


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


def _asked(value: bool | None, config: PretrainedConfig, name: str) -> bool:
    return bool(getattr(config, name, False)) if value is None else value


def returned(output: ModelOutput, return_dict: bool | None, config: PretrainedConfig) -> Any:
    """The record, or its values as a tuple where the caller or the config wants that."""
    wanted = getattr(config, "return_dict", True) if return_dict is None else return_dict
    return output if wanted else output.to_tuple()


class TaskModel(PreTrainedModel):
    """A head over a base model; subclasses place the head's leaves and compute from the states."""

    head: Any

    def __init__(self, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.add_module(self.base_model_prefix, self.make_base(config))
        self.place_head(config)
        self.post_init()

    def make_base(self, config: PretrainedConfig) -> PreTrainedModel:
        """The base model under this head."""
        from formers.tasks.classes import class_of

        base = class_of(self._family, "Model")
        return base(config, add_pooling_layer=self.head.pooler, part=True)

    def place_head(self, config: PretrainedConfig) -> None:
        """Register the head's leaves."""
        raise NotImplementedError(f"{type(self).__name__} places no head")

    def _initial_deviations(self) -> tuple[float, Any]:
        """Those of the base model."""
        base = self.base_model
        return (
            base._initial_deviations()
            if isinstance(base, PreTrainedModel) and base is not self
            else (0.02, {})
        )

    def _optional_parts(self) -> list[str]:
        """The pooler, or a head that stands within the trunk."""
        if self.base_model is self:
            return [f"{path}." for path in self.head.paths.values()]
        return super()._optional_parts()

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the head's task."""
        task = self.head.task
        return _PIPELINE_TAGS.get(task), task in ("sequence_classification", "token_classification")

    @property
    def width(self) -> int:
        """E, the width of the states that the head reads."""
        return int(self.config.hidden_size)

    def states(self, where: str, keywords: dict[str, Any], **inputs: Any) -> States:
        """Run the base model and return its packed states; `where` names who refuses keywords."""
        keywords = without_older(keywords, where)
        refuse_labels(self, keywords, where)
        refuse_unknown(keywords, (*STATE_KEYWORDS, "labels", "num_items_in_batch"), where)
        keywords = {key: value for key, value in keywords.items() if key != "return_dict"}
        states = self.base_model(**inputs, **keywords, packed=True)
        assert isinstance(states, States)
        return states

    def dropout(self, x: Tensor) -> Tensor:
        """The head's dropout, in training."""
        if not self.training:
            return x
        rates = (getattr(self.config, name, None) for name in self.head.dropout)
        rate = next((rate for rate in rates if rate is not None), self.head.default_dropout)
        return drop(x, float(rate)) if rate else x

    def record(self, kind: type[ModelOutput], states: States, *values: Any) -> ModelOutput:
        """The head's output: its own values, then those that every head passes on."""
        return kind(*values, **self.shared_outputs(states))

    def shared_outputs(self, states: States) -> dict[str, Any]:
        """The parts of the output that every head passes on."""
        return {
            "hidden_states": states.unpacked_hidden,
            "attentions": states.attentions,
            "past_key_values": states.cache,
        }


def labels_on_padding(labels: Tensor | None, attention_mask: Tensor | None) -> bool:
    """Whether a token-level loss counts places that the mask calls padding; then they must be computed."""
    if labels is None or attention_mask is None or attention_mask.dim() != 2:
        return False
    if labels.shape != attention_mask.shape:
        return False
    return bool(((labels != -100) & (attention_mask == 0)).any())


def owner_parameter(model: nn.Module, path: str, value: Tensor) -> None:
    """Register a bare parameter under a dotted path."""
    group, _, name = path.rpartition(".")
    model.get_submodule(group).register_parameter(name, nn.Parameter(value))
