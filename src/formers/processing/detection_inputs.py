"""Pictures for models that find objects, with the objects that people found in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import load_image
from formers.processing.recipe import NEAREST

_NEEDED = ("bbox", "category_id", "area")
_OF_SEGMENTS = ("id", "category_id", "area", "iscrowd")


class ObjectImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, padded to one size, with `pixel_mask`; and annotations.

    Its own settings are `format` ("coco_detection", "coco_panoptic") and `do_convert_annotations`: boxes
    become (centre x, centre y, width, height) as shares of what the model reads; else they stay (left, top,
    right, bottom), in pixels of the resized picture. It follows `do_normalize` where it is not said.

    Raises:
        ValueError: for a size that says nothing.
    """

    def __init__(self, **settings: Any) -> None:
        if settings.get("do_convert_annotations") is None:
            settings["do_convert_annotations"] = settings.get("do_normalize", True)
        if not isinstance(settings.get("size", {}), Mapping):  # the shortest edge, as older files have it
            settings.setdefault("max_size", 1333)
        super().__init__(**settings)

    def preprocess(  # type: ignore[override]  # objects are no maps: the ecosystem's calls have them by name
        self,
        images: Any,
        annotations: Any = None,
        return_segmentation_masks: bool | None = None,
        masks_path: str | Path | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures and what is known of the objects in them.

        Args:
            images: see `BaseImageProcessor`.
            annotations: one for each picture (or one alone), as COCO has them: `image_id`, and `annotations`,
                a list with `bbox` (left, top, width, height; in pixels), `category_id`, `area` and perhaps
                `iscrowd` and `keypoints` of each object; crowds and boxes without area are left out. Those of
                "coco_panoptic" have `image_id`, `file_name` and `segments_info`, a list with `id`,
                `category_id`, `area` and `iscrowd` of each segment.
            return_segmentation_masks: whether there are `masks` of segments, bool [N, height, width], as the
                pictures are resized and padded; None: there are.
            masks_path: folder of the images whose colours are the segments' ids.
            **options: see `BaseImageProcessor`.

        Returns:
            `pixel_values`, `pixel_mask` and, for annotations, `labels`: for each picture `boxes` [N, 4],
            `class_labels` [N], `area` [N] (of the resized picture), `iscrowd` [N], `image_id` [1],
            `orig_size` and `size` (height, width), and `keypoints` [N * K, 3] as they came.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for annotations that do not fit the pictures, or are of another kind.
        """
        beside = None if annotations is None else (annotations, return_segmentation_masks, masks_path)
        return self._prepared(images, beside, options)

    def pad(self, images: Any, return_tensors: str | None = None) -> BatchFeature:
        """Pictures that were prepared before, [C, height, width] each, at the upper left of equal rooms.

        Returns:
            `pixel_values` [B, C, height, width], and `pixel_mask` [B, height, width], 1 at pixels that are no
            padding.

        Raises:
            ValueError: for none, and what is no picture.
        """
        found = [np.asarray(one) for one in images]
        if not found or any(one.ndim != 3 for one in found):
            shapes = [list(one.shape) for one in found]
            raise ValueError(f"what is padded are pictures [C, height, width], not of shapes {shapes}")
        height, width = (max(one.shape[axis] for one in found) for axis in (1, 2))
        pixels, mask = steps.padded(found, height, width)
        return BatchFeature({"pixel_values": pixels, "pixel_mask": mask}, return_tensors)

    def _labels(self, beside: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """The objects of each picture."""
        annotations, masks, folder = beside
        found = [annotations] if isinstance(annotations, Mapping) else list(annotations)
        if len(found) != len(sizes):
            raise ValueError(f"there are {len(sizes)} pictures, but {len(found)} annotations")
        if now["do_center_crop"] or now["size_divisor"]:
            raise ValueError("boxes do not follow do_center_crop and size_divisor: leave the annotations out")
        kind = getattr(now["format"], "value", now["format"])
        if kind == "coco_panoptic":
            shown = masks is not False
            return [_segments(one, i, sizes[i], now, folder, shown) for i, one in enumerate(found)]
        if kind != "coco_detection":
            raise ValueError(f"format is 'coco_detection' or 'coco_panoptic', not {kind!r}")
        if masks:
            raise ValueError("masks are made of annotations of the format 'coco_panoptic' alone")
        return [_objects(one, place, sizes[place], now) for place, one in enumerate(found)]


def _as_read(boxes: Any, sizes: Sizes, now: dict[str, Any]) -> Any:
    """Boxes (left, top, right, bottom) in pixels of the picture as it came -> those that the model learns."""
    (height, width), resized, room = sizes
    boxes = boxes * np.array([resized[1] / width, resized[0] / height] * 2, np.float32)
    if not now["do_convert_annotations"]:
        return boxes
    first, last = boxes[:, :2], boxes[:, 2:]
    shares = np.concatenate(((first + last) / 2, last - first), 1)
    return shares / np.array([room[1], room[0]] * 2, np.float32)


def _segments(
    said: Any, place: int, sizes: Sizes, now: dict[str, Any], folder: str | Path | None, shown: bool
) -> BatchFeature:
    """What is known of one picture's segments."""
    whole, resized, room = sizes
    number = said.get("image_id", said.get("id")) if isinstance(said, Mapping) else None
    if number is None or not {"file_name", "segments_info"} <= {*said} or folder is None:
        raise ValueError(
            f"annotation {place} needs image_id, segments_info and file_name, and masks_path says in which "
            "folder that is"
        )
    infos = said["segments_info"]
    for one in infos:
        if missing := [name for name in _OF_SEGMENTS if name not in one]:
            raise ValueError(f"a segment of annotation {place} has no {' and no '.join(missing)}")
    colours = np.asarray(load_image(Path(folder) / said["file_name"])).astype(np.int64)
    if colours.shape[:2] != tuple(whole):
        raise ValueError(
            f"{said['file_name']} has {colours.shape[:2]} pixels, but picture {place} has {whole}"
        )
    ids = colours @ np.array([1, 256, 256 * 256])
    masks, boxes = np.zeros((len(infos), *room), bool), np.zeros((len(infos), 4), np.float32)
    for i, one in enumerate(infos):
        mask = ids == one["id"]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise ValueError(f"segment {one['id']} of annotation {place} is not in {said['file_name']}")
        boxes[i] = columns[0], rows[0], columns[-1], rows[-1]
        if tuple(resized) != mask.shape:
            mask = steps.resized(mask[..., None].astype(np.uint8), *resized, NEAREST)[..., 0] > 0
        masks[i, : resized[0], : resized[1]] = mask

    def of_each(name: str, kind: type[Any]) -> Any:
        return np.array([one[name] for one in infos], kind)

    found = {
        "image_id": np.array([number], np.int64),
        "class_labels": of_each("category_id", np.int64),
        "boxes": _as_read(boxes, sizes, now),
        "area": of_each("area", np.float32) * _share(sizes),
        "iscrowd": of_each("iscrowd", np.int64),
        "orig_size": np.array(whole, np.int64),
        "size": np.array(room, np.int64),
    }
    return BatchFeature({**found, "masks": masks} if shown else found)


def _share(sizes: Sizes) -> Any:
    """By how much areas grow."""
    (height, width), (down, across), _ = sizes
    return np.float32(down * across / (height * width))


def _objects(said: Any, place: int, sizes: Sizes, now: dict[str, Any]) -> BatchFeature:
    """What is known of one picture's objects."""
    listed = said.get("annotations") if isinstance(said, Mapping) else None
    if not isinstance(listed, (list, tuple)) or "image_id" not in said:
        raise ValueError(
            f"annotation {place} needs image_id and annotations, a list with {', '.join(_NEEDED)} of each"
        )
    for one in listed:
        if missing := [name for name in _NEEDED if name not in one]:
            raise ValueError(f"an object of annotation {place} has no {' and no '.join(missing)}")
    (height, width), _, room = sizes
    kept = [one for one in listed if not one.get("iscrowd")]
    boxes: Any = np.array([one["bbox"] for one in kept], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    good = (boxes[:, 2:] > boxes[:, :2]).all(1)

    def of_each(name: str, kind: type[Any]) -> Any:
        return np.array([one[name] for one in kept], kind)[good]

    found = {
        "image_id": np.array([said["image_id"]], np.int64),
        "class_labels": of_each("category_id", np.int64),
        "boxes": _as_read(boxes[good], sizes, now),
        "area": of_each("area", np.float32) * _share(sizes),
        "iscrowd": np.zeros(int(good.sum()), np.int64),
        "orig_size": np.array([height, width], np.int64),
        "size": np.array(room, np.int64),
    }
    if kept and "keypoints" in kept[0]:
        found["keypoints"] = of_each("keypoints", np.float32).reshape(-1, 3)
    return BatchFeature(found)
