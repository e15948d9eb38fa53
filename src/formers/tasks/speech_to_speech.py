"""Translate texts and speech into speech: into a text, that into units, and those into waves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.audio.speech_translation import show, shown
from formers.assemblies.base import ties_within
from formers.core.sound_outputs import TranslatedSpeechOutput
from formers.nn.tree import leaf, place
from formers.tasks.language_model import Spec as WordsSpec
from formers.tasks.seq2seq import ConditionalGeneration
from formers.tasks.translation import Translation, language

_TABLES = ("t2u_lang_code_to_id", "vocoder_lang_code_to_id")
_UNITS = "t2u_"


@dataclass(frozen=True)
class Spec(WordsSpec):
    """A head for words, and what speaks them.

    Attributes:
        units: config -> the model that writes units.
        voice: config -> the model that makes waves of those.
        offset: units of the first are this much higher than those of the second.
    """

    units: Callable[[Any], nn.Module] = nn.Identity
    voice: Callable[[Any], nn.Module] = nn.Identity
    offset: int = 0


@dataclass(frozen=True)
class Spoken:
    """The language in which units are written, that in which they are said, and by whom."""

    units: int
    waves: int
    speaker: int


@dataclass(frozen=True)
class Said:
    """Texts whose units are wanted.

    Attributes:
        ids: [B, T], int64.
        rows: states of them, [B, T, E]; `real` [B, T] says at which there is a token.
        settings: the generation config of the model that wrote them.
        options: settings for units.
    """

    ids: Tensor
    rows: Tensor
    real: Tensor
    settings: Any
    options: dict[str, Any]


def of_units(config: Any) -> Any:
    """A config in which settings of units are the model's own."""
    own = copy.deepcopy(config)
    for name, value in config.to_dict().items():
        if name.startswith(_UNITS):
            setattr(own, name.removeprefix(_UNITS), value)
    return own


class Units(ConditionalGeneration):
    """The vocabulary head over a pair that writes units of states of a text, with settings of its own."""

    _trims = 0  # tokens at the end of a text that are not said
    _says_every = False  # of several texts of one input the likeliest is said

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        super().__init__(of_units(config), *args, **options)

    def _of_texts(self, said: Said, language: int) -> tuple[Tensor, Tensor]:
        """Units as they were written, [B, n], int64, and those to be said, [B, m]."""
        begun = torch.tensor([[self.config.eos_token_id, language]], device=said.rows.device)
        begins = {"attention_mask": said.real.long(), "decoder_input_ids": begun.expand(len(said.rows), -1)}
        found: Tensor = self.generate(**{**said.options, "inputs_embeds": said.rows, **begins})
        return found, found[:, 2:]  # behind those two that began them


