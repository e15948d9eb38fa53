"""Models whose texts show pictures by tokens that see each other: their processors, masks, chats, caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import formers
from formers.nn.masks import Blocks, Causal, Either, materialise, runs
from parity.pictures import colours
from tests.parity.shapes import inputs_of, write_checkpoint

MARKS = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<s>{{ m['role'] + ' ' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<start_of_image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %} {% endfor %}{% if add_generation_prompt %}model {% endif %}"
)
CAT, WIDE = Image.fromarray(colours(40, 50)), Image.fromarray(colours(30, 90))
CHAT = [
    {"role": "user", "content": [{"type": "image", "image": CAT}, {"type": "text", "text": "what is it"}]}
]
NONE: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}


def tokenizer(marks: dict[str, str] = MARKS) -> Any:
    """Pieces of bytes, with marks around pictures."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<bos>", *marks.values(), "<s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, special_tokens=special)
    made.train_from_iterator(["what is in the picture? a cat and a dog are"], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", padding_side="left",
        extra_special_tokens=marks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 of the reference with its processor."""
    home = tmp_path_factory.mktemp("gemma3")
    images = transformers.Gemma3ImageProcessorPil(size={"height": 16, "width": 16})
    transformers.Gemma3Processor(
        images, tokenizer(), image_seq_length=4, chat_template=TEMPLATE
    ).save_pretrained(home)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    text = {**small, "vocab_size": 300, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.4}
    torch.manual_seed(0)
    config = transformers.Gemma3Config(
        text_config={**text, "model_type": "gemma3_text", "sliding_window": 8},
        vision_config={"model_type": "siglip_vision_model", **small, "image_size": 16, "patch_size": 4},
        **{"image_token_index": 5, "boi_token_index": 3, "eoi_token_index": 4, "mm_tokens_per_image": 4},
    )
    made = transformers.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(made.model.multi_modal_projector.mm_input_projection_weight)
    made.save_pretrained(home)
    return home


def same(found: Any, expected: Any) -> None:
    """Whether what two processors give is the same."""
    assert set(found) == set(expected)
    for name in set(expected) - {"pixel_values"}:
        assert torch.equal(found[name], torch.as_tensor(expected[name])), name
    assert torch.allclose(found["pixel_values"], expected["pixel_values"], atol=1e-5)


SCANNED = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 8}


@pytest.mark.parametrize("options", [{}, SCANNED], ids=["whole", "in parts"])
def test_gemmas_processor_gives_what_the_reference_gives(folder: Path, options: dict[str, Any]) -> None:
    theirs, ours = (one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))
    theirs.image_processor = transformers.Gemma3ImageProcessorPil.from_pretrained(folder)
    assert type(ours) is formers.Gemma3Processor
    assert [*ours.model_input_names] == [*theirs.model_input_names]
    text = ["a <start_of_image> cat", "<start_of_image><start_of_image> two"]
    given = {"images": [[CAT], [WIDE, CAT]], "return_tensors": "pt"}
    found = ours(text=text, padding=True, **given, **options)
    same(found, theirs(text=text, padding=True, **given, **options))
    assert len(found.pixel_values) == (10 if options else 3)
    same(ours(images=CAT, return_tensors="pt"), theirs(images=CAT, return_tensors="pt"))
    found = ours(text="a cat", return_tensors="pt")
    assert {name: one.tolist() for name, one in found.items()} == {
        name: one.tolist() for name, one in theirs(text="a cat", return_tensors="pt").items()
    }


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PaliGemma of the reference with its processor."""
    home = tmp_path_factory.mktemp("paligemma")
    images = transformers.SiglipImageProcessorPil(size={"height": 16, "width": 16}, image_seq_length=16)
    transformers.PaliGemmaProcessor(images, tokenizer({})).save_pretrained(home)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    text = {**small, "vocab_size": 1500, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.4}
    torch.manual_seed(0)
    config = transformers.PaliGemmaConfig(
        text_config={**text, "model_type": "gemma"},
        vision_config={"model_type": "siglip_vision_model", **small, "image_size": 16, "patch_size": 4},
        image_token_index=transformers.AutoTokenizer.from_pretrained(home).convert_tokens_to_ids("<image>"),
        **{"projection_dim": 32, "hidden_size": 32},
    )
    transformers.PaliGemmaForConditionalGeneration(config).save_pretrained(home)
    return home


def both(folder: Path) -> tuple[Any, Any]:
    """PaliGemma's processor, there and here."""
    theirs = transformers.AutoProcessor.from_pretrained(folder)
    theirs.image_processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    return theirs, formers.AutoProcessor.from_pretrained(folder)


PROMPTS: list[dict[str, Any]] = [
    {"text": "what is it", "images": CAT},
    {"text": ["<image> what", "<image><image>is it"], "images": [[CAT], [CAT, WIDE]]},
    {"text": ["what", "is it in"], "images": [CAT, WIDE], "suffix": ["a cat", "a dog <loc0007>"]},
    {"images": CAT},
]


@pytest.mark.parametrize("call", PROMPTS, ids=["none shown", "shown", "to be written", "alone"])
def test_paligemmas_processor_gives_what_the_reference_gives(prompted: Path, call: dict[str, Any]) -> None:
    theirs, ours = both(prompted)
    assert type(ours) is formers.PaliGemmaProcessor
    assert [*ours.model_input_names] == [*theirs.model_input_names]
    options = {"padding": True, "return_tensors": "pt"}
    same(ours(**call, **options), theirs(**call, **options))


def test_paligemma_goes_on_with_a_prompt_as_the_reference_does(prompted: Path, tmp_path: Path) -> None:
    theirs, ours = both(prompted)
    inputs = theirs(text="<image> what is it", images=CAT, return_tensors="pt")
    inputs.pop("labels")
    model = transformers.PaliGemmaForConditionalGeneration.from_pretrained(prompted)
    written = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    pipe = formers.pipeline("image-text-to-text", str(prompted))
    found = pipe(CAT, text="<image> what is it", max_new_tokens=8, do_sample=False, return_full_text=False)
    assert found[0]["generated_text"] == theirs.decode(written, skip_special_tokens=True)
    ours.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json"):
        assert (tmp_path / name).read_text() == (prompted / name).read_text()


def test_a_prompt_needs_its_pictures(prompted: Path) -> None:
    _, ours = both(prompted)
    with pytest.raises(ValueError, match="needs images="):
        ours(text="what")
    with pytest.raises(ValueError, match="pass text="):
        ours(images=CAT, suffix="a cat")
    with pytest.raises(ValueError, match="there are 2 pictures, or lists of them, and 1 prompts"):
        ours(text="what", images=[CAT, WIDE])
    with pytest.raises(ValueError, match="pass image_seq_length="):
        formers.PaliGemmaProcessor(formers.SiglipImageProcessor(), ours.tokenizer)


def test_gemmas_processor_writes_what_the_reference_writes(folder: Path, tmp_path: Path) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    ours.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"text": "a cat", "images": CAT}, "show 0 images by <start_of_image>, but 1 are given"),
        ({"text": "<start_of_image> a"}, "none is given"),
        (
            {"text": "<start_of_image>", "images": CAT, "truncation": True, "max_length": 6},
            "raise max_length",
        ),
    ],
)
def test_texts_and_pictures_must_agree(folder: Path, call: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        formers.AutoProcessor.from_pretrained(folder)(**call)


def test_a_chat_about_a_picture_goes_on_as_the_references_does(folder: Path) -> None:
    theirs = transformers.AutoProcessor.from_pretrained(folder)
    theirs.image_processor = transformers.Gemma3ImageProcessorPil.from_pretrained(folder)
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    expected = theirs.apply_chat_template(CHAT, **options)
    same(formers.AutoProcessor.from_pretrained(folder).apply_chat_template(CHAT, **options), expected)
    model = transformers.Gemma3ForConditionalGeneration.from_pretrained(folder)
    written = model.generate(**expected, max_new_tokens=8, do_sample=False)[
        0, expected["input_ids"].shape[1] :
    ]
    pipe = formers.pipeline("image-text-to-text", str(folder))
    found = pipe(text=CHAT, max_new_tokens=8, do_sample=False, return_full_text=False)
    assert found[0]["generated_text"] == theirs.decode(written, skip_special_tokens=True)


@pytest.fixture(scope="module", params=["gemma3", "paligemma"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model, here and there."""
    home = tmp_path_factory.mktemp(request.param)
    shape, name = {
        "gemma3": ("pictures wider than the window", "Gemma3"),
        "paligemma": ("Gemma behind one layer", "PaliGemma"),
    }[request.param]
    theirs = write_checkpoint(request.param, shape, f"{name}ForConditionalGeneration", home)
    return theirs, formers.AutoModelForImageTextToText.from_pretrained(home)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}, {"cache_implementation": "static"}], ids=str)
def test_what_is_written_about_pictures_is_the_references(pair: Any, more: dict[str, Any]) -> None:
    theirs, ours = pair
    inputs = inputs_of(ours, sided="left")
    found = ours.generate(**inputs, max_new_tokens=6, **NONE, **more)
    assert torch.equal(found, theirs.generate(**inputs, max_new_tokens=6, **NONE, **more))


def test_types_change_what_is_seen_and_are_one_for_each_token(pair: Any) -> None:
    theirs, ours = pair
    inputs = inputs_of(ours)
    types = inputs.pop("token_type_ids")
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        plain, other = ours(**inputs).logits, ours(**inputs, token_type_ids=types).logits
        assert not torch.allclose(plain[real], other[real], atol=1e-3)
        assert torch.allclose(plain[real], theirs(**inputs).logits[real], atol=1e-5)
        watched = ours.model.language_model.register_forward_hook(lambda *_: None)
        assert torch.allclose(ours(**inputs, token_type_ids=types).logits[real], other[real], atol=1e-5)
        watched.remove()
    with pytest.raises(ValueError, match="token_type_ids must have shape"):
        ours(**inputs, token_type_ids=types[:, 1:])
    inputs["input_ids"][0, 2] = 5
    with pytest.raises(ValueError, match="write as many into the text as each fills"):
        ours(**inputs, token_type_ids=types)


def test_a_token_of_pictures_needs_no_row_in_the_table(tmp_path: Path) -> None:
    theirs = write_checkpoint("gemma3", "pictures wider than the window", "Gemma3Model", tmp_path)
    ours = formers.AutoModel.from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    inputs["input_ids"][inputs["token_type_ids"] == 1] = 500
    for one in (theirs, ours):
        one.config.image_token_index = 500
    with torch.no_grad():
        found, expected = (one(**inputs).last_hidden_state for one in (ours, theirs))
    real = inputs["attention_mask"].bool()
    assert torch.allclose(found[real], expected[real], atol=1e-5)


def test_blocks_loosen_a_mask_within_themselves_alone() -> None:
    ids = runs(torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0]], dtype=torch.bool))
    assert ids.tolist() == [[-1, 0, 0, -1, 1, 1, 1, -1]]
    at = torch.arange(8)
    for ahead in (True, False):
        found = materialise(Either(Causal(2), Blocks(ids, ahead)), 1, at, at)
        assert found is not None
        for q in range(8):
            for k in range(8):
                same_block = int(ids[0, q]) == int(ids[0, k]) >= 0
                own = q - 2 < k <= q
                assert bool(found[0, 0, q, k]) is (own or (same_block and (k > q or not ahead)))
