"""BLIP-2: texts token for token, its processor in both layouts, its pipelines, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.shapes import MORE, SHAPES
from tests.parity.test_captions import WORDS, words

GIVEN = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 18), (16, 16))]
TEXTS = ["w3 w4 w5", "w5", "w7 w8"]


def both(shape: dict[str, Any], folder: Path, name: str = "Blip2ForConditionalGeneration") -> tuple[Any, Any]:
    """The reference's model with logits far apart, and ours; the folder has a processor too."""
    torch.manual_seed(0)
    token = len(WORDS)  # which the processor adds
    text = {**shape["text_config"], "vocab_size": token + 1}
    asks = {**shape["qformer_config"], "vocab_size": token + 1}
    told = {**shape, "text_config": text, "qformer_config": asks, "image_token_index": token}
    theirs = getattr(transformers, name)(transformers.Blip2Config(**told)).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    theirs.save_pretrained(folder)
    size = {"height": 12, "width": 12}
    images = transformers.models.blip.image_processing_pil_blip.BlipImageProcessorPil(size=size)
    transformers.Blip2Processor(images, words(folder), num_query_tokens=3).save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["OPT", "T5"])
def test_texts_are_the_references_token_for_token(kind: str, tmp_path: Path) -> None:
    shape = {**SHAPES["blip-2"], **MORE["blip-2"]}[f"asks for {kind}"]
    theirs, ours = both(shape, tmp_path)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    said = processor(GIVEN, ["w3 w4", "w5 w6", "w7 w8"], return_tensors="pt")
    seen = processor(GIVEN, return_tensors="pt")
    for inputs in (said, seen) if kind == "OPT" else (said,):  # the reference needs a token that begins
        for options in ({}, {"num_beams": 3}):
            asked = {"max_new_tokens": 7, "do_sample": False, **options}
            found = ours.generate(**inputs, **asked)
            assert found.tolist() == theirs.generate(**inputs, **asked).tolist()
            one = {name: value[1:2] for name, value in inputs.items()}
            alone = ours.generate(**one, **asked)[0]
            assert alone.tolist() == found[1][: len(alone)].tolist()
    before = {"image": ours.get_image_features(seen["pixel_values"])}
    rest = {name: value for name, value in said.items() if name != "pixel_values"}
    if kind == "T5":
        rest["decoder_input_ids"] = said["input_ids"][:, -2:]
        said["decoder_input_ids"] = rest["decoder_input_ids"]
    assert torch.allclose(ours(**rest, mm_encoder_outputs=before).logits, ours(**said).logits, atol=1e-6)


@torch.no_grad()
def test_texts_without_image_tokens_have_the_picture_before_them(tmp_path: Path) -> None:
    ours = both(SHAPES["blip-2"]["asks for OPT"], tmp_path)[1]
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    said = processor(GIVEN[:1], "w3 w4", return_tensors="pt")
    bare = {"pixel_values": said["pixel_values"], "input_ids": said["input_ids"][:, 3:]}
    assert torch.allclose(ours(**bare).logits, ours(**said).logits, atol=1e-6)
    found = ours.generate(**said, max_new_tokens=5)[0]
    assert ours.generate(**bare, max_new_tokens=5)[0].tolist() == found[3:].tolist()
    pictures = {"image-to-text": {"prompt": "w3 w4"}, "vqa": {"question": "w3 w4"}}
    for task, options in pictures.items():
        pipe = formers.pipeline(task, model=str(tmp_path))
        answer = pipe(GIVEN[0], max_new_tokens=5, **options)[0]
        assert answer[next(iter(answer))]
    talks = formers.pipeline("image-text-to-text", model=str(tmp_path))
    answer = talks(images=GIVEN[0], text="w3 w4", max_new_tokens=5, return_full_text=False)[0]
    text = processor.decode(found[len(said["input_ids"][0]) :], skip_special_tokens=True)
    assert answer["generated_text"].strip() == text.strip()
    with pytest.raises(ValueError, match="has no encoder beside it: leave decoder_input_ids out"):
        ours(**said, decoder_input_ids=said["input_ids"])
    said["input_ids"][0, 1] = 5
    with pytest.raises(ValueError, match="2 image tokens"):
        ours(**said)
    with pytest.raises(ValueError, match="looks at pictures: pass pixel_values"):
        ours.generate(input_ids=said["input_ids"])
    with pytest.raises(ValueError, match="reads texts beside pictures: pass input_ids"):
        ours(pixel_values=said["pixel_values"])


