"""Processors of models that read questions in pictures, above what those show."""

from __future__ import annotations

from typing import Any

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.processing.reading import is_picture, listed


class HeadedProcessor(ProcessorMixin):
    """Texts and pictures to the inputs of a model like Pix2Struct.

    Where the image processor says `is_vqa`, texts are written above pictures; else they are what the answer
    begins with.
    """

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures, texts, or both.

        Args:
            images: as the image processor takes them.
            text: a text or a list of them; the two may stand in either order.
            **options: keywords of the tokenizer and of the image processor, told apart by their names; or
                those of one by themselves, `text_kwargs` and `images_kwargs`. `return_tensors` is for both.

        Returns:
            What the image processor gives; with texts that are not written above, `decoder_input_ids` and
            `decoder_attention_mask`; pass `add_special_tokens=False`, so that the answer can go on with
            them. For texts alone what the tokenizer gives.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without pictures and texts, or without pictures to write texts above.
        """
        if images is None and text is None:
            raise ValueError(f"{type(self).__name__} needs images=, text= or both")
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        texts, pictures = self._told_apart(options)
        if self.image_processor.is_vqa:
            if images is None:
                raise ValueError(
                    "texts are written above pictures here (is_vqa), and there is none: pass images="
                )
            return BatchFeature(self.image_processor(images, **{"header_text": text, **pictures}))
        if images is None:
            known = {*self.image_processor.known_settings(), "return_tensors"}
            refuse_unknown(pictures, known, type(self).__name__)
            return BatchFeature(self.tokenizer(text, **texts))
        found = dict(self.image_processor(images, **pictures))
        if text is not None:
            encoded = self.tokenizer(text, **texts)
            moved = {"input_ids", "attention_mask"}
            found |= {f"decoder_{name}" if name in moved else name: one for name, one in encoded.items()}
        return BatchFeature(found)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return [*self.image_processor.model_input_names, "decoder_attention_mask", "decoder_input_ids"]
