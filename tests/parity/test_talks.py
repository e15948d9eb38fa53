"""Models that talk about pictures: their processors, chats, the task, and what a cache holds of a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import formers
from formers.jobs.chat import Chat
from parity.pictures import colours
from tests.parity.shapes import inputs_of, write_checkpoint

SPECIAL = ["<s>", "</s>", "<pad>", "<image>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% elif m['role'] == 'assistant' %}"
    "{% generation %}{{ c['text'] }}{% endgeneration %}{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %} {% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
CAT, DOG = (Image.fromarray(colours(*size)) for size in ((40, 50), (60, 45)))
TWO = [
    [{"role": "user", "content": [{"type": "image", "image": CAT}, {"type": "text", "text": "what is it"}]}],
    [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "are these two in the picture"},
                {"type": "image", "image": CAT},
                {"type": "image", "image": DOG},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "a dog"}]},
    ],
]


def tokenizer() -> Any:
    """Pieces of bytes, with tokens for pictures."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, special_tokens=SPECIAL)
    made.train_from_iterator(["what is in the picture? a cat and a dog are"], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of the reference with its processor."""
    return write(tmp_path_factory.mktemp("llava"))


def write(home: Path) -> Path:
    """Write it into a folder."""
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    transformers.LlavaProcessor(
        images, tokenizer(), patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=TEMPLATE,
    ).save_pretrained(home)  # fmt: skip
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    text = {**small, "vocab_size": 300, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    torch.manual_seed(0)
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **text, "initializer_range": 0.4},
        vision_config={"model_type": "clip_vision_model", **small, "image_size": 32, "patch_size": 8},
        image_token_index=3,
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(home)
    return home


def test_llavas_processor_gives_what_the_reference_gives_and_writes_what_it_writes(
    folder: Path, tmp_path: Path
) -> None:
    theirs, ours = (one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))
    assert type(ours) is formers.LlavaProcessor
    ours.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    options["return_assistant_tokens_mask"] = True
    found = ours.apply_chat_template(TWO, padding=True, **options)
    expected = theirs.apply_chat_template(TWO, processor_kwargs={"padding": True}, **options)
    assert set(found) == set(expected)
    for name in set(expected) - {"pixel_values"}:
        assert torch.equal(found[name], torch.as_tensor(expected[name])), name
    assert found["assistant_masks"].sum() > 0
    assert torch.allclose(found.pixel_values, expected["pixel_values"], atol=1e-5)
    assert ours.apply_chat_template(TWO) == theirs.apply_chat_template(TWO)
    assert ours(text="a cat")["input_ids"] == theirs(text="a cat")["input_ids"]


def test_a_processor_is_read_from_files_of_older_releases(folder: Path, tmp_path: Path) -> None:
    ours = formers.LlavaProcessor.from_pretrained(folder)
    ours.tokenizer.chat_template = None
    ours.tokenizer.save_pretrained(tmp_path)
    said = ours.to_dict()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said.pop("image_processor")))
    (tmp_path / "processor_config.json").write_text(json.dumps(said))
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    older = formers.AutoProcessor.from_pretrained(tmp_path)
    assert older.to_dict() == ours.to_dict()
    assert older.apply_chat_template(TWO) == ours.apply_chat_template(TWO)


def test_a_picture_may_be_spelt_in_every_way(folder: Path, tmp_path: Path) -> None:
    import base64

    CAT.save(tmp_path / "cat.png")
    coded = base64.b64encode((tmp_path / "cat.png").read_bytes()).decode()
    path = str(tmp_path / "cat.png")
    ways = [
        *({"type": "image", key: value} for key, value in (("image", CAT), ("path", path), ("url", path))),
        {"type": "image", "base64": coded},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded}"}},
    ]
    ours = formers.AutoProcessor.from_pretrained(folder)
    chats = [[{"role": "user", "content": [way, {"type": "text", "text": "what"}]}] for way in ways]
    found = ours.apply_chat_template(chats, tokenize=True, return_dict=True, return_tensors="pt")
    assert all(torch.equal(one, found.pixel_values[0]) for one in found.pixel_values)
    assert all(torch.equal(one, found.input_ids[0]) for one in found.input_ids)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": "<image> a"}, "show 1 images by <image>, and none is given"),
        ({"text": "a", "images": CAT}, "show 0 images by <image>, but 1 are given"),
        (
            {"text": ["<image>", "<image><image>"], "images": [[CAT, CAT], [CAT]]},
            "text 0 shows 1 images by <image>, but 2 are given for it",
        ),
        ({"text": "<image> a", "images": CAT, "truncation": True, "max_length": 5}, "truncation left 5"),
        ({"text": "<image>", "images": CAT, "videos": [CAT]}, "prepares no films"),
        ({}, "needs images=, text= or both"),
    ],
)
def test_texts_and_pictures_must_agree(folder: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        formers.AutoProcessor.from_pretrained(folder)(**given)


def test_the_task_answers_as_the_references_does(folder: Path) -> None:
    ours, theirs = (one.pipeline("image-text-to-text", model=str(folder)) for one in (formers, transformers))
    assert type(formers.pipeline(model=str(folder))) is type(ours)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((CAT,), {"text": "<image> what is it"}),
        ((), {"text": TWO[0]}),
        ((), {"text": TWO}),
        ((), {"text": TWO[1], "return_full_text": False}),
        ((), {"images": [CAT, DOG], "text": ["<image> a", "<image> what is the picture"]}),
        ((), {"text": "a dog"}),
    ]
    for args, given in calls:
        expected = theirs(*args, **given, max_new_tokens=8, generate_kwargs={"do_sample": False})
        assert ours(*args, **given, max_new_tokens=8) == expected
    assert ours(text=TWO, batch_size=2, max_new_tokens=8) == ours(text=TWO, max_new_tokens=8)
    stream = ours(({"images": CAT, "text": "<image> a"} for _ in range(2)), max_new_tokens=4)
    assert len(list(stream)) == 2
    with pytest.raises(ValueError, match="a chat holds its pictures itself"):
        ours(CAT, text=TWO[0])


def test_a_chat_shows_pictures_and_reads_none_twice(folder: Path, tmp_path: Path) -> None:
    CAT.save(tmp_path / "cat.png")
    DOG.save(tmp_path / "dog.png")
    whole, anew = (
        Chat.load(str(folder), do_sample=False, max_new_tokens=6, use_cache=kept) for kept in (True, False)
    )
    for one in (whole, anew):
        one.show(tmp_path / "cat.png")
    first, second = whole.answer("what is it"), whole.answer("and now")
    assert [first.text, second.text] == [anew.answer(text).text for text in ("what is it", "and now")]
    assert second.read < first.read + 16  # the picture's tokens are not among them
    whole.save(tmp_path / "chat.json")
    whole.restore(tmp_path / "chat.json")
    assert whole.messages[0]["content"][0] == {"type": "image", "path": str(tmp_path / "cat.png")}
    whole.reset()
    anew.reset()
    for one in (whole, anew):  # the same tokens, but another picture
        one.show(tmp_path / "dog.png")
    assert whole.answer("what is it").text == anew.answer("what is it").text != first.text


@pytest.mark.parametrize(
    "options", [{}, {"min_pixels": 3136, "max_pixels": 12544}, {"patch_size": 16, "temporal_patch_size": 1}]
)
def test_pictures_become_the_references_patches(options: dict[str, int]) -> None:
    given = [Image.fromarray(colours(*size)) for size in ((50, 70), (480, 640), (90, 30), (223, 225))]
    found = formers.Qwen2VLImageProcessor(**options)(given, return_tensors="pt")
    expected = Qwen2VLImageProcessorPil(**options)(given, return_tensors="pt")
    assert list(found) == list(expected)
    assert torch.equal(found.image_grid_thw, expected["image_grid_thw"])
    assert torch.allclose(found.pixel_values, expected["pixel_values"], atol=1e-5)
    with pytest.raises(ValueError, match="more than 200 times"):
        formers.Qwen2VLImageProcessor()(Image.new("RGB", (900, 4)))


def test_a_token_stands_for_every_block_of_patches() -> None:
    images = formers.Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12544)
    made = formers.Qwen2VLProcessor(images, tokenizer())
    text = ["a <|image_pad|> dog", "<|image_pad|><|image_pad|>"]
    found = made(text=text, images=[[CAT], [CAT, DOG]], padding=True, return_tensors="pt")
    counts = found.image_grid_thw.prod(1) // 4
    here = found.input_ids == made.image_token_id
    assert here.sum(1).tolist() == [int(counts[0]), int(counts[1] + counts[2])]
    assert torch.equal(found.mm_token_type_ids, here.long())


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def grids(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of pictures of any size, here and there."""
    kind, home = request.param, tmp_path_factory.mktemp(request.param)
    shape = {"qwen2_vl": "pictures and a film", "qwen2_5_vl": "windows", "qwen3_vl": "at two depths"}[kind]
    name = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}[kind]
    theirs = write_checkpoint(kind, shape, f"{name}ForConditionalGeneration", home)
    return theirs, formers.AutoModelForImageTextToText.from_pretrained(home)


