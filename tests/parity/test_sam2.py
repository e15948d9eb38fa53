"""SAM 2 beside the reference: nested prompts, masks of pictures that were stretched, masks of everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.processing import mask_generation
from parity.pictures import colours
from parity.vision_masks_shapes import SHAPES

SIZES = {"size": {"height": 32, "width": 32}, "mask_size": {"height": 8, "width": 8}}
PICTURES = [Image.fromarray(colours(40, 50)), Image.fromarray(colours(60, 21))]
MAPS = [np.arange(2000).reshape(40, 50) % 7, np.arange(60 * 21).reshape(60, 21) % 5]
SURE = {"stability_score_thresh": 0.5, "stability_score_offset": 0.1, "pred_iou_thresh": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM 2 of the reference, whose masks are sure of themselves, with its processor."""
    home = tmp_path_factory.mktemp("sam2")
    torch.manual_seed(0)
    parts = json.loads(json.dumps(SHAPES["sam2"]["plain"]))
    parts["vision_config"]["backbone_config"]["num_channels"] = 3
    model = transformers.Sam2Model(transformers.Sam2Config(**parts))
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
        for mixer in model.mask_decoder.output_hypernetworks_mlps:
            mixer.proj_out.weight.mul_(100)
    model.save_pretrained(home)
    formers.Sam2Processor(formers.Sam2ImageProcessor(**SIZES)).save_pretrained(home)
    return home


class _Sizes:
    """What the reference's processor asks of its image processor, which needs torchvision."""

    size = SIZES["size"]

    def __call__(self, images: Any, **_: Any) -> Any:
        sizes = [(one.height, one.width) for one in images]
        return transformers.BatchFeature({"original_sizes": torch.tensor(sizes)})


def _theirs() -> Any:
    from transformers.models.sam2.processing_sam2 import Sam2Processor

    made = Sam2Processor.__new__(Sam2Processor)
    made.image_processor, made.point_pad_value, made.target_size = _Sizes(), -10, 32
    return made


@pytest.mark.parametrize(
    "given",
    [
        {"input_points": [[[[3, 4], [5, 6]], [[1, 2]]], [[[7, 8]]]], "input_labels": [[[1, 0], [1]], [[1]]]},
        {"input_points": [[[[3, 4]]], [[[7, 8.5]]]]},
        {"input_points": torch.tensor([[[[3.0, 4.0]]], [[[7.0, 8.5]]]])},
        {"input_boxes": [[[1, 2, 30, 20]], [[1, 2, 13, 14]]]},
        {
            "input_points": [[[[3, 4]], [[5, 6]]]] * 2,
            "input_labels": [[[1], [0]]] * 2,
            "input_boxes": [[[1, 2, 30, 20], [2, 3, 4, 9]]] * 2,
        },
    ],
    ids=["ragged points", "points", "tensors", "boxes", "points and boxes of two masks"],
)
def test_nested_prompts_become_places_of_what_the_model_reads(folder: Path, given: dict[str, Any]) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    assert type(ours) is formers.Sam2Processor
    expected, found = (one(PICTURES, return_tensors="pt", **given) for one in (_theirs(), ours))
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-6)
    sizes = found["original_sizes"]
    for name, value in ours(original_sizes=sizes, **given).items():
        assert torch.equal(value, found[name])


def test_pictures_fill_what_is_read(folder: Path) -> None:
    ours = formers.AutoImageProcessor.from_pretrained(folder)
    assert type(ours) is formers.Sam2ImageProcessor
    found = ours(PICTURES, MAPS, return_tensors="pt")
    assert found["original_sizes"].tolist() == [[40, 50], [60, 21]]
    assert found["labels"].shape == (2, 8, 8)
    whole = transformers.ViTImageProcessorPil(
        size=SIZES["size"], image_mean=ours.image_mean, image_std=ours.image_std
    )
    expected = whole(PICTURES, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found["pixel_values"], expected, atol=1e-5, rtol=0)


def test_prompts_that_do_not_fit_are_refused(folder: Path) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    with pytest.raises(ValueError, match="Sam2Processor needs images= or original_sizes="):
        ours(input_points=[[[[1, 2]]]])
    for points in (3, [[[3, 4]]], [[[["a", 4]]]], [[[[3, float("nan")]]]], [[[[1, 2, 3]]]]):
        with pytest.raises(ValueError, match="lists within lists, 4 deep"):
            ours(PICTURES[0], input_points=points)
    with pytest.raises(ValueError, match="as many for each picture"):
        ours(PICTURES, input_boxes=[[[1, 2, 3, 4]], []])
    with pytest.raises(ValueError, match="2 pictures, but input_points has 1 lists"):
        ours(PICTURES, input_points=[[[[3, 4]]]])
    with pytest.raises(ValueError, match=r"\[1, 1, 1\] input_points, but \[1, 1, 2\] input_labels"):
        ours(PICTURES[0], input_points=[[[[3, 4]]]], input_labels=[[[1, 0]]])


