"""SAM beside the reference: what points and boxes become, masks of a picture's size, masks of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.sam import image_processing_pil_sam as reference

import formers
from formers.processing import mask_generation
from parity.pictures import colours

VISION = {
    **{"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"image_size": 32, "patch_size": 4, "window_size": 3, "global_attn_indexes": [1], "num_pos_feats": 8},
}
PROMPTS = {"hidden_size": 16, "image_size": 32, "patch_size": 4, "mask_input_channels": 8}
DECODER = {"hidden_size": 16, "mlp_dim": 24, "num_attention_heads": 2, "iou_head_hidden_dim": 12}
SIZES = {
    **{"size": {"longest_edge": 32}, "pad_size": {"height": 32, "width": 32}},
    **{"mask_size": {"longest_edge": 8}, "mask_pad_size": {"height": 8, "width": 8}},
}
SURE = {"stability_score_thresh": 0.5, "stability_score_offset": 0.1, "pred_iou_thresh": -1.0}
PICTURES = [Image.fromarray(colours(40, 50)), Image.fromarray(colours(60, 21))]
MAPS = [np.arange(2000).reshape(40, 50) % 7, np.arange(60 * 21).reshape(60, 21) % 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A SAM of the reference, whose masks are sure of themselves, with its processor."""
    home = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    parts = {"vision_config": VISION, "prompt_encoder_config": PROMPTS, "mask_decoder_config": DECODER}
    model = transformers.SamModel(transformers.SamConfig(**parts))
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
        for mixer in model.mask_decoder.output_hypernetworks_mlps:
            mixer.proj_out.weight.mul_(300)
    model.save_pretrained(home)
    transformers.SamProcessor(transformers.SamImageProcessorPil(**SIZES)).save_pretrained(home)
    return home


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"segmentation_maps": MAPS},
        {"input_points": [[[3, 4], [5, 6]], [[7, 8]]], "input_labels": [[1, 0], [1]]},
        {"input_points": [[[3, 4]], [[7, 8.5]]]},
        {"input_boxes": [[[1, 2, 30, 20]], [[1, 2, 13, 14]]]},
        {
            "input_points": [[[[3, 4]], [[5, 6]]]] * 2,
            "input_labels": [[[1], [0]]] * 2,
            "input_boxes": [[[1, 2, 30, 20], [2, 3, 4, 9]]] * 2,
        },
    ],
    ids=["pictures", "maps", "ragged points", "points", "boxes", "points and boxes of two masks"],
)
def test_points_and_boxes_become_places_of_what_the_model_reads(folder: Any, given: dict[str, Any]) -> None:
    theirs, ours = (one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))
    theirs.image_processor = transformers.SamImageProcessorPil(**SIZES)
    assert type(ours) is formers.SamProcessor
    assert type(ours.image_processor) is formers.SamImageProcessor
    expected, found = (one(PICTURES, return_tensors="pt", **given) for one in (theirs, ours))
    assert {*found} == {*expected}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-6)


def test_points_that_do_not_fit_are_refused(folder: Any) -> None:
    own = formers.AutoProcessor.from_pretrained(folder)
    with pytest.raises(ValueError, match="a list with a list for each picture"):
        own(PICTURES[0], input_points=3)
    with pytest.raises(ValueError, match="lists of 4 numbers each"):
        own(PICTURES[0], input_boxes=[[[1, 2]]])
    with pytest.raises(ValueError, match="give as many for each"):
        own(PICTURES, input_points=[[[3, 4], [5, 6]], [[7, 8]]])
    with pytest.raises(ValueError, match="2 pictures, but input_points has 1 lists"):
        own(PICTURES, input_points=[[[3, 4]]])
    with pytest.raises(ValueError, match=r"\[1\] input_points, but \[2\] input_labels"):
        own(PICTURES[0], input_points=[[[3, 4]]], input_labels=[[1, 0]])
    for points in ([[["a", 4]]], [[[3, None]]], [[[3, 4], [5]]], [[[3, float("nan")]]]):
        with pytest.raises(ValueError, match="numbers in lists of one length"):
            own(PICTURES[0], input_points=points)
    pipe = formers.pipeline("mask-generation", model=str(folder), device="cpu")
    for given in ({"points_per_crop": 0}, {"crops_n_layers": -1}, {"mask_threshold": "x"}):
        with pytest.raises(ValueError, match=f"{next(iter(given))} must be a number"):
            pipe(PICTURES[0], **given)


