"""Turn texts into music, or other sounds: `MusicgenForConditionalGeneration`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.assemblies.audio.text_to_codes import TextToCodes
from formers.core.outputs import ModelOutput, Seq2SeqTaskOutput
from formers.core.sound_outputs import UnconditionalInput
from formers.generation import resolve
from formers.generation.delay_pattern import go_on
from formers.generation.mixin import GenerationMixin
from formers.generation.outputs import GenerateEncoderDecoderOutput
from formers.model.base import PreTrainedModel
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.code_lm import copied, shifted
from formers.tasks.composed_pair import parts_of

_PARTS = ("text_encoder", "audio_encoder", "decoder")


class MusicGeneration(GenerationMixin, TaskModel):
    """A text encoder, a decoder of codes, and the codec whose codes they are.

    Raises:
        ValueError: without a config and without all three.
    """

    config_class: ClassVar[Any]
    _assembly: ClassVar[TextToCodes]
    _keeps_cache = True
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)
    _says = (
        "Predict codes of sounds. `labels`: [B, T, books], int64, -100 or padding where there is none; they "
        "are what the decoder reads too, unless it is given something else."
    )

    def __init__(
        self, config: Any = None, text_encoder: Any = None, audio_encoder: Any = None, decoder: Any = None
    ) -> None:
        parts = {"text_encoder": text_encoder, "audio_encoder": audio_encoder, "decoder": decoder}
        if config is None:
            if any(part is None for part in parts.values()):
                raise ValueError(f"{type(self).__name__} takes a config, or {', '.join(_PARTS)}")
            config = self.config_class(**{name: part.config for name, part in parts.items()})
        PreTrainedModel.__init__(self, config)  # the heads are the decoder's: nothing is placed beside it
        self._assembly.place(self, config, parts=parts)
        self.post_init()

    @classmethod
    def can_generate(cls) -> bool:
        """It makes sounds."""
        return True

    # -- parts -------------------------------------------------------------------------------------

    @classmethod
    def from_sub_models_pretrained(
        cls,
        text_encoder_pretrained_model_name_or_path: Any = None,
        audio_encoder_pretrained_model_name_or_path: Any = None,
        decoder_pretrained_model_name_or_path: Any = None,
        **options: Any,
    ) -> Any:
        """Join three checkpoints; what only the whole has, a layer between two widths, is drawn afresh.

        Args:
            text_encoder_pretrained_model_name_or_path: folder or Hub id of the text encoder.
            audio_encoder_pretrained_model_name_or_path: likewise of the codec.
            decoder_pretrained_model_name_or_path: likewise of the decoder, or of a whole that has one.
            options: `text_encoder_model` and the like in place of a checkpoint; `text_encoder_`,
                `audio_encoder_` or `decoder_` before any keyword of `from_pretrained`; all others are
                fields of the whole's config.

        Raises:
            ValueError: when a part is not given, or they do not go together.
        """
        given = (
            text_encoder_pretrained_model_name_or_path,
            audio_encoder_pretrained_model_name_or_path,
            decoder_pretrained_model_name_or_path,
        )
        names = dict(zip(_PARTS, given, strict=True))
        parts = parts_of(names, options, cls._loaded, "_pretrained_model_name_or_path")
        config = cls.config_class(**{name: part.config for name, part in parts.items()}, **options)
        return cls(config, **parts).eval()

    @classmethod
    def _loaded(cls, name: str, source: Any, options: dict[str, Any]) -> Any:
        """A part from a checkpoint of its own, or of a whole."""
        config = options.pop("config", None)
        if config is None:
            config, options = cls._assembly.config_of(source, **options)
        if isinstance(config, cls.config_class):
            own = getattr(config, name)
            for field in [field for field in options if field in own.to_dict()]:
                setattr(own, field, options.pop(field))
            return getattr(cls.from_pretrained(source, config=config, **options), name)
        kind_of = cls._assembly.parts[name][1]
        if name == "decoder":
            config.is_decoder = config.add_cross_attention = True
        return kind_of(config).from_pretrained(source, config=config, **options)

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The text encoder; with `modality="audio"` the codec."""
        found: nn.Module = leaf(self, "audio_encoder" if modality == "audio" else "text_encoder")
        return found

    def get_output_embeddings(self) -> nn.Module:
        """The decoder's output tables."""
        table: nn.Module = leaf(self, "decoder").get_output_embeddings()
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text encoder's token table."""
        leaf(self, "text_encoder").set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **options: Any) -> nn.Module:
        """Refused: the parts have vocabularies of their own.

        Raises:
            ValueError: always, saying what to do.
        """
        raise ValueError(
            "the parts have vocabularies of their own: resize model.text_encoder, by its own "
            "resize_token_embeddings"
        )

    def freeze_text_encoder(self) -> None:
        """The text encoder's parameters get no gradients."""
        leaf(self, "text_encoder").requires_grad_(False)

    def freeze_audio_encoder(self) -> None:
        """The codec's parameters get no gradients."""
        leaf(self, "audio_encoder").requires_grad_(False)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads to predict codes [B, T, books]: [B, books, T]."""
        return shifted(labels, self.config.decoder)

    # -- calls -------------------------------------------------------------------------------------

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        given["labels"] = targets["labels"]

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        return self._assembly.run(self, given, ask)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        said, memory = states.extras["said"], states.extras["memory"]
        return Seq2SeqTaskOutput(
            said.loss,
            said.logits,
            past_key_values=said.past_key_values,
            decoder_hidden_states=said.hidden_states,
            decoder_attentions=said.attentions,
            cross_attentions=said.cross_attentions,
            encoder_last_hidden_state=memory[0],
            encoder_hidden_states=getattr(memory, "hidden_states", None),
            encoder_attentions=getattr(memory, "attentions", None),
        )

    def get_unconditional_inputs(self, num_samples: int = 1) -> UnconditionalInput:
        """What `generate` reads in place of texts, for so many sounds of no text."""
        width = self.config.text_encoder.hidden_size
        states = torch.zeros(num_samples, 1, width, device=self.device, dtype=self.dtype)
        mask = torch.zeros(num_samples, 1, device=self.device, dtype=torch.long)
        return UnconditionalInput(encoder_outputs=(states,), attention_mask=mask, guidance_scale=1.0)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # texts to sounds
        self,
        inputs: Tensor | None = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        synced_gpus: bool | None = None,
        streamer: Any = None,
        *,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make sounds of texts.

        Args:
            inputs: [B, S], int64, texts; `input_ids` is the same.
            generation_config: settings; keywords win over them, and they win over the model's own. A
                `guidance_scale` above 1 leads away from what is made without a text.
            logits_processor: processors of one's own.
            stopping_criteria: criteria of one's own.
            synced_gpus: not offered.
            streamer: gets the prompt and every step [B * books].
            generator: the source of randomness.
            kwargs: settings; `attention_mask` [B, S]; `encoder_outputs` in place of texts;
                `input_values` [B, channels, samples], sounds to go on with, and their `padding_mask`, or
                their codes as `decoder_input_ids` [B * books, T].

        Returns:
            [B, channels, samples], floating; or a record with those as `sequences`.

        Raises:
            TypeError: for a keyword that is neither a setting nor an input.
            ValueError: without texts, for sounds that do not fit, and settings that do not.
        """
        if synced_gpus:
            raise ValueError("synced_gpus is not offered for models of codes")
        config = resolve.settings(self, generation_config, kwargs)
        ids = kwargs.pop("input_ids", None) if inputs is None else inputs
        resolve.refuse(self, kwargs)
        ids = resolve.brought(self, ids, kwargs)
        given = {"input_ids": ids, **kwargs}
        decoder, asked = leaf(self, "decoder"), Ask()
        asked.attentions, asked.hidden = bool(config.output_attentions), bool(config.output_hidden_states)
        if isinstance(ids, Tensor) and given.get("attention_mask") is None:
            given["attention_mask"] = torch.ones_like(ids)
        memory, mask = self._assembly.read(self, given, asked), given.get("attention_mask")
        states = memory[0]
        begun, scales = self._begun(given, config, len(states))
        more = {"memory": states, **({} if mask is None else {"mask": mask})}
        if given.get("decoder_attention_mask") is not None:
            more["decoder_mask"] = given["decoder_attention_mask"]
        begun, more = copied(begun, more, decoder.num_codebooks, config.num_return_sequences)
        read = self._doubled(more["memory"], more.get("mask"), config.guidance_scale)
        read["past_key_values"] = given.get("past_key_values")
        if "decoder_mask" in more:
            read["attention_mask"] = more["decoder_mask"]
        codes, record = go_on(
            decoder,
            begun,
            config,
            {name: value for name, value in read.items() if value is not None},
            logits_processor,
            stopping_criteria,
            streamer,
            generator,
            ids,
        )
        sounds = self._assembly.sounded(self, codes, scales)
        return sounds if record is None else _recorded(record, sounds, memory, asked)

    def _begun(self, given: dict[str, Any], config: Any, batch: int) -> tuple[Tensor, Any]:
        """The codes that are gone on with, [B * books, T], and how loud their sound was."""
        start = config.decoder_start_token_id
        start = config.bos_token_id if start is None else start
        if start is None:
            raise ValueError("nothing says which code stands before a sound: pass decoder_start_token_id")
        books = leaf(self, "decoder").num_codebooks
        first = torch.full((batch * books, 1), int(start), device=self.device)
        ids, scales = given.get("decoder_input_ids"), None
        if ids is None and given.get("input_values") is not None:
            ids, scales = self._assembly.coded(self, given["input_values"], given.get("padding_mask"))
        if ids is None:
            return first, None
        if ids.dim() != 2 or len(ids) != len(first):
            raise ValueError(
                f"sounds to go on with are the {books} books of each of {batch}, [{len(first)}, T], not "
                f"{list(ids.shape)}"
            )
        if bool((ids[:, 0] != start).all()):
            ids = torch.cat((first, ids), dim=1)
            mask = given.get("decoder_attention_mask")
            if mask is not None:
                given["decoder_attention_mask"] = nn.functional.pad(mask, (1, 0), value=1)
        return ids, scales

    def _doubled(self, states: Tensor, mask: Tensor | None, scale: float | None) -> dict[str, Any]:
        """What the decoder looks at; guidance wants rows without texts behind those with them."""
        if scale is not None and scale > 1:
            mask = torch.ones(states.shape[:2], device=states.device) if mask is None else mask
            states = torch.cat((states, torch.zeros_like(states)))
            mask = torch.cat((mask, torch.zeros_like(mask)))
        return {
            "encoder_hidden_states": self._assembly.handed(self, states, mask),
            "encoder_attention_mask": mask,
        }


def _recorded(record: Any, sounds: Tensor, memory: Any, asked: Ask) -> Any:
    """What was noted, as of a model with an encoder."""
    return GenerateEncoderDecoderOutput(
        sequences=sounds,
        scores=record.scores,
        logits=record.logits,
        encoder_attentions=getattr(memory, "attentions", None) if asked.attentions else None,
        encoder_hidden_states=getattr(memory, "hidden_states", None) if asked.hidden else None,
        decoder_attentions=record.attentions,
        decoder_hidden_states=record.hidden_states,
        past_key_values=record.past_key_values,
    )
