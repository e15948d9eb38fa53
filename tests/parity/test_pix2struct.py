"""Pix2Struct's processors, texts and `image-to-text`, against the reference."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import ImageFont

import formers
from parity.pictures import pictures
from tests.parity.flat_shapes import MORE, SHAPES, patches
from tests.parity.shapes import write_checkpoint
from tests.parity.test_captions import sharpened, words

TEXTS = ["w1 w2 w3", "w4"]
LONG = "what is the value of the third bar from the left, and what if it were twice as high?"


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Letters that come with Pillow, in place of those that the reference downloads."""
    made: Any = ImageFont.load_default(10)
    path = tmp_path / "letters.ttf"
    path.write_bytes(made.font_bytes)
    kind: Any = transformers.models.pix2struct.image_processing_pil_pix2struct
    monkeypatch.setattr(kind, "hf_api", lambda: SimpleNamespace(hf_hub_download=lambda *_: str(path)))
    return path


def shown() -> list[Any]:
    """Pictures in colours and of several forms."""
    found = pictures()
    return [found[name] for name in ("plain", "large", "upright", "thin", "grey", "palette", "array")]


def same(ours: Any, theirs: Any) -> None:
    """All that both returned is alike."""
    assert sorted(ours) == sorted(theirs)
    for name, value in theirs.items():
        one, other = (np.stack([np.asarray(row) for row in both]) for both in (ours[name], value))
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    "settings", [{}, {"max_patches": 37}, {"patch_size": {"height": 8, "width": 12}, "do_normalize": False}]
)
def test_patches_are_the_references(settings: dict[str, Any]) -> None:
    theirs = transformers.Pix2StructImageProcessorPil(**settings)
    ours = formers.Pix2StructImageProcessor(**settings)
    same(ours(shown(), return_tensors="pt"), theirs(shown(), return_tensors="pt"))


def test_questions_are_written_above_pictures_as_by_the_reference(letters: Path) -> None:
    settings = {"is_vqa": True, "max_patches": 60}
    theirs, ours = (
        transformers.Pix2StructImageProcessorPil(**settings),
        formers.Pix2StructImageProcessor(**settings),
    )
    headers = [LONG, "why?"]
    expected = theirs(shown()[:2], header_text=headers, return_tensors="pt")
    same(ours(shown()[:2], header_text=headers, font_path=str(letters), return_tensors="pt"), expected)
    raw = letters.read_bytes()
    same(ours(shown()[:2], header_text=headers, font_bytes=raw, return_tensors="pt"), expected)


def both(folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The same processor there and here."""
    tokenizer = words(folder)
    images = transformers.Pix2StructImageProcessorPil(**settings)
    theirs = transformers.Pix2StructProcessor(images, tokenizer)
    theirs.save_pretrained(folder)
    ours = formers.AutoProcessor.from_pretrained(folder)
    assert type(ours).__name__ == "Pix2StructProcessor"
    return theirs, ours


def test_processors_of_pictures_and_texts_are_equal(tmp_path: Path, letters: Path) -> None:
    theirs, ours = both(tmp_path, max_patches=40)
    assert sorted(ours.model_input_names) == sorted(theirs.model_input_names)
    given = {"return_tensors": "pt", "max_patches": 20}
    same(ours(shown()[:2], **given), theirs(shown()[:2], **given))
    given |= {"padding": True}
    same(ours(shown()[:2], TEXTS, **given), theirs(shown()[:2], TEXTS, **given))
    given |= {"add_special_tokens": False}
    same(ours(shown()[:2], TEXTS, **given), theirs(shown()[:2], TEXTS, **given))
    same(ours(text=TEXTS, padding=True), theirs(text=TEXTS, padding=True))
    ours.save_pretrained(tmp_path / "again")
    again = transformers.AutoProcessor.from_pretrained(tmp_path / "again")
    same(ours(shown()[:2], **given), again(shown()[:2], **given))
    theirs, ours = both(tmp_path, is_vqa=True)
    expected = theirs(shown()[:2], LONG, return_tensors="pt")
    same(ours(shown()[:2], LONG, return_tensors="pt", font_path=str(letters)), expected)


@torch.no_grad()
@pytest.mark.parametrize("shape", [*SHAPES["pix2struct"], *MORE["pix2struct"]])
def test_texts_are_the_references_token_for_token(shape: str, tmp_path: Path) -> None:
    made = write_checkpoint("pix2struct", shape, "Pix2StructForConditionalGeneration", tmp_path)
    made.config.tie_word_embeddings = False
    theirs = sharpened(made, tmp_path)
    ours: Any = formers.Pix2StructForConditionalGeneration.from_pretrained(tmp_path)
    seen = patches(theirs.config)
    wanted = {"max_new_tokens": 9, "do_sample": False}
    expected = theirs.generate(**seen, **wanted)
    assert len(set(expected.flatten().tolist())) > 4
    assert ours.generate(**seen, **wanted).tolist() == expected.tolist()
    beams = {**wanted, "num_beams": 3}
    assert ours.generate(**seen, **beams).tolist() == theirs.generate(**seen, **beams).tolist()
    for row in range(4):  # a batch is what each gives alone
        alone = ours.generate(**{name: one[row : row + 1] for name, one in seen.items()}, **wanted)[0]
        assert alone.tolist() == expected[row, : len(alone)].tolist()


@torch.no_grad()
def test_pictures_are_told_by_the_pipeline(tmp_path: Path) -> None:
    theirs, _ = both(tmp_path)
    image = {"patch_embed_hidden_size": 768, "seq_len": 4096}
    shape = SHAPES["pix2struct"]["narrow heads"]
    config = transformers.Pix2StructConfig(
        text_config=shape["text_config"], vision_config={**shape["vision_config"], **image}
    )
    torch.manual_seed(0)
    model = sharpened(transformers.Pix2StructForConditionalGeneration(config).eval(), tmp_path)
    told = formers.pipeline("image-to-text", str(tmp_path))(shown()[:2], max_new_tokens=6)
    for one, found in zip(shown(), told, strict=False):
        ids = model.generate(**theirs(one, return_tensors="pt"), max_new_tokens=6, do_sample=False)
        assert found == [{"generated_text": theirs.batch_decode(ids, skip_special_tokens=True)[0]}]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p, one: p(one, header_text="why?"), "unless is_vqa"),
        (lambda p, one: p(one, is_vqa=True), "header_text="),
        (lambda p, one: p([one, one], is_vqa=True, header_text=["why?"]), "2 pictures, but there are 1"),
        (lambda p, one: p(one, max_patches=0), "max_patches"),
        (lambda p, one: p(one, do_resize=False), "do_resize"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(formers.Pix2StructImageProcessor(), shown()[0])


def test_patches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_checkpoint("pix2struct_vision_model", "narrow heads", "Pix2StructVisionModel", tmp_path)
    model: Any = formers.Pix2StructVisionModel.from_pretrained(tmp_path)
    seen = patches(model.config)["flattened_patches"]
    with pytest.raises(TypeError, match="reads flattened_patches as a tensor"):
        model()
    with pytest.raises(ValueError, match=r"shape \[B, T, 14\]"):
        model(seen[..., 1:])
    seen[0, 0, 0] = 8
    with pytest.raises(ValueError, match="rows and columns from 1 to 7"):
        model(seen)
