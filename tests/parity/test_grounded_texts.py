"""KOSMOS-2: captions token for token, its processor call by call, boxes of phrases, and its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import formers
from parity.pictures import colours
from tests.parity.shapes import SHAPES

SHAPE = SHAPES["kosmos-2"]["plain"]
GIVEN = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 18))]
TEXTS = ["<grounding> a cat and<phrase> the dog</phrase> sit.", "hello"]
WRITTEN = (
    "<s><image></image> <grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044>"
    "<patch_index_0863></object> by<phrase> a fire </phrase><object><patch_index_0005><patch_index_0911>"
    "</delimiter_of_multi_objects/><patch_index_0033><patch_index_0035></object> and <object>"
    "<patch_index_0001><patch_index_0033></object> ."
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a model of the reference whose logits lie far apart and its processor; and the model."""
    folder = tmp_path_factory.mktemp("kosmos2")
    letters = [*(f"<i{i}>" for i in range(3)), "▁", *"abcdefghijklmnopqrstuvwxyz.A"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters]
    backend = Tokenizer(models.Unigram([(word, -i / 10) for i, word in enumerate(words)], unk_id=3))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), words, strict=False)),
    )
    kind = transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil
    images = kind(size={"shortest_edge": 12}, crop_size={"height": 12, "width": 12})
    transformers.Kosmos2Processor(images, tokenizer, 16).save_pretrained(folder)
    torch.manual_seed(0)
    told = {**SHAPE, "text_config": {**SHAPE["text_config"], "vocab_size": len(tokenizer)}}
    model = transformers.Kosmos2ForConditionalGeneration(transformers.Kosmos2Config(**told)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.3)
    model.save_pretrained(folder)
    return folder, model


@torch.no_grad()
def test_captions_are_the_references_token_for_token(saved: tuple[Path, Any]) -> None:
    folder, theirs = saved
    ours = formers.AutoModelForImageTextToText.from_pretrained(folder)
    processor = formers.AutoProcessor.from_pretrained(folder)
    assert type(processor) is formers.Kosmos2Processor
    inputs = processor(GIVEN[0], TEXTS[0], num_image_tokens=3, return_tensors="pt")
    for options in ({}, {"num_beams": 3}):
        asked = {"max_new_tokens": 9, "do_sample": False, **options}
        found = ours.generate(**inputs, **asked)
        assert found.tolist() == theirs.generate(**inputs, **asked).tolist()
    assert found.shape[1] > inputs["input_ids"].shape[1]
    both = processor(GIVEN, TEXTS, num_image_tokens=3, padding=True, padding_side="left", return_tensors="pt")
    alone = ours.generate(**processor(GIVEN[1], TEXTS[1], num_image_tokens=3, return_tensors="pt"), **asked)
    written = alone[0, 5 + len(TEXTS[1]) :]  # of which the last are written anew
    assert ours.generate(**both, **asked)[1].tolist()[-len(written) :] == written.tolist()
    rows = ours.get_image_features(inputs["pixel_values"]).pooler_output
    rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
    assert torch.equal(ours.generate(**rest, image_embeds=rows, **asked), found)
    with pytest.raises(ValueError, match="looks at pictures: pass pixel_values"):
        ours(**rest)
    with pytest.raises(ValueError, match="must know where pictures stand"):
        ours(pixel_values=inputs["pixel_values"], input_ids=inputs["input_ids"])
    inputs["image_embeds_position_mask"][0, 2] = 0
    with pytest.raises(ValueError, match=r"marks \[2\] places"):
        ours(**inputs)


def test_calls_of_the_processor_are_the_references(saved: tuple[Path, Any], tmp_path: Path) -> None:
    theirs = transformers.Kosmos2Processor.from_pretrained(saved[0])
    formers.Kosmos2Processor.from_pretrained(saved[0]).save_pretrained(tmp_path)
    ours = formers.Kosmos2Processor.from_pretrained(tmp_path)
    both, one, pt = {"images": GIVEN, "text": TEXTS}, {"images": GIVEN[0], "text": TEXTS[0]}, "pt"
    for call in (
        {"text": TEXTS[0]},
        {"images": GIVEN[0], "return_tensors": pt},
        {**one, "bboxes": [(0.1, 0.2, 0.5, 0.9)]},
        {**one, "bboxes": [[(1, 7), (3, 15)]], "add_eos_token": True, "return_tensors": pt},
        {**one, "num_image_tokens": 5, "first_image_token_id": 9, "add_special_tokens": False},
        {**both, "bboxes": [[None], None], "padding": True, "return_tensors": pt},
        {**both, "padding": "max_length", "max_length": 120, "return_tensors": pt},
        {"text": TEXTS, "bboxes": [[(0, 5)], []], "padding": True, "return_tensors": pt},
    ):
        expected, found = theirs(**call), ours(**call)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert np.allclose(np.asarray(found[name]), np.asarray(value), atol=1e-4), name
    ids = theirs(**one, return_tensors=pt)["input_ids"]
    assert ours.post_process_image_text_to_text(ids) == theirs.post_process_image_text_to_text(ids)
    assert ours.model_input_names == theirs.model_input_names
    for boxes, why in (
        ([], None),
        ([(0.5, 0.2, 0.1, 0.9)], "has no place in the picture"),
        ([(3, 16)], "they are 0 to 15"),
        ([None, None], "1 phrases .* boxes for 2"),
        ([[1, 2]], "1 is no box"),
    ):
        if why is not None:
            with pytest.raises(ValueError, match=why):
                ours(**one, bboxes=boxes)
    with pytest.raises(ValueError, match="2 pictures and 1 texts"):
        ours(GIVEN, TEXTS[:1])


def test_what_was_written_is_taken_apart_as_the_reference_does(saved: tuple[Path, Any]) -> None:
    theirs, ours = (lib.Kosmos2Processor.from_pretrained(saved[0]) for lib in (transformers, formers))
    ours = formers.Kosmos2Processor(ours.image_processor, ours.tokenizer)  # of 1024 patches
    assert ours.post_process_generation(WRITTEN) == theirs.post_process_generation(WRITTEN)
    assert ours.post_process_generation(WRITTEN, False) == theirs.post_process_generation(WRITTEN, False)


def test_pipelines_put_a_picture_before_a_prompt(saved: tuple[Path, Any]) -> None:
    folder = saved[0]
    processor = formers.AutoProcessor.from_pretrained(folder)
    model = formers.Kosmos2ForConditionalGeneration.from_pretrained(folder)
    inputs = processor(GIVEN[0], "hello", num_image_tokens=3, return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0]
    asked = {"max_new_tokens": 6, "do_sample": False}
    answer = formers.pipeline("image-to-text", model=str(folder))(GIVEN[0], prompt="hello", **asked)[0]
    assert answer["generated_text"] == processor.tokenizer.decode(ids, skip_special_tokens=True)
    talks = formers.pipeline("image-text-to-text", model=model, processor=processor)
    answers = talks(images=GIVEN, text=["hello", "hi"], batch_size=2, **asked)
    new = processor.tokenizer.decode(ids[inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answers[0]["generated_text"].removeprefix("hello").strip() == new.strip()
    assert answers[1]["generated_text"].startswith("hi")
