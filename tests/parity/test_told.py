"""InstructBLIP: texts token for token, its two tokenizers, its pipelines, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from tests.parity.shapes import MORE, SHAPES
from tests.parity.test_bridged import GIVEN, TEXTS
from tests.parity.test_captions import WORDS, words

SHAPE = SHAPES["instructblip"]["asks for OPT"]


def written(shape: dict[str, Any], folder: Path, name: str = "ForConditionalGeneration") -> Any:
    """The reference's model with logits far apart; the folder has a processor too."""
    torch.manual_seed(0)
    token = len(WORDS)  # which the processor adds
    text = {**shape["text_config"], "vocab_size": token + 1}
    told = {**shape, "text_config": text, "image_token_index": token}
    theirs = getattr(transformers, f"InstructBlip{name}")(transformers.InstructBlipConfig(**told)).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    theirs.save_pretrained(folder)
    size = {"height": 12, "width": 12}
    images = transformers.models.blip.image_processing_pil_blip.BlipImageProcessorPil(size=size)
    parts = (images, words(folder), words(folder / "qformer_tokenizer"))
    transformers.InstructBlipProcessor(*parts, num_query_tokens=3).save_pretrained(folder)
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("kind", ["OPT", "T5"])
def test_texts_are_the_references_token_for_token(kind: str, tmp_path: Path) -> None:
    shape = {**SHAPES["instructblip"], **MORE["instructblip"]}[f"asks for {kind}"]
    theirs = written(shape, tmp_path)
    ours = formers.AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(ours) is formers.InstructBlipForConditionalGeneration
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    if kind == "OPT":
        processor.tokenizer.padding_side = "left"
    said = processor(GIVEN, ["w3 w4", "w5", "w7 w8 w9"], padding=True, return_tensors="pt")
    for options in ({}, {"num_beams": 3}):
        asked = {"max_new_tokens": 7, "do_sample": False, **options}
        found = ours.generate(**said, **asked)
        assert found.tolist() == theirs.generate(**said, **asked).tolist()
        one = processor(GIVEN[1], "w5", return_tensors="pt")
        begins, ends = (0 if kind == "T5" else each["input_ids"].shape[1] for each in (one, said))
        alone = ours.generate(**one, **asked)[0, begins:]
        assert alone.tolist() == found[1, ends:][: len(alone)].tolist()
    looked = {name: said[name] for name in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")}
    before = ours.get_image_features(**looked)
    assert torch.allclose(before.pooler_output, theirs.get_image_features(**looked).pooler_output, atol=1e-5)
    rest = {name: said[name] for name in ("input_ids", "attention_mask")}
    if kind == "T5":
        rest["decoder_input_ids"] = said["decoder_input_ids"] = said["input_ids"][:, -2:]
    assert torch.allclose(
        ours(**rest, mm_encoder_outputs={"image": before}).logits, ours(**said).logits, atol=1e-6
    )


def test_the_processor_is_the_references(tmp_path: Path) -> None:
    written(SHAPE, tmp_path)
    theirs = transformers.InstructBlipProcessor.from_pretrained(tmp_path)
    ours = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(ours) is formers.InstructBlipProcessor
    assert set(ours.model_input_names) == {
        *("pixel_values", "input_ids", "attention_mask", "qformer_input_ids", "qformer_attention_mask")
    }
    ours.save_pretrained(tmp_path / "again")
    again = formers.AutoProcessor.from_pretrained(tmp_path / "again")
    assert transformers.InstructBlipProcessor.from_pretrained(tmp_path / "again").num_query_tokens == 3
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
    with pytest.raises(TypeError, match="its qformer_tokenizer is NoneType"):
        formers.InstructBlipProcessor(ours.image_processor, ours.tokenizer)


@torch.no_grad()
def test_it_talks_in_pipelines_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    written(SHAPE, tmp_path)
    ours = formers.InstructBlipForConditionalGeneration.from_pretrained(tmp_path)
    processor = formers.InstructBlipProcessor.from_pretrained(tmp_path)
    said = processor(GIVEN[:1], "w3 w4", return_tensors="pt")
    found = ours.generate(**said, max_new_tokens=5)[0]
    text = processor.decode(found[len(said["input_ids"][0]) :], skip_special_tokens=True).strip()
    talks = formers.pipeline("image-text-to-text", model=str(tmp_path))
    answer = talks(images=GIVEN[0], text="w3 w4", max_new_tokens=5, return_full_text=False)[0]
    assert answer["generated_text"].strip() == text
    told = dict(said)
    del told["qformer_input_ids"]
    with pytest.raises(ValueError, match="told what to look for: pass qformer_input_ids"):
        ours.generate(**told)
    with pytest.raises(ValueError, match="qformer_attention_mask has shape"):
        ours(**{**said, "qformer_attention_mask": said["qformer_attention_mask"][:, 1:]})
    long, two = ({**said, "qformer_input_ids": torch.ones(n, dtype=torch.long)} for n in ((1, 41), (2, 3)))
    del long["qformer_attention_mask"], two["qformer_attention_mask"]
    with pytest.raises(ValueError, match="1 to 40 tokens"):
        ours(**long)
    with pytest.raises(ValueError, match="2 texts that say what is asked for, and 1 rows"):
        ours(**two)
    with pytest.raises(ValueError, match="looks at pictures: pass pixel_values"):
        ours.generate(**{**said, "pixel_values": None})
    wrong = {**said, "input_ids": said["input_ids"].clone()}
    wrong["input_ids"][0, 1] = 5
    with pytest.raises(ValueError, match="2 image tokens"):
        ours(**wrong)


def test_only_the_vectors_that_ask_stay_in_float32(tmp_path: Path) -> None:
    written(SHAPE, tmp_path)
    half = formers.InstructBlipForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.query_tokens.dtype == torch.float32
    assert {value.dtype for value in half.qformer.parameters()} == {torch.bfloat16}
    said = formers.AutoProcessor.from_pretrained(tmp_path)(GIVEN[0], "w3 w4", return_tensors="pt")
    assert half(**said).logits.isfinite().all()
