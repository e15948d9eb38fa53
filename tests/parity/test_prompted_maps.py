"""Pixels that show what a text, or another picture, asks for: CLIPSeg beside the reference."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import pre_tokenizers

import formers
from parity.pictures import colours
from tests.parity.vision_words_shapes import IMAGE, TEXT

PICTURES = [Image.fromarray(colours(*size)) for size in ((40, 50), (60, 16))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of the reference with its processor."""
    home = tmp_path_factory.mktemp("clipseg")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (home / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (home / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(vocab=str(home / "vocab.json"), merges=str(home / "merges.txt"))
    images = transformers.ViTImageProcessorPil(size={"height": 12, "width": 12})
    transformers.CLIPSegProcessor(images, tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    config = transformers.CLIPSegConfig(
        text_config={**TEXT, "vocab_size": len(tokens), "eos_token_id": len(tokens) - 1},
        vision_config={**IMAGE, "num_hidden_layers": 2},
        projection_dim=12,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_intermediate_size=12,
    )
    transformers.CLIPSegForImageSegmentation(config).save_pretrained(home)
    return home


def both(folder, name, **options):
    """The reference's and ours."""
    return [getattr(one, name).from_pretrained(folder, **options) for one in (transformers, formers)]


def test_pictures_may_say_what_to_look_for_in_place_of_texts(folder, tmp_path):
    theirs, ours = both(folder, "CLIPSegProcessor")
    theirs.image_processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
    assert type(formers.AutoProcessor.from_pretrained(folder)) is formers.CLIPSegProcessor
    for given in (
        {"text": ["a cat", "dog"], "images": PICTURES, "padding": True},
        {"visual_prompt": PICTURES[::-1], "images": PICTURES},
        {"visual_prompt": PICTURES[0]},
        {"text": "a cat"},
        {"images": PICTURES[0]},
    ):
        expected, found = (one(**given, return_tensors="pt") for one in (theirs, ours))
        assert set(found) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "processor_config.json").read_text() == (folder / "processor_config.json").read_text()
    with pytest.raises(ValueError, match="shown by visual_prompt=, not both"):
        ours(text="a cat", visual_prompt=PICTURES[0])


@torch.no_grad()
def test_what_to_look_for_is_a_text_or_images_or_vectors_and_images_have_any_size(folder):
    theirs, ours = both(folder, "CLIPSegForImageSegmentation", attn_implementation="eager")
    torch.manual_seed(1)
    images, shown = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 8, 8)
    ids = torch.tensor([[5, 6, theirs.config.text_config.eos_token_id], [9, 8, 7]])
    ids[1, 2] = ids[0, 2]
    asks = [{"input_ids": ids}, {"conditional_pixel_values": shown}]
    vectors = [theirs.get_conditional_embeddings(2, **one) for one in asks]
    for expected, one in zip(vectors, asks, strict=True):
        torch.testing.assert_close(ours.get_conditional_embeddings(2, **one), expected)
    for one in (*asks, {"conditional_embeddings": vectors[1]}):
        more = {"output_hidden_states": True, "output_attentions": True}
        expected, found = (model(pixel_values=images, **one, **more) for model in (theirs, ours))
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
        for name in more:
            name = name.removeprefix("output_")
            pairs = zip(found.decoder_output[name], expected.decoder_output[name], strict=True)
            for mine, other in pairs:
                torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    placed = ours(None, images, shown).logits
    torch.testing.assert_close(placed, theirs(None, images, shown).logits, atol=1e-5, rtol=1e-5)
    wide = ours(conditional_embeddings=vectors[0], pixel_values=images[..., :8]).logits
    assert wide.shape == (2, 16, 8)


def test_what_does_not_fit_is_refused(folder):
    ours = formers.CLIPSegForImageSegmentation.from_pretrained(folder)
    images, vectors = torch.randn(2, 3, 12, 12), torch.randn(2, 12)
    for given, told in (
        ({}, "must say what to look for"),
        ({"input_ids": torch.tensor([[5, 6]])}, "each of 2 images is asked for one thing, but there are 1"),
        ({"conditional_embeddings": vectors[:1]}, r"must have shape \[2, 12\]"),
        ({"conditional_embeddings": vectors, "labels": torch.ones(2, 3, 3)}, r"shape \[2, 12, 12\]"),
    ):
        with pytest.raises(ValueError, match=told):
            ours(pixel_values=images, **given)
    with pytest.raises(ValueError, match="pixel_values must be given"):
        ours(conditional_embeddings=vectors)
    with pytest.raises(ValueError, match="interpolate_pos_encoding=True reads other sizes"):
        ours(pixel_values=images[..., :8], conditional_embeddings=vectors, interpolate_pos_encoding=False)


def test_the_decoder_alone_learns_and_its_layers_begin_as_the_references_do(folder):
    theirs, ours = both(folder, "CLIPSegForImageSegmentation")
    inputs = {"pixel_values": torch.randn(2, 3, 12, 12), "conditional_embeddings": torch.randn(2, 12)}
    learned = []
    for again in (False, True):
        ours.zero_grad()
        if again:
            ours.gradient_checkpointing_enable()
        ours.train()(**inputs, labels=torch.ones(2, 12, 12)).loss.backward()
        learned.append({name: one.grad for name, one in ours.named_parameters() if one.grad is not None})
    assert {name.split(".")[0] for name in learned[0]} == {"decoder"}
    torch.testing.assert_close(learned[1], learned[0])
    wide = {"reduce_dim": 64, "extract_layers": [0], "decoder_intermediate_size": 64}
    made = [
        one.CLIPSegForImageSegmentation(one.CLIPSegConfig(**{**theirs.config.to_dict(), **wide}))
        for one in (transformers, formers)
    ]
    expected, found = (dict(one.decoder.named_parameters()) for one in made)
    for name, value in expected.items():
        if value.dim() > 1 and name.startswith(
            "layers."
        ):  # what is around them is drawn as linear layers are
            assert 0.8 < (found[name].std() / value.std()).item() < 1.25, name


@torch.no_grad()
def test_towers_are_read_out_of_files_of_the_whole(folder):
    whole = formers.CLIPSegModel.from_pretrained(folder)
    end = whole.config.text_config.eos_token_id
    given = {
        "Text": {"input_ids": torch.tensor([[5, 6, end]])},
        "Vision": {"pixel_values": torch.ones(1, 3, 12, 12)},
    }
    for kind, inputs in given.items():
        alone = getattr(formers, f"CLIPSeg{kind}Model").from_pretrained(folder)
        assert not alone.load_report.new
        tower = getattr(whole, f"{kind.lower()}_model")
        torch.testing.assert_close(alone(**inputs)[1], tower(**inputs)[1])
