"""Pictures for models that make masks of what is pointed at, with the points and boxes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.processing import mask_generation, steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.sizes import rounded
from formers.tokenization.encoding import as_tensor

NOTHING = -10  # the label of a point that fills up a row, and its coordinates


class PointedImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, with their sizes; and masks out of what a model makes.

    Maps of labels are resized to `mask_size` and padded to `mask_pad_size`.
    """

    generate_crop_boxes = staticmethod(mask_generation.crops)
    filter_masks = staticmethod(mask_generation.sure_ones)
    post_process_for_mask_generation = staticmethod(mask_generation.apart)

    def post_process_masks(
        self, masks: Any, original_sizes: Any, reshaped_input_sizes: Any, *args: Any, **options: Any
    ) -> Any:
        """See `everything.in_pictures`; the room is the processor's own."""
        if len(args) < 3 and options.get("pad_size") is None:
            options["pad_size"] = self.pad_size  # type: ignore[attr-defined]  # a setting
        return mask_generation.in_pictures(masks, original_sizes, reshaped_input_sizes, *args, **options)

    def _beside(self, sizes: list[Sizes]) -> dict[str, Any]:
        """(height, width) of each picture as it came, and before it was padded."""
        return {
            "original_sizes": [whole for whole, _, _ in sizes],
            "reshaped_input_sizes": [part for _, part, _ in sizes],
        }

    def _labels(self, maps: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """int64 [height, width] each."""
        found = super()._labels(maps, {**now, "size": now["mask_size"]}, sizes)
        if not now["do_pad"]:
            return found
        room = now["mask_pad_size"]
        made, _ = steps.padded([one[None] for one in found], room["height"], room["width"])
        return list(made[:, 0])


class StretchedImageProcessor(PointedImageProcessor):
    """As `PointedImageProcessor`, of pictures that fill what the model reads, whatever their form."""

    post_process_masks = staticmethod(mask_generation.in_whole_pictures)  # type: ignore[assignment]  # pictures have no padding

    def _beside(self, sizes: list[Sizes]) -> dict[str, Any]:
        """(height, width) of each picture as it came."""
        return {"original_sizes": [whole for whole, _, _ in sizes]}


class Prompted:
    """What processors have whose models are pointed at things: points and boxes, in pixels of pictures."""

    attributes: ClassVar[tuple[str, ...]] = ("image_processor",)
    point_pad_value: ClassVar[int] = NOTHING
    image_processor: Any

    @property
    def target_size(self) -> int:
        """Pixels of a picture's longest edge, as the model reads it."""
        return int(self.image_processor.size["longest_edge"])

    @property
    def model_input_names(self) -> list[str]:
        """What a call returns for a picture."""
        return [*self.image_processor.model_input_names, "original_sizes", "reshaped_input_sizes"]

    def __call__(
        self,
        images: Any = None,
        segmentation_maps: Any = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        point_pad_value: int | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures and prompts.

        Args:
            images: see `BaseImageProcessor`.
            segmentation_maps: likewise.
            input_points: for each picture points (across, down), or for each mask of a picture some.
            input_labels: for each point 1 (in what is meant) or 0.
            input_boxes: for each picture boxes (left, top, right, bottom), one for each mask.
            point_pad_value: label and coordinates of points that fill up shorter lists; -10.
            **options: see `BaseImageProcessor`.

        Returns:
            What the image processor gives, and `input_points` [B, P, n, 2], `input_labels` [B, P, n] and
            `input_boxes` [B, P, 4], in pixels of what the model reads.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for points and boxes that are no nested lists, or are ragged.
        """
        given = {**(options.pop("images_kwargs", None) or {}), **options}
        found: BatchFeature = self.image_processor(images, segmentation_maps, **given)
        sizes = [(int(high), int(wide)) for high, wide in found["original_sizes"]]
        points = self._placed("input_points", input_points, sizes, 2)
        boxes = self._placed("input_boxes", input_boxes, sizes, 4)
        labels = None
        if input_labels is not None:
            labels = [_numbers("input_labels", one) for one in _nested("input_labels", input_labels)]
        if points is not None and labels is not None:
            blank = self.point_pad_value if point_pad_value is None else point_pad_value
            points, labels = _filled(points, labels, blank)
        for name, value, rank in (
            ("input_boxes", boxes, 3),
            ("input_points", points, 4),
            ("input_labels", labels, 3),
        ):
            if value is None:
                continue
            shapes = [list(one.shape) for one in value]
            if any(one != shapes[0] for one in shapes):
                raise ValueError(
                    f"{name} of the pictures have the shapes {shapes} and make no array: give as many for "
                    "each; points that have input_labels are filled up"
                )
            whole: Any = np.stack(value)
            if given.get("return_tensors") is not None:  # one mask, where nothing else is said
                whole = as_tensor(whole[:, None] if whole.ndim < rank else whole, given["return_tensors"])
            found[name] = whole
        return found

    def _placed(self, name: str, given: Any, sizes: list[tuple[int, int]], count: int) -> list[Any] | None:
        """Coordinates of each picture, `count` numbers each, in pixels of what the model reads."""
        if given is None:
            return None
        given, found = _nested(name, given), []
        if len(given) != len(sizes) > 1:
            raise ValueError(f"there are {len(sizes)} pictures, but {name} has {len(given)} lists")
        for place, one in enumerate(given):
            high, wide = sizes[place] if len(sizes) == len(given) else sizes[0]
            down, across = rounded(high, wide, self.target_size)
            at = _numbers(name, one).astype(np.float64)
            if at.ndim < 2 or at.shape[-1] != count:
                raise ValueError(f"{name} are lists of {count} numbers each for every picture, not {one!r}")
            pairs = at.reshape(*at.shape[:-1], -1, 2) * [across / wide, down / high]
            found.append(pairs.reshape(at.shape))
        return found


def _nested(name: str, given: Any) -> list[Any]:
    """A list with an entry for each picture.

    Raises:
        ValueError: for anything else.
    """
    given = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(given, (list, tuple)) or not given or not hasattr(given[0], "__len__"):
        raise ValueError(f"{name} is a list with a list for each picture, not {given!r}")
    return list(given)


def _numbers(name: str, given: Any) -> Any:
    """What is said for one picture, as an array.

    Raises:
        ValueError: for what are no numbers, or lists of several lengths.
    """
    try:
        found = np.array(given)
    except ValueError:
        found = np.array(None)
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise ValueError(f"{name} are numbers in lists of one length, not {given!r}")
    return found


def _filled(points: list[Any], labels: list[Any], blank: int) -> tuple[list[Any], list[Any]]:
    """Points [.., n, 2] and labels [.., n] of every picture, with as many of them."""
    counts = [[one.size // 2 for one in points], [one.size for one in labels]]
    if counts[0] != counts[1]:
        raise ValueError(f"the pictures have {counts[0]} input_points, but {counts[1]} input_labels")
    most = max(one.shape[-2] for one in points)
    for i, (at, told) in enumerate(zip(points, labels, strict=True)):
        more = most - at.shape[-2]
        if more and told.shape == at.shape[:-1]:
            rest = [(0, 0)] * (told.ndim - 1)
            points[i] = np.pad(at, (*rest, (0, more), (0, 0)), constant_values=blank)
            labels[i] = np.pad(told, (*rest, (0, more)), constant_values=blank)
    return points, labels
