"""Segments that queries find: maps made masks, masks made answers, pipelines, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn import functional as F

import formers
from formers.nn.segment_matching import Points, doubtful, sampled
from formers.processing import post_processing
from tests.parity.pictures import colours
from tests.parity.shapes import inputs_of, write_checkpoint
from tests.parity.vision_segment_shapes import segments

FAMILIES = ("MaskFormer", "Mask2Former")
SIZES = [(17, 23), (40, 12)]


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    """Two, of other forms."""
    return [colours(40, 50), colours(64, 30)]


@pytest.fixture(scope="module")
def maps() -> list[Any]:
    """Numbers of their segments."""
    return [np.arange(2000).reshape(40, 50) // 200, np.arange(1920).reshape(64, 30) % 7]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {"ignore_index": 255},
        {"ignore_index": 255, "do_reduce_labels": True},
        {"ignore_index": 3, "do_resize": False},
        {"ignore_index": 0, "size": {"height": 33, "width": 44}},
    ],
    ids=["as they are", "reduced", "not resized", "of one size"],
)
@pytest.mark.parametrize("named", [False, True], ids=["labels", "instances"])
def test_maps_become_the_references_masks(
    family: str, options: dict[str, Any], named: bool, pictures: list[Any], maps: list[Any]
) -> None:
    theirs = getattr(transformers, f"{family}ImageProcessorPil")()
    ours = getattr(formers, f"{family}ImageProcessor")()
    names = [{i: i % 3 + 1 for i in range(10)}, {i: i + 1 for i in range(10)}] if named else None
    call = {"size": {"shortest_edge": 64, "longest_edge": 100}, "return_tensors": "pt", **options}
    kept = [one.astype(np.uint8) for one in maps]
    expected, found = theirs(pictures, kept, names, **call), ours(pictures, kept, names, **call)
    assert list(found) == list(expected)
    assert torch.equal(found["pixel_mask"], expected["pixel_mask"])
    torch.testing.assert_close(found["pixel_values"], expected["pixel_values"], atol=1e-5, rtol=0)
    for one, other in zip(found["class_labels"], expected["class_labels"], strict=True):
        assert torch.equal(one, other)
    together = zip(found["mask_labels"], expected["mask_labels"], expected["pixel_mask"], strict=True)
    for one, other, real in together:  # the reference fills padding with the ignore_index, not with nothing
        assert torch.equal(one, other * real)


def test_more_segments_than_a_byte_can_count_are_told_apart(pictures: list[Any], maps: list[Any]) -> None:
    ours = formers.MaskFormerImageProcessor(size={"height": 64, "width": 64})
    found = ours(pictures[0], maps[0] * 100, return_tensors="pt")
    assert found.class_labels[0].tolist() == [100 * i for i in range(10)]
    assert found.mask_labels[0].sum(0).eq(1).all()


def test_maps_that_do_not_fit_are_refused(pictures: list[Any], maps: list[Any]) -> None:
    ours = formers.MaskFormerImageProcessor()
    with pytest.raises(ValueError, match="2 pictures, but 1 segmentation_maps"):
        ours(pictures, maps[:1])
    with pytest.raises(ValueError, match="do_reduce_labels needs an ignore_index"):
        ours(pictures, maps, do_reduce_labels=True)
    with pytest.raises(ValueError, match=r"segments \[4, 5, 6, 7, 8\] of map 0 have no label"):
        ours(pictures, maps, {0: 1, 1: 1, 2: 1, 3: 1})
    with pytest.raises(ValueError, match="2 maps, but 1 of instance_id_to_semantic_id"):
        ours(pictures, maps, [{}])


def outputs_of() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 9, 5, generator=generator) * 3
    logits[1, :, -1] += 20.0  # nothing is found in the second picture
    masks = torch.randn(2, 9, 6, 7, generator=generator) * 2 + 1
    return {"class_queries_logits": logits, "masks_queries_logits": masks}


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, check_dtype=False)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            same(found[key], value)
    else:
        assert found == (pytest.approx(expected, abs=2e-6) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["none", "pairs"])
@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("semantic", {}),
        ("instance", {"threshold": 0.05}),
        ("instance", {"threshold": 0.3, "return_binary_maps": True}),
        ("instance", {"threshold": 0.05, "return_coco_annotation": True}),
        ("panoptic", {"threshold": 0.2, "mask_threshold": 0.4, "label_ids_to_fuse": {3}}),
    ],
)
def test_answers_are_the_references(family: str, what: str, options: dict[str, Any], sizes: Any) -> None:
    theirs = getattr(transformers, f"{family}ImageProcessorPil")()
    ours = getattr(formers, f"{family}ImageProcessor")()
    how, held = f"post_process_{what}_segmentation", outputs_of()
    given = transformers.utils.ModelOutput(**{name: value.clone() for name, value in held.items()})
    expected = getattr(theirs, how)(given, target_sizes=sizes, **options)
    same(getattr(ours, how)(formers.BatchFeature(held), target_sizes=sizes, **options), expected)


def test_one_form_of_answers_can_be_had() -> None:
    with pytest.raises(ValueError, match="one of return_coco_annotation and return_binary_maps"):
        post_processing.surest(
            formers.BatchFeature(outputs_of()), return_coco_annotation=True, return_binary_maps=True
        )


@pytest.fixture(scope="module", params=["maskformer", "mask2former"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its processor."""
    made: Path = tmp_path_factory.mktemp(request.param)
    head, family = {
        "maskformer": ("MaskFormerForInstanceSegmentation", "MaskFormer"),
        "mask2former": ("Mask2FormerForUniversalSegmentation", "Mask2Former"),
    }[request.param]
    write_checkpoint(request.param, "windows", head, made)
    settings = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 2, "image_std": [0.5] * 2}
    getattr(transformers, f"{family}ImageProcessorPil")(**settings).save_pretrained(made)
    return made


