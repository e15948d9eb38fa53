"""Pictures in pairs, of which points are matched."""

from __future__ import annotations

from typing import Any

import numpy as np

from formers.core.extras import need
from formers.processing.features import BatchFeature
from formers.processing.kinds import to_numpy_array
from formers.processing.reading import pillow
from formers.processing.video import FilmImageProcessor


def is_pair(given: Any) -> bool:
    """Whether it is a list of two pictures, each by itself."""
    return (
        isinstance(given, (list, tuple))
        and len(given) == 2
        and not any(isinstance(one, (list, tuple)) for one in given)
    )


def pairs_of(given: Any) -> list[list[Any]]:
    """Every pair of a call: one, or several.

    Raises:
        ValueError: for anything else.
    """
    pairs = [given] if is_pair(given) else given
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(is_pair, pairs)):
        raise ValueError("pictures come in pairs: [first, second], or a list of such lists")
    return [list(pair) for pair in pairs]


class PairedImageProcessor(FilmImageProcessor):
    """Pairs of pictures to the arrays that a model reads; its settings are those of an image processor."""

    def preprocess(self, images: Any = None, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare pairs.

        Args:
            images: [first, second], or a list of such lists.
            segmentation_maps: none are taken.
            **options: see `BaseImageProcessor`.

        Returns:
            `pixel_values`, float32 [B, 2, C, H, W].

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for what is no pair.
        """
        return self._prepared(pairs_of(images), segmentation_maps, options)

    def visualize_keypoint_matching(self, images: Any, keypoint_matching_output: Any) -> list[Any]:
        """Pairs side by side, with lines between their matches: green for sure ones, red for others.

        Args:
            images: pairs, whose pictures are Pillow images or uint8 arrays [H, W, 3].
            keypoint_matching_output: what `post_process_keypoint_matching` gives for them.

        Returns:
            A Pillow image for every pair.
        """
        pairs = pairs_of(images)
        return [_drawn(pair, said) for pair, said in zip(pairs, keypoint_matching_output, strict=True)]


def _drawn(pair: list[Any], said: Any) -> Any:
    arrays = [to_numpy_array(one) for one in pair]
    (high, wide), (other_high, other_wide) = (one.shape[:2] for one in arrays)
    room = np.zeros((max(high, other_high), wide + other_wide, 3), np.uint8)
    room[:high, :wide], room[:other_high, wide:] = arrays
    sheet = pillow().fromarray(room)
    pen = need("PIL.ImageDraw", "vision").Draw(sheet)
    columns = (said[name].tolist() for name in ("keypoints0", "keypoints1", "matching_scores"))
    for start, end, score in zip(*columns, strict=True):
        ends = (tuple(start), (end[0] + wide, end[1]))
        pen.line(ends, fill=(int(255 * (1 - score)), int(255 * score), 0), width=3)
        for across, down in ends:
            pen.ellipse((across - 2, down - 2, across + 2, down + 2), fill="black")
    return sheet
