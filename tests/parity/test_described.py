"""BLIP: captions, answers and matches token for token, its processor, and the pipelines of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.shapes import SHAPES
from tests.parity.test_captions import WORDS, words

GIVEN = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 18), (16, 16))]


def both(name: str, folder: Path) -> tuple[Any, Any]:
    """The reference's model with logits far apart, and ours; the folder has a processor too."""
    torch.manual_seed(0)
    shape = SHAPES["blip"]["plain"]
    text = {**shape["text_config"], "vocab_size": len(WORDS), "sep_token_id": 2, "tie_word_embeddings": False}
    config = transformers.BlipConfig(**{**shape, "text_config": text, "tie_word_embeddings": False})
    theirs = getattr(transformers, name)(config).eval()
    if hasattr(theirs, "text_decoder"):
        table = theirs.text_decoder.get_output_embeddings()
        table.weight = torch.nn.Parameter(torch.randn_like(table.weight) * 2)
    theirs.save_pretrained(folder)
    size = {"height": 12, "width": 12}
    images = transformers.models.blip.image_processing_pil_blip.BlipImageProcessorPil(size=size)
    transformers.BlipProcessor(images, words(folder)).save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


@torch.no_grad()
def test_captions_are_the_references_token_for_token(tmp_path: Path) -> None:
    theirs, ours = both("BlipForConditionalGeneration", tmp_path)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(processor) is formers.BlipProcessor
    seen = processor(images=GIVEN, return_tensors="pt")
    said = processor(images=GIVEN, text=["w3 w4", "w5 w6", "w7 w8"], return_tensors="pt")
    for inputs in (seen, said):
        for options in ({}, {"num_beams": 3}):
            asked = {"max_new_tokens": 7, "do_sample": False, **options}
            found = ours.generate(**inputs, **asked)
            assert found.tolist() == theirs.generate(**{**inputs}, **asked).tolist()
            one = {name: value[1:2] for name, value in inputs.items()}
            alone = ours.generate(**one, **asked)[0]
            assert alone.tolist() == found[1][: len(alone)].tolist()
    pipe = formers.pipeline("image-to-text", model=str(tmp_path))
    texts = processor.batch_decode(ours.generate(**seen, max_new_tokens=7), skip_special_tokens=True)
    assert [one[0]["generated_text"] for one in pipe(GIVEN, max_new_tokens=7)] == texts
    first = {name: value[:1] for name, value in said.items()}
    gone_on = processor.decode(ours.generate(**first, max_new_tokens=5)[0], skip_special_tokens=True)
    assert pipe(GIVEN[0], prompt="w3 w4", max_new_tokens=5) == [{"generated_text": gone_on}]
    with pytest.raises(ValueError, match="tokens of a text for each of 3 pictures"):
        ours.generate(seen["pixel_values"], input_ids=said["input_ids"][:2])
    with pytest.raises(ValueError, match="looks at pictures: pass pixel_values"):
        ours.generate(input_ids=said["input_ids"])
    with pytest.raises(ValueError, match="reads texts beside pictures: pass input_ids"):
        ours(**seen)


@torch.no_grad()
def test_answers_are_the_references_token_for_token(tmp_path: Path) -> None:
    theirs, ours = both("BlipForQuestionAnswering", tmp_path)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(GIVEN, ["w3 w4 w5", "w6 w7 w8", "w9 w1 w2"], return_tensors="pt")
    asked = {"max_new_tokens": 6}
    found = ours.generate(**inputs, **asked)
    assert found.tolist() == theirs.generate(**inputs, **asked).tolist()
    padded = processor(GIVEN[:2], ["w3 w4 w5", "w6"], padding=True, return_tensors="pt")
    short = processor(GIVEN[1], "w6", return_tensors="pt")
    alone, together = ours.generate(**short, **asked)[0], ours.generate(**padded, **asked)[1]
    assert alone.tolist() == together[: len(alone)].tolist()
    pipe = formers.pipeline("vqa", model=str(tmp_path))
    expected = [{"answer": processor.decode(found[0], skip_special_tokens=True).strip()}]
    assert pipe(GIVEN[0], "w3 w4 w5", **asked) == expected
    assert type(formers.pipeline(model=str(tmp_path), image_processor=str(tmp_path))) is type(pipe)
    with pytest.raises(ValueError, match="writes its answers: leave top_k out"):
        pipe(GIVEN[0], "w3", top_k=3)
    with pytest.raises(ValueError, match="give decoder_input_ids or labels"):
        ours(**inputs)


