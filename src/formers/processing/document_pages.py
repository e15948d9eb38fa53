"""A tokenizer of words in boxes and an image processor as one: pages, and questions about them."""

from __future__ import annotations

from typing import Any

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.image import OF_A_CALL
from formers.processing.image_text import SORTED, ProcessorMixin
from formers.tokenization.options import CALL_KEYWORDS


class PageProcessor(ProcessorMixin):
    """Pages, and questions about them, to the inputs of a model that reads words in boxes."""

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        text_pair: Any = None,
        boxes: Any = None,
        word_labels: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pages.

        Args:
            images: as the image processor takes them.
            text: questions where Tesseract reads the words, or where `text_pair` has them; else the words.
            text_pair: the words of each page.
            boxes: for every word left, top, right and bottom, from 0 to 1000.
            word_labels: a number for every word.
            **options: keywords of the two parts, which are told apart by their names.

        Returns:
            What the tokenizer gives, and the pictures; one for every piece where what was cut comes back.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without pages; for boxes or labels of words that Tesseract reads.
        """
        if images is None:
            raise ValueError(f"{type(self).__name__} needs images=")
        refuse_unknown(
            options,
            {*CALL_KEYWORDS, *self.image_processor.known_settings(), *OF_A_CALL, *SORTED},
            type(self).__name__,
        )
        texts, pictures = self._told_apart(options)
        reads = pictures.get("apply_ocr", self.image_processor.apply_ocr)
        for name, value in (("boxes", boxes), ("word_labels", word_labels), ("text_pair", text_pair)):
            if reads and value is not None:
                raise ValueError(
                    f"{name} are those of given words, but here Tesseract reads the words: load the "
                    f"processor with apply_ocr=False to give them"
                )
        found = self.image_processor(images, **pictures)
        if reads and text is not None:
            text = [text] if isinstance(text, str) else text
            if len(text) != len(found["words"]):
                raise ValueError(
                    f"there are {len(found['words'])} pages and {len(text)} questions: one for each"
                )
            text_pair = found["words"]
        elif reads:
            text = found["words"]
        encoded = self.tokenizer(
            text, text_pair, boxes=found["boxes"] if reads else boxes, word_labels=word_labels, **texts
        )
        pixels = found["pixel_values"]
        if "overflow_to_sample_mapping" in encoded:
            pixels = [pixels[int(page)] for page in encoded["overflow_to_sample_mapping"]]
        assert self.pair is not None
        made = BatchFeature({**encoded, self.pair.picture: pixels}, texts.get("return_tensors"))
        return made

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        assert self.pair is not None
        names = [name for name in self.tokenizer.model_input_names if name != "bbox"]
        return ["input_ids", "bbox", *reversed(names[1:]), self.pair.picture]
