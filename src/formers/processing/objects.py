"""Pictures for models that find objects, with the objects that people found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes

_NEEDED = ("bbox", "category_id", "area")


class ObjectImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, padded to one size, with `pixel_mask`; and annotations.

    Its own settings are `format` ("coco_detection") and `do_convert_annotations`: boxes become (centre x,
    centre y, width, height) as shares of what the model reads; else they stay (left, top, right, bottom), in
    pixels of the resized picture. It follows `do_normalize` where it is not said.

    Raises:
        ValueError: for a size that says nothing.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_mask"]

    def __init__(self, **settings: Any) -> None:
        if settings.get("do_convert_annotations") is None:
            settings["do_convert_annotations"] = settings.get("do_normalize", True)
        if not isinstance(settings.get("size", {}), Mapping):  # the shortest edge, as older files have it
            settings.setdefault("max_size", 1333)
        super().__init__(**settings)

    def __call__(  # type: ignore[override]  # objects are no maps: the ecosystem's calls have them by this name
        self, images: Any, annotations: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare pictures and what is known of the objects in them.

        Args:
            images: see `BaseImageProcessor`.
            annotations: one for each picture (or one alone), as COCO has them: `image_id`, and `annotations`,
                a list with `bbox` (left, top, width, height; in pixels), `category_id`, `area` and perhaps
                `iscrowd` and `keypoints` of each object. Crowds and boxes without area are left out.
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
        return self._prepared(images, annotations, options)

    preprocess = __call__  # type: ignore[assignment]  # likewise

    def _labels(self, annotations: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """The objects of each picture."""
        found = [annotations] if isinstance(annotations, Mapping) else list(annotations)
        if len(found) != len(sizes):
            raise ValueError(f"there are {len(sizes)} pictures, but {len(found)} annotations")
        kind = getattr(now["format"], "value", now["format"])
        if kind != "coco_detection":
            raise ValueError(f"annotations of the format 'coco_detection' are read, not {kind!r}")
        if now["do_center_crop"] or now["size_divisor"]:
            raise ValueError("boxes do not follow do_center_crop and size_divisor: leave the annotations out")
        return [_objects(one, place, sizes[place], now) for place, one in enumerate(found)]


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
    (height, width), resized, room = sizes
    kept = [one for one in listed if not one.get("iscrowd")]
    boxes: Any = np.array([one["bbox"] for one in kept], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    good = (boxes[:, 2:] > boxes[:, :2]).all(1)
    down, across = resized[0] / height, resized[1] / width
    boxes = boxes[good] * np.array([across, down] * 2, np.float32)
    if now["do_convert_annotations"]:
        edges = boxes[:, 2:] - boxes[:, :2]
        shares = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, edges), 1)
        boxes = shares / np.array([room[1], room[0]] * 2, np.float32)

    def of_each(name: str, kind: type[Any]) -> Any:
        return np.array([one.get(name, 0) for one in kept], kind)[good]

    found = {
        "image_id": np.array([said["image_id"]], np.int64),
        "class_labels": of_each("category_id", np.int64),
        "boxes": boxes,
        "area": of_each("area", np.float32) * np.float32(down * across),
        "iscrowd": of_each("iscrowd", np.int64),
        "orig_size": np.array([height, width], np.int64),
        "size": np.array(room, np.int64),
    }
    if kept and "keypoints" in kept[0]:
        found["keypoints"] = of_each("keypoints", np.float32).reshape(-1, 3)
    return BatchFeature(found)