@torch.no_grad()
def test_texts_and_pictures_are_matched_as_the_reference_matches_them(tmp_path: Path) -> None:
    theirs, ours = both("BlipForImageTextRetrieval", tmp_path)
    processor = formers.AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(GIVEN, ["w3 w4 w5", "w6 w7 w8", "w9 w1 w2"], return_tensors="pt")
    for looks, shape in ((True, (3, 2)), (False, (3, 3))):
        expected, found = (one(**inputs, use_itm_head=looks).itm_score for one in (theirs, ours))
        assert found.shape == shape
        assert torch.allclose(found, expected, atol=1e-5)
    theirs, ours = both("BlipModel", tmp_path)
    expected, found = (one.get_multimodal_features(**inputs) for one in (theirs, ours))
    assert torch.allclose(found, expected, atol=1e-5)


def test_models_that_cannot_be_joined_are_refused() -> None:
    text = SHAPES["blip"]["plain"]["text_config"]
    narrow = {**SHAPES["blip"]["plain"]["vision_config"], "hidden_size": 16}
    with pytest.raises(ValueError, match="both models have one hidden_size"):
        formers.BlipForQuestionAnswering(formers.BlipConfig(text_config=text, vision_config=narrow))
    deaf = formers.BlipConfig(text_config={**text, "is_decoder": False}, vision_config=narrow)
    with pytest.raises(ValueError, match="without cross attention"):
        formers.BlipForConditionalGeneration(deaf)


@torch.no_grad()
def test_two_models_that_were_trained_apart_are_compared(tmp_path: Path) -> None:
    """As the documentation has it: two checkpoints, a processor, and the pair saved and loaded again."""
    pair = SHAPES["vision-text-dual-encoder"]["ViT and BERT"]
    torch.manual_seed(0)
    vision = transformers.ViTModel(transformers.ViTConfig(**{**pair["vision_config"], "num_channels": 3}))
    text = transformers.BertModel(
        transformers.BertConfig(**{**pair["text_config"], "vocab_size": len(WORDS)})
    )
    vision.save_pretrained(tmp_path / "vit")
    text.save_pretrained(tmp_path / "bert")
    ours = formers.VisionTextDualEncoderModel.from_vision_text_pretrained(
        tmp_path / "vit", tmp_path / "bert", projection_dim=12
    )
    images = formers.ViTImageProcessor(size={"height": 12, "width": 12})
    words(tmp_path / "pair")
    tokenizer = formers.AutoTokenizer.from_pretrained(tmp_path / "pair")
    formers.VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(tmp_path / "pair")
    ours.save_pretrained(tmp_path / "pair")
    inputs = formers.AutoProcessor.from_pretrained(tmp_path / "pair")(
        text=["w3 w4", "w5"], images=GIVEN, return_tensors="pt", padding=True
    )
    theirs = transformers.VisionTextDualEncoderModel.from_pretrained(tmp_path / "pair").eval()
    expected, found = (one(**inputs, return_loss=False).logits_per_image for one in (theirs, ours))
    assert found.shape == (3, 2)
    assert torch.allclose(found, expected, atol=1e-5)
    parts = {"vision_model": ours.vision_model, "text_model": ours.text_model}
    again = formers.VisionTextDualEncoderModel.from_vision_text_pretrained(**parts)
    assert again.config.projection_dim == 512
    assert again.vision_model is ours.vision_model
    assert formers.VisionTextDualEncoderModel(**parts).text_model is ours.text_model
    with pytest.raises(ValueError, match="give text_model_name_or_path, or text_model"):
        formers.VisionTextDualEncoderModel.from_vision_text_pretrained(tmp_path / "vit")
    with pytest.raises(ValueError, match="takes a config, or a vision_model and a text_model"):
        formers.VisionTextDualEncoderModel(vision_model=ours.vision_model)


@torch.no_grad()
def test_the_image_tower_of_a_pair_is_taken(tmp_path: Path) -> None:
    config = formers.CLIPConfig(
        text_config={
            **SHAPES["vision-text-dual-encoder"]["ViT and BERT"]["text_config"],
            "model_type": "clip",
        },
        vision_config=SHAPES["blip"]["plain"]["vision_config"],
    )
    clip = formers.CLIPModel(config).eval()
    clip.save_pretrained(tmp_path)
    ours = formers.VisionTextDualEncoderModel.from_vision_text_pretrained(
        tmp_path, text_model=clip.text_model
    )
    pixels = torch.randn(1, 3, 12, 12)
    found, expected = (one(pixels).pooler_output for one in (ours.vision_model, clip.vision_model))
    assert torch.equal(found, expected)
