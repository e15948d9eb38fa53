"""Things that texts, or pictures, ask for: OWL-ViT and OWLv2 beside the reference, from picture to boxes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import pre_tokenizers

import formers
from parity.pictures import colours
from tests.parity.vision_words_shapes import IMAGE, TEXT

TEXTS = [["a cat", "dogs that are many"], ["zebra"]]
SIZES = [(40, 50), (60, 16)]
FEW = {"top_k": 3, "threshold": 0.001}
PICTURES = [Image.fromarray(colours(*size)) for size in SIZES]


@pytest.fixture(scope="module", params=["OwlViT", "Owlv2"])
def folder(request, tmp_path_factory):
    """A detector of the reference with its processor, whose folder has the family's name."""
    home = tmp_path_factory.mktemp(request.param) / request.param
    home.mkdir()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [
        *letters,
        *(f"{one}</w>" for one in letters),
        "ca",
        "cat</w>",
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (home / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (home / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    tokenizer = transformers.CLIPTokenizer(
        vocab=str(home / "vocab.json"), merges=str(home / "merges.txt"), model_max_length=20, pad_token="!"
    )
    images = getattr(transformers, f"{request.param}ImageProcessorPil")(size={"height": 12, "width": 12})
    getattr(transformers, f"{request.param}Processor")(images, tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    text = {**TEXT, "vocab_size": len(tokens), "initializer_factor": 20.0}
    config = getattr(transformers, f"{request.param}Config")(
        text_config=text, vision_config={**IMAGE, "initializer_factor": 9.0}, projection_dim=16
    )
    made = getattr(transformers, f"{request.param}ForObjectDetection")(config)
    with torch.no_grad():
        for head in (made.class_head, made.box_head):
            for weight in head.parameters():
                weight.copy_(torch.randn_like(weight))
    made.save_pretrained(home)
    return home


def both(folder, ending):
    """The reference's and ours."""
    theirs, ours = (getattr(one, folder.name + ending) for one in (transformers, formers))
    return theirs.from_pretrained(folder), ours.from_pretrained(folder)


def same(found, expected):
    """Boxes, scores and labels."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert set(one) == set(other)
        for name, value in other.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(one[name], value, atol=1e-4, rtol=1e-5)
            else:
                assert one[name] == value


def test_texts_of_each_picture_are_filled_up_and_pictures_may_ask(folder, tmp_path):
    theirs, ours = both(folder, "Processor")
    theirs.image_processor = getattr(transformers, f"{folder.name}ImageProcessorPil").from_pretrained(folder)
    for given in (
        {"text": TEXTS, "images": PICTURES},
        {"text": "a cat", "images": PICTURES[0]},
        {"text": TEXTS[0]},
        {"text": TEXTS, "query_images": PICTURES, "images": PICTURES[::-1]},
        {"query_images": PICTURES[0]},
    ):
        expected, found = theirs(**given, return_tensors="pt"), ours(**given, return_tensors="pt")
        assert list(found) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    assert type(ours(text="a cat").input_ids) is type(theirs(text="a cat").input_ids)
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "processor_config.json").read_text() == (folder / "processor_config.json").read_text()
    with pytest.raises(TypeError, match="one for each picture"):
        ours(text=["a cat", ["dogs"]])


@torch.no_grad()
def test_answers_to_texts_and_to_pictures_are_the_references(folder):
    theirs, ours = both(folder, "ForObjectDetection")
    there, here = both(folder, "Processor")
    inputs = here(text=TEXTS, images=PICTURES, return_tensors="pt")
    expected, found = theirs(**inputs), ours(**inputs)
    given = {"threshold": 0.3, "target_sizes": torch.tensor(SIZES)}
    texts = [[*TEXTS[0]], [*TEXTS[1], ""]]
    one = there.post_process_grounded_object_detection(expected, text_labels=texts, **given)
    assert sum(len(row["scores"]) for row in one)
    same(here.post_process_grounded_object_detection(found, text_labels=texts, **given), one)
    same(
        here.image_processor.post_process_object_detection(found),
        there.image_processor.post_process_object_detection(expected),
    )
    asks = here(query_images=PICTURES[::-1], images=PICTURES, return_tensors="pt")
    expected, found = (
        model.image_guided_detection(**asks, output_hidden_states=True) for model in (theirs, ours)
    )
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    given = {"threshold": 0.2, "nms_threshold": 0.4, "target_sizes": torch.tensor(SIZES)}
    same(
        here.post_process_image_guided_detection(found, **given),
        there.post_process_image_guided_detection(expected, **given),
    )
    with pytest.raises(ValueError, match="as many texts, but there are 3"):
        ours(inputs["input_ids"][:3], inputs["pixel_values"])
    with pytest.raises(ValueError, match="text_labels has 1 lists, but there are 2 pictures"):
        here.post_process_grounded_object_detection(ours(**inputs), text_labels=TEXTS[:1])


@torch.no_grad()
def test_towers_are_read_out_of_files_of_the_detector_and_images_may_be_larger(folder):
    theirs, ours = both(folder, "ForObjectDetection")
    large = {"pixel_values": torch.randn(2, 3, 16, 24), "interpolate_pos_encoding": True}
    ids = {"input_ids": torch.tensor([[5, 6, 7, 9], [8, 9, 1, 0]])}
    for name in ("logits", "pred_boxes", "image_embeds"):
        torch.testing.assert_close(
            ours(**ids, **large)[name], theirs(**ids, **large)[name], atol=1e-5, rtol=1e-5
        )
    for ending, inputs in (("VisionModel", large), ("TextModel", ids)):
        there, here = both(folder, ending)
        assert not here.load_report.new
        found = pickle.loads(pickle.dumps(here))(**inputs).pooler_output
        torch.testing.assert_close(found, there(**inputs).pooler_output, atol=1e-5, rtol=1e-5)


def test_the_pipeline_finds_what_the_reference_s_finds_and_draws_it(folder):
    theirs, ours = (
        one.pipeline("zero-shot-object-detection", model=str(folder), device="cpu")
        for one in (transformers, formers)
    )
    theirs.image_processor = getattr(transformers, f"{folder.name}ImageProcessorPil").from_pretrained(folder)
    for given in ({"threshold": 0.01}, FEW):
        expected = theirs(PICTURES, candidate_labels=TEXTS, **given)
        found = ours(PICTURES, candidate_labels=TEXTS, **given)
        for row, other in zip(found, expected, strict=True):
            assert row
            assert [(one["label"], one["box"]) for one in row] == [(o["label"], o["box"]) for o in other]
            assert np.allclose([one["score"] for one in row], [one["score"] for one in other], atol=1e-5)
    alone = ours(PICTURES[0], "a cat,dogs that are many", **FEW)
    assert [one["label"] for one in alone] == [one["label"] for one in found[0]]
    (told,) = ours([{"image": PICTURES[0], "candidate_labels": TEXTS[0]}], **FEW)
    (streamed,) = ours(iter(PICTURES[:1]), TEXTS[0], **FEW)
    assert told == streamed == alone
    assert formers.plots.draw(PICTURES[0], alone).size[0] >= 50
    bad = ours([PICTURES[0], b"no picture"], TEXTS[0], on_error="return", **FEW)
    assert (len(bad[0]), list(bad[1])) == (3, ["error"])
    with pytest.raises(ValueError, match="there are no labels to find"):
        ours(PICTURES[0])
    with pytest.raises(ValueError, match="2 pictures, but 1 lists"):
        ours(PICTURES, TEXTS[:1])


def test_labels_of_a_call_go_with_every_picture_however_pictures_are_given(folder):
    pipe = formers.pipeline("zero-shot-object-detection", model=str(folder), device="cpu")
    alone = pipe(PICTURES[0], TEXTS[0], **FEW)
    assert pipe({"image": PICTURES[0]}, TEXTS[0], **FEW) == alone
    own = {"image": PICTURES[0], "candidate_labels": TEXTS[0]}
    assert pipe([own], "zebra", **FEW) == [alone]
    rows = formers.KeyDataset([{"image": PICTURES[0]}] * 2, "image")
    streamed = pipe(rows, candidate_labels=TEXTS[0], batch_size=1, **FEW)
    assert len(streamed) == 2
    assert list(streamed) == [alone, alone]
    with pytest.raises(TypeError, match="a picture is a path"):
        pipe(None, "cat")
    with pytest.raises(ValueError, match="there is no picture"):
        pipe({"candidate_labels": ["cat"]})
    for labels in (5, [None], {"cat": 1}):
        with pytest.raises(TypeError, match="labels are a list such as"):
            pipe(PICTURES[0], labels)
    with pytest.raises(ValueError, match="threshold must be a number, got '0.5'"):
        pipe(PICTURES[0], "cat", threshold="0.5")
    with pytest.raises(TypeError, match="'imges'; did you mean 'images'"):
        formers.AutoProcessor.from_pretrained(folder)(text=["a cat"], imges=PICTURES)
