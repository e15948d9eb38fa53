"""What queries over several maps do beside finding objects: noise in training, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.core.object_outputs import RefinedObjectsOutput
from tests.parity.test_objects import ANNOTATIONS, GIVEN, same
from tests.parity.vision_detr_shapes import SHAPES as OTHERS
from tests.parity.vision_detr_shapes import objects
from tests.parity.vision_looking_shapes import SHAPES, TWO_STAGES

SHAPE = next(iter(SHAPES["rt_detr"].values()))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model with noisy queries, and ours from its files."""
    folder: Path = tmp_path_factory.mktemp("noisy")
    torch.manual_seed(0)
    config = transformers.RTDetrConfig(**{**SHAPE, "num_denoising": 9}, num_labels=5)
    theirs = transformers.RTDetrForObjectDetection(config)
    theirs.save_pretrained(folder)
    return theirs, formers.RTDetrForObjectDetection.from_pretrained(folder)


def test_noisy_objects_are_drawn_and_learned_as_the_reference_does(both: tuple[Any, Any]) -> None:
    pixels, labels, found = torch.randn(4, 3, 64, 64), objects(), []
    for model in both:
        model.train()
        torch.manual_seed(7)
        out = model(pixel_values=pixels, labels=labels)
        out.loss.backward()
        found.append(out)
        model.eval()
    theirs, ours = found
    assert theirs.loss_dict.keys() == ours.loss_dict.keys()
    assert "loss_vfl_dn_1" in ours.loss_dict
    torch.testing.assert_close(dict(ours.loss_dict), dict(theirs.loss_dict), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)
    assert ours.denoising_meta_values["dn_num_split"] == theirs.denoising_meta_values["dn_num_split"]
    table = "denoising_class_embed"
    torch.testing.assert_close(
        getattr(both[1].model, table).weight.grad, getattr(both[0].model, table).weight.grad
    )


