"""Texts and a picture in one encoder: ViLT, its processor and `visual-question-answering`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.processing.reading import BadPicture
from tests.parity.multi_shapes import SHAPES, labels
from tests.parity.pictures import colours
from tests.parity.shapes import write_checkpoint
from tests.parity.test_captions import WORDS, words

GIVEN = [Image.fromarray(colours(*size)) for size in ((20, 30), (40, 24), (16, 16))]
QUESTION = "w1 w2 w3"
IDS = torch.randint(5, 99, (4, 7), generator=torch.Generator().manual_seed(0))
TEXT, SEEN = torch.ones(4, 7, dtype=torch.long), torch.zeros(4, 16, 20, dtype=torch.long)
TEXT[1, 4:] = TEXT[2, 2:] = 0
for row, size in enumerate(((16, 20), (8, 12), (12, 20), (16, 4))):
    SEEN[row, : size[0], : size[1]] = 1
PIXELS = torch.randn(4, 2, 16, 20, generator=torch.Generator().manual_seed(1))
PADDED = {"input_ids": IDS, "attention_mask": TEXT, "pixel_values": PIXELS, "pixel_mask": SEEN}
HEADS = ("Model", "ForMaskedLM", "ForQuestionAnswering", "ForTokenClassification")


def _both(name: str, folder: Path, **values: Any) -> tuple[Any, Any]:
    theirs = write_checkpoint("vilt", "plain", name, folder)
    if values:
        theirs = type(theirs)(type(theirs.config)(**{**theirs.config.to_dict(), **values})).eval()
        theirs.save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


@pytest.mark.parametrize("ending", HEADS)
def test_texts_and_pictures_of_many_sizes_are_read_as_the_reference_reads_them(
    ending: str, tmp_path: Path
) -> None:
    name = f"Vilt{ending}"
    theirs, ours = _both(name, tmp_path)
    told = labels(name, IDS)
    expected, found = (model(**PADDED, **told) for model in (theirs, ours))
    real, behind = TEXT.bool(), torch.arange(20) < torch.tensor([20, 6, 15, 4])[:, None]
    if ending == "Model":
        real = torch.cat((real, real.new_ones(4, 1), behind), dim=1)
        torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5)
    else:
        torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    one, two = (out[0] if ending == "Model" else out.logits for out in (found, expected))
    assert one.shape == two.shape
    if one.dim() == 3:
        one, two = one[real], two[real]
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        alone = ours(IDS[1:2, :4], pixel_values=PIXELS[1:2, :, :8, :12])
    both = (alone[0], found[0][1:2]) if ending == "Model" else (alone.logits, found.logits[1:2])
    if both[0].dim() == 3:
        both = both[0][:, :4], both[1][:, :4]
    torch.testing.assert_close(*both, atol=1e-5, rtol=1e-5)


def test_no_more_patches_are_read_than_the_config_says(tmp_path: Path) -> None:
    theirs, ours = _both("ViltModel", tmp_path, max_image_length=5)
    torch.manual_seed(3)
    found = ours(**PADDED).last_hidden_state
    assert found.shape == theirs(**PADDED).last_hidden_state.shape == (4, 7 + 1 + 5, 24)
    torch.manual_seed(3)
    assert torch.equal(ours(**PADDED).last_hidden_state, found)
    with pytest.raises(ValueError, match="0 patches cannot be read"):
        formers.ViltModel(formers.ViltConfig(**{**SHAPES["vilt"]["plain"], "max_image_length": 0}))


def test_two_pictures_are_labelled_together(tmp_path: Path) -> None:
    name = "ViltForImagesAndTextClassification"
    theirs, ours = _both(name, tmp_path, num_images=2, modality_type_vocab_size=3)
    given = {
        **PADDED,
        "pixel_values": torch.stack((PIXELS, PIXELS.flip(0)), dim=1),
        "pixel_mask": torch.stack((SEEN, SEEN.flip(0)), dim=1),
        **labels(name, IDS),
    }
    expected, found = theirs(**given), ours(**given)
    for key in ("logits", "loss"):
        torch.testing.assert_close(found[key], expected[key], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="num_images is 2, so pixel_values has 5 axes, the second of 2"):
        ours(input_ids=IDS, pixel_values=PIXELS)
    with pytest.raises(ValueError, match="num_images says how many pictures stand beside a text"):
        formers.ViltForImagesAndTextClassification(formers.ViltConfig(num_hidden_layers=1))


@torch.no_grad()
def test_vectors_stand_for_words_and_patches(tmp_path: Path) -> None:
    theirs, ours = _both("ViltModel", tmp_path)
    given = {
        "inputs_embeds": torch.randn(2, 3, 24),
        "image_embeds": torch.randn(2, 4, 24),
        "pixel_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    expected, found = (model(**given).last_hidden_state for model in (theirs, ours))
    for row, count in enumerate((7, 5)):
        torch.testing.assert_close(found[row, :count], expected[row, :count], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_ids": IDS}, "exactly one of pixel_values and image_embeds"),
        ({**PADDED, "image_embeds": PIXELS}, "exactly one of pixel_values and image_embeds"),
        ({"input_ids": IDS[:3], "pixel_values": PIXELS}, "3 texts and 4 pictures"),
        ({**PADDED, "pixel_mask": SEEN[:, 0]}, r"pixel_mask must have shape \[4, height, width\]"),
        ({**PADDED, "pixel_mask": SEEN * 0}, "pixel_mask must be 1 at a rectangle"),
        ({**PADDED, "attention_mask": TEXT[:, :3]}, r"attention_mask must have shape \[4, 7\]"),
        ({**PADDED, "pixel_values": PIXELS[:, :, :3]}, "smaller than a patch"),
        ({"input_ids": IDS.repeat(1, 3), "pixel_values": PIXELS}, "has 21 tokens, but the model has 20"),
    ],
)
def test_what_does_not_fit_is_said(given: dict[str, Any], said: str) -> None:
    model = formers.ViltModel(formers.ViltConfig(**SHAPES["vilt"]["plain"]))
    with pytest.raises(ValueError, match=said):
        model(**given)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViLT of the reference that answers questions, with its processor."""
    home = tmp_path_factory.mktemp("vilt")
    shape = {**SHAPES["vilt"]["plain"], "vocab_size": len(WORDS), "num_channels": 3}
    torch.manual_seed(0)
    config = transformers.ViltConfig(**shape, id2label=dict(enumerate(("yes", "no", "two", "red"))))
    model = transformers.ViltForQuestionAnswering(config)
    torch.nn.init.normal_(model.classifier[3].weight, std=1.0)
    model.save_pretrained(home)
    images = transformers.models.vilt.image_processing_pil_vilt.ViltImageProcessorPil(
        size={"shortest_edge": 12}, size_divisor=4
    )
    transformers.ViltProcessor(images, words(home)).save_pretrained(home)
    return home


