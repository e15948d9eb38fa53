"""Processors of texts in which sounds are heard: for each stand as many tokens as the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.processing.pairs import Hears
from formers.processing.placeholders import Grown, expanded

_REAL = "feature_attention_mask"
_OF_SOUNDS = ("sampling_rate", "do_normalize", "device", "dither")
_FIXED = {"padding": "max_length", "return_attention_mask": True}  # tokens are counted by what that gives


class AudioTextProcessor(ProcessorMixin):
    """Texts and the sounds that are heard in them, to the inputs of a model that reads both.

    Args:
        *parts: a feature extractor, a tokenizer, and the tokens of sounds (`audio_token`, which stands where
            one is heard, `audio_bos_token` and `audio_eos_token` around it); by place or by name. What the
            tokenizer says of them comes first.
    """

    attributes: ClassVar[tuple[str, ...]] = ("feature_extractor", "tokenizer")
    feature_extractor: Any
    audio_token: str

    def __init__(self, *parts: Any, **named: Any) -> None:
        known = dict(self._hears().settings)
        given = {**dict(zip((*self.attributes, "chat_template", *known), parts, strict=False)), **named}
        told = {name: given.pop(name, usual) for name, usual in known.items()}
        if given.get("chat_template") is None:
            given["chat_template"] = self._hears().template
        super().__init__(**given)
        for name, value in told.items():
            setattr(self, name, getattr(self.tokenizer, name, None) or value)
        self.audio_token_id = self.tokenizer.convert_tokens_to_ids(self.audio_token)

    @classmethod
    def _hears(cls) -> Hears:
        hears = None if cls.pair is None else cls.pair.hears
        assert hears is not None
        return hears

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return list(dict.fromkeys([*super().model_input_names, _REAL]))

    # -- calls -------------------------------------------------------------------------------------

    def __call__(  # type: ignore[override]  # sounds in the place of pictures
        self, text: Any = None, audio: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare texts and the sounds that are heard in them.

        Args:
            text: a text or a list of them, with `audio_token` wherever a sound is heard.
            audio: the sounds in the order of the texts, as the feature extractor takes them; `audios` is the
                same.
            **options: keywords of the tokenizer; `sampling_rate` and other settings of the feature extractor;
                those of one by themselves, `text_kwargs` and `audio_kwargs`. `return_tensors` is for both.

        Returns:
            What the tokenizer gives, [B, T]; `input_features` [sounds, bins, frames] and
            `feature_attention_mask` [sounds, frames], 1 at real frames.

        Raises:
            TypeError: for a keyword that nobody takes, or texts that are none.
            ValueError: when more or fewer sounds are heard in texts than are given, or texts are cut within
                one.
        """
        return self._made(text, audio, options)[0]

    def _called(self, text: Any, call: dict[str, Any]) -> tuple[Any, list[Grown]]:
        return self._made(text, call.pop("audio", None), call)

    def _read(self) -> tuple[str, ...]:
        return ("audio",)

    def _made(self, text: Any, audio: Any, options: dict[str, Any]) -> tuple[BatchFeature, list[Grown]]:
        audio = options.pop("audios", None) if audio is None else audio
        if text is None and audio is None:
            raise ValueError(f"{type(self).__name__} needs text=, audio= or both")
        of_sounds = {name: options.pop(name) for name in _OF_SOUNDS if name in options}
        of_sounds |= dict(options.pop("audio_kwargs", None) or {})
        of_texts, rest = self._told_apart(options)
        refuse_unknown(rest, (*of_texts, *_OF_SOUNDS, "return_tensors"), type(self).__name__)
        found, grown = dict[str, Any](), list[Grown]()
        if audio is not None:
            heard = self.feature_extractor(audio, **{**of_sounds, **_FIXED})
            found = {
                "input_features": heard["input_features"],
                _REAL: heard["attention_mask"],
            }
        if text is not None:
            texts = [text] if isinstance(text, str) else text
            if not isinstance(texts, (list, tuple)) or not all(isinstance(one, str) for one in texts):
                raise TypeError("text is one text or a list of texts")
            texts, grown = self._grown(list(texts), found)
            encoded = dict(self.tokenizer(texts, **of_texts))
            for name in self.pair.unread if self.pair is not None else ():
                encoded.pop(name, None)
            self._whole(texts, encoded["input_ids"])
            found = {**encoded, **found}
        return BatchFeature(found, of_texts.get("return_tensors")), grown

    def _grown(self, texts: list[str], found: Mapping[str, Any]) -> tuple[list[str], list[Grown]]:
        """Texts with as many tokens for each sound as the model makes of it."""
        asked = sum(one.count(self.audio_token) for one in texts)
        real = found.get(_REAL)
        given = 0 if real is None else len(real)
        if asked != given:
            raise ValueError(
                f"{asked} sounds are heard in the texts, by {self.audio_token}, but {given} are given: write "
                f"{self.audio_token} once for each, and pass them as audio="
            )
        counts = [self._hears().tokens(int(np.asarray(one).sum())) for one in (() if real is None else real)]
        if 0 in counts:
            raise ValueError(f"sound {counts.index(0)} is too short: the model makes no token of it")
        pieces = iter([self.audio_token * count for count in counts])
        return expanded(texts, {self.audio_token: pieces} if counts else {})

    def _whole(self, texts: list[str], rows: Any) -> None:
        """Refuse rows that were cut within what stands for a sound."""
        for text, row in zip(texts, rows, strict=True):
            wanted, left = text.count(self.audio_token), int((np.asarray(row) == self.audio_token_id).sum())
            if wanted != left:
                raise ValueError(
                    f"{wanted} tokens of a text stand for sounds, of which truncation left {left}: raise "
                    "max_length, or leave truncation out"
                )

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        settings = cls._hears().settings
        found = {name: said[name] for name in settings if name in said}
        return {**found, **{name: options.pop(name) for name in settings if name in options}}
