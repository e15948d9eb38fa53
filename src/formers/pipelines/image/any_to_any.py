"""Texts and chats about pictures, films and sounds: `pipeline("any-to-any")`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from formers.pipelines.datasets import is_stream
from formers.pipelines.image.image_text_to_text import ImageTextToTextPipeline
from formers.processing.reading import listed

_KINDS = ("images", "videos", "audio")


class AnyToAnyPipeline(ImageTextToTextPipeline):
    """Goes on with texts and chats that hold pictures, films and sounds: `pipeline("any-to-any")`.

        pipe("<image> Two", images="cats.jpg")      [{"input_text": ..., "generated_text": ...}]
        pipe(text="<|AUDIO|> What is it?", audio="bark.wav")
        pipe([{"role": "user", "content": [{"type": "audio", "url": "bark.wav"},
            {"type": "text", "text": "What is it?"}]}])
        pipe({"text": ..., "images": ..., "videos": ..., "audio": ...})      and lists of such

    Answers are texts: `generation_mode` is "text".

    Args:
        model: a model that writes texts.
        processor: its processor.
        **kwargs: those of `ImageTextToTextPipeline`.

    Raises:
        ValueError: without a processor.
    """

    default_task: ClassVar[str] = "any-to-any"
    default_input_names: ClassVar[Any] = "text,images,videos,audio"
    run_keywords: ClassVar[tuple[str, ...]] = (*ImageTextToTextPipeline.run_keywords, "generation_mode")

    def _sanitize_parameters(  # type: ignore[override]  # by name alone
        self, generation_mode: str | None = None, **given: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if generation_mode not in (None, "text"):
            raise ValueError(
                f"generation_mode is {generation_mode!r}, and {type(self.model).__name__} writes texts "
                "alone: leave it out"
            )
        return super()._sanitize_parameters(**given)

    def __call__(  # type: ignore[override]  # the text first, as the ecosystem takes it
        self, text: Any = None, images: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> Any:
        """Go on with one text or chat, or many.

        Args:
            text: a text, a chat, or a list of them; or `{"text": ..., "images": ..., "videos": ..., "audio":
                ...}`, a list, generator or dataset of such.
            images: the pictures that a text shows, or a list of them for each of several texts.
            videos: likewise films.
            audio: likewise sounds.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For each chat or mapping a list of records with `input_text` and `generated_text`; of texts one
            list of all records.

        Raises:
            ValueError: without a text, with something beside a chat, or with other numbers of each.
        """
        inputs = kwargs.pop("inputs", None)
        text = inputs if text is None else text
        beside = dict(zip(_KINDS, (images, videos, audio), strict=True))
        beside = {name: value for name, value in beside.items() if value is not None}
        if text is None:
            raise ValueError("give a text, and what it shows or lets hear: pipe(text=..., audio=...)")
        words = isinstance(text, str) or (
            isinstance(text, (list, tuple)) and bool(text) and all(isinstance(one, str) for one in text)
        )
        if not words:
            if beside:
                raise ValueError(
                    "a chat or a mapping holds its pictures, films and sounds itself: leave "
                    f"{' and '.join(beside)} out"
                )
            return super().__call__(text=text, **kwargs)
        if isinstance(text, str):
            return super().__call__(text={**beside, "text": text}, **kwargs)
        if any(is_stream(one) for one in beside.values()):
            raise ValueError("a generator or dataset holds both: {'text': ..., 'images': ...}")
        dealt = {name: self._dealt_kind(name, value, text) for name, value in beside.items()}
        rows = [
            {"text": one, **{name: each[at] for name, each in dealt.items() if not _nothing(each[at])}}
            for at, one in enumerate(text)
        ]
        return [record for answer in super().__call__(text=rows, **kwargs) for record in answer]

    def _dealt_kind(self, name: str, given: Any, texts: Any) -> list[Any]:
        """What each text shows of a kind."""
        if name == "images":
            return list(self._dealt(given, texts))
        each = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(each) == len(texts):
            return each
        raise ValueError(
            f"there are {len(texts)} texts, and {name} for {len(each)}: give a list with one for each text"
        )

    def _of_text(self, told: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """What a text shows and lets hear, for the processor's call."""
        found = super()._of_text(told, timeout)
        found |= {name: told[name] for name in _KINDS[1:] if told.get(name) is not None}
        if "audio" in found:
            extractor = getattr(self.processor, "feature_extractor", None)
            if extractor is None:
                raise ValueError(f"{type(self.processor).__name__} reads no sounds")
            found["audio"] = listed(found["audio"])
            found["sampling_rate"] = extractor.sampling_rate
        return found


def _nothing(shown: Any) -> bool:
    return shown is None or (isinstance(shown, (list, tuple)) and not shown)
