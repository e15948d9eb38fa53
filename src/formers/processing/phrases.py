"""Texts of phrases, and which of them objects are found for: Grounding DINO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formers.core.boxes import corners
from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.processing.post_processing import in_pixels
from formers.processing.reading import is_picture, listed

_END = "."


class PhraseProcessor(ProcessorMixin):
    """Texts such as "a cat. a remote control.", or their phrases as lists, and pictures."""

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures, texts, or both.

        Args:
            images: as the image processor takes them.
            text: a text, a list of texts, a list of phrases without full stops, which are one text, or a list
                of such lists, one for each picture.
            **options: see `ProcessorMixin`.

        Raises:
            ValueError: for a list without phrases.
        """
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        return super().__call__(images, None if text is None else joined(text), **options)

    def post_process_grounded_object_detection(
        self,
        outputs: Any,
        input_ids: Any = None,
        threshold: float = 0.25,
        text_threshold: float = 0.25,
        target_sizes: Any = None,
        text_labels: Any = None,
        box_threshold: float | None = None,
    ) -> list[dict[str, Any]]:
        """The objects of each picture, and the words that they were found for.

        Args:
            outputs: of the model: `logits` [B, Q, W], `pred_boxes` [B, Q, 4], `input_ids`.
            input_ids: [B, T], in place of those of the outputs.
            threshold: least probability of an object's likeliest word.
            text_threshold: least probability of the words that are told.
            target_sizes: see `answers.sizes_of`.
            text_labels: not read; words are told as the text has them.
            box_threshold: the older name of `threshold`.

        Returns:
            For each picture `scores` [N], `boxes` [N, 4] (left, top, right, bottom), and the words as texts,
            `text_labels` and, under their older name, `labels`.

        Raises:
            ValueError: for another number of sizes than pictures.
        """
        threshold = threshold if box_threshold is None else box_threshold
        ids = outputs["input_ids"] if input_ids is None else input_ids
        shares, found = outputs["logits"].sigmoid(), []
        boxes = in_pixels(corners(outputs["pred_boxes"]), target_sizes)
        for words, box, text in zip(shares, boxes, ids, strict=True):
            scores = words.amax(-1)
            kept = scores > threshold
            told = words[kept] > text_threshold
            told[:, 0] = told[:, -1] = False  # the marks at both ends
            texts = self.batch_decode([text[one[: len(text)]].tolist() for one in told[:, : len(text)]])
            found.append({"scores": scores[kept], "boxes": box[kept], "text_labels": texts, "labels": texts})
        return found


def joined(text: Any) -> Any:
    """Lists of phrases as texts; texts stay.

    Raises:
        ValueError: for a list without phrases.
    """
    if _phrases(text):
        return _text(text)
    if isinstance(text, (list, tuple)) and all(map(_phrases, text)):
        return [_text(one) for one in text]
    return text


def _phrases(text: Any) -> bool:
    return isinstance(text, (list, tuple)) and all(isinstance(one, str) and _END not in one for one in text)


def _text(phrases: Sequence[str]) -> str:
    if not phrases:
        raise ValueError("a list of phrases says what to find, but it is empty")
    return f"{_END} ".join(one.strip().lower() for one in phrases) + _END
