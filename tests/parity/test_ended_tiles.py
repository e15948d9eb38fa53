"""Pictures in tiles that end in a mark: Command A Vision, its processor, what it writes, the task."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from formers.core.tiles import covering
from tests.parity.test_tiles import CAT, SIGLIP, TALL, TEXT, WIDE, Family, same, tokenizer

IMAGE = "<|IMG_PATCH|>"
WORDS = Family(
    *("Cohere2Vision", {}, {}, {}),
    special={
        **{"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>", "image_token": IMAGE},
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    },
)
PLAIN = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
ASKED = {"text": [f"a {IMAGE} cat", f"{IMAGE}{IMAGE} two"], "images": [[CAT], [WIDE, TALL]]}


class Lent:
    """Our image processor in the reference's processor: its own needs a package that is not here."""

    model_input_names = ("pixel_values",)

    def __init__(self, ours: Any) -> None:
        self.ours, self.patch_size, self.fetch_images = ours, ours.patch_size, lambda images: images

    def __call__(self, images: Any, **options: Any) -> Any:
        options.pop("device", None)
        return self.ours(images, **options)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The reference's processor and model, and a checkpoint."""
    home = tmp_path_factory.mktemp("command")
    words = tokenizer(WORDS)
    words.save_pretrained(home)
    images = formers.Cohere2VisionImageProcessor(
        size={"height": 16, "width": 16}, patch_size=2, max_patches=4
    )
    formers.Cohere2VisionProcessor(images, formers.AutoTokenizer.from_pretrained(home)).save_pretrained(home)
    with pytest.MonkeyPatch.context() as patch:
        name = "check_argument_for_proper_class"
        patch.setattr(transformers.processing_utils.ProcessorMixin, name, lambda *_: None)
        from transformers.models.cohere2_vision.processing_cohere2_vision import Cohere2VisionProcessor

        theirs = Cohere2VisionProcessor(Lent(images), words)
    torch.manual_seed(0)
    config = transformers.Cohere2VisionConfig(
        text_config={**TEXT, "model_type": "cohere2"},
        vision_config=SIGLIP,
        **{"image_token_id": words.convert_tokens_to_ids(IMAGE), "alignment_intermediate_size": 24},
    )
    model = transformers.Cohere2VisionForConditionalGeneration(config).eval()
    model.save_pretrained(home)
    return theirs, model, home


def test_a_picture_lies_in_the_canvas_that_grows_it_least() -> None:
    for high, wide, most in itertools.product((3, 8, 20, 41), (5, 8, 33), (1, 4, 12)):
        down, across = covering((high, wide), (8, 8), most)
        grids = [(d, a) for d in range(1, most + 1) for a in range(1, most + 1) if d * a <= most]
        grows = {(d, a): min(d * 8 / high, a * 8 / wide) for d, a in grids}
        fits = [one for one in grows.values() if one >= 1]
        assert grows[down, across] == (min(fits) if fits else max(grows.values()))
        alike = [d * a for (d, a), one in grows.items() if one == grows[down, across]]
        assert down * across == min(alike)


def test_a_processor_writes_what_the_references_writes(known: Any, tmp_path: Path) -> None:
    theirs, _, home = known
    ours = formers.AutoProcessor.from_pretrained(home)
    assert type(ours) is formers.Cohere2VisionProcessor
    same(ours(**ASKED, return_tensors="pt"), theirs(**ASKED, return_tensors="pt"))
    with pytest.raises(ValueError, match="none is given"):
        ours(text=ASKED["text"])


def test_what_is_written_is_the_references(known: Any) -> None:
    theirs, model, home = known
    ours = formers.AutoModelForImageTextToText.from_pretrained(home)
    made = formers.AutoProcessor.from_pretrained(home)
    found = ours.generate(**made(**ASKED, return_tensors="pt"), **PLAIN)
    assert torch.equal(found, model.generate(**theirs(**ASKED, return_tensors="pt"), **PLAIN))
    for row, text, images in zip(found, ASKED["text"], ASKED["images"], strict=True):
        alone = made(text=text, images=images, return_tensors="pt")
        assert torch.equal(row[-6:], ours.generate(**alone, **PLAIN)[0, -6:])
    told = formers.pipeline(model=str(home))(
        images=CAT, text=ASKED["text"][0], return_full_text=False, **PLAIN
    )
    assert told[0]["generated_text"] == made.decode(found[0, -6:], skip_special_tokens=True)
