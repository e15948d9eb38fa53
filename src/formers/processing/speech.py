"""A tokenizer and a feature extractor as one: what prepares sounds and transcripts for a model of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from formers.hub import split_hub_keywords
from formers.processing.auto import AutoFeatureExtractor
from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.tokenization import load
from formers.tokenization.classes import SETTINGS, TOLERATED
from formers.tokenization.options import CALL_KEYWORDS

_BOTH = ("padding", "max_length", "truncation", "pad_to_multiple_of", "return_tensors")
_LENGTHS = _BOTH[:-1]
_ALIKE = ("padding", "return_tensors")


class SpeechProcessor(ProcessorMixin):
    """Sounds to the inputs of a model, and transcripts to its labels."""

    attributes: ClassVar[tuple[str, ...]] = ("feature_extractor", "tokenizer")
    feature_extractor: Any

    def __call__(  # type: ignore[override]  # sounds in the place of pictures
        self,
        audio: Any = None,
        sampling_rate: int | None = None,
        text: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare sounds, transcripts, or both.

        Args:
            audio: as the feature extractor takes it; `audios` is the same.
            sampling_rate: of arrays, in Hz.
            text: as the tokenizer takes it.
            **options: keywords of the two; those that both know are for both.

        Returns:
            What the feature extractor gives, with the ids of transcripts as `labels`, or beside all that the
            tokenizer gives of texts that are compared with sounds; for texts alone what the tokenizer gives.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without sounds and transcripts.
        """
        audio = options.pop("audios", None) if audio is None else audio
        if audio is None and text is None:
            raise ValueError(f"{type(self).__name__} needs audio=, text= or both")
        if audio is None:
            return self.tokenizer(text, **options)  # type: ignore[no-any-return]  # an encoding
        own, compared = options, self.pair is not None and self.pair.compares
        if text is not None:
            known = self.feature_extractor.known_settings()
            own = {name: one for name, one in options.items() if name in _BOTH or name in known}
            own |= {name: one for name, one in options.items() if name not in CALL_KEYWORDS}
            if compared:  # the lengths of texts are no lengths of sounds, whose ways have names
                own = {n: one for n, one in own.items() if n not in _LENGTHS or isinstance(one, str)}
        found: BatchFeature = self.feature_extractor(audio, sampling_rate=sampling_rate, **own)
        if text is not None:
            said = {name: one for name, one in options.items() if name in CALL_KEYWORDS}
            encoded = self.tokenizer(text, **said)
            if compared:
                return BatchFeature({**encoded, **found})
            found["labels"] = encoded["input_ids"]
        return found

    def pad(self, input_features: Any = None, labels: Any = None, **options: Any) -> Any:
        """Bring what was prepared one by one to one length, as collators do.

        Args:
            input_features: of sounds, as the feature extractor's `pad` takes them.
            labels: of transcripts, as the tokenizer's `pad` takes them.
            **options: keywords of either.

        Returns:
            What that `pad` returns; of both, the sounds' with the ids of the transcripts as `labels`.

        Raises:
            ValueError: without either.
        """
        if input_features is None and labels is None:
            raise ValueError(f"{type(self).__name__}.pad needs input_features=, labels= or both")
        found = None if input_features is None else self.feature_extractor.pad(input_features, **options)
        if labels is None:
            return found
        padded = self.tokenizer.pad(labels, **options)
        if found is None:
            return padded
        found["labels"] = padded["input_ids"]
        return found

    def get_prompt_ids(self, text: str, return_tensors: str | None = "np") -> Any:
        """The tokenizer's `get_prompt_ids`."""
        return self.tokenizer.get_prompt_ids(text, return_tensors)

    def get_decoder_prompt_ids(self, *args: Any, **kwargs: Any) -> Any:
        """The tokenizer's `get_decoder_prompt_ids`."""
        return self.tokenizer.get_decoder_prompt_ids(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the parts that lie in a folder or under a Hub id; see `ProcessorMixin.from_pretrained`."""
        return cls(*cls._loaded(pretrained_model_name_or_path, options))

    @staticmethod
    def _loaded(name: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """The feature extractor and the tokenizer that lie in a folder or under a Hub id."""
        hub, rest = split_hub_keywords(options)
        for unread in ("use_fast", "trust_remote_code", "config"):
            rest.pop(unread, None)
        told = {one: rest.pop(one) for one in [*rest] if one in SETTINGS or one in TOLERATED}
        extractor = AutoFeatureExtractor.from_pretrained(name, **hub, **rest)
        return extractor, load(name, **hub, **told)

    def written(self, folder: Path) -> list[str]:
        """Write the tokenizer's files, `preprocessor_config.json` and `processor_config.json`."""
        return [*self.feature_extractor.written(folder), *super().written(folder)]


class UnpaddedSpeechProcessor(SpeechProcessor):
    """Texts and sounds to the inputs of a model that makes sounds, and its sounds without padding."""

    def batch_decode(self, *args: Any, audio: Any = None, padding_mask: Any = None, **kwargs: Any) -> Any:
        """Sounds without padding, or the texts of tokens.

        Args:
            *args: sounds, as `audio`.
            audio: [B, channels, samples].
            padding_mask: [B, samples], of the sounds that were gone on with: the padding in it is left out.
            **kwargs: without sounds, those of the tokenizer's `batch_decode`.

        Returns:
            A list of arrays [channels, samples], or of texts.

        Raises:
            ValueError: for a mask that does not fit.
        """
        sounds = args[0] if audio is None and args else audio
        if sounds is None:
            return self.tokenizer.batch_decode(**kwargs)
        made = as_array(sounds)
        if padding_mask is None:
            return list(made)
        mask = as_array(padding_mask)
        if mask.ndim != 2 or len(mask) != len(made) or mask.shape[1] > made.shape[-1]:
            raise ValueError(
                f"padding_mask {list(mask.shape)} does not fit sounds {list(made.shape)}: it is that of the "
                "sounds that were gone on with"
            )
        kept = np.pad(mask, ((0, 0), (0, made.shape[-1] - mask.shape[1])), constant_values=1)
        return [one[:, real != 0] for one, real in zip(made, kept, strict=True)]


class EitherProcessor(SpeechProcessor):
    """Texts or sounds to the inputs of a model, and texts to what it is to write."""

    def __call__(  # type: ignore[override]  # texts come first
        self, text: Any = None, audio: Any = None, sampling_rate: int | None = None, **options: Any
    ) -> BatchFeature:
        """Prepare texts or sounds.

        Args:
            text: as the tokenizer takes it.
            audio: as the feature extractor takes it; `audios` is the same.
            sampling_rate: of arrays, in Hz.
            **options: keywords of the part that reads; `text_target` goes to the tokenizer, and the
                languages `src_lang` and `tgt_lang`, which stay in use.

        Returns:
            What that part gives, with the ids of targets as `labels`.

        Raises:
            TypeError: for a keyword that the part does not take, and a sound in place of a text.
            ValueError: for texts and sounds in one call, or neither; for a language that there is not.
        """
        audio = options.pop("audios", None) if audio is None else audio
        if text is None and audio is None and options.get("text_target") is None:
            raise ValueError(f"{type(self).__name__} needs text=, audio= or text_target=")
        if hasattr(text, "dtype"):
            raise TypeError(f"text= takes texts, not a {type(text).__name__}: sounds are audio=")
        if text is not None and audio is not None:
            raise ValueError(
                "text= and audio= are both read, and a call reads one of them; a transcript or translation "
                "that is to be written is text_target="
            )
        told = {name: options.pop(name) for name in ("src_lang", "tgt_lang") if name in options}
        if audio is None:
            return self.tokenizer(text, **told, **options)  # type: ignore[no-any-return]  # an encoding
        said = options.pop("text_target", None)
        for name, code in told.items():
            if code is not None:
                setattr(self.tokenizer, name, code)
        found: BatchFeature = self.feature_extractor(audio, sampling_rate=sampling_rate, **options)
        if said is not None:
            alike = {"padding": True, **{n: one for n, one in options.items() if n in _ALIKE}}
            found["labels"] = self.tokenizer(text_target=said, **alike)["input_ids"]
        return found


class TargetProcessor(SpeechProcessor):
    """Sounds or texts to the inputs of a model, and sounds or texts to what it is to say or write."""

    def __call__(  # type: ignore[override]  # all by name
        self,
        audio: Any = None,
        sampling_rate: int | None = None,
        text: Any = None,
        text_target: Any = None,
        audio_target: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare what is read, what is to be made of it, or both.

        Args:
            audio: sounds to read, as the feature extractor takes them.
            sampling_rate: of arrays, in Hz.
            text: texts to read, as the tokenizer takes them.
            text_target: texts to write.
            audio_target: sounds to say.
            **options: keywords of the part that reads; both, where both are of one kind.

        Returns:
            What the part gives that reads, with `labels` and `decoder_attention_mask` of the target; of a
            target alone what its part gives.

        Raises:
            ValueError: without any, or for two of a kind.
        """
        if audio is not None and text is not None:
            raise ValueError("audio= and text= are both read: one of them is audio_target= or text_target=")
        if audio_target is not None and text_target is not None:
            raise ValueError("a model makes one thing: give audio_target= or text_target=, not both")
        if all(one is None for one in (audio, text, audio_target, text_target)):
            raise ValueError(f"{type(self).__name__} needs audio=, text=, audio_target= or text_target=")
        found = self._part(audio, text, sampling_rate, options)
        target = self._part(None, text_target, None, options)
        if audio_target is not None:
            own = self._known(True, options)
            target = self.feature_extractor(audio_target=audio_target, sampling_rate=sampling_rate, **own)
        made: BatchFeature = target if found is None else _with_target(found, target)
        return made

    def _part(self, audio: Any, text: Any, rate: int | None, options: dict[str, Any]) -> Any:
        if audio is not None:
            return self.feature_extractor(audio, sampling_rate=rate, **self._known(True, options))
        return None if text is None else self.tokenizer(text, **self._known(False, options))

    def _known(self, sounds: bool, options: dict[str, Any]) -> dict[str, Any]:
        """The keywords of one part; those that no part knows go to it too, and are refused."""
        extractor = {*_BOTH, *self.feature_extractor.known_settings()}
        mine, others = (extractor, CALL_KEYWORDS) if sounds else (CALL_KEYWORDS, extractor)
        return {name: one for name, one in options.items() if name in mine or name not in others}

    def pad(  # type: ignore[override]  # all by name
        self, input_values: Any = None, input_ids: Any = None, labels: Any = None, **options: Any
    ) -> Any:
        """Bring what was prepared one by one to one length, as collators do.

        Args:
            input_values: of sounds, or `input_ids` of texts.
            input_ids: likewise.
            labels: frames under `input_values`, or ids under `input_ids`, with their masks.
            **options: keywords of `pad` of either part.

        Returns:
            What the parts return, labels as `labels` with a `decoder_attention_mask`.

        Raises:
            ValueError: without any, or for two that are read.
        """
        if input_values is not None and input_ids is not None:
            raise ValueError("a model reads one thing: give input_values= or input_ids=, not both")
        if input_values is None and input_ids is None and labels is None:
            raise ValueError(f"{type(self).__name__}.pad needs input_values=, input_ids= or labels=")
        found = None
        if input_values is not None:
            found = self.feature_extractor.pad(input_values, **options)
        elif input_ids is not None:
            found = self.tokenizer.pad(input_ids, **options)
        if labels is None:
            return found
        first = labels[0] if isinstance(labels, (list, tuple)) and labels else labels
        part = self.tokenizer if "input_ids" in first else self.feature_extractor
        target = part.pad(labels, **options)
        return target if found is None else _with_target(found, target)


def as_array(value: Any) -> Any:
    """Numbers of an array, or of a tensor wherever it is."""
    return value.detach().float().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _with_target(found: Any, target: Any) -> Any:
    """What is read, with what is to be made of it as labels."""
    if target is not None:
        found["labels"] = target["input_ids" if "input_ids" in target else "input_values"]
        if target.get("attention_mask") is not None:
            found["decoder_attention_mask"] = target["attention_mask"]
    return found
