"""Words in boxes: LayoutLM's tokenizers and processors against the reference's, and pages read and asked."""

from __future__ import annotations

import importlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
import transformers
from PIL import Image

import formers
from parity import multi_shapes
from parity.tokenization_samples import write_byte_bpe, write_json, write_sentencepiece, write_vocab_txt

WORDS = [["Total", "amount:", "12.50", "EUR"], ["Invoice", "unbelievable"]]
BOXES = [[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], [[0, 0, 1000, 1000], [1, 1, 5, 5]]]
LABELS = [[1, 2, 3, 4], [5, 6]]
ASKED = ["What is it?", "how much"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NEEDS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


def tokenizer_of(name: str, folder: Path) -> Any:
    """The reference's tokenizer on a small vocabulary, which lies in the folder."""
    if name == "LayoutLMv3":
        write_byte_bpe(folder, SPECIAL)
    elif name == "LayoutLMv2":
        write_vocab_txt(folder)
    else:
        write_sentencepiece(folder / "sentencepiece.bpe.model", vocab_size=260, character_coverage=1.0)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": f"{name}Tokenizer"})
    theirs = getattr(transformers, f"{name}Tokenizer").from_pretrained(folder)
    theirs.save_pretrained(folder)
    return theirs


CUT = {"truncation": "only_second", "max_length": 22, "stride": 2, "return_overflowing_tokens": True}
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((WORDS[0],), {"boxes": BOXES[0]}),
    ((WORDS,), {"boxes": BOXES, "word_labels": LABELS, "padding": True}),
    ((ASKED[0], WORDS[0]), {"boxes": BOXES[0], "return_tensors": "pt", "return_token_type_ids": True}),
    ((ASKED, WORDS), {"boxes": BOXES, "padding": "max_length", "max_length": 40, "return_tensors": "pt"}),
    ((ASKED, WORDS), {"boxes": BOXES, "padding": True, "return_offsets_mapping": True, **CUT}),
]


@pytest.mark.parametrize("name", ["LayoutLMv2", "LayoutLMv3", "LayoutXLM"])
def test_words_their_boxes_and_labels_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    theirs, ours = tokenizer_of(name, tmp_path), formers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(ours) is getattr(formers, f"{name}Tokenizer")
    for args, call in CALLS:
        if name == "LayoutXLM" and "word_labels" in call:
            continue  # the reference labels the second piece of a word too, where the first is a space
        expected, found = theirs(*args, **call), ours(*args, **call)
        assert set(found) == set(expected)
        for column, values in expected.items():
            assert np.array_equal(np.array(list(found[column]), object), np.array(list(values), object)), (
                column
            )
    assert ours.tokenize("Total amount") == theirs.tokenize("Total amount")
    row = ours(WORDS, boxes=BOXES, word_labels=LABELS)
    padded = ours.pad(row, return_tensors="pt")
    assert padded["bbox"].shape == (*padded["input_ids"].shape, 4)
    assert padded["labels"][1, -1] == -100


def test_boxes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tokenizer_of("LayoutLMv3", tmp_path)
    ours = formers.LayoutLMv3Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pass boxes=, one for each word"):
        ours(WORDS[0])
    with pytest.raises(ValueError, match=r"\[4\] words on the pages, and \[3\] boxes"):
        ours(WORDS[0], boxes=BOXES[0][:3])
    with pytest.raises(ValueError, match="the box of 'Total' is .* in thousandths of the page, 0 to 1000"):
        ours(WORDS[0], boxes=[[0, 0, 1200, 4], *BOXES[0][1:]])
    with pytest.raises(TypeError, match="words of a page are a list of texts"):
        ours("Total amount", boxes=BOXES[0])
    with pytest.raises(ValueError, match="one number for each word"):
        ours(WORDS[0], boxes=BOXES[0], word_labels=[1])


def page() -> Any:
    """A photograph of a printed page."""
    return Image.fromarray(skimage.data.page()).convert("RGB")