class SpeechToSpeech(Translation):
    """The same head, with a model of units and a vocoder beside it."""

    settings_of_parts = True  # text and units are written by their own

    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        place(self, "units", "t2u_model", spec.units(config))
        place(self, "voice", "vocoder", spec.voice(config))

    def _tied_weights(self) -> dict[str, str]:
        """Those of the text, and of the units."""
        return {**super()._tied_weights(), **ties_within({"t2u_model": leaf(self, "units")})}

    @torch.no_grad()
    def generate(  # type: ignore[override]  # what the ecosystem's class takes, in its order
        self,
        inputs: Tensor | None = None,
        return_intermediate_token_ids: bool | None = None,
        tgt_lang: str | None = None,
        spkr_id: int = 0,
        *,
        speaker_id: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Translate into speech.

        Args:
            inputs: [B, T], int64, texts; or frames of speech [B, T, bands]. By name too.
            return_intermediate_token_ids: return a record with the text and the units beside the waves.
            tgt_lang: the language to speak, `fra`.
            spkr_id: whose voice; `speaker_id` is the same.
            speaker_id: likewise.
            kwargs: settings of generation, for text and units alike; behind `text_` or `speech_` for one of
                them alone.

        Returns:
            Waves [B, samples], floating, and how many samples of each row are real; or that record.

        Raises:
            TypeError: for a speaker that is no whole number.
            ValueError: without a language, or for one that the model does not speak; for a speaker that there
                is not; without an input.
        """
        if tgt_lang is None:
            raise ValueError("nothing says which language to speak: pass tgt_lang='fra'")
        config = kwargs.get("generation_config")
        written_in, said_in = (language(self, config, tgt_lang, name) for name in _TABLES)
        spoken = Spoken(written_in, said_in, self._speaker(spkr_id if speaker_id is None else speaker_id))
        read = self._read(inputs, kwargs)
        own, others = sorted_options(kwargs)
        mask = own.get("attention_mask")
        memory = self.get_encoder()(**read, attention_mask=mask, return_dict=True)
        asked = {"encoder_outputs": memory, "return_dict_in_generate": True, "output_scores": True}
        written = super().generate(None, tgt_lang, **{**own, **asked})
        texts, rows = written.sequences, len(memory[0])
        if not leaf(self, "units")._says_every:
            texts = _likeliest(written, rows)
        said = self._said(texts, memory[0], mask, others)
        units, kept = leaf(self, "units")._of_texts(said, spoken.units)
        waves, lengths = self._waves_of(kept, spoken)
        if return_intermediate_token_ids:
            return TranslatedSpeechOutput(waves, lengths, texts, units)
        return waves, lengths

    def _speaker(self, told: Any) -> int:
        count = self.config.vocoder_num_spkrs
        if isinstance(told, bool) or not isinstance(told, int):
            raise TypeError(f"spkr_id is the number of a voice, from 0 to {count - 1}, not {told!r}")
        if not 0 <= told < count:
            raise ValueError(f"spkr_id={told} is none of this model's {count} voices: 0 to {count - 1}")
        return told

    def _read(self, inputs: Any, kwargs: dict[str, Any]) -> dict[str, Tensor]:
        """What the encoder reads, taken out of what the caller gave."""
        main = self.main_input_name
        found = {name: kwargs.pop(name) for name in ("inputs_embeds", main) if kwargs.get(name) is not None}
        if inputs is not None:
            found[main] = inputs
        if len(found) != 1:
            raise ValueError(f"pass {main} to translate, once, not {sorted(found) or 'nothing'}")
        return found

    def _said(self, texts: Tensor, memory: Tensor, mask: Tensor | None, options: dict[str, Any]) -> Said:
        """Texts [B * several, T] with the decoder's states of them, by the encoder's states [B, S, E]."""
        read = texts[:, : texts.shape[1] - leaf(self, "units")._trims]
        shown, several = self._assembly.memory_mask(self, mask), len(texts) // len(memory)
        rows = leaf(self, "decoder")(
            input_ids=read,
            encoder_hidden_states=memory.repeat_interleave(several, 0),
            encoder_attention_mask=None if shown is None else shown.repeat_interleave(several, 0),
            use_cache=False,
        )[0]
        counts = read.ne(self.generation_config.pad_token_id).sum(1)  # [B]
        real = torch.arange(read.shape[1], device=texts.device) < counts[:, None]
        return Said(texts, rows, real, self.generation_config, options)

    def _waves_of(self, units: Tensor, spoken: Spoken) -> tuple[Tensor, Tensor]:
        """Waves of units [B, n]."""
        config, spec = self.config, self._formers.facts["head"]
        silent = config.t2u_pad_token_id
        ids = units.masked_fill(units == config.t2u_eos_token_id, silent)
        marks = ids[(ids < spec.offset) & (ids != silent)]
        if marks.numel():
            forbidden = [one for one in range(spec.offset) if one != silent]
            raise ValueError(
                f"the model wrote the mark {int(marks[0])} where a unit of speech belongs, which nothing can "
                f"say: forbid marks with speech_suppress_tokens={forbidden}"
            )
        ids = torch.where(ids == silent, ids, ids - spec.offset)
        one = ids.new_ones(len(ids), 1)
        waves: tuple[Tensor, Tensor] = leaf(self, "voice")(ids, one * spoken.speaker, one * spoken.waves)
        return waves


class TextOrSpeechToSpeech(SpeechToSpeech):
    """Both encoders, which write texts and speak."""

    def set_modality(self, modality: str = "text") -> None:
        """Say which encoder the next call reads with, where its inputs do not: "text" or "speech".

        Raises:
            ValueError: for another.
        """
        if modality not in ("text", "speech"):
            raise ValueError(f"modality={modality!r} is none of 'text' and 'speech'")
        show(self, "speech" if modality == "speech" else "text")

    @property
    def current_modality(self) -> str:
        """What the encoder reads that reads now."""
        return shown(self)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # what the ecosystem's class takes, in its order
        self,
        input_ids: Tensor | None = None,
        input_features: Tensor | None = None,
        return_intermediate_token_ids: bool | None = None,
        tgt_lang: str | None = None,
        spkr_id: int = 0,
        generate_speech: bool = True,
        *,
        speaker_id: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Translate a text or speech into speech, or into a text.

        Args:
            input_ids: [B, T], int64, texts.
            input_features: [B, T, bands], floating, frames of speech, in place of them.
            return_intermediate_token_ids: see `SpeechToSpeech.generate`, as `spkr_id` and `kwargs`.
            tgt_lang: the language to speak or write.
            spkr_id: likewise.
            speaker_id: likewise.
            generate_speech: speak; else a record of the text is returned.
            kwargs: likewise.

        Returns:
            See there; a record of generation for a text alone.

        Raises:
            ValueError: for a text and speech, or neither; and see there.
        """
        given = {"input_ids": input_ids, "input_features": input_features}
        given["inputs_embeds"] = kwargs.pop("inputs_embeds", None)
        read = {name: value for name, value in given.items() if value is not None}
        if len(read) != 1:
            raise ValueError(
                f"pass one of input_ids, inputs_embeds and input_features to translate, not {sorted(read)}"
            )
        show(self, "speech" if "input_features" in read else "text")
        if generate_speech:
            kwargs |= {"return_intermediate_token_ids": return_intermediate_token_ids, **read}
            kwargs |= {"spkr_id": spkr_id, "speaker_id": speaker_id}
            return super().generate(None, tgt_lang=tgt_lang, **kwargs)
        own, _ = sorted_options(kwargs)
        asked = {"output_hidden_states": True, "return_dict_in_generate": True, "output_scores": True}
        return Translation.generate(self, None, tgt_lang, **{**own, **read, **asked})

    def _read(self, inputs: Any, kwargs: dict[str, Any]) -> dict[str, Tensor]:
        """One of the three, as `generate` found it."""
        names = ("input_ids", "input_features", "inputs_embeds")
        return {name: kwargs.pop(name) for name in names if kwargs.get(name) is not None}


def sorted_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the text, and of the units: those for one of them win over those for both."""
    text: dict[str, Any] = {}
    units: dict[str, Any] = {}
    for name, value in options.items():
        if name.startswith("text_"):
            text[name.removeprefix("text_")] = value
        elif name.startswith("speech_"):
            units[name.removeprefix("speech_")] = value
    for name, value in options.items():
        if name.startswith(("text_", "speech_")):
            continue
        text.setdefault(name, value)
        if name not in ("generation_config", "decoder_input_ids"):
            units.setdefault(name, value)
    return text, units


def _likeliest(written: Any, rows: int) -> Tensor:
    """Of several texts of each row the likeliest one: [B, T]."""
    texts: Tensor = written.sequences
    count = len(texts) // rows
    if count == 1:
        return texts
    scores = getattr(written, "sequences_scores", None)
    if scores is None:
        raise ValueError("one text of each row is spoken: several are told apart by num_beams alone")
    best = scores.view(rows, count).argmax(1)  # [B]
    return texts.view(rows, count, -1)[torch.arange(rows, device=texts.device), best]
