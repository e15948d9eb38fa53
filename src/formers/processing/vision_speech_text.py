"""Processors of texts that show pictures and let sounds be heard: Phi-4-multimodal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.placeholder_text import ShowingProcessor

_OF_SOUNDS = ("sampling_rate", "device")


class ShowingAndHearingProcessor(ShowingProcessor):
    """Texts with pictures and sounds in them, to the inputs of a model that reads all three.

    Args:
        *parts: an image processor, a feature extractor (`audio_processor`), a tokenizer, by place or by name.
            The tokenizer has an `image_token` and an `audio_token`, by which texts show and let hear.
    """

    attributes: ClassVar[tuple[str, ...]] = ("image_processor", "audio_processor", "tokenizer")
    audio_processor: Any
    audio_token: str

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self.audio_token = getattr(self.tokenizer, "audio_token", None) or self._shows().marks["audio_token"]
        self.audio_token_id = self.tokenizer.convert_tokens_to_ids(self.audio_token)
        self._fillers["audio"] = self.audio_token, self.audio_token_id

    @property
    def feature_extractor(self) -> Any:
        """What prepares sounds."""
        return self.audio_processor

    def __call__(  # type: ignore[override]  # sounds in the place of films
        self, images: Any = None, text: Any = None, audio: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare texts, the pictures that they show, and the sounds that are heard in them.

        Args:
            images: the pictures in the order of the texts: one, a list, or a list for each text.
            text: a text or a list of them, with `image_token` wherever a picture is shown, and `audio_token`
                wherever a sound is heard.
            audio: the sounds in the order of the texts, as the feature extractor takes them; `audios` is the
                same.
            **options: keywords of the tokenizer and of the image processor, told apart by their names;
                `sampling_rate`; those of one alone, `text_kwargs`, `images_kwargs` and `audio_kwargs`.
                `return_tensors` is for all.

        Returns:
            What the tokenizer gives, [B, T], and what the image processor and the feature extractor give.

        Raises:
            TypeError: for a keyword that nobody takes, or texts that are none.
            ValueError: when texts show or let hear more or fewer than are given, or are cut within one.
        """
        audios = options.pop("audios", None)
        options["audio"] = audios if audio is None else audio
        return self._made(images, text, None, options)[0]

    def _read(self) -> tuple[str, ...]:
        return (*super()._read(), "audio")

    def _heard(
        self, texts: Sequence[str] | None, options: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Iterator[str]]]:
        """What the feature extractor gives, and the tokens for each sound."""
        audio = options.pop("audio", None)
        call = {name: options.pop(name) for name in _OF_SOUNDS if name in options}
        call |= dict(options.pop("audio_kwargs", None) or {})
        if audio is None:
            refuse_unknown(call, _OF_SOUNDS, type(self).__name__)
            if texts is not None:
                self._agree(texts, None, "audio")
            return {}, {}
        made: Mapping[str, Any] = self.audio_processor(audio, **call)
        counts = [int(count) for count in made["audio_embed_sizes"]]
        if texts is not None:
            self._agree(texts, counts, "audio")
        return dict(made), {self.audio_token: iter([self.audio_token * count for count in counts])}