@NEEDS_TESSERACT
@pytest.mark.parametrize("name", ["LayoutLMv2", "LayoutLMv3"])
def test_pages_are_read_as_the_reference_reads_them(name: str, tmp_path: Path) -> None:
    kind = importlib.import_module(f"transformers.models.{name.lower()}.image_processing_pil_{name.lower()}")
    images = getattr(kind, f"{name}ImageProcessorPil")()
    theirs = getattr(transformers, f"{name}Processor")(images, tokenizer_of(name, tmp_path))
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoProcessor.from_pretrained(tmp_path)
    assert type(ours) is getattr(formers, f"{name}Processor")
    assert ours.model_input_names == theirs.model_input_names
    fitting = {"return_tensors": "pt", "padding": "max_length", "max_length": 100, "truncation": True}
    pieces = {"stride": 10, "return_overflowing_tokens": True, "return_offsets_mapping": True}
    for args, call in (((page(),), {}), (([page()] * 2, ASKED), {}), ((page(), ASKED[0]), pieces)):
        expected, found = (one(*args, **fitting, **call) for one in (theirs, ours))
        assert set(found) == set(expected)
        for column, values in expected.items():
            values = torch.stack(list(values)) if isinstance(values, list) else values
            assert torch.allclose(found[column].float(), values.float(), atol=1e-4), column
    with pytest.raises(ValueError, match="boxes are those of given words"):
        ours(page(), WORDS[0], boxes=BOXES[0])


