"""Florence-2: tasks and a picture in what a pair's encoder reads, and places in what its decoder writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import pre_tokenizers

import formers
from tests.parity.pair_shapes import SHAPES
from tests.parity.pictures import colours

SHAPE = SHAPES["florence2"]["windows that do not fit"]
PICTURES = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 24))]
# what the files of the models say of the kinds of answers
KINDS = {
    "ocr": {
        "PATTERN": r"(.+?)" + r"<loc_(\d+)>" * 8,
        "AREA_THRESHOLD": 0.01,
    },
    "phrase_grounding": {"banned_grounding_tokens": ["the image", "it"]},
    **dict.fromkeys(
        (
            *("pure_text", "description_with_bboxes", "description_with_polygons", "polygons", "bboxes"),
            "description_with_bboxes_or_polygons",
        ),
        {},
    ),
}


def _places(*numbers: int) -> str:
    return "".join(f"<loc_{one}>" for one in numbers)


WRITTEN = {
    "<CAPTION>": "</s><s>a green car</s>",
    "<OD>": f"</s><s>car{_places(1, 2, 333, 999)}door{_places(5, 6, 7, 8, 500, 501, 502, 503)} café "
    f"{_places(1, 2, 3, 4)}odd{_places(1, 2, 3)}</s><pad>",
    "<DENSE_REGION_CAPTION>": f"a wheel of a car{_places(0, 0, 999, 999)}",
    "<REGION_PROPOSAL>": f"<s>{_places(1, 2, 333, 999, 4, 5, 6, 7)} {_places(1, 2, 3, 4)}</s>",
    "<OCR_WITH_REGION>": f"<s>STOP{_places(100, 100, 900, 100, 900, 900, 100, 900)}tiny"
    f"{_places(1, 1, 2, 1, 2, 2, 1, 2)}</s>",
    "<CAPTION_TO_PHRASE_GROUNDING>": f"A green car{_places(1, 2, 3, 4, 5, 6, 7, 8)}the image"
    f"{_places(0, 0, 999, 999)}<obj>",
    "<REFERRING_EXPRESSION_SEGMENTATION>": f"<s>{_places(10, 20, 30, 40, 50, 60, 70)}</s>",
    "<REGION_TO_SEGMENTATION>": f"{_places(10, 20, 30, 40)}<sep>{_places(50, 60, 70, 80)}",
    "<OPEN_VOCABULARY_DETECTION>": f"car{_places(1, 2, 333, 999)}",
    "<REGION_TO_OCR>": "EXIT",
}
POLYGONS = (
    f"a car<poly>{_places(10, 20, 30, 40)}<sep>{_places(50, 60, 70, 80)}</poly>"
    f"<poly>{_places(1, 2, 3, 4)}</poly>"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Florence-2 of the reference with its processor."""
    home, letters = tmp_path_factory.mktemp("florence2"), sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    (home / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (home / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.BartTokenizer(
        vocab=str(home / "vocab.json"),
        merges=str(home / "merges.txt"),
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens([*(f"<loc_{i}>" for i in range(1000)), "<sep>", "<poly>", "</poly>"])
    images = transformers.CLIPImageProcessorPil(
        size={"height": 12, "width": 12}, crop_size={"height": 12, "width": 12}, image_seq_length=10
    )
    made = transformers.Florence2Processor(images, tokenizer, post_processor_config=KINDS)
    made.save_pretrained(home)
    torch.manual_seed(0)
    text = {**SHAPE["text_config"], "vocab_size": len(tokenizer), "max_position_embeddings": 200}
    config = transformers.Florence2Config(
        **{**SHAPE, "text_config": text, "image_token_id": tokenizer.image_token_id}
    )
    model = transformers.Florence2ForConditionalGeneration(config).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 2)
    model.config.tie_word_embeddings = False  # logits far apart, so that rounding decides nothing
    model.save_pretrained(home)
    return home


def _both(folder: Path) -> tuple[Any, Any]:
    """The reference's processor, which resizes pictures with Pillow, and ours."""
    theirs = transformers.AutoProcessor.from_pretrained(folder)
    theirs.image_processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    return theirs, formers.AutoProcessor.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:Florence-2 is told")
@pytest.mark.parametrize(
    "call",
    [
        {"images": PICTURES[0], "text": "<OD>"},
        {
            "images": PICTURES,
            "text": ["<CAPTION>", "<OPEN_VOCABULARY_DETECTION> a green car "],
            "padding": True,
        },
        {"images": PICTURES, "text": ["what is it?", ""], "padding": "max_length", "max_length": 60},
        {"images": PICTURES[1]},
        {"text": ["<OCR>", "<REGION_TO_OCR><loc_1><loc_2><loc_3><loc_4>"], "padding": True},
    ],
    ids=["one", "tasks", "plain prompts", "no prompt", "no picture"],
)
def test_the_processor_gives_what_the_reference_gives(folder: Path, call: dict[str, Any]) -> None:
    theirs, own = _both(folder)
    assert type(own) is formers.Florence2Processor
    expected, found = (one(**call, return_tensors="pt") for one in (theirs, own))
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


def test_a_processor_is_written_as_the_reference_writes_it(folder: Path, tmp_path: Path) -> None:
    formers.AutoProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    again = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is transformers.Florence2Processor
    assert again.post_processor_config == KINDS
    assert again.num_image_tokens == 10


@pytest.mark.parametrize("size", [(640, 480), (333, 1001)])
def test_answers_are_read_as_the_reference_reads_them(folder: Path, size: tuple[int, int]) -> None:
    theirs, own = _both(folder)
    written = [
        *WRITTEN.items(),
        ("<OPEN_VOCABULARY_DETECTION>", POLYGONS),
        ("<OD>", "nothing"),
        ("<else>", "as is"),
    ]
    written += [(task, POLYGONS) for task in ("<REFERRING_EXPRESSION_SEGMENTATION>", "<OD>")]
    for task, text in written:
        told = {"task": task, "image_size": size}
        expected = theirs.post_process_generation(text=text, **told)
        assert own.post_process_generation(text=text, **told) == expected
        ids = own.tokenizer(text, add_special_tokens=False)["input_ids"]
        expected = theirs.post_process_generation(sequence=ids, **told)
        assert own.post_process_generation(sequence=torch.tensor(ids), **told) == expected


@torch.no_grad()
def test_tasks_are_answered_token_for_token_alone_and_in_a_batch(folder: Path) -> None:
    own = formers.AutoProcessor.from_pretrained(folder)
    model = formers.AutoModelForImageTextToText.from_pretrained(folder)
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    prompts = ["<CAPTION>", "<OPEN_VOCABULARY_DETECTION> a green car"]
    given = own(PICTURES, prompts, padding=True, return_tensors="pt")
    for options in ({"max_new_tokens": 12}, {"max_new_tokens": 8, "num_beams": 3}):
        told = {"do_sample": False, **options}
        found, expected = (one.generate(**given, **told) for one in (model, theirs))
        assert found.tolist() == expected.tolist()
    alone = model.generate(**own(PICTURES[1], prompts[1], return_tensors="pt"), max_new_tokens=8)
    batch = model.generate(**given, max_new_tokens=8)
    assert alone[0].tolist() == batch[1].tolist()
    pipe = formers.pipeline("image-text-to-text", model=str(folder), device="cpu")
    said = pipe(images=PICTURES[1], text=prompts[1], max_new_tokens=8)
    assert said[0]["generated_text"] == prompts[1] + own.batch_decode(alone, skip_special_tokens=True)[0]


def test_what_does_not_fit_is_said(folder: Path) -> None:
    own = formers.AutoProcessor.from_pretrained(folder)
    for options, said in (
        ({"text": "x"}, "read by its task"),
        ({"task": "<OD>"}, "exactly one of text and sequence"),
        ({"task": "<OD>", "text": "x"}, r"pass image_size=\(width, height\)"),
    ):
        with pytest.raises(ValueError, match=said):
            own.post_process_generation(**options)
    with pytest.raises(ValueError, match="<OD> takes nothing beside it"):
        own(PICTURES[0], "<OD> a car")
    with pytest.raises(ValueError, match="1 pictures|show 2"):
        own(PICTURES[0], ["<OD>", "<OD>"])
    own.post_processor_config = {"ocr": {}}
    with pytest.raises(ValueError, match="no 'pure_text', the kind of answers to <CAPTION>"):
        own.post_process_generation(text="a car", task="<CAPTION>")
    model = formers.AutoModelForImageTextToText.from_pretrained(folder)
    ids = torch.full((1, 12), 7)
    with pytest.raises(ValueError, match="the texts have 0 image tokens"):
        model(input_ids=ids, pixel_values=torch.zeros(1, 3, 12, 12), decoder_input_ids=ids)
    with pytest.raises(ValueError, match="positions for 5: make it smaller"):
        model.get_image_features(torch.zeros(1, 3, 40, 12))
    with pytest.raises(ValueError, match="16 wide .* and texts are 24: make them equal"):
        formers.Florence2Model(
            formers.Florence2Config(**{**SHAPE, "text_config": {**SHAPE["text_config"], "d_model": 24}})
        )
    with pytest.raises(ValueError, match="say something of each stage"):
        formers.Florence2VisionBackbone(formers.Florence2VisionConfig(depths=[1]))
