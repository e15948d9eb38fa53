"""A model that is shown pictures and hears sounds: what is prepared, greedy answers, batches, refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import interpolate

import formers
from tests.parity import joined_shapes

MARKS = ["<|endoftext|>", "<|image|>", "<|audio|>", "<|user|>", "<|end|>", "<|assistant|>"]
RANDOM = np.random.default_rng(1)
ONE, TWO = (RANDOM.normal(0, 0.1, 4000).astype(np.float32) for _ in range(2))
WIDE, HIGH = (Image.fromarray(RANDOM.integers(0, 255, size, np.uint8)) for size in ((20, 44, 3), (16, 12, 3)))
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}"
    "{{ '<|' + part['type'] + '|>' }}{% endif %}{% endfor %}{% endif %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
BOTH = [
    {
        "role": "user",
        "content": [
            {"type": "image", "image": WIDE},
            {"type": "audio", "audio": ONE},
            {"type": "text", "text": "what is it"},
        ],
    }
]
SHOWN = [{"role": "user", "content": [{"type": "image", "image": HIGH}, {"type": "text", "text": "a cat"}]}]
HEARD = [
    {"role": "user", "content": [{"type": "audio", "audio": TWO}, {"type": "text", "text": "and a dog too"}]}
]
WRITTEN = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-4-multimodal of the reference, with the processor of small pictures."""
    home = tmp_path_factory.mktemp("phi4")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=MARKS)
    made.train_from_iterator(["what is it? a cat and a dog are in the room"], trainer)
    tokenizer = formers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=MARKS[4],
        pad_token=MARKS[0],
        padding_side="left",
        extra_special_tokens={"image_token": MARKS[1], "audio_token": MARKS[2]},
    )
    pictures = formers.Phi4MultimodalImageProcessor(size={"height": 16, "width": 16}, patch_size=4)
    sounds = formers.Phi4MultimodalFeatureExtractor()
    formers.Phi4MultimodalProcessor(
        image_processor=pictures, audio_processor=sounds, tokenizer=tokenizer, chat_template=TEMPLATE
    ).save_pretrained(home)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    seen = {**small, "image_size": 16, "patch_size": 4, "crop_size": 16, "image_token_id": 1}
    heard = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 20, "num_blocks": 2}
    heard |= {"ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16, "nemo_conv_channels": 4}
    torch.manual_seed(0)
    config = transformers.Phi4MultimodalConfig(
        **{**small, "num_key_value_heads": 1, "vocab_size": 320, "initializer_range": 0.4},
        **{"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 4, "max_position_embeddings": 256},
        vision_config=seen,
        audio_config={**heard, "audio_token_id": 2, "initializer_range": 0.3},
    )
    transformers.Phi4MultimodalForCausalLM(config).save_pretrained(home)
    return home


def test_sounds_become_what_the_reference_makes_of_them() -> None:
    sounds = [RANDOM.normal(0, 0.1, size).astype(np.float32) for size in (9000, 16000, 12345, 15999)]
    theirs, ours = (one.Phi4MultimodalFeatureExtractor() for one in (transformers, formers))
    for given in (sounds, sounds[:1]):
        expected, found = (one(given, sampling_rate=16000, return_tensors="pt") for one in (theirs, ours))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.allclose(found[name].double(), value.double(), atol=1e-4), name
    with pytest.raises(ValueError, match="a sound of 399 samples is shorter than one frame of 400"):
        ours(sounds[0][:399], sampling_rate=16000)


@pytest.mark.parametrize(("frames", "real"), [(40, None), (40, [40, 19]), (2001, [2001])])
def test_sounds_are_heard_as_the_reference_hears_them(frames: int, real: list[int] | None) -> None:
    """Of more than 500 rows it can hear one alone."""
    there = transformers.models.phi4_multimodal
    config = joined_shapes.WITHIN["phi4_multimodal_audio"]
    torch.manual_seed(0)
    theirs = there.Phi4MultimodalAudioModel(there.Phi4MultimodalAudioConfig(**config)).eval()
    for value in theirs.parameters():
        torch.nn.init.normal_(value, std=0.3)
    theirs.encoder_embedding.global_mean.normal_()
    ours = formers.Phi4MultimodalAudioModel(formers.Phi4MultimodalAudioConfig(**config)).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2 if real is None else len(real), frames, config["input_size"])
    mask = None if real is None else torch.arange(frames) < torch.tensor(real)[:, None]
    with torch.no_grad():
        assert torch.allclose(ours(x, mask), theirs(x, mask), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "most", "grid", "filled"),
    [
        ((20, 44), 36, (2, 3), (21, 48)),  # as many crops as fill it
        ((40, 10), 36, (3, 1), (48, 12)),
        ((90, 30), 3, (3, 1), (48, 16)),  # the nearest form of few
        ((16, 16), 36, (1, 1), (16, 16)),
    ],
)
def test_pictures_become_crops_of_a_canvas_and_the_whole_of_it(
    size: tuple[int, int], most: int, grid: tuple[int, int], filled: tuple[int, int]
) -> None:
    pixels = RANDOM.integers(0, 255, (*size, 3), np.uint8)
    ours = formers.Phi4MultimodalImageProcessor(size={"height": 16, "width": 16}, patch_size=4)
    found = ours([Image.fromarray(pixels), HIGH], dynamic_hd=most, return_tensors="pt")
    rows = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    room = torch.full((1, 3, grid[0] * 16, grid[1] * 16), 255.0)
    drawn = interpolate(rows, filled, mode="bilinear", antialias=True) if filled != size else rows
    room[:, :, : filled[0], : filled[1]] = drawn
    room = (room / 255 - 0.5) / 0.5
    whole = interpolate(room, (16, 16), mode="bicubic", align_corners=False)
    count = grid[0] * grid[1]
    crops = [room[0, :, i * 16 : i * 16 + 16, j * 16 : j * 16 + 16] for i, j in np.ndindex(grid)]
    assert found["image_sizes"].tolist() == [[grid[0] * 16, grid[1] * 16], [16, 16]]
    assert torch.allclose(
        found["image_pixel_values"][0, : 1 + count], torch.stack([whole[0], *crops]), atol=1e-4
    )
    assert not found["image_pixel_values"][1, 2:].any()
    mask = torch.ones(grid[0] * 4, grid[1] * 4)
    mask[-(-filled[0] // 4) :], mask[:, -(-filled[1] // 4) :] = 0, 0
    parts = [mask[i * 4 : i * 4 + 4, j * 4 : j * 4 + 4] for i, j in np.ndindex(grid)]
    assert torch.equal(found["image_attention_mask"][0, : 1 + count], torch.stack([torch.ones(4, 4), *parts]))
    down, across = (int(one) for one in (mask[::2, 0].sum(), mask[0, ::2].sum()))
    assert int(found["num_img_tokens"][0]) == down * (across + 1) + 1 + 2 * 3


def test_chats_of_all_kinds_become_inputs_and_files_keep_the_processor(folder: Path, tmp_path: Path) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    assert type(ours) is formers.Phi4MultimodalProcessor
    ours.save_pretrained(tmp_path)
    assert ours.to_dict() == formers.AutoProcessor.from_pretrained(tmp_path).to_dict()
    options: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    found = ours.apply_chat_template([BOTH], add_generation_prompt=True, **options)
    assert "num_img_tokens" not in found
    assert int((found["input_ids"] == 2).sum()) == int(found["audio_embed_sizes"][0]) == 3
    text = ours.apply_chat_template(BOTH, add_generation_prompt=True)
    assert text == "<|user|><|image|><|audio|>what is it<|end|><|assistant|>"
    again = ours(text=text, images=WIDE, audio=ONE, sampling_rate=16000, return_tensors="pt")
    assert all(torch.equal(found[name], again[name]) for name in again)
    assert set(ours(text="a cat")) == {"input_ids", "attention_mask"}


def test_answers_are_the_references_and_left_padded_batches_give_what_single_calls_give(folder: Path) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    ours = formers.AutoModelForCausalLM.from_pretrained(folder)
    assert type(formers.AutoModelForMultimodalLM.from_pretrained(folder)) is type(ours)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    options: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    singles = []
    for chat in (BOTH, SHOWN, HEARD):
        inputs = processor.apply_chat_template([chat], add_generation_prompt=True, **options)
        singles.append(ours.generate(**inputs, **WRITTEN)[0, -6:])
        assert torch.equal(singles[-1], theirs.generate(**inputs, **WRITTEN)[0, -6:])
    batch = processor.apply_chat_template(
        [BOTH, SHOWN, HEARD], add_generation_prompt=True, processor_kwargs={"padding": True}, **options
    )
    assert bool((batch["attention_mask"][:, 0] == 0).any())
    found = ours.generate(**batch, **WRITTEN)
    assert torch.equal(found[:, -6:], torch.stack(singles))
    for more in ({"prefill_chunk_size": 3}, {"num_beams": 2}):
        again = ours.generate(**batch, **{**WRITTEN, **more})
        each = [
            ours.generate(
                **processor.apply_chat_template([chat], add_generation_prompt=True, **options),
                **{**WRITTEN, **more},
            )[0, -6:]
            for chat in (BOTH, SHOWN, HEARD)
        ]
        assert torch.equal(again[:, -6:], torch.stack(each)), more
    streamed = list[int]()

    class Reader(formers.BaseStreamer):
        def put(self, value: Any) -> None:
            streamed.extend(value.flatten().tolist())

        def end(self) -> None: ...

    one = processor.apply_chat_template([BOTH], add_generation_prompt=True, **options)
    ours.generate(**one, **WRITTEN, streamer=Reader())
    assert streamed[-6:] == singles[0].tolist()


def test_pipelines_answer_what_is_shown_and_heard(folder: Path) -> None:
    pipe = formers.pipeline("any-to-any", model=folder)
    assert type(formers.pipeline(model=folder)) is formers.AnyToAnyPipeline
    settings = {"generate_kwargs": {**WRITTEN, "max_new_tokens": 3}, "return_full_text": False}
    chat = pipe(text=BOTH, **settings)[0]["generated_text"]
    words = "<|user|><|image|><|audio|>what is it<|end|><|assistant|>"
    assert pipe(text=words, images=WIDE, audio=ONE, **settings)[0]["generated_text"] == chat
    seen = formers.pipeline("image-text-to-text", model=folder)
    assert (
        seen(text=SHOWN, **settings)[0]["generated_text"] == pipe(text=SHOWN, **settings)[0]["generated_text"]
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": "what is it", "audio": ONE}, "show 0 audios by <|audio|>, but 1 are given"),
        ({"text": "<|audio|> what"}, "the texts show 1 audios by <|audio|>, and none is given"),
        ({"text": "<|image|><|image|>", "images": [WIDE]}, "show 2 images by <|image|>, but 1 are given"),
        ({"text": "<|image|>", "images": WIDE, "truncation": True, "max_length": 5}, "truncation left 5"),
        ({"text": 3, "audio": ONE}, "text is one text or a list of texts"),
        ({"text": "<|image|>", "images": Image.new("RGB", (900, 1))}, "too long and narrow"),
        ({"text": "it", "images": WIDE, "do_resize": False}, "show 0 images"),
        ({}, "needs images=, text= or both"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, given: dict[str, Any], says: str) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    with pytest.raises((TypeError, ValueError), match=re.escape(says)):
        processor(**given, **({"sampling_rate": 16000} if "audio" in given else {}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: {"input_ids": i["input_ids"][:, 2:]}, "image tokens (id 1), but the images fill"),
        (lambda i: {"input_ids": i["input_ids"].masked_fill(i["input_ids"] == 2, 9)}, "0 sound tokens"),
        (lambda i: {"image_sizes": None}, "image_sizes says the height and width"),
        (lambda i: {"image_sizes": i["image_sizes"] * 2}, "crops of 16 x 16"),
        (lambda i: {"image_pixel_values": i["image_pixel_values"][0]}, "[pictures, crops, channels"),
        (lambda i: {"image_attention_mask": torch.ones(1, 2, 4, 4)}, "an entry for every patch"),
        (lambda i: {"image_pixel_values": None}, "pass image_pixel_values too"),
        (lambda i: {"audio_input_features": None}, "pass audio_input_features too"),
        (
            lambda i: {"audio_embed_sizes": torch.tensor([99])},
            "how many tokens each of 1 sounds takes, 1 to 3",
        ),
        (lambda i: {"audio_attention_mask": torch.ones(1, 3)}, "mask must have an entry for every frame"),
        (lambda i: {"audio_projection_mode": "words"}, "'speech' or 'vision'"),
        (lambda i: {"input_ids": None, "inputs_embeds": torch.ones(1, 9, 32)}, "not of inputs_embeds"),
    ],
)
def test_inputs_that_do_not_fit_each_other_are_refused(folder: Path, change: Any, says: str) -> None:
    model = formers.AutoModelForCausalLM.from_pretrained(folder)
    processor = formers.AutoProcessor.from_pretrained(folder)
    text = "<|image|><|audio|> what"
    inputs = dict(processor(text=text, images=WIDE, audio=ONE, sampling_rate=16000, return_tensors="pt"))
    inputs.pop("attention_mask")
    with pytest.raises(ValueError, match=re.escape(says)):
        model(**{**inputs, **change(inputs)})


def test_layers_behind_sounds_are_chosen_by_what_their_own_text_shows(folder: Path) -> None:
    model = formers.AutoModelForCausalLM.from_pretrained(folder)
    processor = formers.AutoProcessor.from_pretrained(folder)
    texts = ["<|image|><|audio|> a", "<|audio|> a cat"]
    given = {"sampling_rate": 16000, "padding": True, "return_tensors": "pt"}
    both = processor(text=texts, images=WIDE, audio=[ONE, TWO], **given)
    alone = processor(text=texts[1], audio=TWO, **given)
    real = both["attention_mask"][1].bool()
    with torch.no_grad():
        found, expected = model(**both).logits[1, real], model(**alone).logits[0]
        told = model(**both, audio_projection_mode="vision").logits[1, real]
        named = model(**alone, audio_projection_mode=["vision"]).logits[0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(told, named, atol=1e-5)
    assert not torch.allclose(told, found, atol=1e-3)