@torch.no_grad()
def test_every_kind_of_prompt_gives_the_references_masks(folder: Any) -> None:
    theirs, ours = (one.SamModel.from_pretrained(folder) for one in (transformers, formers))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 32, 32, generator=generator)
    points, boxes = torch.rand(2, 3, 2, 2, generator=generator) * 32, torch.rand(2, 3, 4, generator=generator)
    labels = torch.tensor([[[1, 0], [1, -10], [1, -1]]] * 2)
    seen = {"image_embeddings": ours.get_image_embeddings(images)}
    torch.testing.assert_close(seen["image_embeddings"], theirs.get_image_embeddings(images))
    like = {
        "attention_similarity": torch.randn(6, 1, 8, 64, generator=generator),
        "target_embedding": torch.randn(2, 1, 1, 16, generator=generator),
    }
    for given in (
        {},
        {"input_points": points},
        {"input_boxes": boxes},
        {"input_points": points, "input_labels": labels, **like},
        {
            **{"input_points": points, "input_labels": labels, "input_boxes": boxes * 32},
            **{"input_masks": torch.randn(2, 1, 32, 32, generator=generator), "multimask_output": False},
        },
    ):
        expected, found = (model(**seen, **given) for model in (theirs, ours))
        assert {*found} == {*expected}
        torch.testing.assert_close(found.iou_scores, expected.iou_scores, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.pred_masks, expected.pred_masks, atol=1e-3, rtol=1e-5)  # up to 400
    for mine, other in zip(*(m.get_prompt_embeddings(points, labels) for m in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, other)
    with pytest.raises(ValueError, match="pixel_values or image_embeddings"):
        ours(images, **seen)
    with pytest.raises(ValueError, match=r"input_points must have shape \[2, P, n, 2\]"):
        ours(images, input_points=points[:, 0])


@torch.no_grad()
def test_the_network_alone_is_loaded_from_files_of_the_whole_with_its_weights_of_attention(
    folder: Any,
) -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    kind = {"attn_implementation": "eager"}
    whole = formers.SamModel.from_pretrained(folder, **kind)
    theirs = transformers.SamVisionModel.from_pretrained(folder, **kind)
    part = formers.SamVisionModel.from_pretrained(folder, **kind)
    expected, found = (one(images, output_attentions=True) for one in (theirs, part))
    told = whole(images, output_attentions=True).vision_attentions
    for weights, mine, again in zip(expected.attentions, found.attentions, told, strict=True):
        torch.testing.assert_close(mine, weights, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(again, weights, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="image processor brings pictures to that size"):
        part(images[..., :16])


@torch.no_grad()
def test_masks_get_the_size_of_their_pictures(folder: Any) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    theirs = transformers.SamImageProcessorPil(**SIZES)
    sizes = {
        "original_sizes": [(40, 50), (60, 21)],
        "reshaped_input_sizes": torch.tensor([[26, 32], [32, 11]]),
    }
    masks = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    for options in ({}, {"mask_threshold": 0.5}, {"binarize": False}):
        expected = theirs.post_process_masks(masks, **sizes, **options)
        for one, other in zip(ours.post_process_masks(masks, **sizes, **options), expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "options",
    [
        {"points_per_crop": 4, **SURE},
        {
            **{"points_per_crop": 3, **SURE},
            **{"crops_n_layers": 1, "points_per_batch": 5},
            **{"output_rle_mask": True, "output_bboxes_mask": True},
        },
    ],
    ids=["one picture", "crops of it"],
)
def test_masks_of_everything_are_the_references(
    folder: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, theirs = (
        one.pipeline("mask-generation", model=str(folder), device="cpu") for one in (formers, transformers)
    )
    theirs.image_processor = transformers.SamImageProcessorPil(**SIZES)

    def all_of_them(masks: Any, scores: Any, boxes: Any, _: float) -> Any:
        """In their order; the reference needs torchvision to leave any out."""
        order = scores.argsort(descending=True, stable=True)
        kept = [masks[i] for i in order.tolist()]
        return [reference._rle_to_mask(one) for one in kept], scores[order], kept, boxes[order]

    monkeypatch.setattr(theirs.image_processor, "post_process_for_mask_generation", all_of_them)
    expected, found = theirs(PICTURES[0], **options), own(PICTURES[0], crops_nms_thresh=1.0, **options)
    assert {*found} == {*expected}
    assert len(found["masks"]) == len(expected["masks"]) > 5
    torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-5, rtol=1e-5)
    for mask, other in zip(found["masks"], expected["masks"], strict=True):
        assert (mask == other).all()
    assert found.get("rle_mask") == expected.get("rle_mask")
    if "bounding_boxes" in expected:
        assert torch.equal(found["bounding_boxes"], expected["bounding_boxes"])
    fewer = own(PICTURES, **options)
    assert 0 < len(fewer[0]["masks"]) < len(found["masks"])
    with pytest.raises(TypeError, match="max_hole_area"):
        own(PICTURES[0], max_hole_area=3)


def test_of_masks_with_nearly_the_same_box_the_best_is_kept() -> None:
    masks = torch.zeros(4, 10, 12, dtype=torch.bool)
    masks[0, :8, :8] = masks[1, 1:8, :8] = masks[2, 5:, 5:] = True  # the last is empty
    boxes = mask_generation.around(masks)
    assert boxes.tolist() == [[0, 0, 7, 7], [0, 1, 7, 7], [5, 5, 11, 9], [0, 0, 0, 0]]
    kept, scores, runs, left = mask_generation.apart(
        mask_generation.runs(masks[:3]), torch.tensor([0.5, 0.9, 0.7]), boxes[:3], 0.7
    )
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert (kept[0] == masks[1].numpy()).all()
    assert (kept[1] == masks[2].numpy()).all()
    assert runs[0]["counts"][:2] == [1, 7]
    assert left.tolist() == boxes[1:3].tolist()
    assert len(mask_generation.apart([], torch.zeros(0), torch.zeros(0, 4))[0]) == 0