@torch.no_grad()
def test_every_kind_of_prompt_gives_the_references_masks(folder: Path) -> None:
    theirs, ours = (one.Sam2Model.from_pretrained(folder) for one in (transformers, formers))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 32, 32, generator=generator)
    points, boxes = torch.rand(2, 3, 2, 2, generator=generator) * 32, torch.rand(2, 3, 4, generator=generator)
    labels = torch.tensor([[[1, 0], [1, -10], [2, 3]], [[1, -1], [0, 0], [1, 1]]])
    seen = [model.get_image_embeddings(images) for model in (theirs, ours)]
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(other, one)
    masks = torch.randn(2, 1, 40, 48, generator=generator)
    for given in (
        {},
        {"input_points": points},
        {"input_boxes": boxes * 32},
        {"input_points": points, "input_labels": labels, "multimask_output": False},
        {"input_points": points, "input_labels": labels, "input_boxes": boxes * 32, "input_masks": masks},
        {"input_points": points, "target_embedding": torch.randn(2, 1, 1, 16, generator=generator)},
    ):
        expected, found = (
            model(image_embeddings=list(maps), **given)
            for model, maps in zip((theirs, ours), seen, strict=True)
        )
        for name in ("iou_scores", "object_score_logits"):
            torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.pred_masks, expected.pred_masks, atol=1e-3, rtol=1e-5)
    for mine, other in zip(*(m.get_prompt_embeddings(points, labels) for m in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, other)
    features = [model.get_image_features(images) for model in (theirs, ours)]
    for name in ("fpn_hidden_states", "fpn_position_encoding"):
        for one, other in zip(features[0][name], features[1][name], strict=True):
            torch.testing.assert_close(other, one)
    with pytest.raises(ValueError, match="pixel_values or image_embeddings"):
        ours(images, image_embeddings=seen[1])
    with pytest.raises(ValueError, match="image_embeddings are 3 maps"):
        ours(image_embeddings=seen[1][:2])
    with pytest.raises(ValueError, match="the config's backbone_feature_sizes say"):
        ours(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="which are no multiples of 4"):
        ours(torch.zeros(1, 3, 28, 28))


@torch.no_grad()
def test_weights_of_attention_add_up_to_one(folder: Path) -> None:
    """The reference returns what attention mixed under that name."""
    ours = formers.Sam2Model.from_pretrained(folder, attn_implementation="eager")
    found = ours(torch.randn(1, 3, 32, 32), output_attentions=True)
    assert [tuple(one.shape) for one in found.vision_attentions][:3] == [
        (16, 16, 16),
        (32, 4, 16),
        (2, 64, 64),
    ]
    for weights in found.vision_attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_masks_get_the_size_of_their_pictures(folder: Path) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    masks = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    sizes = [(40, 50), (60, 21)]
    for options in ({}, {"mask_threshold": 0.5}, {"binarize": False}):
        for one, mask, size in zip(
            ours.post_process_masks(masks, sizes, **options), masks, sizes, strict=True
        ):
            large = torch.nn.functional.interpolate(mask, size, mode="bilinear")
            limit = options.get("mask_threshold", 0.0)
            assert torch.equal(one, large if "binarize" in options else large > limit)
    alone = ours.post_process_masks(masks, sizes, apply_non_overlapping_constraints=True)
    assert all((one.sum(0) <= 1).all() for one in alone)
    with pytest.raises(ValueError, match="masks of 2 pictures, but 1 original_sizes"):
        ours.post_process_masks(masks, sizes[:1])


@torch.no_grad()
def test_masks_of_everything_are_those_of_the_references_model(folder: Path) -> None:
    own = formers.pipeline("mask-generation", model=str(folder), device="cpu")
    theirs, prepared = transformers.Sam2Model.from_pretrained(folder), own.image_processor
    boxes, points, crops, labels = prepared.generate_crop_boxes(PICTURES[0], 32, 1, points_per_crop=3)
    pixels = prepared(crops, return_tensors="pt", input_data_format="channels_last")
    kept: list[list[Any]] = [[], [], []]
    for i, image in enumerate(pixels["pixel_values"]):
        asked = {"input_points": points[:, :, i : i + 1].float(), "input_labels": labels[:, :, i : i + 1]}
        found = theirs(image[None], **asked)
        size = tuple(pixels["original_sizes"][i].tolist())
        large = torch.nn.functional.interpolate(found.pred_masks[0], size, mode="bilinear")
        whole = pixels["original_sizes"][0].tolist()
        for so_far, one in zip(
            kept, mask_generation.sure_ones(large, found.iou_scores[0], whole, boxes[i], **SURE), strict=True
        ):
            so_far.append(one)
    masks, scores, runs, _ = mask_generation.apart(
        sum(kept[0], []), torch.cat(kept[1]), torch.cat(kept[2]), 0.7
    )
    answer = own(PICTURES[0], crops_n_layers=1, points_per_crop=3, output_rle_mask=True, **SURE)
    assert len(masks) == len(answer["masks"]) > 3
    torch.testing.assert_close(answer["scores"], scores, atol=1e-5, rtol=1e-5)
    assert answer["rle_mask"] == runs