def test_auto_classes_find_the_heads(folder: Path) -> None:
    found = formers.AutoModelForUniversalSegmentation.from_pretrained(folder)
    assert type(found).__name__ in (
        "MaskFormerForInstanceSegmentation",
        "Mask2FormerForUniversalSegmentation",
    )
    if "Instance" in type(found).__name__:
        again = formers.AutoModelForInstanceSegmentation.from_pretrained(folder)
        assert type(again) is type(found)


def _learned(folder: Path) -> tuple[Any, dict[str, Any]]:
    model = formers.AutoModelForUniversalSegmentation.from_pretrained(folder)
    images = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    return model, {"pixel_values": images}


def test_targets_that_do_not_fit_are_refused(folder: Path) -> None:
    model, images = _learned(folder)
    masks, labels = [torch.ones(1, 32, 32)] * 2, [torch.tensor([1])] * 2
    refused = [
        ({"mask_labels": masks}, "class_labels is missing beside mask_labels", ValueError),
        ({"mask_labels": masks[:1], "class_labels": labels}, "has 1 entries, but there are 2", ValueError),
        ({"mask_labels": masks, "class_labels": [[1], [1]]}, "class_labels is a list", TypeError),
        ({"mask_labels": masks, "class_labels": [torch.tensor([5])] * 2}, "tells 5 apart", ValueError),
        ({"mask_labels": [torch.ones(2, 32, 32)] * 2, "class_labels": labels}, "they are", ValueError),
        ({"pixel_mask": torch.ones(2, 5, 5)}, "pixel_mask must have shape", ValueError),
    ]
    for given, says, kind in refused:
        with pytest.raises(kind, match=says):
            model(**images, **given)


def test_losses_of_the_layers_before_the_last_can_be_had(folder: Path) -> None:
    model, images = _learned(folder)
    found = model(**images, output_auxiliary_logits=True)
    for one in found.auxiliary_logits:
        assert one["masks_queries_logits"].shape == found.masks_queries_logits.shape
    assert model(**images).auxiliary_logits is None


def test_without_any_segment_only_labels_are_learned(folder: Path) -> None:
    model, images = _learned(folder)
    loss = model(
        **images,
        mask_labels=[torch.zeros(0, 32, 32)] * 2,
        class_labels=[torch.zeros(0, dtype=torch.long)] * 2,
    ).loss
    loss.backward()
    assert loss.isfinite()


@pytest.fixture
def three_channels(tmp_path: Path) -> Path:
    """MaskFormer with its processor, of pictures in colours."""
    torch.manual_seed(0)
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8] * 4, "depths": [1] * 4},
        **{"layer_type": "basic", "out_features": stages},
    }
    decoder = {
        **{"model_type": "detr", "d_model": 16, "decoder_layers": 1, "num_queries": 5},
        **{"decoder_attention_heads": 2, "decoder_ffn_dim": 16},
    }
    config = transformers.MaskFormerConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=32, num_labels=3
    )
    model = transformers.MaskFormerForInstanceSegmentation(config)
    with torch.no_grad():
        for part in (model.class_predictor, model.mask_embedder, model.model.pixel_level_module.decoder):
            for weight in part.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
    model.save_pretrained(tmp_path)
    settings = {"size": {"height": 64, "width": 64}, "ignore_index": 255}
    transformers.MaskFormerImageProcessorPil(**settings).save_pretrained(tmp_path)
    return tmp_path


