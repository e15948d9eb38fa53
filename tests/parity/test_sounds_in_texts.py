"""Models that hear sounds in texts: processors, chats, greedy answers, batches, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import formers

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
ONE, TWO = (np.random.default_rng(seed).normal(0, 0.1, size) for seed, size in ((1, 9000), (2, 16000)))
CHAT = [
    {"role": "user", "content": [{"type": "audio", "audio": ONE}, {"type": "text", "text": "what is it"}]},
    {"role": "assistant", "content": "a dog"},
    {"role": "user", "content": [{"type": "audio", "audio": TWO}, {"type": "text", "text": "and this"}]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2-Audio of the reference with its processor."""
    home = tmp_path_factory.mktemp("qwen2_audio")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=MARKS)
    made.train_from_iterator(["what is it? a cat and a dog are in the room, user assistant system"], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=MARKS[2], pad_token=MARKS[0], padding_side="left"
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    transformers.Qwen2AudioProcessor(extractor, tokenizer).save_pretrained(home)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    heard = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 24}
    torch.manual_seed(0)
    config = transformers.Qwen2AudioConfig(
        text_config={
            **{"model_type": "qwen2", **small, "num_key_value_heads": 1, "vocab_size": 320},
            **{"initializer_range": 0.4, "eos_token_id": 2, "pad_token_id": 0, "bos_token_id": None},
        },
        audio_config={
            **{"model_type": "qwen2_audio_encoder", **heard, "num_mel_bins": 8, "max_source_positions": 50},
            "initializer_range": 0.3,
        },
        audio_token_index=3,
    )
    transformers.Qwen2AudioForConditionalGeneration(config).save_pretrained(home)
    return home


def test_texts_with_sounds_become_what_the_reference_makes_of_them(folder: Path, tmp_path: Path) -> None:
    theirs, ours = (one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))
    assert type(ours) is formers.Qwen2AudioProcessor
    ours.save_pretrained(tmp_path)
    assert ours.to_dict() == formers.AutoProcessor.from_pretrained(tmp_path).to_dict()
    again = transformers.AutoProcessor.from_pretrained(tmp_path)
    chats = [CHAT[:1], CHAT]
    assert ours.apply_chat_template(chats, add_generation_prompt=True) == theirs.apply_chat_template(
        chats, add_generation_prompt=True
    )
    texts = ours.apply_chat_template(chats, add_generation_prompt=True)
    given = {"audio": [ONE, ONE, TWO], "sampling_rate": 16000, "padding": True, "return_tensors": "pt"}
    found = ours(text=texts, **given)
    for one in (theirs, again):
        expected = one(text=texts, **given)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.allclose(found[name].double(), value.double(), atol=1e-4), name
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    found, expected = (one.apply_chat_template([CHAT], **options) for one in (ours, theirs))
    assert torch.equal(found["input_ids"], expected["input_ids"])
    assert torch.allclose(found["input_features"], expected["input_features"], atol=1e-4)
    plain = [one(text="a cat")["input_ids"] for one in (ours, theirs)]
    assert np.array_equal(np.asarray(plain[0]).ravel(), np.asarray(plain[1]).ravel())


def test_greedy_answers_are_the_references_and_batches_give_what_single_calls_give(folder: Path) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    ours = formers.AutoModelForMultimodalLM.from_pretrained(folder)
    theirs = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    options: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    batch = processor.apply_chat_template(
        [CHAT[:1], CHAT], add_generation_prompt=True, processor_kwargs={"padding": True}, **options
    )
    written = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    found = ours.generate(**batch, **written)
    assert torch.equal(found, theirs.generate(**batch, **written))
    for row, chat in enumerate((CHAT[:1], CHAT)):
        single = processor.apply_chat_template([chat], add_generation_prompt=True, **options)
        assert torch.equal(ours.generate(**single, **written)[0, -8:], found[row, -8:])
    single = processor.apply_chat_template([CHAT[:1]], add_generation_prompt=True, **options)
    sampled = ours.generate(**single, max_new_tokens=4, num_beams=3, eos_token_id=None)
    assert torch.equal(sampled, theirs.generate(**single, max_new_tokens=4, num_beams=3, eos_token_id=None))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": "what is it", "audio": ONE}, "0 sounds are heard in the texts"),
        ({"text": "<|AUDIO|> what"}, "1 sounds are heard in the texts, by <|AUDIO|>, but 0 are given"),
        ({"text": ["<|AUDIO|>", "<|AUDIO|>"], "audio": [ONE]}, "2 sounds are heard"),
        ({"text": "<|AUDIO|>", "audio": ONE, "truncation": True, "max_length": 5}, "truncation left 5"),
        ({"text": 3, "audio": ONE}, "text is one text or a list of texts"),
        ({}, "needs text="),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, given: dict[str, Any], says: str) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    with pytest.raises((TypeError, ValueError), match=says):
        processor(**given, **({"sampling_rate": 16000} if "audio" in given else {}))


def test_tokens_that_no_sound_fills_are_refused(folder: Path) -> None:
    model = formers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    processor = formers.AutoProcessor.from_pretrained(folder)
    inputs = processor(text="<|AUDIO|>", audio=ONE, sampling_rate=16000, return_tensors="pt")
    cut = {**inputs, **{name: inputs[name][:, 1:] for name in ("input_ids", "attention_mask")}}
    with pytest.raises(ValueError, match="13 sound tokens .id 3., but the sounds fill 14"):
        model(**cut)
    with pytest.raises(ValueError, match="feature_attention_mask must have shape"):
        model(**{**inputs, "feature_attention_mask": torch.ones(1, 3)})


def test_the_pipeline_answers_texts_and_chats_as_the_reference_does(folder: Path, tmp_path: Path) -> None:
    theirs = transformers.pipeline("any-to-any", model=str(folder))
    ours = formers.pipeline("any-to-any", model=folder)
    assert type(formers.pipeline(model=folder)) is formers.AnyToAnyPipeline
    options = {"generate_kwargs": {"do_sample": False, "eos_token_id": None, "max_new_tokens": 5}}
    assert ours(text=CHAT, **options) == theirs(text=CHAT, **options)
    chats = [CHAT[:1], CHAT]
    assert ours(chats, return_full_text=False, **options) == theirs(chats, return_full_text=False, **options)
    found = ours(text="<|AUDIO|> what", audio=ONE, **options)
    assert found == ours({"text": "<|AUDIO|> what", "audio": ONE}, **options)
    assert found == ours(text=["<|AUDIO|> what", "it is"], audio=[ONE, None], **options)[:1]
    with pytest.raises(ValueError, match="writes texts alone"):
        ours(text="it", generation_mode="image")
    with pytest.raises(ValueError, match="leave audio out"):
        ours(text=CHAT, audio=ONE)
