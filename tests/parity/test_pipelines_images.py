"""Pipelines for pictures against the reference's: labels, scores, features, batches, bad pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.processing.reading import BadPicture
from parity.pictures import colours


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A ViT with five labels that the reference wrote, and three pictures."""
    home = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=16,
        patch_size=8,
    )
    config.num_labels = 5
    transformers.ViTForImageClassification(config).save_pretrained(home)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(home)
    for place, (height, width) in enumerate(((20, 30), (40, 8), (16, 16))):
        Image.fromarray(colours(height, width)).save(home / f"{place}.png")
    return home


def given(folder):
    return [str(folder / f"{place}.png") for place in range(3)]


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"function_to_apply": "sigmoid"}])
def test_labels_and_scores_are_the_reference_s(folder, options):
    own = formers.pipeline("image-classification", model=str(folder), device="cpu")
    theirs = transformers.pipeline("image-classification", model=str(folder), device="cpu")
    expected, found = theirs(given(folder), **options), own(given(folder), **options)
    assert [[one["label"] for one in row] for row in found] == [
        [one["label"] for one in row] for row in expected
    ]
    scores = [[[one["score"] for one in row] for row in rows] for rows in (found, expected)]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
    alone = own(Image.open(given(folder)[1]), **options)
    assert [one["label"] for one in alone] == [one["label"] for one in found[1]]
    streamed = list(own(iter(given(folder)), batch_size=2, **options))
    assert [row[0]["label"] for row in streamed] == [row[0]["label"] for row in found]


def test_features_and_the_pooled_vector_are_the_reference_s(folder, tmp_path):
    reference = transformers.ViTModel.from_pretrained(folder)
    reference.save_pretrained(tmp_path)
    formers.ViTImageProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    own = formers.pipeline("image-feature-extraction", model=str(tmp_path), device="cpu")
    theirs = transformers.pipeline("image-feature-extraction", model=str(tmp_path), device="cpu")
    for options in ({}, {"pool": True}):
        expected, found = theirs(given(folder), **options), own(given(folder), **options)
        assert np.allclose(found, expected, atol=1e-5)
    assert own(given(folder)[0], return_tensors=True).shape == (1, 5, 16)


def test_a_bad_picture_fails_alone_where_that_is_asked_for(folder):
    own = formers.pipeline("image-classification", model=str(folder), device="cpu")
    (folder / "bad.png").write_bytes(b"no picture")
    inputs = [given(folder)[0], str(folder / "bad.png"), given(folder)[2]]
    with pytest.raises(BadPicture, match=r"input 1: .*bad.png' is no picture"):
        own(inputs)
    found = own(inputs, on_error="return", top_k=1)
    assert [list(one[0]) if isinstance(one, list) else list(one) for one in found] == [
        ["label", "score"],
        ["error"],
        ["label", "score"],
    ]
    assert "bad.png" in found[1]["error"]
    with pytest.raises(BadPicture, match=r"is an array \[2, 3, 16, 16\]: one picture is"):
        own(np.zeros((2, 3, 16, 16)))
    with pytest.raises(ValueError, match="on_error"):
        own(inputs, on_error="ignore")


def test_a_pipeline_without_a_processor_says_what_is_missing(folder):
    model = formers.ViTForImageClassification.from_pretrained(folder)
    pipe = formers.pipeline("image-classification", model=model)  # the model knows where it came from
    assert pipe.image_processor.size.height == 16
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    fresh = formers.ViTForImageClassification(formers.ViTConfig(**sizes))
    with pytest.raises(ValueError, match="pass image_processor="):
        formers.pipeline("image-classification", model=fresh)


def test_a_saved_pipeline_is_loaded_whole(folder, tmp_path):
    formers.pipeline("image-classification", model=str(folder), device="cpu").save_pretrained(tmp_path)
    again = formers.pipeline(model=str(tmp_path), device="cpu")
    assert again.task == "image-classification"
    assert len(again(given(folder)[0])) == 5
