"""Prompts that show pictures or let sounds be heard, read in parts: what is written stays the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import formers
from formers.models.registry import family_of
from tests.parity.shapes import MORE, SHAPES, inputs_of

KINDS = ["gemma3", "llava", "paligemma", "phi4_multimodal", "qwen2_audio", "qwen2_vl", "qwen3_vl"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_the_same_however_a_prompt_is_read(kind: str) -> None:
    torch.manual_seed(0)
    shapes: dict[str, Any] = {**SHAPES[kind], **MORE.get(kind, {})}
    config = family_of(kind).config(**next(iter(shapes.values())))
    model = formers.AutoModelForMultimodalLM.from_config(config).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    inputs = inputs_of(model)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    read = list[int]()
    model.get_input_embeddings().register_forward_hook(lambda *call: read.append(call[1][0].shape[-1]))
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    whole = model.generate(**inputs, **settings)
    once = len(read)
    for chunk in (1, 3, 8):
        assert torch.equal(model.generate(**inputs, **settings, prefill_chunk_size=chunk), whole), chunk
    if kind != "paligemma":  # whose prompts see all of themselves
        assert len(read) > 4 * once


@pytest.mark.parametrize("kind", ["idefics3", "gemma3", "llava_next", "qwen3_vl"])
def test_what_was_seen_before_is_read_in_parts_too(kind: str) -> None:
    torch.manual_seed(0)
    shapes: dict[str, Any] = {**SHAPES[kind], **MORE.get(kind, {})}
    config = family_of(kind).config(**next(iter(shapes.values())))
    model = formers.AutoModelForMultimodalLM.from_config(config).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    inputs = inputs_of(model)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    settings = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    whole = model.generate(**inputs, **settings)
    of_text = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
    shown = {name: value for name, value in inputs.items() if name not in of_text and "video" not in name}
    with torch.no_grad():
        before = model.get_image_features(**shown)
    beside = {name: value for name, value in inputs.items() if name in of_text or "grid" in name}
    if any("video" in name for name in inputs):  # films are read again
        beside |= {name: value for name, value in inputs.items() if "video" in name}
    for chunk in (None, 1, 4):
        told = {**beside, "mm_encoder_outputs": {"image": before}, "prefill_chunk_size": chunk}
        assert torch.equal(model.generate(**told, **settings), whole), chunk
    if kind == "idefics3":  # as older code hands it in
        rows = torch.cat(tuple(before.pooler_output))
        assert torch.equal(model.generate(**beside, mm_encoder_outputs=rows, **settings), whole)
        assert torch.equal(
            model.generate(**beside, mm_encoder_outputs=rows, prefill_chunk_size=2, **settings), whole
        )


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ([1], "is a dictionary such as"),
        ({"images": None}, "its keys are among image, video, audio, not 'images'"),
        ({"image": torch.zeros(2, 3)}, "a record with a pooler_output; 'image' is Tensor"),
    ],
)
def test_what_is_no_record_of_pictures_is_told(seen: Any, says: str) -> None:
    config = family_of("llava").config(**next(iter(SHAPES["llava"].values())))
    model = formers.AutoModelForMultimodalLM.from_config(config).eval()
    with pytest.raises((TypeError, ValueError), match=says):
        model(torch.tensor([[3, 4]]), mm_encoder_outputs=seen)


def test_pictures_are_seen_once_where_a_prompt_is_read_in_parts() -> None:
    config = family_of("llava").config(**next(iter(SHAPES["llava"].values())))
    model = formers.AutoModelForMultimodalLM.from_config(config).eval()
    seen = list[int]()
    model.model.vision_tower.register_forward_hook(lambda *call: seen.append(1))
    inputs = inputs_of(model)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    model.generate(**inputs, max_new_tokens=2, prefill_chunk_size=2, pad_token_id=0)
    assert len(seen) == 1  # all rows show theirs at the same place


@pytest.mark.parametrize("given", [{"max_new_tokens": 3}, {"max_new_tokens": 3, "use_cache": False}])
def test_vectors_in_place_of_tokens_are_gone_on_with(given: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = family_of("llava").config(**next(iter(SHAPES["llava"].values())))
    model = formers.AutoModelForMultimodalLM.from_config(config).eval()
    inputs = inputs_of(model)
    ids, inputs["attention_mask"] = inputs.pop("input_ids"), torch.ones_like(inputs["attention_mask"])
    vectors = model.get_input_embeddings()(ids)
    found = model.generate(inputs_embeds=vectors, **inputs, **given, pad_token_id=0, eos_token_id=None)
    expected = model.generate(input_ids=ids, **inputs, **given, pad_token_id=0, eos_token_id=None)
    assert torch.equal(found, expected[:, ids.shape[1] :])
