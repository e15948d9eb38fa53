"""Pictures that stand in texts as words of their own: the processor, what is written about them, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.chameleon.image_processing_pil_chameleon import ChameleonImageProcessorPil

import formers
from parity.pictures import colours
from tests.parity.vision_shown_shapes import WITHIN, WORDS

CAT, WIDE = Image.fromarray(colours(40, 50)), Image.fromarray(colours(30, 90))
MARKS = {"boi_token": "<racm3:break>", "eoi_token": "<eoss>", "image_token": "<image>"}
NONE: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Chameleon of the reference with its processor."""
    home = tmp_path_factory.mktemp("chameleon")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    first = ["<pad>", "<eos>", "<bos>", "<image>", "<racm3:break>", "<eoss>", "<sep>"]
    words = sorted(set(WORDS) - {"<image>"}, key=lambda name: WORDS[name])
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[*first, "<7>", "<8>", "<9>", *words],
    )
    made.train_from_iterator(["what is in the picture? a cat and a dog are"], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", sep_token="<sep>",
        padding_side="left", extra_special_tokens=MARKS,
    )  # fmt: skip
    assert all(tokenizer.convert_tokens_to_ids(name) == number for name, number in WORDS.items())
    images = ChameleonImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    transformers.ChameleonProcessor(images, tokenizer, image_seq_length=4).save_pretrained(home)
    torch.manual_seed(0)
    config = transformers.ChameleonConfig(
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
        **{"num_key_value_heads": 1, "vocab_size": 340, "initializer_range": 0.4, "pad_token_id": 0},
        vocabulary_map=WORDS,
        vq_config=WITHIN["chameleon_vqgan"],
    )
    transformers.ChameleonForConditionalGeneration(config).save_pretrained(home)
    return home


@pytest.fixture(scope="module")
def processors(folder: Path) -> tuple[Any, Any]:
    """There and here."""
    theirs = transformers.AutoProcessor.from_pretrained(folder)
    theirs.image_processor = ChameleonImageProcessorPil.from_pretrained(folder)
    return theirs, formers.AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Any, Any]:
    """The model, there and here."""
    theirs = transformers.ChameleonForConditionalGeneration.from_pretrained(folder).eval()
    return theirs, formers.AutoModelForImageTextToText.from_pretrained(folder)


@pytest.mark.parametrize(
    "call",
    [
        {"text": "what<image>", "images": CAT},
        {"text": ["<image> what <image>", "is it in <image>"], "images": [CAT, WIDE, CAT]},
        {"text": ["<image> what"], "images": [WIDE], "return_for_text_completion": True},
        {"text": "a cat"},
    ],
    ids=["one", "several", "goes on", "none"],
)
def test_the_processor_gives_what_the_reference_gives(processors: Any, call: dict[str, Any]) -> None:
    theirs, ours = processors
    assert type(ours) is formers.ChameleonProcessor
    found, expected = ours(**call, padding=True), theirs(**call, padding=True)
    assert set(found) == set(expected)
    for name in set(expected):
        assert torch.allclose(found[name].double(), expected[name].double(), atol=1e-5), name
    assert ours.image_token_ids == theirs.image_token_ids


def test_the_processor_writes_what_the_reference_writes(
    folder: Path, processors: Any, tmp_path: Path
) -> None:
    processors[1].save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}], ids=str)
def test_what_is_written_about_pictures_is_the_references_and_each_ones_own(
    processors: Any, pair: Any, more: dict[str, Any]
) -> None:
    theirs, ours = pair
    texts = ["<image> what is it", "a <image> cat and <image>", "what"]
    inputs = processors[0](text=texts, images=[CAT, WIDE, CAT], padding=True)
    found = ours.generate(**inputs, max_new_tokens=6, **NONE, **more)
    assert torch.equal(found, theirs.generate(**inputs, max_new_tokens=6, **NONE, **more))
    alone = processors[1](text=texts[1], images=[WIDE, CAT])
    written = ours.generate(**alone, max_new_tokens=6, **NONE, **more)
    assert torch.equal(written[0, -6:], found[1, -6:])
    parts = ours.generate(**inputs, max_new_tokens=6, prefill_chunk_size=3, **NONE, **more)
    assert torch.equal(parts, found)


def test_the_pipeline_answers_and_writes_no_words_of_pictures(
    folder: Path, processors: Any, pair: Any
) -> None:
    inputs = processors[0](text="<image> what", images=CAT)
    written = pair[0].generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    pipe = formers.pipeline("image-text-to-text", str(folder))
    found = pipe(CAT, text="<image> what", max_new_tokens=8, do_sample=False, return_full_text=False)
    assert found[0]["generated_text"] == processors[0].decode(written, skip_special_tokens=True)
    with torch.no_grad():
        logits = pair[1](**inputs).logits
    assert bool((logits[..., 10:42] == torch.finfo(torch.float32).min).all())


def test_pictures_become_the_codes_and_words_of_the_reference(processors: Any, pair: Any) -> None:
    theirs, ours = pair
    pixels = processors[0](text="<image><image>", images=[CAT, WIDE])["pixel_values"]
    with torch.no_grad():
        words = ours.get_image_tokens(pixels)
        assert torch.equal(words, theirs.get_image_tokens(pixels))
        found, expected = ours.get_image_features(pixels), theirs.get_image_features(pixels)
        for name in expected:
            assert torch.allclose(found[name].double(), expected[name].double(), atol=1e-5), name
        coded, right = ours.model.vqmodel.encode(pixels), theirs.model.vqmodel.encode(pixels)
        assert torch.equal(coded.image_tokens, right.image_tokens)
        prompt = torch.tensor([[2, 3, 3, 3, 3, 50], [2, 3, 3, 3, 3, 51]])
        before = ours(prompt, mm_encoder_outputs={"image": found}).logits
        assert torch.equal(before, ours(prompt, pixel_values=pixels).logits)


def test_what_does_not_fit_is_refused(folder: Path, processors: Any, pair: Any) -> None:
    model, pixels = pair[1], torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="write as many into the text as each fills"):
        model(torch.tensor([[2, 3, 3, 5]]), pixel_values=pixels)
    seen = {"image": model.get_image_features(pixels)}
    with pytest.raises(ValueError, match="give one of pixel_values and mm_encoder_outputs"):
        model(torch.tensor([[3] * 4]), pixel_values=pixels, mm_encoder_outputs=seen)
    with pytest.raises(ValueError, match=r"must have shape \[B, 3, height, width\]"):
        model(torch.tensor([[3] * 4]), pixel_values=pixels[:, :1])
    with pytest.raises(ValueError, match="show 0 images by <image>, but 1 are given"):
        processors[1](text="a cat", images=CAT)
    blind = formers.ChameleonConfig(
        **{**model.config.to_dict(), "vocabulary_map": None, "image_token_id": None}
    )
    with pytest.raises(ValueError, match="names no <image>"):
        formers.ChameleonForConditionalGeneration(blind)(torch.tensor([[3] * 4]), pixel_values=pixels)
    unnamed = formers.AutoTokenizer.from_pretrained(folder)
    unnamed.sep_token = None
    made = formers.ChameleonProcessor(processors[1].image_processor, unnamed, image_seq_length=4)
    with pytest.raises(ValueError, match="has no sep_token"):
        made(text="a cat")
