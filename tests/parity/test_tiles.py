"""Models that talk about pictures in tiles: processors, what is written, batches, the task."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import formers
from parity.pictures import colours

SPECIAL = ["<s>", "</s>", "<pad>", "<image>", "<video>"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' }}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}{{ token }}{% elif c['type'] == 'video' %}<video>"
    "{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {**SMALL, "vocab_size": 320, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
TEXT |= {"initializer_range": 0.4, "num_key_value_heads": 2}
CLIP = {**SMALL, "model_type": "clip_vision_model", "image_size": 16, "patch_size": 4}
SIGLIP = {**CLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
SIZES = [[16, 32], [32, 16], [32, 32]]
_SQUARES = {"size": {"longest_edge": 40}, "max_image_size": {"longest_edge": 16}}
_ROOMS = {
    "text_config": {**TEXT, "model_type": "llama"},
    "vision_config": {key: value for key, value in CLIP.items() if key != "model_type"},
    **{"image_token_id": 3, "scale_factor": 2},
}
_MARKS = {
    "fake_image_token": "<fake_token_around_image>",
    "end_of_utterance_token": "<end_of_utterance>",
    "global_image_token": "<global-img>",
}
CAT, WIDE, TALL = (Image.fromarray(colours(*size)) for size in ((40, 50), (20, 90), (77, 30)))


@dataclass(frozen=True)
class Family:
    """A family of the reference.

    Attributes:
        name: what its classes begin with.
        images: settings of its image processor.
        settings: of its processor.
        config: of its model.
        token: what stands in texts for a picture.
        special: further tokens by the tokenizer's names.
        films: it prepares films too.
        processor: whose processor it has, if another's.
        images_of: whose image processor it has, if another's.
        tower: path of its image model.
    """

    name: str
    images: dict[str, Any]
    settings: dict[str, Any]
    config: dict[str, Any]
    token: str = "<image>"
    special: dict[str, str] = field(default_factory=dict)
    films: bool = False
    processor: str = ""
    images_of: str = ""
    tower: str = "vision_tower"


FAMILIES = {
    "llava_next": Family(
        "LlavaNext",
        {"size": {"shortest_edge": 16}, "crop_size": 16, "image_grid_pinpoints": SIZES},
        {
            "patch_size": 4,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        {
            "text_config": {**TEXT, "model_type": "llama"},
            "vision_config": CLIP,
            **{"image_token_index": 3, "image_grid_pinpoints": SIZES},
        },
    ),
    "llava_next_video": Family(
        "LlavaNextVideo",
        {"size": {"shortest_edge": 16}, "crop_size": 16, "image_grid_pinpoints": SIZES},
        {
            "patch_size": 4,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        {
            "text_config": {**TEXT, "model_type": "llama"},
            "vision_config": CLIP,
            **{"image_token_index": 3, "video_token_index": 4, "image_grid_pinpoints": SIZES},
        },
        films=True,
        images_of="LlavaNext",
    ),
    "idefics3": Family(
        "Idefics3", _SQUARES, {"image_seq_len": 4}, _ROOMS, special=_MARKS, tower="vision_model"
    ),
    "idefics2": Family(
        "Idefics2",
        {"size": {"shortest_edge": 12, "longest_edge": 40}},
        {"image_seq_len": 7},
        {
            "text_config": {**TEXT, "model_type": "mistral"},
            "vision_config": _ROOMS["vision_config"],
            "perceiver_config": {
                **{"hidden_size": 32, "resampler_n_latents": 7, "resampler_depth": 1, "resampler_n_heads": 2},
                **{"resampler_head_dim": 8, "num_key_value_heads": 2},
            },
            "image_token_id": 3,
        },
        special={name: _MARKS[name] for name in ("fake_image_token", "end_of_utterance_token")},
        tower="vision_model",
    ),
    "smolvlm": Family(
        "SmolVLM", _SQUARES, {"image_seq_len": 4}, _ROOMS, special=_MARKS, films=True, tower="vision_model"
    ),
    "internvl": Family(
        "InternVL",
        {"size": {"height": 16, "width": 16}},
        {"image_seq_length": 4},
        {
            "text_config": {**TEXT, "model_type": "qwen2"},
            "vision_config": {**_ROOMS["vision_config"], "image_size": [16, 16], "patch_size": [4, 4]},
            "image_token_id": 5,
        },
        token="<IMG_CONTEXT>",
        special={
            "context_image_token": "<IMG_CONTEXT>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "video_token": "<video>",
        },
        films=True,
        images_of="GotOcr2",
    ),
    "mistral3": Family(
        "Mistral3",
        {"size": {"longest_edge": 40}},
        {"patch_size": 4, "spatial_merge_size": 2},
        {
            "text_config": {**TEXT, "model_type": "mistral", "head_dim": 16},
            "vision_config": {**_ROOMS["vision_config"], "model_type": "pixtral"},
            **{"image_token_index": 5, "tie_word_embeddings": False},
        },
        token="[IMG]",
        special={"image": "[IMG]", "break": "[IMG_BREAK]", "end": "[IMG_END]"},
        processor="Pixtral",
        images_of="Pixtral",
    ),
    "aya_vision": Family(
        "AyaVision",
        {"size": {"height": 16, "width": 16}},
        {"patch_size": 4, "img_size": 16, "downsample_factor": 2},
        {
            "text_config": {**TEXT, "model_type": "cohere2"},
            "vision_config": {**SIGLIP, "num_hidden_layers": 3},
            "image_token_index": 5,
        },
        special={"img_patch_token": "<|IMG_PATCH|>"},
        images_of="GotOcr2",
    ),
    "llava_onevision": Family(
        "LlavaOnevision",
        {"size": {"height": 16, "width": 16}, "image_grid_pinpoints": SIZES},
        {
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_2",
        },
        {
            "text_config": {**TEXT, "model_type": "qwen2"},
            "vision_config": SIGLIP,
            **{"image_token_index": 3, "video_token_index": 4, "image_grid_pinpoints": SIZES},
            "vision_aspect_ratio": "anyres_max_2",
        },
        films=True,
    ),
}


def tokenizer(family: Family) -> Any:
    """Pieces of bytes, with tokens for pictures."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [*SPECIAL, *family.special.values()]
    trainer = trainers.BpeTrainer(vocab_size=310, initial_alphabet=alphabet, special_tokens=special)
    made.train_from_iterator(["what is in the picture? a cat and a dog are"], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        **{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "padding_side": "left"},
        **({"extra_special_tokens": family.special} if family.special else {}),
    )


