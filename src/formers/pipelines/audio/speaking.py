"""text-to-audio, or text-to-speech: sounds of texts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.pipelines.frame import Call, Pipeline
from formers.processing.audio.rates import checked_rate

_VOCODER = "microsoft/speecht5_hifigan"
_RATES = ("sampling_rate", "sample_rate")
_COUNTS = ("sequence_lengths", "waveform_lengths")
_LONGEST = 256  # steps, where neither the caller nor the model says


class TextToAudioPipeline(Pipeline):
    """Sounds of texts: `pipeline("text-to-speech")`, or `"text-to-audio"`.

        pipe("Good morning")            {"audio": [samples] float32, "sampling_rate": 16000}
        pipe(["Good morning", "..."])   a list of those

    Set a seed before (`formers.set_seed`) for the same sound again. Texts are spoken one after the other,
    unless `batch_size` says that several are spoken at once, which draws other numbers.

    Args:
        model: a model that makes sounds, in one pass or by `generate`.
        vocoder: makes sounds of spectra, for models that make those: a model, its folder, or its name on the
            Hub; where nobody says, SpeechT5's.
        sampling_rate: of the sounds, in Hz; where nobody says, as the config of the vocoder or model has it.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            preprocess_params: keywords of the tokenizer.
            forward_params: keywords of the model: a speaker (`speaker_id`, or `speaker_embeddings`), a rate.
            generate_kwargs: settings of `generate`, before which they come, for models that have it: a
                language (`tgt_lang`), a length. Sounds have 256 steps at most where nobody says, unless the
                parts of the model have settings of their own.

    Raises:
        TypeError: for what is no text.
        ValueError: for a text of which nothing can be spoken; without a tokenizer or a rate.
    """

    default_task: ClassVar[str] = "text-to-audio"
    _load_tokenizer: ClassVar[bool | None] = True
    _load_feature_extractor: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        vocoder: Any = None,
        sampling_rate: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.tokenizer is None:
            raise ValueError(f"{type(self).__name__} needs tokenizer=AutoTokenizer.from_pretrained(...)")
        from formers.tasks.text_to_spectrogram import Spectra

        spectra = isinstance(self.model, Spectra)
        if vocoder is not None and not spectra:
            raise ValueError(f"vocoder= is for models of spectrograms; {type(model).__name__} makes sounds")
        self.vocoder = self._vocoder(_VOCODER if vocoder is None else vocoder) if spectra else None
        self.sampling_rate = self._rate(sampling_rate)

    def _vocoder(self, told: Any) -> Any:
        """A model where the other one is."""
        if isinstance(told, (str, os.PathLike)):
            from formers.auto import AutoConfig
            from formers.models.classes import class_of
            from formers.models.registry import family_of

            kind = AutoConfig.from_pretrained(told).model_type
            told = class_of(family_of(kind), "Model").from_pretrained(told)
        return told.to(self.device) if hasattr(told, "to") else told

    def _rate(self, told: int | None) -> int:
        """What the caller says, or the model."""
        generation = getattr(self.model, "generation_config", None)
        codecs = (getattr(self.model.config, name, None) for name in ("audio_encoder", "codec_config"))
        asked = (getattr(self.vocoder, "config", None), generation, self.model.config, *codecs)
        found = [getattr(one, name, None) for one in asked for name in _RATES]
        rate = next((one for one in (told, *found) if one is not None), None)
        if rate is None:
            raise ValueError(f"the config of {type(self.model).__name__} says no rate: pass sampling_rate=")
        return checked_rate(rate)

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self,
        preprocess_params: Mapping[str, Any] | None = None,
        forward_params: Mapping[str, Any] | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if generate_kwargs and not self._generates():
            raise ValueError(
                f"{type(self.model).__name__} makes sounds in one pass and has no generate(), for which "
                f"generate_kwargs ({', '.join(generate_kwargs)}) are: use forward_params"
            )
        given = {"forward_params": forward_params, "generate_kwargs": generate_kwargs}
        return dict(preprocess_params or {}), {k: v for k, v in given.items() if v is not None}, {}

    def _generates(self) -> bool:
        return bool(getattr(self.model, "can_generate", lambda: False)())

    def _item(self, item: Any, index: int | None) -> Any:
        """A text, which says something."""
        place = "" if index is None else f" (input {index})"
        if not isinstance(item, str):
            raise TypeError(f"{type(self).__name__} speaks texts, not {type(item).__name__}{place}")
        if not item.strip():
            raise ValueError(f"there is nothing to speak in an empty text{place}")
        return item

    def preprocess(self, inputs: Any, **kwargs: Any) -> Any:
        """The model's keywords for one text.

        Raises:
            ValueError: where the vocabulary has none of its letters.
        """
        assembly = getattr(self.model, "_assembly", None)
        own: dict[str, Any] = {} if assembly is None else assembly.text_options(self.model)
        given = {**own, **kwargs, "return_tensors": "pt"}
        found = (self.processor or self.tokenizer)(text=[inputs], **given)
        ids = found.get("input_ids")
        if isinstance(ids, torch.Tensor) and not ids.numel():
            raise ValueError(
                f"the model's vocabulary has no letter of {inputs[:40]!r}, so that nothing of it can be "
                "spoken: write it in letters of the model's language"
            )
        return found

    def _forward(  # type: ignore[override]  # all of its keywords are named
        self,
        model_inputs: Any,
        forward_params: Mapping[str, Any] | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = self._filled({**(forward_params or {}), **(generate_kwargs or {})})
        more = self._ensure_tensor_on_device(given, self.device)
        if self.vocoder is not None:
            more = {"vocoder": self.vocoder, "return_output_lengths": True, **more}
            audio, *lengths = self.model.generate(**model_inputs, **more)
            return {"audio": audio, "lengths": torch.tensor(lengths[0])} if lengths else {"audio": audio}
        if self._generates():
            made = self.model.generate(**model_inputs, **more)
        else:
            made = self.model(**model_inputs, **more)
        if isinstance(made, torch.Tensor):
            return {"audio": made}
        if isinstance(made, tuple):  # with how many samples of each are real
            return {"audio": made[0], **({"lengths": made[1]} if len(made) > 1 else {})}
        lengths = next((made[name] for name in _COUNTS if made.get(name) is not None), None)
        return {"audio": made["waveform"], **({} if lengths is None else {"lengths": lengths})}

    def _filled(self, given: dict[str, Any]) -> dict[str, Any]:
        """The settings, and a length where nobody says one and no part of the model has its own."""
        own, said = getattr(self.model, "generation_config", None), given.get("generation_config")
        if own is None or self.vocoder is not None or getattr(self.model, "settings_of_parts", False):
            return given
        chosen = any(
            name in given or own.is_set(name) or (said is not None and said.is_set(name))
            for name in ("max_new_tokens", "max_length")
        )
        return given if chosen or not self._generates() else {"max_new_tokens": _LONGEST, **given}

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer a batch; a model without masks speaks texts of one length together."""
        masked = "attention_mask" in prepared[0]
        return super()._run(prepared, call) if masked else self._run_alike(prepared, call)

    def postprocess(self, model_outputs: Any, **kwargs: Any) -> dict[str, Any]:
        """Samples, [n] or [channels, n], and their rate."""
        audio, lengths = model_outputs["audio"].float(), model_outputs.get("lengths")
        audio = audio.reshape(audio.shape[-2:]) if audio.dim() > 2 else audio
        if lengths is not None:
            audio = audio[..., : int(lengths.reshape(-1)[0])]
        return {"audio": audio.numpy().squeeze(), "sampling_rate": self.sampling_rate}
