"""Points and boxes in nested lists, for models that pictures are stretched for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.promptable_inputs import NOTHING, Prompted
from formers.tokenization.encoding import as_tensor

# what is said -> how deep its lists are, and how many numbers the last ones have
_DEPTHS = {"input_points": (4, 2), "input_labels": (3, None), "input_boxes": (3, 4)}
_MEANS = {
    "input_points": "of every picture lists for each mask, with points (across, down)",
    "input_labels": "of every picture lists for each mask, with a label for each point",
    "input_boxes": "of every picture boxes (left, top, right, bottom)",
}


class NestedPrompts(Prompted):
    """What processors have whose models are pointed at things in nested lists.

    Args:
        image_processor: a `StretchedImageProcessor`.
        target_size: pixels down and across of what the model reads; the image processor's.
        point_pad_value: label and coordinates of points that fill up shorter lists.
    """

    def __init__(
        self,
        image_processor: Any = None,
        target_size: int | None = None,
        point_pad_value: int = NOTHING,
        **named: Any,
    ) -> None:
        super().__init__(image_processor, **named)  # type: ignore[call-arg]  # of the class beside
        self._size = int(self.image_processor.size["height"]) if target_size is None else int(target_size)
        self.point_pad_value = point_pad_value  # type: ignore[misc]  # a setting here

    @property
    def target_size(self) -> int:
        """Pixels down and across, as the model reads it."""
        return self._size

    @property
    def model_input_names(self) -> list[str]:
        """What a call returns for a picture."""
        return [*self.image_processor.model_input_names, "original_sizes"]

    def __call__(  # type: ignore[override]  # sizes may stand for pictures
        self,
        images: Any = None,
        segmentation_maps: Any = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        original_sizes: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures and prompts.

        Args:
            images: see `BaseImageProcessor`.
            segmentation_maps: likewise.
            input_points: for each picture lists for each mask, with points (across, down).
            input_labels: likewise, with 1 (in what is meant) or 0 for each point.
            input_boxes: for each picture boxes (left, top, right, bottom), one for each mask.
            original_sizes: (height, width) of pictures, in their place.
            **options: see `BaseImageProcessor`.

        Returns:
            What the image processor gives, and float32 `input_points` [B, P, n, 2], int64 `input_labels`
            [B, P, n], filled up with `point_pad_value`, and float32 `input_boxes` [B, P, 4], in pixels of
            what the model reads: tensors, unless `return_tensors` names arrays.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for lists of another depth, and those that do not fit each other.
        """
        given = {**(options.pop("images_kwargs", None) or {}), **options}
        if images is None and original_sizes is None:
            raise ValueError(f"{type(self).__name__} needs images= or original_sizes=")
        kind = given.get("return_tensors")
        if images is not None:
            found: BatchFeature = self.image_processor(images, segmentation_maps, **given)
        else:
            found = BatchFeature({"original_sizes": original_sizes}, kind)
        sizes = np.array([[int(high), int(wide)] for high, wide in found["original_sizes"]])
        said = {"input_points": input_points, "input_labels": input_labels, "input_boxes": input_boxes}
        made = {name: self._filled(name, one) for name, one in said.items() if one is not None}
        for name, one in made.items():
            if len(one) != len(sizes) > 1:
                raise ValueError(f"there are {len(sizes)} pictures, but {name} has {len(one)} lists")
        if {"input_points", "input_labels"} <= made.keys():
            shapes = made["input_points"].shape[:-1], made["input_labels"].shape
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"there are {list(shapes[0])} input_points, but {list(shapes[1])} input_labels: "
                    "pictures, masks and points of each"
                )
        for name, one in made.items():
            one = one.astype(np.int64) if name == "input_labels" else self._placed_all(name, one, sizes)
            found[name] = as_tensor(one, kind or "pt")
        return found

    def _placed_all(self, name: str, at: Any, sizes: Any) -> Any:
        """Coordinates [B, .., n] in pixels of pictures -> in those that the model reads, float32."""
        pairs = at.reshape(*at.shape[:-1], -1, 2)
        scale = (self.target_size / sizes[:, ::-1]).reshape(-1, *(1,) * (pairs.ndim - 2), 2)
        placed = pairs * scale
        if name == "input_points":  # what fills up stays
            placed = np.where((pairs == self.point_pad_value).any(-1, keepdims=True), pairs, placed)
        return placed.reshape(at.shape).astype(np.float32)

    def _filled(self, name: str, given: Any) -> Any:
        """Nested lists as an array, filled up where some are shorter.

        Raises:
            ValueError: for lists of another depth, for no numbers, and for fewer boxes of a picture.
        """
        depth, count = _DEPTHS[name]
        given = given.tolist() if hasattr(given, "tolist") else given
        shape: list[int] = [0] * depth
        rows: list[tuple[tuple[int, ...], float]] = []
        if not _spread(given, (), depth, shape, rows) or (count is not None and {shape[-1]} != {count}):
            raise ValueError(f"{name} are {_MEANS[name]}: lists within lists, {depth} deep, not {given!r}")
        if len(rows) != np.prod(shape) and name == "input_boxes":
            raise ValueError("input_boxes are as many for each picture, and cannot be filled up")
        found = np.full(shape, float(self.point_pad_value))
        for at, value in rows:
            found[at] = value
        return found

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        names = ("target_size", "point_pad_value")
        found = {name: said[name] for name in names if name in said}
        return found | {name: options.pop(name) for name in names if name in options}

    def to_dict(self) -> dict[str, Any]:
        """The settings of the image processor, the size, the value that fills up, and the class's name."""
        own = {"target_size": self.target_size, "point_pad_value": self.point_pad_value}
        return {**own, **super().to_dict()}  # type: ignore[misc]  # of the class beside


def _spread(
    given: Any, at: tuple[int, ...], depth: int, shape: list[int], rows: list[tuple[tuple[int, ...], float]]
) -> bool:
    """Write the numbers of nested lists with their places into `rows`, and the longest lists into `shape`."""
    if len(at) == depth:
        real = isinstance(given, (int, float, np.number)) and bool(np.isfinite(given))
        rows.append((at, given))
        return real
    given = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(given, (list, tuple)):
        return False
    shape[len(at)] = max(shape[len(at)], len(given))
    return all(_spread(one, (*at, i), depth, shape, rows) for i, one in enumerate(given))