def test_what_is_written_about_pictures_is_the_references(grids: Any) -> None:
    theirs, ours = grids
    inputs = inputs_of(ours, sided="left")
    for more in ({}, {"num_beams": 2}):
        options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, **more}
        found = ours.generate(**inputs, **options)
        assert torch.equal(found, theirs.generate(**inputs, **options))
        assert torch.equal(found, ours.generate(**inputs, **options, use_cache=False))


def test_a_second_question_reads_no_picture_again(grids: Any) -> None:
    _, ours = grids
    whole = inputs_of(ours)
    inputs = {
        "input_ids": whole["input_ids"][:1],
        "pixel_values": whole["pixel_values"][:24],
        "image_grid_thw": whole["image_grid_thw"][:1],
    }
    cache, seen = formers.DynamicCache(), []
    ours.generate(**inputs, max_new_tokens=1, past_key_values=cache, eos_token_id=None)
    cache.crop(9)
    inputs["input_ids"] = torch.cat((inputs["input_ids"][:, :9], torch.tensor([[7, 8]])), 1)
    expected = ours.generate(**inputs, max_new_tokens=5, eos_token_id=None)
    handle = ours.model.visual.register_forward_hook(lambda *_: seen.append(1))
    found = ours.generate(**inputs, max_new_tokens=5, past_key_values=cache, eos_token_id=None)
    handle.remove()
    assert torch.equal(found, expected)
    assert not seen
    cache.crop(3)
    with pytest.raises(ValueError, match="crop it before that"):
        ours.generate(**inputs, max_new_tokens=5, past_key_values=cache)


