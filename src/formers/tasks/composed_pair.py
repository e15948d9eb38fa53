"""Generation by two models, an encoder and a decoder, each of any family: `EncoderDecoderModel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import nn

from formers.assemblies.composed_pair import ComposedPair
from formers.core.outputs import ModelOutput, TaskOutput
from formers.model.base import PreTrainedModel
from formers.nn.losses import cross_entropy
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.seq2seq import ConditionalGeneration


class ComposedWriting(ConditionalGeneration):
    """The decoder predicts tokens, with the head that it has."""

    _assembly: ClassVar[ComposedPair]

    def _place_head(self, spec: Any, config: Any) -> None:
        """It is the decoder's: nothing is placed beside it."""

    def get_output_embeddings(self) -> nn.Module:
        """The decoder's output table."""
        table: nn.Module = leaf(self, "decoder").get_output_embeddings()
        return table

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's output table."""
        leaf(self, "decoder").set_output_embeddings(value)

    def _tied_weights(self) -> dict[str, str]:
        """The parts' own."""
        return TaskModel._tied_weights(self)

    def _settle(self, names: list[str]) -> None:
        """Nothing is left open."""

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        cached, read = given.get("use_cache"), given.get("decoder_input_ids")
        super()._prepare(given, targets, ask)
        if targets["labels"] is None:
            given["use_cache"] = cached  # the decoder's config decides
        ids = given.get("decoder_input_ids")
        if read is None and ids is not None and given.get("decoder_attention_mask") is None:
            given["decoder_attention_mask"] = ids.ne(self.config.pad_token_id).long()

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = states.last, targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)


class ComposedGeneration(ComposedWriting):
    """The same of two models that may have been trained apart."""

    config_class: ClassVar[Any]

    def __init__(self, config: Any = None, encoder: Any = None, decoder: Any = None) -> None:
        if config is None:
            if encoder is None or decoder is None:
                raise ValueError(f"{type(self).__name__} takes a config, or an encoder and a decoder")
            config = self.config_class.from_encoder_decoder_configs(encoder.config, decoder.config)
        PreTrainedModel.__init__(self, config)  # the head is the decoder's: nothing is placed beside it
        self._assembly.place(self, config, parts={"encoder": encoder, "decoder": decoder})
        self.post_init()

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder_pretrained_model_name_or_path: Any = None,
        decoder_pretrained_model_name_or_path: Any = None,
        **options: Any,
    ) -> Any:
        """Join two checkpoints. What only the pair has, such as cross attention, is drawn afresh.

        Args:
            encoder_pretrained_model_name_or_path: folder or Hub id of the encoder.
            decoder_pretrained_model_name_or_path: likewise of the decoder.
            options: `encoder_model` or `decoder_model` in place of a checkpoint; `encoder_` or `decoder_`
                before any keyword of `from_pretrained`; all others are fields of the pair's config.

        Raises:
            ValueError: when a part is not given, or the two cannot be joined.
        """
        names = {
            "encoder": encoder_pretrained_model_name_or_path,
            "decoder": decoder_pretrained_model_name_or_path,
        }
        parts = parts_of(names, options, cls._assembly.loaded, "_pretrained_model_name_or_path")
        configs = (model.config for model in parts.values())
        return cls(cls.config_class.from_encoder_decoder_configs(*configs, **options), **parts).eval()

    def resize_token_embeddings(self, *args: Any, **options: Any) -> nn.Module:
        """Refused: there are two vocabularies.

        Raises:
            ValueError: always, saying what to do.
        """
        raise ValueError(
            "the parts have vocabularies of their own: resize model.encoder or model.decoder, by its own "
            "resize_token_embeddings"
        )


class PictureTexts(ComposedWriting):
    """The same of two halves that were made for each other, the first of which sees pictures."""

    def _written(self) -> Any:
        """The decoder's config."""
        return self.config.get_text_config()

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        read = given.get("decoder_input_ids")
        super()._prepare(given, targets, ask)
        if read is None and given.get("decoder_input_ids") is not None:
            mask = given["decoder_attention_mask"].clone()
            mask[:, 0] = 1  # what texts begin with may be the id of padding
            given["decoder_attention_mask"] = mask


def parts_of(
    names: Mapping[str, Any],
    options: dict[str, Any],
    load: Callable[[str, Any, dict[str, Any]], Any],
    called: str,
) -> dict[str, Any]:
    """Models that are to be joined, by what they are.

    Args:
        names: folder or Hub id of each, or None.
        options: keywords of a call, from which those that begin with the name of a part are taken: `_model`
            is the part itself.
        load: part, name and keywords -> model.
        called: how the keyword ends that names a checkpoint.

    Raises:
        ValueError: for a part that is not given.
    """
    parts: dict[str, Any] = {}
    for part, name in names.items():
        start = f"{part}_"
        own = {key.removeprefix(start): options.pop(key) for key in list(options) if key.startswith(start)}
        model = own.pop("model", None)
        if model is None and name is None:
            raise ValueError(f"give {part}{called}, or {part}_model")
        parts[part] = load(part, name, own) if model is None else model
    return parts
