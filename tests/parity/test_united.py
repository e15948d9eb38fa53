"""FLAVA against the reference: tasks of texts, pictures and both, words of patches, and the processor."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.models.flava.image_processing_pil_flava import FlavaImageProcessorPil

import formers
from tests.parity import shapes, united_shapes
from tests.parity.pictures import pictures

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