def test_pages_lose_their_margins_before_nougat_reads_them() -> None:
    kind = importlib.import_module("transformers.models.nougat.image_processing_pil_nougat")
    wide = Image.new("RGB", (700, 500), "white")
    wide.paste(page().crop((0, 0, 300, 150)), (120, 200))
    grey, empty = page().convert("L").convert("RGB"), Image.new("RGB", (60, 80), "white")
    for size in ({}, {"size": {"height": 60, "width": 90}, "do_align_long_axis": True}):
        theirs, ours = kind.NougatImageProcessorPil(**size), formers.NougatImageProcessor(**size)
        for one in (page(), wide, grey, empty):
            expected, found = (made(one, return_tensors="pt")["pixel_values"] for made in (theirs, ours))
            assert found.shape == expected.shape
            assert torch.allclose(found, expected, atol=1e-4)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LayoutLMv3 of the reference that answers questions about pages."""
    home = tmp_path_factory.mktemp("layoutlmv3")
    kind = importlib.import_module("transformers.models.layoutlmv3.image_processing_pil_layoutlmv3")
    tokenizer = tokenizer_of("LayoutLMv3", home)
    images = kind.LayoutLMv3ImageProcessorPil(size={"height": 16, "width": 16})
    transformers.LayoutLMv3Processor(images, tokenizer).save_pretrained(home)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    edges = {"coordinate_size": 5, "shape_size": 2, "input_size": 16, "patch_size": 8}
    config = transformers.LayoutLMv3Config(
        **sizes, **edges, vocab_size=len(tokenizer), max_position_embeddings=130
    )
    config.num_labels = 2
    torch.manual_seed(0)
    model = transformers.LayoutLMv3ForQuestionAnswering(config)
    torch.nn.init.normal_(model.qa_outputs.out_proj.weight, std=2.0)
    model.save_pretrained(home)
    return home


def test_words_in_boxes_are_asked_as_the_reference_asks_them(asked: Path) -> None:
    theirs, ours = (
        one.pipeline("document-question-answering", model=str(asked), device="cpu", image_processor=None)
        for one in (transformers, formers)
    )
    given = {
        "image": None,
        "question": ASKED[0],
        "word_boxes": [(f"w{i}", [10 * i, 20, 10 * i + 9, 40]) for i in range(60)],
    }
    options = {"max_seq_len": 60, "doc_stride": 20, "top_k": 3}
    for one, two in zip(ours([given], **options)[0], theirs([given], **options)[0], strict=True):
        assert {**one, "score": 0} == {**two, "score": 0}
        assert one["score"] == pytest.approx(two["score"], abs=1e-5)


@NEEDS_TESSERACT
def test_a_photographed_page_is_read_and_asked_through_its_words_and_its_picture(asked: Path) -> None:
    pipe = formers.pipeline("document-question-answering", model=str(asked), device="cpu")
    found = pipe(page(), "What are the markers?", top_k=5)
    words, boxes = pipe.image_processor(page())["words"][0], pipe.image_processor(page())["boxes"][0]
    for one in found:
        assert one["answer"] == " ".join(words[one["start"] : one["end"] + 1])
    pairs = list(zip(words, boxes, strict=True))
    assert pipe(page(), "What are the markers?", word_boxes=pairs, top_k=5) == found
    told: list[Any] = []
    hook = pipe.model.register_forward_pre_hook(lambda m, a, given: told.append(given), with_kwargs=True)
    pipe(page(), "What are the markers?")
    hook.remove()
    assert {one["pixel_values"].shape for one in told} == {(1, 3, 16, 16)}


@NEEDS_TESSERACT
def test_documents_of_several_pages_are_asked_page_by_page(asked: Path, tmp_path: Path) -> None:
    pipe = formers.pipeline("document-question-answering", model=str(asked), device="cpu")
    blank = Image.new("RGB", page().size, "white")
    first, rest = page(), [blank, page().crop((0, 0, 384, 100))]
    for name in ("two.pdf", "two.tiff"):
        first.copy().save(
            tmp_path / name, save_all=True, append_images=[one.copy() for one in rest], resolution=150
        )
        found = pipe(str(tmp_path / name), ASKED[0], top_k=200, dpi=150)
        assert {one["page"] for one in found} == {1, 3}
        third = pipe((tmp_path / name).read_bytes(), ASKED[0], pages=[3], dpi=150)
        assert {one["page"] for one in third} == {3}
    assert pipe({"image": [first, *rest], "question": ASKED[0]}, pages=[1], top_k=2) == [
        {**one, "page": 1} for one in pipe(first, ASKED[0], top_k=2)
    ]
    with pytest.raises(ValueError, match="no words on any of 2 pages"):
        pipe({"image": [blank, blank], "question": ASKED[0]})
    with pytest.raises(ValueError, match="word_boxes are those of one page, but this document has 3"):
        pipe(str(tmp_path / "two.pdf"), ASKED[0], word_boxes=[("a", [0, 0, 1, 1])])


def test_pages_are_pictures_in_their_order(tmp_path: Path) -> None:
    shades = [Image.new("RGB", (72, 144), (shade, 0, 0)) for shade in (10, 120, 250)]
    for name in ("three.pdf", "three.tiff"):
        copies = [one.copy() for one in shades]  # Pillow leaves settings of a format behind
        copies[0].save(tmp_path / name, save_all=True, append_images=copies[1:])
        read = formers.load_pages(tmp_path / name, dpi=72)
        assert [one.size for one in read] == [(72, 144)] * 3
        assert [
            abs(one.getpixel((30, 30))[0] - shade) < 4
            for one, shade in zip(read, (10, 120, 250), strict=True)
        ]
        with open(tmp_path / name, "rb") as file:
            (second,) = formers.load_pages(file, pages=[2], dpi=36)
        assert abs(second.getpixel((5, 5))[0] - 120) < 4
        with pytest.raises(IndexError, match="has no page 4: its pages are 1 to 3"):
            formers.load_pages(tmp_path / name, pages=[4])
    assert formers.load_pages(tmp_path / "three.pdf", pages=[1], dpi=144)[0].size == (144, 288)
    with pytest.raises(ValueError, match="choose a smaller dpi"):
        formers.load_pages(tmp_path / "three.pdf", dpi=20_000)
    with pytest.raises(OSError, match="cannot be read as a PDF"):
        formers.load_pages(b"%PDF-1.4 and nothing else")
    with pytest.raises(OSError, match="no PDF, and no picture"):
        formers.load_pages(io.BytesIO(b"a text that is neither"))
    with pytest.raises(OSError, match="there is no file"):
        formers.load_pages("no-such-file.pdf")
    assert len(formers.load_pages(shades[0])) == 1


def test_a_model_that_knows_the_page_by_another_name_gets_it_in_the_pipeline(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("LayoutLMv2", tmp_path)
    images = formers.LayoutLMv2ImageProcessor(size={"height": 32, "width": 32})
    config = formers.LayoutLMv2Config(**multi_shapes.MAPPED, pad_token_id=tokenizer.pad_token_id)
    config.max_position_embeddings = 60
    config.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    model = formers.LayoutLMv2ForQuestionAnswering(config)
    pipe = formers.pipeline(
        "document-question-answering",
        model=model,
        tokenizer=formers.AutoTokenizer.from_pretrained(tmp_path, model_max_length=60),
        image_processor=images,
        device="cpu",
    )
    told: list[Any] = []
    model.register_forward_pre_hook(lambda m, a, given: told.append(given), with_kwargs=True)
    (found,) = pipe(page(), ASKED[0], word_boxes=[(f"w{i}", [10 * i, 20, 10 * i + 9, 40]) for i in range(5)])
    assert found["answer"].startswith("w")
    pixels = images(page(), apply_ocr=False, return_tensors="pt").pixel_values
    assert torch.equal(told[0]["image"].float(), pixels.float())
    assert "pixel_values" not in told[0]
