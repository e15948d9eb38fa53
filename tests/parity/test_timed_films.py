"""Films of SmolVLM: which frames are chosen, how they are prepared, what texts say, what is answered."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.processing.number_words import in_words
from parity.pictures import colours
from tests.parity.test_tiles import FAMILIES, of, tokenizer

FAMILY = FAMILIES["smolvlm"]
WORDS = {3: "three", 4: "four", 21: "twenty-one"}
FILM = np.stack([colours(20, 30) // (1 + i) for i in range(4)])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its processor."""
    folder = tmp_path_factory.mktemp("smolvlm")
    tokenizer(FAMILY).save_pretrained(folder)
    of(formers, FAMILY, formers.AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.SmolVLMConfig(**FAMILY.config)
    transformers.SmolVLMForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder


def small() -> Any:
    """What prepares films, at the size of the checkpoint."""
    return formers.SmolVLMVideoProcessor(size={"longest_edge": 40}, max_image_size={"longest_edge": 16})


def made(home: Path) -> Any:
    """The checkpoint's processor."""
    found = formers.AutoProcessor.from_pretrained(home)
    found.video_processor = small()
    return found


def test_numbers_are_written_in_words() -> None:
    for number, words in {
        **WORDS,
        **{0: "zero", 12: "twelve", 40: "forty", 64: "sixty-four", 100: "one hundred"},
        **{105: "one hundred and five", 999: "nine hundred and ninety-nine"},
        **{1005: "one thousand and five", 1234: "one thousand, two hundred and thirty-four"},
        **{20000: "twenty thousand", 300111: "three hundred thousand, one hundred and eleven"},
    }.items():
        assert in_words(number) == words
    with pytest.raises(ValueError, match="not 1000000"):
        in_words(1_000_000)


def test_the_frames_are_those_that_the_reference_chooses() -> None:
    module = importlib.import_module("transformers.models.smolvlm.video_processing_smolvlm")
    film = np.zeros((100, 2, 2, 3), np.uint8)
    for count, rate in ((1, 25.0), (7, 2.0), (40, 4.0), (100, 10.0), (100, 29.97)):
        facts = transformers.video_utils.VideoMetadata(count, rate, duration=count / rate)
        for most, each in ((2, 1), (4, 0.5), (8, 2), (64, 1)):
            theirs = SimpleNamespace(num_frames=most, fps=each)
            expected = module.SmolVLMVideoProcessor.sample_frames(theirs, facts).tolist()
            told = {"num_frames": most, "fps": each, "do_sample_frames": True, "do_resize": False}
            found = small().with_facts([film[:count]], {**told, "video_metadata": {"fps": rate}})[1]
            assert list(found[0].indices) == expected
    older = formers.SmolVLMVideoProcessor(
        video_sampling={"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}}
    )
    assert (older.fps, older.num_frames, older.size["longest_edge"]) == (1, 64, 512)


def test_a_frame_is_what_it_is_as_a_picture_that_is_not_cut() -> None:
    plain = transformers.models.smolvlm.image_processing_pil_smolvlm.SmolVLMImageProcessorPil(
        **FAMILY.images, do_image_splitting=False
    )
    expected = plain([[Image.fromarray(frame) for frame in FILM]], return_tensors="pt")
    found = small()([FILM, FILM[:3]], return_tensors="pt")
    assert torch.allclose(found.pixel_values[0], expected.pixel_values[0], atol=1e-5)
    assert torch.equal(found.pixel_attention_mask[0], expected.pixel_attention_mask[0])
    assert torch.equal(found.pixel_values[1, :3], found.pixel_values[0, :3])
    assert not found.pixel_values[1, 3].any()
    assert [len(one) for one in small()([FILM, FILM[:3]], do_pad=False)["pixel_values"]] == [4, 3]


def test_what_stands_for_a_film_is_the_references(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = importlib.import_module("transformers.models.smolvlm.processing_smolvlm")
    monkeypatch.setattr(theirs, "num2words", WORDS.get)
    ours = made(home)
    held = SimpleNamespace(image_seq_len=4, image_token="<image>", **FAMILY.special)
    for rate, lasts in ((None, None), (0.05, None), (0.02, 207.0)):
        facts = transformers.video_utils.VideoMetadata(4, rate, duration=lasts, frames_indices=[0, 1, 2, 3])
        shown = {"pixel_values": torch.zeros(1, 4, 3, 16, 16), "video_metadata": [facts]}
        piece = theirs.SmolVLMProcessor.replace_video_token(held, shown, 0)
        told = {"video_metadata": {"fps": rate, "duration": lasts}, "return_tensors": "pt"}
        found = ours(text="see <video> now", videos=[FILM], **told)
        assert found.input_ids[0].tolist() == ours.tokenizer(f"see {piece} now")["input_ids"]
        assert set(found) == {"input_ids", "attention_mask", "pixel_values", "pixel_attention_mask"}
    chat = [
        {
            "role": "user",
            "content": [{"type": "video", "video": FILM}, {"type": "text", "text": "what is it"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "a cat"}]},
    ]
    for opens in (False, True):
        expected = ours.apply_chat_template(chat, theirs.DEFAULT_CHAT_TEMPLATE, add_generation_prompt=opens)
        assert ours.apply_chat_template(chat, add_generation_prompt=opens) == expected


@torch.no_grad()
def test_films_are_talked_about_as_the_reference_does(home: Path) -> None:
    ours, processor = formers.AutoModelForImageTextToText.from_pretrained(home), made(home)
    theirs = transformers.SmolVLMForConditionalGeneration.from_pretrained(home).eval()
    texts, films = ["<video> what is it", "a cat in <video>"], [FILM, FILM[:3]]
    inputs = processor(text=texts, videos=films, padding=True, return_tensors="pt")
    asked = {"max_new_tokens": 6, "do_sample": False}
    found = ours.generate(**inputs, **asked)
    assert found.tolist() == theirs.generate(**inputs, **asked).tolist()
    for row in range(2):
        one = processor(text=texts[row], videos=[films[row]], return_tensors="pt")
        single = ours.generate(**one, **asked)[0, one["input_ids"].shape[1] :]
        assert single.tolist() == found[row, inputs["input_ids"].shape[1] :][: len(single)].tolist()
    processor.video_processor.fps, processor.video_processor.num_frames = 1, 2
    chat = [{"role": "user", "content": [{"type": "video", "video": FILM}]}]
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    told = {"video_metadata": {"fps": 1}}
    assert processor.apply_chat_template(chat, processor_kwargs=told, **options).pixel_values.shape[1] == 2
    with pytest.raises(ValueError, match="nobody says that of this film"):
        processor.apply_chat_template(chat, **options)
    with pytest.raises(ValueError, match=r"the texts show 2 videos by <video>, but 1 are given"):
        processor(text="<video> <video>", videos=[FILM])
    with pytest.raises(ValueError, match="prepares pictures or films"):
        processor(text="<video> <image>", videos=[FILM], images=[FILM[0]])
