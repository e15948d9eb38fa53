"""Processors of models whose vectors ask pictures: their texts stand behind a token for each such vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.image import OF_A_CALL
from formers.processing.image_text import ProcessorMixin
from formers.processing.reading import is_picture, listed
from formers.tokenization.options import CALL_KEYWORDS

_COUNT = "num_query_tokens"


class QueryTextProcessor(ProcessorMixin):
    """Texts and pictures to the inputs of a model like BLIP-2.

    Args:
        *parts: an image processor, a tokenizer, and how many vectors ask (`num_query_tokens`; None for models
            that read pictures before texts without tokens for them); by place or by name.
    """

    num_query_tokens: int | None = None

    def __init__(self, *parts: Any, **named: Any) -> None:
        given = {**dict(zip((*self.attributes, _COUNT), parts, strict=False)), **named}
        self.num_query_tokens = given.pop(_COUNT, None)
        super().__init__(**given)
        known = getattr(self.tokenizer, "image_token", None)
        self.image_token = AddedToken("<image>", normalized=False, special=True) if known is None else known
        if known is None:
            self.tokenizer.add_tokens([self.image_token], special_tokens=True)

    @property
    def _image_id(self) -> int:
        return int(
            self.tokenizer.convert_tokens_to_ids(str(getattr(self.image_token, "content", self.image_token)))
        )

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures, texts, or both.

        Args:
            images: as the image processor takes them.
            text: a text or a list of them; the two may stand in either order.
            **options: keywords of the tokenizer and of the image processor, told apart by their names; or
                those of one by themselves, `text_kwargs` and `images_kwargs`. `return_tensors` is for both.

        Returns:
            What the tokenizer gives, [B, Q + T] with Q image tokens before each text where pictures are given
            too, and what the image processor gives.

        Raises:
            TypeError: for a keyword that neither takes, or texts that are none.
            ValueError: without pictures and texts.
        """
        if images is None and text is None:
            raise ValueError(f"{type(self).__name__} needs images=, text= or both")
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        texts, pictures = self._told_apart(options)
        found: dict[str, Any] = {}
        if text is not None:
            found |= self._texts([text] if isinstance(text, str) else text, images is not None, texts)
        if images is not None:
            found |= self.image_processor(images, **pictures)
        else:
            known = {*type(self.image_processor).known_settings(), *OF_A_CALL, *CALL_KEYWORDS, "images"}
            refuse_unknown(pictures, known, type(self).__name__)
        return BatchFeature(found, texts.get("return_tensors"))

    def _texts(self, text: Any, shown: bool, options: dict[str, Any]) -> dict[str, Any]:
        """What the tokenizer gives, with the image tokens, which are neither padded nor cut."""
        if not isinstance(text, (list, tuple)) or not text or not all(isinstance(one, str) for one in text):
            raise TypeError("text is one text or a list of texts")
        count = self.num_query_tokens
        options = {name: value for name, value in options.items() if name != "return_tensors"}
        if count and options.get("max_length") is not None:
            if options["max_length"] <= count:
                raise ValueError(
                    f"max_length is {options['max_length']}, and {count} tokens stand for a picture alone: "
                    "raise it"
                )
            options["max_length"] -= count
        found: Mapping[str, Any] = self.tokenizer(list(text), **options)
        if not (shown and count):
            return dict(found)
        before = {"input_ids": self._image_id, "attention_mask": 1}
        return {
            name: [[before.get(name, 0)] * count + list(row) for row in rows] for name, rows in found.items()
        }

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        told = options.pop(_COUNT, said.get(_COUNT))
        return {_COUNT: told}

    def to_dict(self) -> dict[str, Any]:
        """The settings of the image processor, how many vectors ask, and the name of the class."""
        return {**super().to_dict(), _COUNT: self.num_query_tokens}


class InstructionProcessor(QueryTextProcessor):
    """The same for models like InstructBLIP, whose vectors are told the texts too.

    Args:
        *parts: an image processor, a tokenizer, the tokenizer of what those vectors are told, and how many
            they are (`num_query_tokens`); by place or by name.
    """

    attributes = ("image_processor", "tokenizer", "qformer_tokenizer")
    further_tokenizers = ("qformer_tokenizer",)
    qformer_tokenizer: Any

    def _texts(self, text: Any, shown: bool, options: dict[str, Any]) -> dict[str, Any]:
        """What both tokenizers give."""
        found = super()._texts(text, shown, options)
        options = {name: value for name, value in options.items() if name != "return_tensors"}
        told = self.qformer_tokenizer(list(text), **options)
        return {**{f"qformer_{name}": told[name] for name in ("input_ids", "attention_mask")}, **found}

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        own = [*self.tokenizer.model_input_names, *self.image_processor.model_input_names]
        unread = self.pair.unread if self.pair is not None else ()
        return [*(name for name in own if name not in unread), "qformer_input_ids", "qformer_attention_mask"]
