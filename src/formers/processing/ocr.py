"""Words of a page and where they stand, as Tesseract reads them."""

from __future__ import annotations

from typing import Any

from formers.core.extras import need

Box = list[int]


class NoWords(ValueError):
    """Nothing is written on a page, or nothing that can be read."""


def words_in(image: Any, lang: str | None = None, config: str = "") -> tuple[list[str], list[Box]]:
    """Read a page.

    Args:
        image: a Pillow image.
        lang: Tesseract's name of the language; None for its default, English.
        config: further flags of Tesseract.

    Returns:
        The words, and a box for each: left, top, right, bottom in thousandths of the page.

    Raises:
        MissingExtra: where pytesseract is missing.
        OSError: where Tesseract itself is.
        NoWords: when it finds no word.
    """
    pytesseract: Any = need("pytesseract", "documents", "reading the words of a page")
    try:
        found = pytesseract.image_to_data(image, lang=lang, output_type="dict", config=config)
    except pytesseract.TesseractNotFoundError as error:
        raise OSError(
            "Tesseract is not installed, which reads the words of a page: install it (on Debian: apt install "
            "tesseract-ocr), or pass word_boxes"
        ) from error
    words, boxes = [], []
    sides = (found[name] for name in ("left", "top", "width", "height"))
    for word, left, top, width, height in zip(found["text"], *sides, strict=True):
        if word.strip():
            words.append(word)
            corners = (left / image.width, top / image.height)
            far = ((left + width) / image.width, (top + height) / image.height)
            boxes.append([int(1000 * share) for share in (*corners, *far)])
    if not words:
        raise NoWords("Tesseract finds no words on this page: pass a clearer picture, or word_boxes")
    return words, boxes
