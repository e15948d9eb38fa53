"""Pictures for models that find segments, with the segments that people drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes

Names = Mapping[int, int]


class SegmentImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, padded to one size, with `pixel_mask`; and segments.

    Its own settings are `ignore_index`, the number of pixels that belong to no segment, and
    `do_reduce_labels`: numbers become one lower, and 0 becomes `ignore_index`.
    """

    def __call__(
        self,
        images: Any,
        segmentation_maps: Any = None,
        instance_id_to_semantic_id: Names | list[Names] | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures and the segments in them.

        Args:
            images: see `BaseImageProcessor`.
            segmentation_maps: for each picture a map of its segments' numbers, [H, W].
            instance_id_to_semantic_id: for each number the label; one for all pictures, or one for each.
                Without it numbers are labels.
            **options: see `BaseImageProcessor`.

        Returns:
            `pixel_values` and `pixel_mask`, and for maps `mask_labels`, a list of float32 [N, H, W] (0 in
            padding), and `class_labels`, a list of int64 [N].

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for another number of maps than pictures, and numbers that have no label.
        """
        beside = None if segmentation_maps is None else (segmentation_maps, instance_id_to_semantic_id)
        return self._prepared(images, beside, options)

    preprocess = __call__

    def _labels(self, beside: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """The masks and the labels of each picture."""
        maps, names = beside
        none, reduced = now.get("ignore_index"), now["do_reduce_labels"]
        if reduced and none is None:
            raise ValueError("do_reduce_labels needs an ignore_index, which 0 becomes: ignore_index=255")
        drawn = super()._labels(maps, {**now, "do_reduce_labels": False}, sizes)
        if len(drawn) != len(sizes):
            raise ValueError(f"there are {len(sizes)} pictures, but {len(drawn)} segmentation_maps")
        each = names if isinstance(names, (list, tuple)) else [names] * len(drawn)
        if len(each) != len(drawn):
            raise ValueError(f"there are {len(drawn)} maps, but {len(each)} of instance_id_to_semantic_id")
        found = []
        for place, (one, labels, (_, _, room)) in enumerate(zip(drawn, each, sizes, strict=True)):
            outside = () if none is None else (0, none + 1) if reduced else (none,)
            numbers = np.setdiff1d(one, outside)
            masks = np.zeros((len(numbers), *room), np.float32)
            masks[:, : one.shape[0], : one.shape[1]] = one == numbers[:, None, None]
            found.append((masks, _named(numbers, labels, place) - int(bool(reduced))))
        return found

    def _made(self, found: dict[str, Any], tensors: Any) -> BatchFeature:
        """With masks and labels as lists: every picture has a number of its own of them."""
        segments = found.pop("labels", None)
        made = BatchFeature(found, tensors)
        if segments is not None:
            for name, rows in zip(("mask_labels", "class_labels"), zip(*segments, strict=True), strict=True):
                made[name] = [BatchFeature({name: one}, tensors)[name] for one in rows]
        return made


def _named(numbers: NDArray[Any], labels: Names | None, place: int) -> NDArray[Any]:
    """The labels of segments, [N], int64."""
    if labels is None:
        return numbers.astype(np.int64)
    missing = [int(one) for one in numbers if int(one) not in labels]
    if missing:
        raise ValueError(
            f"segments {missing[:5]} of map {place} have no label in instance_id_to_semantic_id; pixels of "
            "no segment have the number that ignore_index says"
        )
    return np.array([labels[int(one)] for one in numbers], np.int64)