def test_pictures_are_seen_in_rows_that_are_packed(grids: Any) -> None:
    theirs, ours = grids
    inputs = inputs_of(ours)
    with torch.no_grad():
        found = ours(**inputs, use_cache=False).logits
        expected = theirs(**inputs, use_cache=False).logits
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)


def test_words_behind_pictures_go_on_where_those_end(grids: Any) -> None:
    theirs, ours = grids
    inputs = inputs_of(ours)
    given = {name: value for name, value in inputs.items() if not name.startswith("pixel_values")}
    for found, expected in zip(
        ours.get_rope_index(**given), theirs.model.get_rope_index(**given), strict=True
    ):
        assert torch.equal(found, expected)
    row = {"input_ids": inputs["input_ids"][:1], "pixel_values": inputs["pixel_values"][:24]}
    row["image_grid_thw"] = inputs["image_grid_thw"][:1]
    with torch.no_grad():
        held = ours(**row, use_cache=True).past_key_values
        stepped = ours(input_ids=torch.tensor([[5]]), past_key_values=held).logits[:, -1]
        longer = {**row, "input_ids": torch.cat((row["input_ids"], torch.tensor([[5]])), 1)}
        torch.testing.assert_close(stepped, ours(**longer).logits[:, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_grid_thw": torch.tensor([[1, 4, 6], [1, 2, 2]])}, "have 28 patches, given are 44"),
        ({"image_grid_thw": torch.tensor([1, 4, 6])}, r"\[pictures, 3\], not \[3\]"),
        ({"pixel_values": np.zeros(3)}, "patches are a tensor"),
    ],
)
def test_patches_and_grids_must_agree(grids: Any, change: dict[str, Any], says: str) -> None:
    _, ours = grids
    inputs = {**inputs_of(ours), **change}
    with pytest.raises((TypeError, ValueError), match=says):
        ours(**{name: value for name, value in inputs.items() if not name.endswith(("videos", "ids_"))})


