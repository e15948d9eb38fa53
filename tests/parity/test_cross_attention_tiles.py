"""Texts whose layers see pictures in tiles: Llama 3.2 Vision, its processors, what it writes, the task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

import formers
from formers.processing.cross_attention_text import seen_in
from parity.pictures import colours
from tests.parity.test_tiles import CAT, TALL, TEMPLATE, TEXT, WIDE, Family, same, tokenizer

IMAGE = "<|image|>"
WORDS = Family(*("Mllama", {}, {}, {}), special={"image_token": IMAGE})
SIZE = {"height": 16, "width": 16}
PLAIN = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
ASKED: dict[str, Any] = {
    "text": [f"a {IMAGE} cat", f"{IMAGE}{IMAGE} two <s> of {IMAGE} them", "none"],
    "images": [[CAT], [WIDE, TALL, CAT], []],
    "padding": True,
}
VISION = {
    **{"hidden_size": 16, "num_hidden_layers": 3, "num_global_layers": 1, "attention_heads": 2},
    **{"intermediate_size": 24, "image_size": 16, "patch_size": 4, "vision_output_dim": 32},
    "intermediate_layers_indices": [1],
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reference's processor and model, and a checkpoint."""
    home = tmp_path_factory.mktemp("mllama")
    words = tokenizer(WORDS)
    words.padding_side = "left"
    words.save_pretrained(home)
    images = MllamaImageProcessorPil(size=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        name = "check_argument_for_proper_class"
        patch.setattr(transformers.processing_utils.ProcessorMixin, name, lambda *_: None)
        theirs = transformers.MllamaProcessor(
            images, words, chat_template=TEMPLATE.replace("token", f"'{IMAGE}'")
        )
    theirs.save_pretrained(home)
    torch.manual_seed(0)
    config = transformers.MllamaConfig(
        text_config={**TEXT, "num_hidden_layers": 3, "cross_attention_layers": [1]},
        vision_config=VISION,
        image_token_index=words.convert_tokens_to_ids(IMAGE),
    )
    model = transformers.MllamaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("gate"):
                value.fill_(0.7)
    model.save_pretrained(home)
    return theirs, model, home


@pytest.fixture(scope="module")
def both(known: Any) -> Any:
    """Our processor and model of that checkpoint."""
    home = known[2]
    return formers.AutoProcessor.from_pretrained(home), formers.AutoModelForImageTextToText.from_pretrained(
        home
    )


def test_pictures_of_any_form_become_the_references_tiles() -> None:
    for most in (1, 4, 6):
        theirs = MllamaImageProcessorPil(size=SIZE, max_image_tiles=most)
        ours = formers.MllamaImageProcessor(size=SIZE, max_image_tiles=most)
        for high, wide in ((3, 50), (9, 9), (16, 16), (17, 31), (20, 90), (64, 20), (200, 3)):
            picture = Image.fromarray(colours(high, wide))
            expected, found = theirs([[picture]]), ours([[picture]])
            assert found["num_tiles"] == expected["num_tiles"]
            for name in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"):
                np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=f"{high} x {wide}")


def test_tokens_see_the_last_picture_before_them() -> None:
    assert seen_in([], 4) == []
    assert seen_in([2], 5) == [(2, 5)]
    assert seen_in([0, 1, 4], 8) == [(0, 4), (1, 4), (4, 8)]


def test_a_processor_writes_what_the_references_writes(known: Any, both: Any) -> None:
    theirs, ours = known[0], both[0]
    assert type(ours) is formers.MllamaProcessor
    same(ours(**ASKED, return_tensors="pt"), theirs(**ASKED, return_tensors="pt"))
    assert set(ours.model_input_names) == set(theirs.model_input_names)
    assert ours(text="no picture")["input_ids"][0] == theirs(text="no picture")["input_ids"][0]


