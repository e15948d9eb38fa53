"""Processors of pages that are read out, by prompts that follow from what is asked for: GOT-OCR 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.placeholders import Grown, expanded
from formers.processing.reading import as_pillow_or_array, is_picture, listed

# keywords of a call, and what they are where it says nothing
_ASKED: dict[str, Any] = {
    **{"box": None, "color": None, "format": False, "multi_page": False, "num_image_tokens": 256},
}
_MARKS = {
    "message_start_token": "<|im_start|>",
    "message_end_token": "<|im_end|>",
    "img_start_token": "<img>",
    "img_end_token": "</img>",
    "img_pad_token": "<imgpad>",
    "system_query": "system\n"
    "You should follow the instructions carefully and explain your answers in detail.",
}


class PageReadingProcessor(ShowingProcessor):
    """Pages, and prompts that ask for what is written on them; see `ShowingProcessor`.

    Without a text a call writes the prompt: for what stands in a `box` [x1, y1, x2, y2] in pixels, in a
    `color` (one for all pages, or a list), with its `format`, or across pages (`multi_page`; `images` is then
    a list of pages, or a list for each text). `num_image_tokens` stand for a page, or for each tile of one
    with `crop_to_patches`.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        for name, usual in _MARKS.items():
            setattr(self, name, usual)

    def _made(
        self, images: Any, text: Any, videos: Any, options: dict[str, Any]
    ) -> tuple[BatchFeature, list[Grown]]:
        asked = dict(_ASKED)
        for place in ("images_kwargs", "text_kwargs"):  # where older versions take them
            inner = dict(options.get(place) or {})
            asked |= {name: inner.pop(name) for name in _ASKED if name in inner}
            if place in options:
                options[place] = inner
        asked |= {name: options.pop(name) for name in _ASKED if name in options}
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        if images is None:
            raise ValueError(f"{type(self).__name__} reads pages out: pass images=")
        if videos is not None:
            raise ValueError(f"{type(self).__name__} prepares no films: pass their frames as images")
        kinds = options.pop("return_mm_token_type_ids", False)
        groups = _grouped(images, bool(asked["multi_page"]))
        for_texts, for_pictures = self._told_apart(options)
        crops = bool(for_pictures.get("crop_to_patches"))
        texts = self._prompts(groups, asked, crops) if text is None else self._texts(text)
        if sum(one.count(self.image_token) for one in texts) != len(groups):
            raise ValueError(
                f"the texts show {sum(one.count(self.image_token) for one in texts)} images by "
                f"{self.image_token}, but {len(groups)} are given: write {self.image_token} once for each"
            )
        found = dict(self.image_processor([one for group in groups for one in group], **for_pictures))
        counts = [int(one) for one in found.pop("num_patches")]
        ends = np.cumsum([len(group) for group in groups])
        each = [sum(counts[end - len(group) : end]) for end, group in zip(ends, groups, strict=True)]
        tokens = int(asked["num_image_tokens"])
        pieces = {self.image_token: iter([self.image_token * tokens * count for count in each])}
        texts, grown = expanded(texts, pieces)
        encoded = dict(self.tokenizer(texts, **for_texts))
        for name in self.pair.unread if self.pair is not None else ():
            encoded.pop(name, None)
        self._whole(texts, encoded["input_ids"])
        if kinds:
            encoded["mm_token_type_ids"] = self._kinds(encoded["input_ids"])
        return BatchFeature({**encoded, **found}, for_texts.get("return_tensors")), grown

    def _prompts(self, groups: Sequence[Sequence[Any]], asked: dict[str, Any], crops: bool) -> list[str]:
        """What is asked of each page, or of each group of them."""
        boxes, colors = asked["box"], asked["color"]
        boxes = boxes if boxes and isinstance(boxes[0], (list, tuple)) else [boxes] * len(groups)
        colors = colors if isinstance(colors, (list, tuple)) else [colors] * len(groups)
        if not len(boxes) == len(colors) == len(groups):
            raise ValueError(
                f"there are {len(groups)} pages, {len(boxes)} boxes and {len(colors)} colors: give one for "
                "all, or one for each"
            )
        found = list[str]()
        for group, box, color in zip(groups, boxes, colors, strict=True):
            parts = [f"[{color}] " if color is not None else ""]
            if box is not None and not asked["multi_page"]:
                parts.append(str(_shares(box, group[0])))
            parts.append(" OCR")
            told = (("format", " with format"), ("multi_page", " across multi pages"))
            parts += [said for name, said in told if asked[name]]
            parts.append(" upon the patch reference" if crops else "")
            start, end = self.message_start_token, self.message_end_token
            shown = f"{self.img_start_token}{self.image_token}{self.img_end_token}"
            asks = f"{start}user\n{shown}\n{''.join(parts)}: {end}"
            found.append(f"{start}{self.system_query}{end}{asks}{start}assistant\n")
        return found


def _grouped(images: Any, together: bool) -> list[list[Any]]:
    """The pages of each prompt.

    Raises:
        ValueError: for lists of lists where pages are read one by one.
    """
    nested = isinstance(images, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in images)
    if nested and not together:
        raise ValueError("lists of pages for each text are read together: pass multi_page=True")
    if nested:
        return [listed(one) for one in images]
    return [listed(images)] if together else [[one] for one in listed(images)]


def _shares(box: Any, page: Any) -> list[int]:
    """A box in thousandths of a page.

    Raises:
        ValueError: for what is no box.
    """
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        raise ValueError(f"a box is [x1, y1, x2, y2] in pixels, not {box!r}")
    picture = as_pillow_or_array(page, 0, 1)
    shape = getattr(picture, "shape", None)
    height, width = (picture.height, picture.width) if shape is None else _edges(shape)
    return [int(edge / side * 1000) for edge, side in zip(box, (width, height) * 2, strict=True)]


def _edges(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of an array, whose channels stand first or last."""
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    return (shape[1], shape[2]) if first else (shape[0], shape[1])
