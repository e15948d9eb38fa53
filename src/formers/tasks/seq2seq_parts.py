"""One half of an encoder-decoder: its encoder alone, and its decoder alone as a language model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.notices import refuse_unknown
from formers.core.outputs import BaseModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.leaves import token_table
from formers.nn.losses import cross_entropy
from formers.stacks.stack import States
from formers.tasks.base import TaskModel, refuse_inputs, returned, without_older
from formers.tasks.language_model import CausalLM
from formers.tasks.seq2seq import StackPart, replace_tables, trunk_deviations, trunk_ties
from formers.tasks.token_classification import TokenClassification

ENCODER_KEYWORDS = (
    "input_ids",
    "attention_mask",
    "inputs_embeds",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "keep_padding",
)


class EncoderModel(PreTrainedModel):
    """The encoder of an encoder-decoder: `T5EncoderModel`."""

    _unread = (r"(^|\.)decoder\.",)

    def __init__(self, config: PretrainedConfig, *, part: bool = False) -> None:
        super().__init__(config)
        # what is saved from here is a single stack
        config.is_encoder_decoder = False
        config.use_cache = False
        made = self._family.stack(config)
        assert isinstance(made, tuple)
        e = made[0].embeddings
        self.place("token", "shared", token_table(e.vocabulary, e.width, e.padding_idx, e.table_scale))
        self.place("encoder", "encoder", StackPart(config, made[0]))
        if not part:
            self.post_init()

    def _initial_deviations(self) -> tuple[float, dict[str, float]]:
        """Deviation of fresh weights, from the spec."""
        return trunk_deviations(self)

    def _tied_weights(self) -> dict[str, str]:
        """The encoder's token table is the shared one."""
        return trunk_ties(self)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table."""
        replace_tables(self, value)

    def get_encoder(self) -> nn.Module:
        """The encoder, which is called as this model is."""
        return self.leaf("encoder")

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        packed: bool = False,
        keep_padding: bool = False,
        **unknown: Any,
    ) -> Any:
        """Encode.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], 1 at real tokens.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            output_attentions: return attention weights, [B, H, T, T] per layer.
            output_hidden_states: return hidden states, [B, T, E] for the embeddings and every layer.
            return_dict: a record (default) or a tuple.
            packed: return the packed `States` (for heads).
            keep_padding: compute padded places too.
            unknown: refused.

        Returns:
            `last_hidden_state` [B, T, E] (zeros where padding was left out), and what was asked for.
        """
        refuse_inputs(self, unknown, ENCODER_KEYWORDS)
        states = self.leaf("encoder")(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            keep_padding=keep_padding,
            packed=True,
        )
        if packed:
            return states
        output = BaseModelOutput(
            states.last, hidden_states=states.unpacked_hidden, attentions=states.attentions
        )
        return returned(output, return_dict, self.config)


class EncoderTokenClassification(TokenClassification):
    """A label for every token, told by the encoder alone."""

    _unread = EncoderModel._unread

    def make_base(self, config: PretrainedConfig) -> PreTrainedModel:
        """The encoder under this head."""
        from formers.tasks.classes import class_of

        return class_of(self._family, "EncoderModel")(config, part=True)

    def _tied_weights(self) -> dict[str, str]:
        """Those of the encoder."""
        return prefixed_ties(self)

    def states(self, where: str, keywords: dict[str, Any], **inputs: Any) -> States:
        """Run the encoder and return its packed states; `where` names who refuses keywords."""
        given = {
            **{key: value for key, value in inputs.items() if value is not None},
            **without_older(keywords, where),
        }
        refuse_unknown(given, (*ENCODER_KEYWORDS, "labels", "num_items_in_batch"), where)
        given.pop("return_dict", None)
        states = self.base_model(**given, packed=True)
        assert isinstance(states, States)
        return states


class DecoderModel(PreTrainedModel):
    """The decoder of an encoder-decoder, under the path that it has there."""

    def __init__(self, config: PretrainedConfig, made: spec.Stack) -> None:
        super().__init__(config)
        decoder = StackPart(config, made)
        self.place("decoder", "decoder", decoder)
        self.roles["token"] = ("decoder", *decoder.roles["token"])

    def _initial_deviations(self) -> tuple[float, dict[str, float]]:
        """Deviation of fresh weights, from the spec."""
        return trunk_deviations(self)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table."""
        self.place("token", ".".join(self.roles["token"]), value)

    def forward(self, **inputs: Any) -> Any:
        """Run the decoder; everything as `StackModel.forward` takes it."""
        return self.leaf("decoder")(**inputs)


class DecoderLM(CausalLM):
    """The decoder alone as a language model: `BartForCausalLM`.

    Its labels are not shifted: `labels[:, i]` is what the logits at place i shall predict.
    """

    shifts_labels = False
    _unread = (r"(^|\.)encoder\.", r"^final_logits_bias$")

    def __init__(self, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        config.is_decoder = True
        config.is_encoder_decoder = False
        super().__init__(config, *args, **options)

    def make_base(self, config: PretrainedConfig) -> PreTrainedModel:
        """The decoder under this head."""
        made = self._family.stack(config)
        assert isinstance(made, tuple)
        return DecoderModel(config, made[1])

    def get_decoder(self) -> nn.Module:
        """The decoder, which is called as a model without a head."""
        base = self.base_model
        assert isinstance(base, PreTrainedModel)
        return base.leaf("decoder")

    @staticmethod
    def loss_of(logits: Tensor, labels: Tensor, items: Any) -> Tensor:
        """Cross entropy at every place; the labels are shifted already."""
        return cross_entropy(logits, labels, items)


def prefixed_ties(model: TaskModel) -> dict[str, str]:
    """Ties of the model under a head, by the names that they have in the head's own tree."""
    base, prefix = model.base_model, model.base_model_prefix
    assert isinstance(base, PreTrainedModel)
    return {f"{prefix}.{target}": f"{prefix}.{source}" for target, source in base._tied_weights().items()}