def test_a_text_must_have_as_many_tokens_as_its_pictures_fill(grids: Any) -> None:
    _, ours = grids
    inputs = inputs_of(ours)
    inputs["input_ids"][0, 1] = 5
    inputs.pop("mm_token_type_ids")
    with pytest.raises(ValueError, match="a text has tokens for pictures at 2, but not the 6 that one fills"):
        ours(**inputs)


FILM = np.stack([colours(60, 90)] * 3 + [colours(60, 90) // 2] * 2)
SMALL = {"min_pixels": 3136, "max_pixels": 12544}


def test_a_film_of_one_picture_is_the_pictures_patches() -> None:
    films, images = formers.Qwen2VLVideoProcessor(**SMALL), formers.Qwen2VLImageProcessor(**SMALL)
    found = films([[FILM[0], FILM[0]]], return_tensors="pt")
    expected = images(FILM[0], return_tensors="pt")
    assert torch.equal(found.pixel_values_videos, expected.pixel_values)
    assert torch.equal(found.video_grid_thw, expected.image_grid_thw)
    assert films(FILM, return_tensors="pt").video_grid_thw.tolist() == [[3, 4, 6]]  # the last frame again
    with pytest.raises(OSError, match="no file"):
        films("missing.mp4")
    with pytest.raises(ValueError, match="9 frames cannot be chosen of 5"):
        formers.Qwen3VLVideoProcessor()(FILM, num_frames=9)


@pytest.mark.parametrize("size", [(4, 50, 70), (5, 480, 640), (8, 31, 200), (3, 900, 1200), (7, 64, 64)])
def test_the_pixels_of_all_frames_are_counted_as_the_reference_counts_them(size: tuple[int, ...]) -> None:
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

    frames, height, width = size
    room = {"shortest_edge": 128 * 32 * 32, "longest_edge": 32 * 32 * 768}
    films = formers.Qwen3VLVideoProcessor(size=room, do_sample_frames=False)
    _, *grid = films(np.zeros((frames, height, width, 3), np.uint8))["video_grid_thw"][0].tolist()
    expected = smart_resize(frames, height, width, 2, 32, room["shortest_edge"], room["longest_edge"])
    assert [one * 16 for one in grid] == list(expected)


def test_a_film_stands_in_a_text_by_its_time(tmp_path: Path) -> None:
    images = formers.Qwen2VLImageProcessor(**SMALL)
    even = formers.Qwen2_5_VLProcessor(images, tokenizer(), formers.Qwen2VLVideoProcessor(**SMALL))
    found = even(text="a <|video_pad|> dog", videos=[FILM], video_metadata=[{"fps": 4}], return_tensors="pt")
    assert found.second_per_grid_ts.tolist() == [0.5]
    assert found.mm_token_type_ids.sum() == 2 * 18
    timed = formers.Qwen3VLProcessor(
        images, tokenizer(), formers.Qwen3VLVideoProcessor(do_sample_frames=False)
    )
    found = timed(text="<|video_pad|>", videos=[FILM], video_metadata=[{"fps": 4}])
    text = timed.decode(found["input_ids"][0])
    frames = [part.partition(">")[0] for part in text.split("<") if "seconds" in part]
    assert frames == ["0.1 seconds", "0.6 seconds", "1.0 seconds"]
    timed.save_pretrained(tmp_path)
    again = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(timed)
    assert again.to_dict() == timed.to_dict()
    with pytest.raises(ValueError, match=r"show 0 videos by <\|video_pad\|>, but 1 are given"):
        timed(text="a dog", videos=[FILM])


def test_any_to_any_answers_what_image_text_to_text_does(folder: Path) -> None:
    pipes = [formers.pipeline(task, model=folder) for task in ("any-to-any", "image-text-to-text")]
    options = {"max_new_tokens": 4, "do_sample": False}
    assert pipes[0](TWO, **options) == pipes[1](TWO, **options)
    text = ["<image> what", "<image> is it"]
    found, expected = (pipe(text=text, images=[CAT, DOG], **options) for pipe in pipes)
    assert found == expected
    with pytest.raises(ValueError, match="reads no sounds"):
        pipes[0](text="what", audio=np.zeros(9))