def test_what_is_written_is_the_references(known: Any, both: Any) -> None:
    theirs, model, home = known
    made, ours = both
    asked, theirs_asked = (one(**ASKED, return_tensors="pt") for one in (made, theirs))
    for more in ({}, {"num_beams": 3}, {"use_cache": False}):
        found = ours.generate(**asked, **PLAIN, **more)
        assert torch.equal(found, model.generate(**theirs_asked, **PLAIN, **more)), more
    plain = ours.generate(**asked, **PLAIN)
    assert torch.equal(plain, ours.generate(**asked, **PLAIN, prefill_chunk_size=3))
    right = made(**{**ASKED, "padding_side": "right"}, return_tensors="pt")
    with pytest.warns(UserWarning, match="padded on the right"):
        assert torch.equal(ours.generate(**right, **PLAIN)[:, -6:], plain[:, -6:])
    told = formers.pipeline(model=str(home))(
        images=CAT, text=ASKED["text"][0], return_full_text=False, **PLAIN
    )
    alone = ours.generate(**made(text=ASKED["text"][0], images=CAT, return_tensors="pt"), **PLAIN)
    assert told[0]["generated_text"] == made.decode(alone[0, -6:], skip_special_tokens=True)
    chat = [{"role": "user", "content": [{"type": "image", "image": CAT}, {"type": "text", "text": "what"}]}]
    assert formers.pipeline(model=str(home))(text=chat, **PLAIN)[0]["generated_text"][-1]["content"]


def test_a_cache_keeps_pictures_for_the_turns_that_follow(both: Any) -> None:
    made, ours = both
    whole = made(text=f"{IMAGE} a cat {IMAGE} and more", images=[CAT, WIDE], return_tensors="pt")
    first = made(text=f"{IMAGE} a cat", images=[CAT], return_tensors="pt")
    length = first["input_ids"].shape[1]
    assert torch.equal(whole["input_ids"][:, :length], first["input_ids"])
    with torch.no_grad():
        cache = ours(**first).past_key_values
    assert cache.get_seq_length() == length
    found = ours.generate(**whole, past_key_values=cache, **PLAIN)
    assert torch.equal(found, ours.generate(**whole, **PLAIN))


def test_text_alone_leaves_out_the_layers_that_look(known: Any) -> None:
    _, model, home = known
    ours = formers.MllamaForCausalLM.from_pretrained(home)
    theirs = transformers.MllamaForCausalLM.from_pretrained(home).eval()
    ids = torch.tensor([[0, 9, 8, 7]])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-5)
    found = ours.generate(ids, **PLAIN)
    assert torch.equal(found, theirs.generate(ids, **PLAIN))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixel_values": None}, "pass pixel_values too"),
        ({"aspect_ratio_ids": None}, r"aspect_ratio_ids must have shape \[1, 1\]"),
        ({"aspect_ratio_ids": torch.tensor([[9]])}, "are 0 to 8"),
        ({"pixel_values": torch.zeros(1, 1, 4, 3, 8, 8)}, r"not \[1, 1, 4, 3, 8, 8\]"),
        ({"cross_attention_mask": torch.ones(1, 2, 1, 4)}, "which tiles of which pictures"),
        ({"cross_attention_mask": torch.ones(1, 6, 2, 4)}, "but 68 are held"),
        ({"cross_attention_states": torch.zeros(1, 5, 32)}, "give one of"),
        ({"pixel_values": None, "aspect_ratio_ids": None, "aspect_ratio_mask": None}, "neither the call nor"),
    ],
)
def test_what_does_not_fit_is_said(both: Any, change: dict[str, Any], says: str) -> None:
    made, ours = both
    given = made(text=f"{IMAGE} a cat", images=CAT, return_tensors="pt")
    length = given["input_ids"].shape[1]
    if change.get("cross_attention_mask") is not None and change["cross_attention_mask"].shape[1] == 6:
        change = {"cross_attention_mask": torch.ones(1, length, 2, 4)}
    with pytest.raises(ValueError, match=says):
        ours(**{**given, **change})


def test_processors_refuse_what_makes_no_tiles(both: Any) -> None:
    made = both[0]
    with pytest.raises(ValueError, match="which are alike"):
        formers.MllamaImageProcessor(size={"height": 16, "width": 8})([[CAT]])
    with pytest.raises(ValueError, match="do_resize"):
        made(text=f"{IMAGE} a", images=CAT, do_resize=False)
    with pytest.raises(ValueError, match="none is given"):
        made(text=f"{IMAGE} a")
