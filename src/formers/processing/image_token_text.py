"""Processors of texts that show pictures between marks, and end in one: Chameleon."""

from __future__ import annotations

from typing import Any

from formers.processing.features import BatchFeature
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.placeholders import Grown
from formers.processing.reading import is_picture, listed

# marks -> how tokenizers call them, and what they are where no tokenizer says it
_MARKS = {"image_start_token": ("boi_token", "<racm3:break>"), "image_end_token": ("eoi_token", "<eoss>")}
_GOES_ON = "return_for_text_completion"


class EndedShowingProcessor(ShowingProcessor):
    """Texts in which pictures stand between marks; see `ShowingProcessor`.

    Behind each text stands what ends a turn, unless a call says `return_for_text_completion=True`: the text
    is to go on.

    Raises:
        ValueError: for a tokenizer without a token that ends turns, where one is needed.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        for name, (called, usual) in _MARKS.items():
            token = getattr(self.tokenizer, called, None) or usual
            setattr(self, name, token)
            setattr(self, f"{name}_id", self.tokenizer.convert_tokens_to_ids(token))

    @property
    def image_token_ids(self) -> list[int]:
        """The tokens that are of pictures: what stands for one, and both marks."""
        return [self.image_token_id, *(getattr(self, f"{name}_id") for name in _MARKS)]

    def _made(
        self, images: Any, text: Any, videos: Any, options: dict[str, Any]
    ) -> tuple[BatchFeature, list[Grown]]:
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        goes_on = options.pop(_GOES_ON, False)
        told = dict(options.get("text_kwargs") or {})
        goes_on = told.pop(_GOES_ON, goes_on)
        if "text_kwargs" in options:
            options["text_kwargs"] = told
        if text is not None and not goes_on:
            name = self._shows().ends
            end = getattr(self.tokenizer, name, None)
            if end is None:
                raise ValueError(
                    f"this tokenizer has no {name}, which ends a turn: set tokenizer.{name}, or pass "
                    f"{_GOES_ON}=True"
                )
            text = [type(one)(f"{one}{end}") for one in self._texts(text)]
        return super()._made(images, text, videos, options)