def processor_of(package: Any, family: Family) -> Any:
    """The class of its processor."""
    name = f"{family.processor or family.name}Processor"
    if package is transformers and name == "PixtralProcessor":  # which is said to need torchvision
        from transformers.models.pixtral.processing_pixtral import PixtralProcessor

        return PixtralProcessor
    return getattr(package, name)


def of(package: Any, family: Family, words: Any) -> Any:
    """Its processor; what prepares films, which the reference cannot do here, is left to ours."""
    ending = "ImageProcessorPil" if package is transformers else "ImageProcessor"
    images = getattr(package, f"{family.images_of or family.name}{ending}")(**family.images)
    made, template = (
        processor_of(package, family),
        TEMPLATE.replace("{{ token }}", family.token),
    )
    parts = {"image_processor": images, "tokenizer": words}
    if family.films and package is transformers:
        parts["video_processor"] = SimpleNamespace(num_frames=None, fps=None, model_input_names=[])
    return made(**parts, chat_template=template, **family.settings)


@pytest.fixture(scope="module", params=list(FAMILIES))
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A family, its processor in the reference, and a checkpoint with one."""
    family, home = FAMILIES[request.param], tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        missing = SimpleNamespace(get_resize_output_image_size=None)
        patch.setitem(sys.modules, "transformers.models.pixtral.image_processing_pixtral", missing)
        if family.films or family.processor:
            name = "check_argument_for_proper_class"
            patch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
            patch.setattr(transformers.processing_utils.ProcessorMixin, name, lambda *_: None)
        theirs = of(transformers, family, tokenizer(family))
    theirs.tokenizer.save_pretrained(home)
    ours = formers.AutoTokenizer.from_pretrained(home)
    (of(formers, family, ours) if family.films else theirs).save_pretrained(home)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family.name}Config")(**family.config)
    model = getattr(transformers, f"{family.name}ForConditionalGeneration")(config)
    model.save_pretrained(home)
    return family, theirs, model.eval(), home


def same(found: Any, expected: Any) -> None:
    """Whether what two processors give is the same."""
    assert set(found) == set(expected)
    for name in expected:
        one, other = (torch.as_tensor(given[name]) for given in (found, expected))
        assert one.shape == other.shape, name
        assert torch.allclose(one.float(), other.float(), atol=1e-4), name


def chats(family: Family) -> list[Any]:
    """Conversations that show pictures of several forms."""
    shown = [[CAT], [WIDE, TALL], [TALL]]
    asked = [{"type": "text", "text": "what is it"}]
    return [
        [{"role": "user", "content": [*({"type": "image", "image": one} for one in each), *asked]}]
        for each in shown
    ]


def test_a_processor_gives_what_the_references_gives(known: Any, tmp_path: Path) -> None:
    family, theirs, _, home = known
    ours = formers.AutoProcessor.from_pretrained(home)
    assert type(ours) is processor_of(formers, family)
    text = [f"a {family.token} cat", f"{family.token}{family.token} two", f"{family.token} in"]
    given = {"images": [[CAT], [WIDE, TALL], [WIDE]], "return_tensors": "pt", "padding": True}
    same(ours(text=text, **given), theirs(text=text, **given))
    same(ours.image_processor(CAT, return_tensors="pt"), theirs.image_processor(CAT, return_tensors="pt"))
    found, expected = (made(text="a cat")["input_ids"] for made in (ours, theirs))
    assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))
    if not family.films:
        ours.save_pretrained(tmp_path)
        for name in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
            assert (tmp_path / name).read_text() == (home / name).read_text()


def test_what_stands_for_pictures_is_the_references(known: Any) -> None:
    family, _, theirs, home = known
    ours = formers.AutoModel.from_pretrained(home)
    made = formers.AutoProcessor.from_pretrained(home)
    given = made(text=f"{family.token}{family.token}", images=[[WIDE, CAT]], return_tensors="pt")
    names = ("pixel_values", "image_sizes", "pixel_attention_mask", "batch_num_images")
    given = {name: given[name] for name in names if name in given}
    with torch.no_grad():
        found, expected = (one.get_image_features(**given).pooler_output for one in (ours, theirs.model))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        # fresh SigLIP's states are large, and rounded
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-5)


def test_what_is_written_about_pictures_is_the_references(known: Any) -> None:
    family, _, theirs, home = known
    ours = formers.AutoModelForImageTextToText.from_pretrained(home)
    made = formers.AutoProcessor.from_pretrained(home)
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    whole = made.apply_chat_template(chats(family), padding=True, **options)
    for more in ({}, {"num_beams": 2}):
        plain = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 2, **more}
        found = ours.generate(**whole, **plain)
        assert torch.equal(found, theirs.generate(**whole, **plain))
        for row, one in zip(found, chats(family), strict=True):
            alone = made.apply_chat_template(one, **options)
            assert torch.equal(row[-8:], ours.generate(**alone, **plain)[0, -8:])


FILM = [colours(20, 30)] * 2 + [colours(30, 20)[:20, :20].repeat(2, 1)[:, :30]] * 2


@pytest.mark.parametrize("known", ["internvl", "llava_next_video", "llava_onevision"], indirect=True)
def test_a_films_frames_are_what_they_are_as_pictures(known: Any) -> None:
    family, _, theirs, home = known
    made = formers.AutoProcessor.from_pretrained(home)
    settings = {name: value for name, value in family.images.items() if name != "image_grid_pinpoints"}
    made.video_processor = type(made.video_processor)(**settings)
    text = f"a {made.video_token} and {family.token}"
    found = made(text=text, images=[[CAT]], videos=[FILM], return_tensors="pt")
    images = type(made.image_processor)(size={"height": 16, "width": 16})
    whole = made.image_processor(CAT, **{**made.pair.pictures, "return_tensors": "pt"}).pixel_values
    if "crop_size" in settings:
        frames = formers.CLIPImageProcessor(**settings)(FILM, return_tensors="pt").pixel_values
        assert torch.allclose(found.pixel_values_videos[0], frames, atol=1e-5)
        assert int((found.input_ids == made.video_token_id).sum()) == 4 * 2 * 2
    elif "pixel_values_videos" in found:
        plain = {"image_grid_pinpoints": [[16, 16]]}
        frames = images(FILM, **plain, return_tensors="pt").pixel_values[:, 0]
        assert torch.allclose(found.pixel_values_videos[0], frames, atol=1e-5)
        assert int((found.input_ids == made.video_token_id).sum()) == 4 * 4 + 1
    else:
        frames = images(FILM, return_tensors="pt").pixel_values
        assert torch.allclose(found.pixel_values, torch.cat((frames, whole)), atol=1e-5)
    ours = formers.AutoModelForImageTextToText.from_pretrained(home)
    with torch.no_grad():
        torch.testing.assert_close(ours(**found).logits, theirs(**found).logits, atol=1e-4, rtol=1e-4)
    chosen = made.video_processor(FILM, num_frames=2, do_sample_frames=True, return_tensors="pt")
    assert chosen.pixel_values_videos.shape[:2] == (1, 2)


def test_a_second_question_reads_no_picture_again(known: Any) -> None:
    family, _, _, home = known
    ours = formers.AutoModelForImageTextToText.from_pretrained(home)
    made = formers.AutoProcessor.from_pretrained(home)
    cache, seen = formers.DynamicCache(), list[int]()
    first = made(images=[[WIDE, CAT]], text=f"{family.token} a {family.token}", return_tensors="pt")
    longer = {**first, "input_ids": torch.cat((first["input_ids"], torch.tensor([[7, 8]])), 1)}
    longer.pop("attention_mask")
    plain = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    ours.generate(**first, **{**plain, "max_new_tokens": 1}, past_key_values=cache)
    handle = ours.model.get_submodule(family.tower).register_forward_hook(lambda *_: seen.append(1))
    found = ours.generate(**longer, **plain, past_key_values=cache)
    assert not seen
    handle.remove()
    assert torch.equal(found, ours.generate(**longer, **plain))


def test_the_task_answers_about_pictures(known: Any) -> None:
    family, theirs, model, home = known
    pipe = formers.pipeline(model=str(home))
    assert pipe.task == "image-text-to-text"
    found = pipe(text=chats(family)[1], max_new_tokens=8, return_full_text=False, do_sample=False)
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    inputs = theirs.apply_chat_template(chats(family)[1], **options)
    written = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert found[0]["generated_text"] == theirs.decode(written, skip_special_tokens=True)


def test_texts_and_pictures_must_agree(known: Any) -> None:
    family, _, _, home = known
    made = formers.AutoProcessor.from_pretrained(home)
    model = formers.AutoModelForImageTextToText.from_pretrained(home)
    with pytest.raises(ValueError, match="none is given"):
        made(text=f"{family.token} a")
    with pytest.raises(ValueError, match="show 0 images"):
        made(text="a", images=CAT)
    with pytest.raises(ValueError, match="raise max_length"):
        made(text=f"{family.token} a", images=CAT, truncation=True, max_length=6)
    inputs = made(text=f"{family.token} a", images=CAT, return_tensors="pt")
    inputs["input_ids"][0, (inputs["input_ids"][0] == made.image_token_id).nonzero()[-1]] = 7
    with pytest.raises(ValueError, match="write as many into the text as each fills"):
        model(**inputs)
