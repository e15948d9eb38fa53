"""What image processors and pipelines make of outputs is what the reference makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.processing import post_processing
from tests.parity.shapes import write_checkpoint

SIZES = [(17, 23), (40, 12)]


@pytest.fixture(scope="module")
def outputs() -> formers.BatchFeature:
    """Of a model whose queries say a label, a box and a mask each."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 9, 5, generator=generator) * 3
    logits[1, :, -1] += 20.0  # nothing is found in the second picture
    boxes = torch.rand(2, 9, 4, generator=generator)
    masks = torch.randn(2, 9, 6, 7, generator=generator) * 2 + 1
    return formers.BatchFeature({"logits": logits, "pred_boxes": boxes, "pred_masks": masks})


def _theirs(family: str, outputs: Any) -> tuple[Any, Any]:
    made = getattr(transformers, f"{family}ImageProcessorPil")()
    return made, transformers.utils.ModelOutput(**{name: value.clone() for name, value in outputs.items()})


def _same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert {**found}.keys() == {**expected}.keys()
        for key, value in expected.items():
            _same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, check_dtype=False)
    else:
        assert found == expected


@pytest.mark.parametrize("sizes", [None, SIZES, torch.tensor(SIZES)], ids=["none", "pairs", "a tensor"])
@pytest.mark.parametrize(
    ("what", "how", "options"),
    [
        ("object_detection", "objects", {"threshold": 0.4}),
        ("semantic_segmentation", "semantic", {}),
        ("instance_segmentation", "instances", {"threshold": 0.3, "overlap_mask_area_threshold": 0.1}),
        (
            "panoptic_segmentation",
            "panoptic",
            {"threshold": 0.2, "mask_threshold": 0.4, "label_ids_to_fuse": {3}},
        ),
    ],
)
def test_boxes_and_segments_are_the_references(
    what: str, how: str, options: dict[str, Any], sizes: Any, outputs: formers.BatchFeature
) -> None:
    theirs, given = _theirs("Detr", outputs)
    named = sizes if what == "object_detection" or sizes is None else SIZES
    expected = getattr(theirs, f"post_process_{what}")(given, target_sizes=named, **options)
    found = getattr(post_processing, how)(outputs, target_sizes=sizes, **options)
    _same(found, expected)


def test_pairs_of_queries_and_labels_are_the_references(outputs: formers.BatchFeature) -> None:
    theirs, given = _theirs("ConditionalDetr", outputs)
    expected = theirs.post_process_object_detection(given, threshold=0.6, target_sizes=SIZES, top_k=20)
    _same(post_processing.objects_by_label(outputs, threshold=0.6, target_sizes=SIZES, top_k=20), expected)


def test_run_lengths_stand_in_place_of_a_map(outputs: formers.BatchFeature) -> None:
    options = {"threshold": 0.3, "overlap_mask_area_threshold": 0.1, "return_coco_annotation": True}
    (found, _) = post_processing.instances(outputs, **options)
    plain = {**options, "return_coco_annotation": False}
    (drawn, _) = post_processing.instances(outputs, **plain)
    flat = drawn["segmentation"].flatten()
    for number, runs in zip(flat.unique(), found["segmentation"], strict=True):
        again = torch.zeros_like(flat)
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            again[start - 1 : start - 1 + length] = 1
        assert torch.equal(again.bool(), flat == number)


def test_segments_that_are_joined_have_numbers_of_their_own() -> None:
    labels = torch.full((1, 4, 3), -9.0)
    for query, label in enumerate([0, 1, 0, 1]):
        labels[0, query, label] = 9.0
    masks = torch.full((1, 4, 2, 2), -9.0)
    for query in range(4):
        masks[0, query, query // 2, query % 2] = 9.0
    outputs = formers.BatchFeature({"logits": labels, "pred_masks": masks})
    (found,) = post_processing.panoptic(outputs, label_ids_to_fuse={0})
    assert found["segmentation"].tolist() == [[1, 2], [1, 3]]
    assert [one["id"] for one in found["segments_info"]] == [1, 2, 1, 3]


def test_what_fits_no_picture_is_refused(outputs: formers.BatchFeature) -> None:
    with pytest.raises(ValueError, match="target_sizes has 1 entries, but there are 2 pictures"):
        post_processing.objects(outputs, target_sizes=[(3, 4)])
    with pytest.raises(ValueError, match="hold no masks, but logits, pred_boxes"):
        post_processing.segments(
            formers.BatchFeature({"logits": outputs.logits, "pred_boxes": outputs.pred_boxes}),
            label_ids_to_fuse=(),
        )


def _picture(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its processor, of pictures with three channels."""
    model_type, name, settings = request.param
    made: Path = tmp_path_factory.mktemp(model_type)
    write_checkpoint(model_type, "plain", name, made)
    processor = {"segformer": "Segformer", "glpn": "GLPN"}[model_type]
    getattr(transformers, f"{processor}ImageProcessorPil")(**settings).save_pretrained(made)
    return made


SEGFORMER = ("segformer", "SegformerForSemanticSegmentation", {"size": {"height": 64, "width": 64}})
GLPN = ("glpn", "GLPNForDepthEstimation", {})


@pytest.mark.parametrize("folder", [SEGFORMER], indirect=True, ids=["segformer"])
def test_labels_of_pixels_are_the_references(folder: Path) -> None:
    pictures = [_picture(0, (50, 70)), _picture(1, (64, 32))]
    theirs = transformers.pipeline("image-segmentation", model=str(folder))(pictures)
    ours = formers.pipeline("image-segmentation", model=str(folder))
    for found, expected in zip(ours(pictures), theirs, strict=True):
        assert [(one["label"], one["score"]) for one in found] == [(one["label"], None) for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(np.asarray(one["mask"]), np.asarray(other["mask"]))
    with pytest.raises(ValueError, match="does no panoptic segmentation, but semantic"):
        ours(pictures[0], subtask="panoptic")


@pytest.mark.parametrize("folder", [GLPN], indirect=True, ids=["glpn"])
def test_depths_are_the_references(folder: Path) -> None:
    picture = _picture(0, (70, 100))
    expected = transformers.pipeline("depth-estimation", model=str(folder))(picture)
    found = formers.pipeline("depth-estimation", model=str(folder))(picture)
    _same(found["predicted_depth"], expected["predicted_depth"])
    assert found["depth"].size == (100, 70)
    grey = [np.asarray(one["depth"]).astype(int) for one in (found, expected)]
    assert np.abs(grey[0] - grey[1]).max() <= 1