def test_every_subtask_of_the_pipeline_is_the_references(three_channels: Path, pictures: list[Any]) -> None:
    images = [Image.fromarray(one) for one in pictures]
    theirs = transformers.pipeline("image-segmentation", model=str(three_channels))
    ours = formers.pipeline("image-segmentation", model=str(three_channels))
    options = {"threshold": 0.01, "mask_threshold": 0.01, "overlap_mask_area_threshold": 0.0}
    seen = 0
    for subtask in ("semantic", "instance", "panoptic"):
        for found, image in zip(ours(images, subtask=subtask, **options), images, strict=True):
            expected = theirs(image, subtask=subtask, **options)
            seen += len(expected)
            assert [one["label"] for one in found] == [one["label"] for one in expected]
            for one, other in zip(found, expected, strict=True):
                assert one["score"] == (other["score"] and pytest.approx(other["score"], abs=1e-5))
                # a pixel may be as much one segment's as another's
                assert (np.asarray(one["mask"]) != np.asarray(other["mask"])).mean() < 0.005
    assert seen > 6


def test_a_swin_of_older_files_is_the_familys_own(tmp_path: Path) -> None:
    backbone = {
        **{"model_type": "swin", "image_size": 16, "patch_size": 2, "embed_dim": 8, "window_size": 2},
        **{"depths": [1] * 4, "num_heads": [2] * 4},
    }
    made = formers.MaskFormerModel(
        formers.MaskFormerConfig(backbone_config=backbone, fpn_feature_size=32, mask_feature_size=8)
    )
    assert made.config.backbone_config.model_type == "maskformer-swin"
    assert made.config.backbone_config.out_features == ["stage1", "stage2", "stage3", "stage4"]
    with pytest.raises(ValueError, match="decoder_config says 'detr', not 'bert'"):
        formers.MaskFormerConfig(decoder_config={"model_type": "bert"})


def test_points_lie_where_masks_are_in_doubt() -> None:
    torch.manual_seed(0)
    masks = (torch.arange(16.0) - 8.0).expand(3, 16, 16)  # the sign changes in the middle column
    at = doubtful(masks, Points(count=50, drawn=4.0, doubtful=0.8))
    assert at.shape == (3, 50, 2)
    assert ((at[:, :40, 0] - 0.53).abs() < 0.2).all()
    expected = F.interpolate(masks[:, None], (32, 32), mode="bilinear")[:, 0, 5, 9]
    corner = torch.tensor([[[(9 + 0.5) / 32, (5 + 0.5) / 32]]]).expand(3, -1, -1)
    torch.testing.assert_close(sampled(masks, corner)[:, 0], expected)


@pytest.fixture(scope="module")
def tasked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """OneFormer with texts beside: the reference's, and ours."""
    folder = tmp_path_factory.mktemp("oneformer")
    theirs = write_checkpoint("oneformer", "texts beside", "OneFormerForUniversalSegmentation", folder)
    return theirs, formers.AutoModelForUniversalSegmentation.from_pretrained(folder)


def test_weights_of_both_kinds_of_attention_are_the_references(tasked: tuple[Any, Any]) -> None:
    theirs, ours = tasked
    with torch.no_grad():
        expected, found = (one(**inputs_of(ours), output_attentions=True).attentions for one in tasked)
    for pair, right in zip(found, expected, strict=True):
        same(pair, right)


def test_a_task_that_is_not_told_is_asked_for(tasked: tuple[Any, Any]) -> None:
    _, ours = tasked
    inputs = inputs_of(ours)
    pictures, texts = inputs["pixel_values"], inputs["text_inputs"]
    with pytest.raises(ValueError, match=r"task_inputs must be a tensor of shape \[4, 7\], not NoneType"):
        ours(pictures, text_inputs=texts)
    with pytest.raises(ValueError, match="config.is_training is True, so text_inputs are missing"):
        ours(pictures, inputs["task_inputs"])
    with pytest.raises(ValueError, match="texts have 9 tokens, with padding, not 5"):
        ours(pictures, inputs["task_inputs"], texts[..., :5])
    few = {**inputs, "text_inputs": texts[:, :1], **segments()}
    with pytest.raises(ValueError, match="there are 3 texts for 6 queries"):
        ours(**few)
    with pytest.raises(ValueError, match=r"mask_dim \(8\) must be hidden_dim \(256\)"):
        formers.OneFormerConfig(mask_dim=8)
