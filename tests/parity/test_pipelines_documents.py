"""`document-question-answering` against the reference's: words and boxes, pages for Tesseract, Donut."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytesseract
import pytest
import torch
import transformers
from PIL import Image, ImageDraw, ImageFont

import formers
from formers.core.extras import MissingExtra
from tests.parity.shapes import MORE
from tests.parity.test_captions import WORDS, words

PAIRS = [(f"w{i}", [10 * i, 20, 10 * i + 9, 40]) for i in range(60)]
QUESTION = "w1 w2 w70"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LayoutLM of the reference with a tokenizer."""
    home = tmp_path_factory.mktemp("layoutlm")
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    torch.manual_seed(0)
    config = transformers.LayoutLMConfig(**sizes, vocab_size=len(WORDS), max_position_embeddings=64)
    config.num_labels = 2
    model = transformers.LayoutLMForQuestionAnswering(config)
    torch.nn.init.normal_(model.qa_outputs.weight, std=1.0)
    model.save_pretrained(home)
    words(home, model_max_length=64)
    return home


@pytest.fixture(scope="module")
def both(layout: Path) -> tuple[Any, Any]:
    """The reference's pipeline and ours."""
    return tuple(  # type: ignore[return-value]  # two of them
        one.pipeline("document-question-answering", model=str(layout), device="cpu")
        for one in (transformers, formers)
    )


def close(found: Any, expected: Any) -> None:
    """The same answers, with scores that differ by rounding alone."""
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert {**one, "score": 0} == {**two, "score": 0}
        assert one["score"] == pytest.approx(two["score"], abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 4},
        {"top_k": 3, "max_answer_len": 2, "handle_impossible_answer": True},
        {"top_k": 2, "max_seq_len": 30, "doc_stride": 7},
    ],
)
def test_answers_from_words_and_boxes_are_the_references(both: tuple[Any, Any], options: Any) -> None:
    given = {"image": None, "question": QUESTION, "word_boxes": PAIRS}
    theirs, ours = both
    expected, found = (pipe([given], **options)[0] for pipe in (theirs, ours))
    close(found, expected)
    assert ours(question=QUESTION, word_boxes=PAIRS, **options) == found
    assert list(ours(iter([given]), **options)) == [found]


def test_a_page_is_read_by_tesseract(both: tuple[Any, Any]) -> None:
    if shutil.which("tesseract") is None:
        pytest.skip("the program tesseract is not installed")
    page = Image.new("RGB", (700, 160), "white")
    font = ImageFont.load_default(36)
    ImageDraw.Draw(page).text((30, 50), "Total amount: 42 euros", fill="black", font=font)
    theirs, ours = both
    expected, found = (pipe(image=page, question=QUESTION, top_k=2) for pipe in (theirs, ours))
    close(found, expected)
    assert "Total amount" in " ".join(one["answer"] for one in ours(page, QUESTION, top_k=40))
    with pytest.raises(ValueError, match="finds no words on this page"):
        ours(Image.new("RGB", (80, 40), "white"), QUESTION)


def test_what_reads_pages_is_named_where_it_is_missing(
    both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, page = both[1], Image.new("RGB", (80, 40), "white")
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "no-such-program")
    with pytest.raises(OSError, match="Tesseract is not installed"):
        ours(page, QUESTION)
    monkeypatch.setitem(__import__("sys").modules, "pytesseract", None)
    with pytest.raises(MissingExtra, match=r"pip install 'formers\[documents\]'"):
        ours(page, QUESTION)


def test_what_cannot_be_answered_is_refused_by_what_is_wrong_with_it(both: tuple[Any, Any]) -> None:
    ours = both[1]
    assert type(formers.pipeline(model=ours.model, tokenizer=ours.tokenizer)) is type(ours)
    with pytest.raises(ValueError, match=r"is \[0, 0, 1200, 4\]: boxes are in thousandths of the page"):
        ours(question=QUESTION, word_boxes=[("w1", (0, 0, 1200, 4))])
    for pair in (5, ("w1", None), ("w1", [1, 2, 3, "x"])):
        with pytest.raises(ValueError, match="a pair is"):
            ours(question=QUESTION, word_boxes=[pair])
    for box in ([10, 10, 5, 15], [0, 0, 5, float("nan")]):
        with pytest.raises(ValueError, match="left before right"):
            ours(question=QUESTION, word_boxes=[("w1", box)])
    with pytest.raises(ValueError, match="has no document: pass its image, or word_boxes"):
        ours({"question": QUESTION})
    with pytest.raises(ValueError, match="question of the input is empty|question of input .* is empty"):
        ours(question=" ", word_boxes=PAIRS)
    with pytest.raises(ValueError, match="one question goes with one document"):
        ours(image=["a.png", "b.png"], question=QUESTION)
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        ours(question=QUESTION, word_boxes=PAIRS, topp_k=2)
    assert ours(question=QUESTION, word_boxes=PAIRS, max_question_len=1) == ours(
        question="w1", word_boxes=PAIRS
    )


def test_donut_writes_its_answer(tmp_path: Path) -> None:
    shape = MORE["vision-encoder-decoder"]["Donut"]
    torch.manual_seed(0)
    config = transformers.VisionEncoderDecoderConfig(
        **{**shape, "encoder": {**shape["encoder"], "num_channels": 3}}
    )
    transformers.VisionEncoderDecoderModel(config).save_pretrained(tmp_path)
    images = transformers.DonutImageProcessorPil(size={"height": 12, "width": 12})
    transformers.DonutProcessor(images, words(tmp_path)).save_pretrained(tmp_path)
    pipe = formers.pipeline("document-question-answering", model=str(tmp_path), device="cpu")
    page, told = Image.new("RGB", (30, 20), "white"), {}

    def written(**given: Any) -> torch.Tensor:
        told.update(given)
        return torch.tensor([[1, 5, 6]])

    pipe.model.generate = written
    pipe.tokenizer.decode = lambda ids: (
        "<s_docvqa><s_question>w1</s_question><s_answer> 12.50</s_answer>[SEP]"
    )
    assert pipe(page, "w1") == [{"answer": "12.50"}]
    assert told["pixel_values"].shape == (1, 3, 12, 12)
    assert told["max_new_tokens"] == 256
    pipe.tokenizer.decode = lambda ids: "<s_docvqa> nothing"
    assert pipe({"image": page, "question": "w1"}) == [{"answer": None}]
    with pytest.raises(ValueError, match="has no document: pass its image$"):
        pipe({"question": "w1", "word_boxes": PAIRS})
