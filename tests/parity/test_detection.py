"""Detectors beside what all families are held to: padding, older files, pipelines, drawing, training."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import formers
from formers.nn.nets.leaves import FrozenNorm
from formers.training.optim.parameter_order import to_file
from parity.pictures import colours
from tests.parity.shapes import write_checkpoint
from tests.parity.vision_detr_shapes import SHAPES, objects

SHAPE = next(iter(SHAPES["detr"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DETR that segments, a processor, and three pictures of other sizes."""
    home = tmp_path_factory.mktemp("detr")
    write_checkpoint("detr", SHAPE, "DetrForSegmentation", home)
    transformers.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 90}).save_pretrained(home)
    for place, (height, width) in enumerate(((60, 90), (80, 40), (64, 64))):
        Image.fromarray(colours(height, width)).save(home / f"{place}.png")
    return home


@pytest.fixture(scope="module")
def boxes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of it that finds boxes, with weights large enough that its queries find different ones."""
    home = tmp_path_factory.mktemp("boxes")
    model = transformers.DetrForSegmentation.from_pretrained(folder).detr
    torch.manual_seed(2)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() > 1 and "backbone" not in name:
                value.normal_(0, 0.4)
    model.save_pretrained(home)
    transformers.DetrImageProcessorPil.from_pretrained(folder).save_pretrained(home)
    return home


def _pictures(folder: Path) -> list[str]:
    return [str(folder / f"{place}.png") for place in range(3)]


def _close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_padding_around_pictures_changes_nothing_that_is_found(boxes: Path, folder: Path) -> None:
    theirs = transformers.DetrForObjectDetection.from_pretrained(boxes).eval()
    ours = formers.DetrForObjectDetection.from_pretrained(boxes)
    processor = formers.AutoImageProcessor.from_pretrained(boxes)
    inputs = processor([Image.open(one) for one in _pictures(folder)], return_tensors="pt")
    asked = torch.tensor([[1, 1, 1, 0, 1]] * 3)
    for more in ({}, {"decoder_attention_mask": asked}):
        with torch.no_grad():
            expected, found = theirs(**inputs, **more), ours(**inputs, **more)
        for name in ("logits", "pred_boxes", "last_hidden_state"):
            _close(expected[name], found[name])
    ours.train(), theirs.train()
    for model in (theirs, ours):
        for module in model.modules():
            if "dropout" in type(module).__name__.lower():
                module.p = 0.0
    assert torch.isfinite(ours(**inputs, labels=objects()[:3]).loss)


def test_encoded_rows_and_rows_of_maps_can_be_given(boxes: Path) -> None:
    theirs = transformers.DetrForObjectDetection.from_pretrained(boxes).eval()
    ours = formers.DetrForObjectDetection.from_pretrained(boxes)
    rows, asks = torch.randn(2, 9, 32), torch.randn(2, 5, 32)
    encoded = transformers.modeling_outputs.BaseModelOutput(torch.randn(2, 9, 32))
    for more in ({}, {"decoder_inputs_embeds": asks}, {"encoder_outputs": encoded}):
        with torch.no_grad():
            expected = theirs(pixel_values=None, inputs_embeds=rows, **more)
            _close(expected.pred_boxes, ours(inputs_embeds=rows, **more).pred_boxes)
    with pytest.raises(ValueError, match="square"):
        ours(inputs_embeds=rows[:, :8])


def test_files_with_the_names_of_timm_load_by_the_name_of_the_network(tmp_path: Path) -> None:
    net = {
        "layer_type": "basic",
        "depths": [2] * 4,
        "embedding_size": 64,
        "hidden_sizes": [64, 128, 256, 512],
    }
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "num_queries": 3}
    theirs = transformers.DetrForObjectDetection(
        transformers.DetrConfig(backbone_config={"model_type": "resnet", **net}, **sizes, decoder_ffn_dim=16)
    ).eval()
    for key, value in theirs.state_dict().items():
        if "normalization" in key:
            value.uniform_(0.5, 1.5)
    theirs.save_pretrained(tmp_path)
    names = {
        r"embedder\.embedder\.convolution": "conv1",
        r"embedder\.embedder\.normalization": "bn1",
        r"encoder\.stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.convolution": "layer{}.{}.conv{}",
        r"encoder\.stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.normalization": "layer{}.{}.bn{}",
        r"encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.convolution": "layer{}.{}.downsample.0",
        r"encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.normalization": "layer{}.{}.downsample.1",
    }

    def named(key: str) -> str:
        for pattern, name in names.items():
            at = re.search(pattern, key)
            if at:
                numbers = [int(one) + (place != 1) for place, one in enumerate(at.groups())]
                return key[: at.start()] + name.format(*numbers) + key[at.end() :]
        return key

    held = {named(key): value for key, value in load_file(tmp_path / "model.safetensors").items()}
    held["model.backbone.conv_encoder.model.layer2.0.downsample.1.num_batches_tracked"] = torch.tensor(0)
    save_file(held, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"backbone_config": None, "backbone": "resnet18", "use_timm_backbone": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = formers.DetrForObjectDetection.from_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        expected, found = theirs(pixels), ours(pixel_values=pixels)
    _close(expected.pred_boxes, found.pred_boxes)
    trained = {key for key, value in ours.named_parameters() if value.requires_grad}
    assert "model.backbone.conv_encoder.model.layer2.0.conv1.weight" in trained
    assert not any(".layer1." in key or ".model.conv1." in key for key in trained)
    with pytest.raises(ValueError, match="not built here"):
        formers.DetrModel(formers.DetrConfig(backbone="convnext_tiny"))


def test_frozen_norms_are_batch_norms_that_do_not_move() -> None:
    norm, frozen = nn.BatchNorm2d(3).eval(), FrozenNorm(3)
    for name in frozen.state_dict():
        getattr(norm, name).data.uniform_(0.5, 2.0)
        getattr(frozen, name).copy_(getattr(norm, name))
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(frozen(x), norm(x))
    assert not list(frozen.parameters())
    frozen.train()(x)
    torch.testing.assert_close(frozen.running_mean, norm.running_mean)


@pytest.mark.parametrize(
    ("options", "counts"),
    [({"threshold": 0.1}, [5, 5, 5]), ({"threshold": 0.6}, [3, 2, 3]), ({}, [4, 5, 4])],
)
def test_objects_scores_and_boxes_are_the_references(
    boxes: Path, folder: Path, options: dict[str, Any], counts: list[int]
) -> None:
    theirs = transformers.pipeline("object-detection", model=str(boxes), device="cpu")
    ours = formers.pipeline("object-detection", model=str(boxes), device="cpu")
    expected, found = (one(_pictures(folder), **options) for one in (theirs, ours))
    assert [[(one["label"], one["box"]) for one in row] for row in found] == [
        [(one["label"], one["box"]) for one in row] for row in expected
    ]
    scores = [[one["score"] for row in rows for one in row] for rows in (found, expected)]
    assert np.allclose(*scores, atol=1e-5)
    assert [len(row) for row in found] == counts
    picture = Image.open(_pictures(folder)[0])
    assert ours(picture, **options) == found[0]
    drawn = formers.plots.draw(picture, ours(picture, threshold=0.1))
    assert not np.array_equal(np.asarray(drawn), np.asarray(formers.plots.draw(picture, [])))


def test_a_vit_with_queries_behind_its_patches_finds_what_the_reference_finds(
    folder: Path, tmp_path: Path
) -> None:
    """Pictures of other sizes than it was trained on: positions stretch, also those between layers."""
    shape = next(iter(SHAPES["yolos"]))
    config = transformers.YolosConfig(**{**SHAPES["yolos"][shape], "num_channels": 3, "num_hidden_layers": 3})
    torch.manual_seed(0)
    theirs = transformers.YolosForObjectDetection(config).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.normal_(0, 0.4)
    theirs.save_pretrained(tmp_path)
    processor = transformers.YolosImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 90})
    processor.save_pretrained(tmp_path)
    pictures = _pictures(folder)
    options = {"model": str(tmp_path), "device": "cpu", "threshold": 0.7}
    pipes = [one.pipeline("object-detection", **options) for one in (formers, transformers)]
    found, expected = ([pipe(one) for one in pictures] for pipe in pipes)
    assert [[(one["label"], one["box"]) for one in row] for row in found] == [
        [(one["label"], one["box"]) for one in row] for row in expected
    ]
    scores = [one["score"] for row in found for one in row]
    assert scores == pytest.approx([one["score"] for row in expected for one in row], abs=1e-5)
    assert 0 < len(scores) < 15
    ours = formers.AutoModelForObjectDetection.from_pretrained(tmp_path)
    both = [
        tool([Image.open(one) for one in pictures], return_tensors="pt")
        for tool in (processor, formers.AutoImageProcessor.from_pretrained(tmp_path))
    ]
    assert torch.equal(both[0]["pixel_mask"], both[1]["pixel_mask"])
    with torch.no_grad():
        _close(theirs(**both[0]).pred_boxes, ours(**both[1]).pred_boxes)
    names = to_file(torch.optim.SGD(ours.parameters(), lr=0.1), ours)["param_groups"][0]["param_names"]
    mended = [name.replace("interpolation.mid", "mid") for name, _ in theirs.named_parameters()]
    assert names == mended
    with pytest.raises(ValueError, match="auxiliary_loss=True is not available for 'yolos'"):
        formers.YolosConfig(auxiliary_loss=True)


@pytest.mark.parametrize("subtask", ["panoptic", "instance", "semantic"])
def test_segments_are_the_references(folder: Path, subtask: str) -> None:
    theirs = transformers.pipeline("image-segmentation", model=str(folder), device="cpu")
    ours = formers.pipeline("image-segmentation", model=str(folder), device="cpu")
    given = {"subtask": subtask, "threshold": 0.2, "overlap_mask_area_threshold": 0.1}
    for one in _pictures(folder)[:2]:
        expected, found = theirs(one, **given), ours(one, **given)
        assert [part["label"] for part in found] == [part["label"] for part in expected]
        for mine, right in zip(found, expected, strict=True):
            assert np.mean(np.asarray(mine["mask"]) != np.asarray(right["mask"])) < 0.001
            assert mine["score"] == pytest.approx(right["score"], abs=1e-5)


def test_a_trainer_learns_boxes_from_pictures_and_annotations(boxes: Path, tmp_path: Path) -> None:
    processor = formers.AutoImageProcessor.from_pretrained(boxes)
    model = formers.AutoModelForObjectDetection.from_pretrained(boxes)
    rows = []
    for place, width in enumerate((60, 80, 70, 64)):
        found = {"bbox": [10, 12, 20, 24], "category_id": place % 2, "area": 480, "iscrowd": 0}
        annotation = {"image_id": place, "annotations": [found]}
        rows.append({"image": Image.fromarray(colours(64, width)), "annotation": annotation})

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        pictures = [one["image"] for one in examples]
        return processor(
            pictures, annotations=[one["annotation"] for one in examples], return_tensors="pt"
        ).data

    arguments = formers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=2,
        num_train_epochs=2,
        learning_rate=1e-3,
        remove_unused_columns=False,
        report_to=[],
        save_strategy="no",
        seed=1,
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = formers.Trainer(
        model=model, args=arguments, train_dataset=rows, eval_dataset=rows, data_collator=collate
    )
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < first
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "model.query_position_embeddings.weight" in moved
    assert not any("normalization" in name or "embedder" in name for name in moved)