@torch.no_grad()
def test_a_question_is_answered_as_tutorials_have_it(asked: Path) -> None:
    processor = formers.ViltProcessor.from_pretrained(asked)
    model = formers.AutoModelForVisualQuestionAnswering.from_pretrained(asked)
    assert type(formers.AutoProcessor.from_pretrained(asked)) is type(processor)
    images = transformers.models.vilt.image_processing_pil_vilt.ViltImageProcessorPil.from_pretrained(asked)
    encoding = processor(GIVEN, [QUESTION] * 3, return_tensors="pt")
    expected = images(GIVEN, return_tensors="pt")
    assert list(encoding) == ["input_ids", "attention_mask", *expected]
    torch.testing.assert_close(encoding.pixel_values, expected["pixel_values"], atol=1e-5, rtol=1e-5)
    assert torch.equal(encoding.pixel_mask, expected["pixel_mask"])
    scores = transformers.ViltForQuestionAnswering.from_pretrained(asked)(**encoding).logits.sigmoid()
    torch.testing.assert_close(model(**encoding).logits.sigmoid(), scores, atol=1e-5, rtol=1e-5)

    pipe = formers.pipeline("vqa", model=str(asked), device="cpu")
    assert type(pipe) is formers.VisualQuestionAnsweringPipeline
    assert formers.pipeline(model=str(asked)).task == "visual-question-answering"
    found = pipe(image=GIVEN[0], question=QUESTION, top_k=2)
    best = scores[0].topk(2)
    assert [one["answer"] for one in found] == [model.config.id2label[i] for i in best.indices.tolist()]
    assert [one["score"] for one in found] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert len(pipe(GIVEN[0], QUESTION)) == 4  # as many as there are labels
    pairs = [{"image": one, "question": QUESTION} for one in GIVEN]
    assert pipe(pairs[0], top_k=2) == found
    each = pipe(pairs, top_k=1)
    assert pipe(GIVEN, QUESTION, top_k=1) == [*pipe(iter(pairs), top_k=1)] == each
    assert [one[0]["answer"] for one in each] == [model.config.id2label[i] for i in scores.argmax(1).tolist()]
    crossed = pipe(GIVEN[:2], [QUESTION, "w4"], top_k=1)
    assert crossed[:2] == each[:2]
    assert crossed[3] == pipe(GIVEN[1], "w4", top_k=1)


def test_a_question_without_its_picture_and_a_picture_without_its_question_are_named(asked: Path) -> None:
    pipe = formers.pipeline("visual-question-answering", model=str(asked), device="cpu")
    for given, said in (
        ((GIVEN[0],), "has no question: pass"),
        (({"question": QUESTION},), "has no picture"),
        (([{"image": GIVEN[0], "question": " "}],), "the question of .* is empty"),
        ((iter(GIVEN), QUESTION), "a generator or dataset holds the questions too"),
    ):
        with pytest.raises(ValueError, match=said):
            pipe(*given)
    with pytest.raises(BadPicture, match="there is no file"):
        pipe("gone.png", QUESTION)
    failed = pipe([{"image": "gone.png", "question": QUESTION}], on_error="return")
    assert "there is no file" in failed[0]["error"]
    with pytest.raises(ValueError, match="top_k"):
        pipe(GIVEN[0], QUESTION, top_k=0)
