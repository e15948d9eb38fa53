"""Pictures of pages for models of words in boxes, and the words that Tesseract reads there."""

from __future__ import annotations

from typing import Any

import numpy as np

from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor
from formers.processing.ocr import words_in
from formers.processing.reading import as_pillow_or_array, channels_last, listed, pillow


class PageImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, and the words that stand on them with their boxes.

    Attributes:
        apply_ocr: whether Tesseract reads them.
        ocr_lang: its name of their language; None for English.
        tesseract_config: further flags of it.
    """

    def __call__(self, images: Any, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare pages.

        Args:
            images: see `BaseImageProcessor`.
            segmentation_maps: none are taken.
            **options: see `BaseImageProcessor`, and those of the class for this call.

        Returns:
            `pixel_values`; and where words are read, for each page a list of `words` and of their `boxes`,
            left, top, right and bottom in thousandths of the page.

        Raises:
            MissingExtra: where words are to be read, and pytesseract is missing.
            OSError: where Tesseract itself is.
            ValueError: for a page on which it finds no word.
        """
        now = {name: options.get(name, getattr(self, name)) for name in self.recipe.settings}
        found = self._prepared(images, segmentation_maps, dict(options))
        if not now["apply_ocr"]:
            return found
        pages = listed(images)
        pages = [
            as_pillow_or_array(one, i, len(pages), options.get("timeout")) for i, one in enumerate(pages)
        ]
        read = [
            words_in(
                _as_pillow(page, options.get("input_data_format")),
                now["ocr_lang"],
                now["tesseract_config"] or "",
            )
            for page in pages
        ]
        found["words"], found["boxes"] = [words for words, _ in read], [boxes for _, boxes in read]
        return found

    preprocess = __call__


def _as_pillow(page: Any, data_format: Any) -> Any:
    """A page that Tesseract can read."""
    if not isinstance(page, np.ndarray):
        return page
    page = channels_last(page, data_format)
    if page.dtype.kind == "f" and page.max() <= 1:
        page = page * 255
    page = steps.to_rgb(page.astype(np.uint8)) if page.shape[-1] != 1 else page.astype(np.uint8)[..., 0]
    return pillow().fromarray(page)
