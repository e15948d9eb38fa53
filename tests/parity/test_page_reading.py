"""Pages that GOT-OCR 2 reads out: prompts, what is written, the task, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

import formers
from parity.pictures import colours

TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT |= {"vocab_size": 270, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "num_key_value_heads": 2}
PAGE, WIDE = colours(40, 50), colours(20, 90)
PLAIN = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
CALLS: list[dict[str, Any]] = [
    {"images": PAGE},
    {"images": [PAGE, WIDE], "format": True, "padding": True},
    # the reference takes shares of a page's height for its width, and the other way round
    {"images": PAGE[:40, :40], "box": [5, 10, 25, 40], "color": "green"},
    {"images": [PAGE, WIDE], "multi_page": True, "format": True},
    {"images": WIDE, "crop_to_patches": True, "max_patches": 3},
    {"images": PAGE, "text": "<img><imgpad></img> a"},
    {"images": PAGE, "images_kwargs": {"color": "red"}, "text_kwargs": {"format": True}},
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reference's processor and model, and a checkpoint of both."""
    home = tmp_path_factory.mktemp("got")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "</s>", "<pad>", "<imgpad>", "<img>", "</img>", "<|im_start|>", "<|im_end|>"]
    made = Tokenizer(models.BPE({token: i for i, token in enumerate([*special, *alphabet])}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(special)
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        **{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "padding_side": "left"},
    )
    images = GotOcr2ImageProcessorPil(size={"height": 128, "width": 128})
    theirs = transformers.GotOcr2Processor(images, words)
    theirs.save_pretrained(home)
    vision = {"hidden_size": 8, "output_channels": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 128, "patch_size": 2, "mlp_dim": 8, "window_size": 8, "global_attn_indexes": []}
    vision |= {"initializer_range": 0.5}
    torch.manual_seed(0)
    config = transformers.GotOcr2Config(
        text_config={**TEXT, "model_type": "qwen2", "initializer_range": 0.4},
        vision_config=vision,
        image_token_index=3,
    )
    model = transformers.GotOcr2ForConditionalGeneration(config).eval()
    model.save_pretrained(home)
    return theirs, model, home


def test_prompts_and_pages_are_the_references(known: Any, tmp_path: Path) -> None:
    theirs, _, home = known
    ours = formers.AutoProcessor.from_pretrained(home)
    assert type(ours) is formers.GotOcr2Processor
    for call in CALLS:
        box = {"box": list(call["box"])} if "box" in call else {}  # which the reference writes over
        found = ours(**call, return_tensors="pt")
        expected = theirs(**{**call, **box}, return_tensors="pt")
        assert set(found) == set(expected), call
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=0)
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "processor_config.json").read_text() == (home / "processor_config.json").read_text()


def test_what_is_read_out_is_the_references(known: Any) -> None:
    theirs, model, home = known
    made = formers.AutoProcessor.from_pretrained(home)
    ours = formers.AutoModelForImageTextToText.from_pretrained(home)
    inputs = made([PAGE, WIDE], return_tensors="pt", padding=True)
    found = ours.generate(**inputs, **PLAIN)
    assert torch.equal(found, model.generate(**inputs, **PLAIN))
    alone = made(WIDE, format=False, return_tensors="pt")
    assert torch.equal(found[1, -6:], ours.generate(**alone, **PLAIN)[0, -6:])
    pipe = formers.pipeline("image-text-to-text", model=str(home))
    prompt = theirs.tokenizer.decode(theirs(PAGE, num_image_tokens=1)["input_ids"][0])
    told = pipe(images=Image.fromarray(PAGE), text=prompt, return_full_text=False, **PLAIN)
    row = model.generate(**theirs(PAGE, return_tensors="pt"), **PLAIN)[0, -6:]
    assert told[0]["generated_text"] == theirs.decode(row, skip_special_tokens=True)


def test_a_box_is_told_in_thousandths_of_width_and_height(known: Any) -> None:
    made = formers.AutoProcessor.from_pretrained(known[2])
    told = made.decode(made(PAGE, box=[5, 10, 25, 40])["input_ids"][0])
    assert "\n[100, 250, 500, 1000] OCR: " in told


def test_what_does_not_fit_is_refused(known: Any) -> None:
    made = formers.AutoProcessor.from_pretrained(known[2])
    for call, said in (
        ({"images": None, "text": "a"}, "pass images="),
        ({"images": [[PAGE], [WIDE]]}, "pass multi_page=True"),
        ({"images": PAGE, "text": "a"}, "show 0 images"),
        ({"images": PAGE, "box": [1, 2]}, "a box is"),
        ({"images": PAGE, "color": ["red", "blue"]}, "2 colors"),
    ):
        with pytest.raises(ValueError, match=said):
            made(**call)
