"""Objects in pictures, as people annotated them, become what the reference makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours, pictures

GIVEN = [colours(50, 70), colours(90, 30)]


def thing(box: Any, label: int, **more: Any) -> dict[str, Any]:
    return {"bbox": box, "category_id": label, "area": float(box[2] * box[3]), **more}


ANNOTATIONS = [
    {
        "image_id": 39769,
        "annotations": [
            thing([5, 5, 20.5, 30], 3, iscrowd=0),
            thing([60, 40, 30, 30], 1),  # reaches beyond the picture
            thing([10, 10, 0, 7], 2),  # holds nothing
            thing([0, 0, 50, 50], 4, iscrowd=1),
        ],
    },
    {"image_id": 7, "annotations": []},
]


def both(**settings: Any) -> tuple[Any, Any]:
    settings = {"size": {"shortest_edge": 40, "longest_edge": 64}, **settings}
    return transformers.DetrImageProcessorPil(**settings), formers.DetrImageProcessor(**settings)


def same(found: Any, expected: Any) -> None:
    assert {*found} >= {*expected}
    for name, value in expected.items():
        if name != "labels":
            torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-5)
    for own, theirs in zip(found.get("labels", []), expected.get("labels", []), strict=True):
        assert {*own} >= {*theirs}
        for name, value in theirs.items():
            torch.testing.assert_close(own[name], value, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_normalize": False},
        {"do_convert_annotations": False},
        {"do_resize": False},
        {"pad_size": {"height": 80, "width": 72}},
    ],
    ids=lambda one: ", ".join(one) or "as it is",
)
def test_pictures_and_boxes_are_padded_and_scaled_alike(settings: dict[str, Any]):
    theirs, own = both(**settings)
    options = {"annotations": ANNOTATIONS, "return_tensors": "pt"}
    same(own(GIVEN, **options), theirs(GIVEN, **options))


@pytest.mark.filterwarnings("ignore:these pictures hold values from 0 to 1")
def test_awkward_pictures_become_the_same_numbers():
    theirs, own = both(do_convert_rgb=True)
    for name, picture in pictures().items():
        if name not in ("one pixel", "thin"):
            same(own(picture, return_tensors="pt"), theirs(picture, return_tensors="pt"))


@pytest.mark.parametrize(
    "size", [{"size": 30}, {"size": 30, "max_size": 36}, {"size": {"height": 30, "width": 20}}]
)
def test_sizes_are_read_as_older_files_have_them(size: dict[str, Any]):
    theirs, own = both(**size)
    assert dict(own.size) == {key: edge for key, edge in dict(theirs.size).items() if edge is not None}
    same(own(GIVEN, return_tensors="pt"), theirs(GIVEN, return_tensors="pt"))


@pytest.mark.parametrize("settings", [{}, {"do_convert_annotations": False}, {"do_pad": False}], ids=str)
@pytest.mark.parametrize("shown", [None, False])
def test_segments_are_read_from_their_colours(tmp_path: Path, shown: bool | None, settings: dict[str, Any]):
    annotations = []
    for number, picture in enumerate(GIVEN):
        height, width = picture.shape[:2]
        ids = np.zeros((height, width), np.int64)
        ids[4 : height // 2, 3:20], ids[height // 2 :, 7:] = 70_000 + number, 300
        colour = np.stack([ids % 256, ids // 256 % 256, ids // 65_536], -1).astype(np.uint8)
        Image.fromarray(colour).save(tmp_path / f"{number}.png")
        infos = [
            {"id": 300, "category_id": 4, "area": 11, "iscrowd": 1},
            {"id": 70_000 + number, "category_id": 2, "area": 300, "iscrowd": 0},
        ]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": infos})
    theirs, own = both(format="coco_panoptic", **settings)
    options = {"return_segmentation_masks": shown, "masks_path": tmp_path}
    if settings.get("do_pad") is not False:
        options["return_tensors"] = "pt"
    found, expected = own(GIVEN, annotations, **options), theirs(GIVEN, annotations, **options)
    assert ("masks" in found.labels[1]) == (shown is None)
    for mine, right in zip(found.labels, expected["labels"], strict=True):
        assert {*mine} == {*right}
        for name in right:
            torch.testing.assert_close(
                *(torch.as_tensor(one[name]) for one in (mine, right)), atol=1e-5, rtol=0
            )


def test_segments_that_do_not_fit_are_refused(tmp_path: Path):
    own = both(format="coco_panoptic")[1]
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "b.png")
    one = {"id": 3, "category_id": 0, "area": 1, "iscrowd": 0}
    for change, folder, says in [
        ({}, None, "masks_path says"),
        ({"segments_info": [{"id": 3}]}, tmp_path, "no category_id and no area and no iscrowd"),
        ({}, tmp_path, "segment 3 of annotation 0 is not in a.png"),
        ({"file_name": "b.png"}, tmp_path, "b.png has"),
    ]:
        given = {"image_id": 1, "file_name": "a.png", "segments_info": [one], **change}
        with pytest.raises(ValueError, match=says):
            own(GIVEN[0], given, masks_path=folder)
    with pytest.raises(ValueError, match="'coco_panoptic' alone"):
        both()[1](GIVEN, ANNOTATIONS, return_segmentation_masks=True)


def test_points_come_along():
    annotation = {"image_id": 1, "annotations": [thing([5, 5, 20, 30], 3, keypoints=[6, 7, 2, 8, 9, 1])]}
    theirs, own = both()
    options = {"annotations": annotation, "return_tensors": "pt"}
    same(own(GIVEN[:1], **options), theirs(GIVEN[:1], **options))


def test_without_padding_there_is_no_mask_and_pictures_keep_their_sizes():
    made = both()[1](GIVEN, ANNOTATIONS, do_pad=False)
    assert {*made} == {"pixel_values", "labels"}
    assert [one.shape[1:] for one in made.pixel_values] == [(40, 56), (64, 21)]
    assert [one["size"].tolist() for one in made.labels] == [[40, 56], [64, 21]]
    assert isinstance(made.labels[0].boxes, np.ndarray)


def test_objects_follow_to_another_number_format():
    made = both()[1](GIVEN, ANNOTATIONS, return_tensors="pt").to(torch.bfloat16)
    assert made.pixel_values.dtype == made.labels[0].boxes.dtype == torch.bfloat16
    assert made.pixel_mask.dtype == made.labels[0].class_labels.dtype == torch.int64


def test_a_saved_processor_is_found_again(tmp_path: Path):
    theirs, own = both()
    own.save_pretrained(tmp_path)
    again = formers.AutoImageProcessor.from_pretrained(tmp_path)
    assert type(again) is formers.DetrImageProcessor
    same(again(GIVEN, return_tensors="pt"), theirs(GIVEN, return_tensors="pt"))
    theirs.save_pretrained(tmp_path)
    assert formers.AutoImageProcessor.from_pretrained(tmp_path).to_dict() == own.to_dict()


@pytest.mark.parametrize(
    ("annotations", "settings", "says"),
    [
        (ANNOTATIONS[:1], {}, "2 pictures, but 1 annotations"),
        ([{"annotations": []}] * 2, {}, "annotation 0 needs image_id"),
        ([{"image_id": 1, "annotations": [{"bbox": [0, 0, 1, 1]}]}] * 2, {}, "no category_id and no area"),
        (ANNOTATIONS, {"format": "pascal"}, "'coco_detection' or 'coco_panoptic', not 'pascal'"),
        (ANNOTATIONS, {"do_center_crop": True, "crop_size": 8}, "do not follow do_center_crop"),
    ],
    ids=["count", "image", "object", "format", "crop"],
)
def test_annotations_that_do_not_fit_are_refused(annotations: Any, settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        both()[1](GIVEN, annotations, **settings)