def test_the_processor_is_the_references(tmp_path: Path) -> None:
    both(SHAPES["blip-2"]["asks for OPT"], tmp_path)
    theirs = transformers.Blip2Processor.from_pretrained(tmp_path)
    ours = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(ours) is formers.Blip2Processor
    ours.save_pretrained(tmp_path / "again")
    again = formers.Blip2Processor.from_pretrained(tmp_path / "again")
    assert transformers.Blip2Processor.from_pretrained(tmp_path / "again").num_query_tokens == 3
    calls: list[dict[str, Any]] = [
        {"images": GIVEN, "text": TEXTS, "padding": True, "return_tensors": "pt"},
        {"images": GIVEN[0], "text": TEXTS[0]},
        {"text": TEXTS, "padding": "max_length", "max_length": 9},
        {"images": GIVEN, "text": TEXTS, "padding": "max_length", "max_length": 5, "truncation": True},
        {"images": GIVEN[1]},
    ]
    for call in calls:
        expected = theirs(**call)
        for processor in (ours, again):
            found = processor(**call)
            assert set(found) == set(expected)
            for name, value in expected.items():
                one, other = (np.asarray(rows) for rows in (found[name], value))
                assert np.abs(one - other).max() <= 1e-4
    with pytest.raises(ValueError, match="3 tokens stand for a picture alone"):
        ours(images=GIVEN[0], text="w1", max_length=3)
    with pytest.raises(ValueError, match="needs images=, text= or both"):
        ours()


@torch.no_grad()
def test_texts_and_pictures_are_matched_as_the_reference_matches_them(tmp_path: Path) -> None:
    theirs, ours = both(SHAPES["blip-2"]["asks for OPT"], tmp_path, "Blip2ForImageTextRetrieval")
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(GIVEN, TEXTS, padding=True, return_tensors="pt")
    for looks, shape in ((True, (3, 2)), (False, (3, 3))):
        asked = {"use_image_text_matching_head": looks}
        expected, found = (one(**inputs, **asked).logits_per_image for one in (theirs, ours))
        assert found.shape == shape
        assert torch.allclose(found, expected, atol=1e-5)
    labels = formers.pipeline("zero-shot-image-classification", model=str(tmp_path))
    found = labels(GIVEN[0], candidate_labels=["w1", "w2"], hypothesis_template="{}")
    assert sorted(one["label"] for one in found) == ["w1", "w2"]
    theirs, ours = both(SHAPES["blip-2"]["asks for OPT"], tmp_path, "Blip2Model")
    pixels = inputs["pixel_values"]
    expected, found = (one.get_qformer_features(pixels) for one in (theirs, ours))
    assert torch.allclose(found, expected, atol=1e-5)
    ids = inputs["input_ids"][:1, 3:]
    expected, found = (one.get_text_features(ids).last_hidden_state for one in (theirs, ours))
    assert torch.allclose(found, expected, atol=1e-5)
    expected, found = (one.get_image_features(pixels).pooler_output for one in (theirs, ours))
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_what_asks_stays_in_float32(tmp_path: Path) -> None:
    both(SHAPES["blip-2"]["asks for OPT"], tmp_path)
    half = formers.Blip2ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float16)
    assert {value.dtype for value in half.qformer.parameters()} == {torch.float32}
    assert half.query_tokens.dtype == torch.float32
    assert half.language_model.dtype == half.vision_model.dtype == torch.float16
