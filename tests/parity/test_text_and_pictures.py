"""Processors that join a tokenizer and an image processor, and models that compare texts and pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import pre_tokenizers

import formers
from formers.processing.pairs import NAMES, PAIRS
from parity.pictures import colours

LABELS = ["a cat", "dogs that are many", "zebra"]
PICTURE = Image.fromarray(colours(40, 50))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP of the reference with its processor."""
    home, letters = tmp_path_factory.mktemp("clip"), sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{one}</w>" for one in letters), "ca", "cat</w>"]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (home / "vocab.json").write_text(json.dumps(vocabulary))
    (home / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    tokenizer = transformers.CLIPTokenizer(
        vocab=str(home / "vocab.json"), merges=str(home / "merges.txt"), model_max_length=40
    )
    images = transformers.CLIPImageProcessorPil(size=20, crop_size=16)
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(home)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), len(vocabulary) - 1)
    text = {**ends, "vocab_size": len(vocabulary), "max_position_embeddings": 40}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=small | text, vision_config=small | {"image_size": 16, "patch_size": 8}
    )
    transformers.CLIPModel(config).save_pretrained(home)
    return home


def test_a_processor_gives_what_the_reference_gives_and_writes_what_it_writes(folder, tmp_path):
    theirs, own = (one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))
    assert type(own) is formers.CLIPProcessor
    own.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    again = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is transformers.CLIPProcessor
    given = {"text": LABELS, "images": [PICTURE], "return_tensors": "pt", "padding": True}
    found, expected = own(**given), again(**given)
    assert list(found) == list(expected)
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(found[name], expected[name])
    exact = transformers.CLIPImageProcessorPil.from_pretrained(folder)(PICTURE)["pixel_values"][0]
    assert np.abs(found.pixel_values[0].numpy() - exact).max() < 1e-5  # its default resizes tensors
    assert own.model_input_names == theirs.model_input_names
    assert own.batch_decode(found.input_ids) == theirs.batch_decode(expected["input_ids"])


def test_keywords_go_to_the_part_that_takes_them_and_unknown_ones_are_refused(folder):
    own = formers.CLIPProcessor.from_pretrained(folder, crop_size=8, padding_side="left")
    assert own.image_processor.crop_size.height == 8
    assert own.tokenizer.padding_side == "left"
    made = own(
        text=LABELS, images=PICTURE, text_kwargs={"padding": "max_length", "max_length": 20}, do_rescale=False
    )
    assert {len(row) for row in made.input_ids} == {20}
    assert made.pixel_values[0].max() > 50
    with pytest.raises(TypeError, match="did you mean 'do_resize'"):
        own(images=PICTURE, do_resiz=True)
    with pytest.raises(ValueError, match="needs images=, text= or both"):
        own()
    with pytest.raises(TypeError, match="its tokenizer is NoneType"):
        formers.CLIPProcessor(own.image_processor)


def test_texts_may_stand_first_as_they_did_in_older_versions(folder):
    own = formers.CLIPProcessor.from_pretrained(folder)
    now, then = own([PICTURE], LABELS, padding=True), own(LABELS, [PICTURE], padding=True)
    assert now["input_ids"] == then["input_ids"]
    assert np.array_equal(now["pixel_values"], then["pixel_values"])


def test_one_s_own_class_is_made_of_parts_and_registered(folder):
    class Mine(formers.ProcessorMixin):
        text_kwargs = {"padding": "max_length", "max_length": 7, "truncation": True}  # noqa: RUF012

    class MineConfig(formers.PretrainedConfig):
        model_type = "clip"

    assert Mine.from_pretrained(folder)(text=LABELS, return_tensors="np").input_ids.shape == (3, 7)
    with pytest.raises(ValueError, match="has a processor already"):
        formers.AutoProcessor.register(MineConfig, Mine)
    with pytest.raises(TypeError, match="a class with a from_pretrained"):
        formers.AutoProcessor.register(MineConfig, 3)


def test_a_folder_without_a_pair_gives_the_part_that_it_has(folder, tmp_path):
    formers.CLIPTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "text")
    formers.ViTImageProcessor().save_pretrained(tmp_path / "image")
    assert isinstance(formers.AutoProcessor.from_pretrained(tmp_path / "image"), formers.BaseImageProcessor)
    (tmp_path / "image" / "processor_config.json").write_text('{"processor_class": "AriaProcessor"}')
    with pytest.raises(ValueError, match="names an? AriaProcessor, which is not part of this version"):
        formers.AutoProcessor.from_pretrained(tmp_path / "image")


# the reference's Pixtral cannot be asked without torchvision
@pytest.mark.parametrize("name", [name for name in PAIRS if name != "Pixtral"])
def test_each_processor_is_one_of_the_reference(name):
    theirs, own = (getattr(package, NAMES[name]) for package in (transformers, formers))
    assert theirs.get_attributes() == list(own.attributes)
    assert getattr(theirs, "text_kwargs", {}) == PAIRS[name].text


def test_pictures_are_labelled_with_texts_as_the_reference_labels_them(folder):
    own, theirs = (
        one.pipeline("zero-shot-image-classification", model=str(folder), device="cpu")
        for one in (formers, transformers)
    )
    theirs.image_processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pictures = [PICTURE, Image.fromarray(colours(16, 60)), Image.fromarray(colours(30, 30))]
    for options in ({}, {"hypothesis_template": "{} in the rain"}):
        expected = theirs(pictures, candidate_labels=LABELS, **options)
        found = own(pictures, candidate_labels=LABELS, **options)
        for row, other in zip(found, expected, strict=True):
            assert [one["label"] for one in row] == [one["label"] for one in other]
            assert np.allclose([one["score"] for one in row], [one["score"] for one in other], atol=1e-5)
    assert [one["label"] for one in own(PICTURE, "zebra, a cat")] == [
        one["label"] for one in own(images=PICTURE, candidate_labels=["zebra", "a cat"])
    ]
    with pytest.raises(ValueError, match="there are no labels"):
        own(PICTURE)
    bad = own([PICTURE, b"no picture at all"], LABELS, on_error="return")
    assert (len(bad[0]), list(bad[1])) == (3, ["error"])