def test_pictures_without_objects_draw_no_queries(both: tuple[Any, Any]) -> None:
    model = both[1].train()
    none = [{"class_labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}] * 2
    out = model(pixel_values=torch.randn(2, 3, 64, 64), labels=none)
    model.eval()
    assert out.denoising_meta_values is None
    assert out.logits.shape[1] == SHAPE["num_queries"]
    assert out.loss.isfinite()


def test_pictures_that_do_not_fit_the_maps_are_refused(both: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="multiples of the last stride"):
        both[1](pixel_values=torch.randn(1, 3, 64, 72))
    config = formers.RTDetrConfig(**{**SHAPE, "num_queries": 40})
    with pytest.raises(ValueError, match="40 queries begin at places of maps, but these have 21 places"):
        formers.RTDetrModel(config).eval()(torch.randn(1, 3, 16, 16))


def test_maps_stand_in_the_place_of_pictures(both: tuple[Any, Any]) -> None:
    model, pixels = both[1], torch.randn(1, 3, 64, 64)
    kept = model.config.num_queries
    maps: list[torch.Tensor] = []
    handle = model.model.encoder.register_forward_hook(lambda m, args, out: maps.extend(out[0]))
    with torch.no_grad():
        whole = model(pixel_values=pixels)
        handle.remove()
        again = model(pixel_values=None, encoder_outputs=(maps,))
    assert whole.logits.shape[1] == kept
    torch.testing.assert_close(again.logits, whole.logits)


KINDS = {"RTDetr": {"size": {"height": 40, "width": 64}}, "DeformableDetr": {}, "ConditionalDetr": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_annotations_become_what_the_reference_makes_of_them(kind: str) -> None:
    settings = KINDS[kind] or {"size": {"shortest_edge": 40, "longest_edge": 64}}
    theirs = getattr(transformers, f"{kind}ImageProcessorPil")(**settings)
    own = getattr(formers, f"{kind}ImageProcessor")(**settings)
    options = {"annotations": ANNOTATIONS, "return_tensors": "pt"}
    same(own(GIVEN, **options), theirs(GIVEN, **options))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [None, [(30, 50), (20, 20)]])
def test_boxes_are_the_references(kind: str, sizes: Any) -> None:
    torch.manual_seed(3)
    outputs = RefinedObjectsOutput(logits=torch.randn(2, 7, 5), pred_boxes=torch.rand(2, 7, 4))
    theirs, own = (
        getattr(room, f"{kind}ImageProcessor{end}")() for room, end in ((transformers, "Pil"), (formers, ""))
    )
    options: list[dict[str, Any]] = [{}]
    # without focal loss the reference takes the softmax of RT-DETR's labels over pictures
    options += [] if kind == "RTDetr" else [{"top_k": 9}]
    for more in options:
        expected = theirs.post_process_object_detection(outputs, 0.4, sizes, **more)
        found = own.post_process_object_detection(outputs, 0.4, sizes, **more)
        for mine, right in zip(found, expected, strict=True):
            assert mine.keys() == right.keys()
            assert all(torch.equal(mine[name], right[name]) for name in right)


def test_queries_begin_at_the_best_places_of_a_deformable_detr(tmp_path: Path) -> None:
    shape = next(iter(SHAPES["deformable_detr"].values()))
    torch.manual_seed(0)
    config = transformers.DeformableDetrConfig(**shape, **TWO_STAGES, num_labels=5, dropout=0.0)
    theirs = transformers.DeformableDetrForObjectDetection(config)
    theirs.save_pretrained(tmp_path)
    ours = formers.DeformableDetrForObjectDetection.from_pretrained(tmp_path)
    seen = torch.ones(4, 64, 80, dtype=torch.long)
    seen[1, 40:], seen[2, :, 50:] = 0, 0
    given = {"pixel_values": torch.randn(4, 3, 64, 80), "pixel_mask": seen, "labels": objects()}
    expected, found = theirs.train()(**given), ours.train()(**given)
    assert set(found) == set(expected)
    for name in ("loss", "logits", "pred_boxes", "enc_outputs_class", "init_reference_points"):
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)
    expected.loss.backward(), found.loss.backward()
    for name in ("model.decoder.bbox_embed.1.layers.0.weight", "model.pos_trans.weight"):
        mine, right = (model.get_parameter(name).grad for model in (ours, theirs))
        torch.testing.assert_close(mine, right, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="load the checkpoint with the class for object detection"):
        formers.DeformableDetrModel(ours.config)(given["pixel_values"])


FOUND = {
    "RTDetr": ("rt_detr", SHAPES),
    "RTDetrV2": ("rt_detr_v2", SHAPES),
    "DeformableDetr": ("deformable_detr", SHAPES),
    "ConditionalDetr": ("conditional_detr", OTHERS),
}


@pytest.mark.parametrize("kind", FOUND)
def test_the_pipeline_finds_what_the_references_finds(kind: str, tmp_path: Path) -> None:
    model_type, room = FOUND[kind]
    torch.manual_seed(2)
    config = getattr(transformers, f"{kind}Config")(**next(iter(room[model_type].values())), num_labels=4)
    model = getattr(transformers, f"{kind}ForObjectDetection")(config)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    model.save_pretrained(tmp_path)
    square = kind.startswith("RT")
    size = {"height": 64, "width": 64} if square else {"shortest_edge": 64, "longest_edge": 96}
    processor = getattr(transformers, f"{kind.removesuffix('V2')}ImageProcessorPil")(size=size)
    processor.save_pretrained(tmp_path)
    picture = Image.fromarray(GIVEN[0])
    model.eval()
    inputs = processor(images=picture, return_tensors="pt")
    with torch.no_grad():
        raw = processor.post_process_object_detection(model(**inputs), 0.15, [picture.size[::-1]])[0]
    found = formers.pipeline("object-detection", model=str(tmp_path))(picture, threshold=0.15)
    assert len(found) == len(raw["scores"]) > 0
    for one, score, label, box in zip(found, raw["scores"], raw["labels"], raw["boxes"], strict=True):
        assert one["score"] == pytest.approx(float(score), abs=1e-5)
        assert one["label"] == config.id2label[int(label)]
        assert max(abs(a - int(b)) for a, b in zip(one["box"].values(), box, strict=True)) <= 1
