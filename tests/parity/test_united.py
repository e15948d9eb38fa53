"""FLAVA and BridgeTower against the reference: tasks, words of patches, layers over both, and processors."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.flava.image_processing_pil_flava import FlavaImageProcessorPil

import formers
from tests.parity import shapes, united_shapes
from tests.parity.pictures import colours, pictures
from tests.parity.test_captions import words

CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("flava")
    theirs = shapes.write_checkpoint("flava", "plain", "FlavaForPreTraining", folder)
    return theirs, formers.FlavaForPreTraining.from_pretrained(folder)


def read(kinds: str) -> dict[str, Any]:
    """Texts with padding, or pictures, or both, with labels."""
    found = shapes.batch("", 0)
    texts = {**found, **united_shapes.hidden(found["input_ids"])}
    images = {name: texts.pop(name) for name in ("codebook_pixel_values", "bool_masked_pos")}
    images["pixel_values"] = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    texts["mlm_labels"] = torch.where(torch.arange(11) == 2, texts["input_ids"], -100)
    fit = {"itm_labels": torch.tensor([1, 0, 1, 1])}
    return {"texts": texts, "pictures": images, "both": {**texts, **images, **fit}}[kinds]


@pytest.mark.parametrize("kinds", ["texts", "pictures", "both"])
def test_the_tasks_are_those_of_what_is_read(both: tuple[Any, Any], kinds: str) -> None:
    given = read(kinds)
    expected, found = (model(**given) for model in both)
    assert set(found.keys()) == set(expected.keys())
    torch.testing.assert_close(dict(found.loss_info), dict(expected.loss_info), **CLOSE)
    for name in (one for one in list(expected) if one.endswith(("loss", "logits"))):
        torch.testing.assert_close(found[name], expected[name], **CLOSE)
    if kinds == "both":
        real = torch.nn.functional.pad(given["attention_mask"], (11, 0), value=1).bool()
        states = [one.multimodal_masked_output.last_hidden_state[real] for one in (found, expected)]
        torch.testing.assert_close(*states, **CLOSE)


def test_pictures_have_words(both: tuple[Any, Any]) -> None:
    pixels = read("pictures")["codebook_pixel_values"]
    theirs, ours = (model.image_codebook for model in both)
    torch.testing.assert_close(ours(pixels), theirs(pixels), **CLOSE)
    assert torch.equal(ours.get_codebook_indices(pixels), theirs.get_codebook_indices(pixels))
    assert not any(one.requires_grad for one in ours.parameters())


def test_either_side_is_projected_by_itself(both: tuple[Any, Any]) -> None:
    given = read("both")
    text = {name: given[name] for name in ("input_ids", "attention_mask")}
    theirs, ours = (model.flava for model in both)
    real = text["attention_mask"].bool()
    found, expected = (one.get_text_features(**text).pooler_output[real] for one in (ours, theirs))
    torch.testing.assert_close(found, expected, **CLOSE)
    found, expected = (one.get_image_features(given["pixel_values"]).pooler_output for one in (ours, theirs))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (("codebook_pixel_values",), "pass codebook_pixel_values"),
        (("bool_masked_pos",), r"which of the patches are hidden, \[4, 9\], not None"),
        (("input_ids", "input_ids_masked", "pixel_values"), "pass input_ids or pixel_values"),
    ],
)
def test_what_is_missing_is_named(both: tuple[Any, Any], without: tuple[str, ...], says: str) -> None:
    given = {name: value for name, value in read("both").items() if name not in without}
    with pytest.raises(ValueError, match=says):
        both[1](**given)


def test_texts_and_pictures_come_in_pairs(both: tuple[Any, Any]) -> None:
    given = read("both")
    with pytest.raises(ValueError, match="4 texts and 2 images"):
        both[1].flava(input_ids=given["input_ids"][:, :5], pixel_values=given["pixel_values"][:2])


def test_pictures_are_prepared_twice_and_patches_hidden_alike() -> None:
    wanted = {"return_codebook_pixels": True, "return_image_mask": True, "return_tensors": "np"}
    theirs, ours = FlavaImageProcessorPil(), formers.FlavaImageProcessor()
    shown = {name: one.convert("RGB") for name, one in pictures().items() if hasattr(one, "convert")}
    for name, one in shown.items():
        each = []
        for processor in (theirs, ours):
            random.seed(7)
            each.append(processor(one, **wanted))
        expected, found = each
        assert set(found) == set(expected)
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], atol=1e-4, err_msg=f"{name}: {key}")


def test_auto_classes_know_it(both: tuple[Any, Any], tmp_path: Path) -> None:
    both[1].save_pretrained(tmp_path)
    assert type(formers.AutoModelForPreTraining.from_pretrained(tmp_path)) is formers.FlavaForPreTraining
    assert type(formers.AutoModel.from_pretrained(tmp_path)) is formers.FlavaModel
    assert type(formers.FlavaTextModel.from_pretrained(tmp_path).config) is formers.FlavaTextConfig
    assert isinstance(transformers.FlavaForPreTraining.from_pretrained(tmp_path), torch.nn.Module)


# -- BridgeTower ------------------------------------------------------------------------------------


def flat(nest: Any) -> list[torch.Tensor]:
    """All tensors of a nest."""
    return [nest] if isinstance(nest, torch.Tensor) else [one for part in nest for one in flat(part)]


@pytest.mark.parametrize(
    "others",
    [{}, {"share_cross_modal_transformer_layers": False, "vision_config": {"hidden_size": 128}}],
    ids=["plain", "ways of their own from wider images"],
)
def test_layers_above_read_every_layer_below(others: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    values = dict(united_shapes.SHAPES["bridgetower"]["plain"])
    images = {**values["vision_config"], **others.get("vision_config", {})}
    config = transformers.BridgeTowerConfig(**{**values, **others, "vision_config": images})
    theirs = transformers.BridgeTowerModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.BridgeTowerModel.from_pretrained(tmp_path)
    given = shapes.batch("", 1)
    pixels = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        expected, found = (model(**given, pixel_values=pixels) for model in (theirs, ours))
    real = given["attention_mask"].bool()
    assert set(found.keys()) == set(expected.keys())
    for name in ("pooler_output", "image_features"):
        torch.testing.assert_close(found[name], expected[name], **CLOSE)
    torch.testing.assert_close(found.text_features[real], expected.text_features[real], **CLOSE)
    for name in ("hidden_states", "attentions"):
        for one, other in zip(flat(found[name]), flat(expected[name]), strict=True):
            assert one.shape == other.shape
            rows = real if one.shape[:2] == real.shape else slice(None)
            if name == "attentions" and one.shape[2] == real.shape[1]:
                one, other, rows = one.transpose(1, 2), other.transpose(1, 2), real
            torch.testing.assert_close(one[rows], other[rows], **CLOSE)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_ids": torch.tensor([[3, 4]])}, "pass input_ids and pixel_values"),
        (
            {"input_ids": torch.tensor([[3, 4]]), "pixel_values": torch.zeros(2, 3, 12, 12)},
            "1 texts and 2 images",
        ),
        ({"image_embeds": torch.zeros(1, 10, 64)}, "reads no image_embeds: pass pixel_values"),
        (
            {"input_ids": torch.tensor([[3, 4]]), "pixel_values": torch.zeros(1, 3, 13, 12)},
            r"pixel_values must have shape \[B, 3, 12, 12\]",
        ),
    ],
)
def test_what_towers_cannot_read_is_told(given: dict[str, Any], says: str) -> None:
    config = formers.BridgeTowerConfig(**united_shapes.SHAPES["bridgetower"]["plain"])
    with pytest.raises(ValueError, match=says):
        formers.BridgeTowerModel(config)(**given)


def test_towers_have_as_many_layers_as_are_read() -> None:
    values = {**united_shapes.SHAPES["bridgetower"]["plain"], "num_hidden_layers": 5}
    with pytest.raises(ValueError, match="5 layers above read a layer of either tower each, but there are 3"):
        formers.BridgeTowerModel(formers.BridgeTowerConfig(**values))


def test_pictures_are_prepared_as_the_references() -> None:
    kind = transformers.models.bridgetower.image_processing_pil_bridgetower
    theirs, ours = kind.BridgeTowerImageProcessorPil(), formers.BridgeTowerImageProcessor()
    shown = {name: one.convert("RGB") for name, one in pictures().items() if hasattr(one, "convert")}
    for name in ("plain", "large", "upright", "odd", "grey"):
        expected, found = (processor(shown[name], return_tensors="np") for processor in (theirs, ours))
        assert set(found) == set(expected)
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], atol=1e-4, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("name", ["Flava", "BridgeTower"])
def test_texts_and_pictures_are_prepared_together_as_the_reference_does(name: str, tmp_path: Path) -> None:
    kind: Any = transformers.models.bridgetower.image_processing_pil_bridgetower
    small = {"size": {"height": 24, "width": 24}, "crop_size": {"height": 24, "width": 24}}
    images = (
        FlavaImageProcessorPil(**small)
        if name == "Flava"
        else kind.BridgeTowerImageProcessorPil(size={"shortest_edge": 32}, size_divisor=16)
    )
    theirs: Any = getattr(transformers, f"{name}Processor")(images, words(tmp_path))
    theirs.save_pretrained(tmp_path)
    ours = getattr(formers, f"{name}Processor").from_pretrained(tmp_path)
    shown = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 18))]
    both = {"images": shown, "text": ["w3 w4", "w5"], "return_tensors": "pt"}
    for call in (
        {**both, "padding": True},
        {**both, "padding": "max_length", "max_length": 9, "do_normalize": False},
        {"images": shown[0], "text": "w3", "text_kwargs": {"return_token_type_ids": True}},
    ):
        expected, found = theirs(**call), ours(**call)
        assert set(found) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(np.asarray(found[key]), np.asarray(value), atol=1e-4, err_msg=key)
