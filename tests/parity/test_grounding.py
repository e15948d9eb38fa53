"""Things that a text names: Grounding DINO beside the reference, from picture to boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from tests.parity.vision_looking_shapes import SHAPES

WORDS = {
    **{0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"},
    **dict(enumerate(("a", "cat", "dog", "##s", "remote", "control", "two"), start=200)),
}
PICTURES = [Image.fromarray(colours(*size)) for size in ((40, 50), (60, 45))]
TEXTS: list[Any] = [
    "a cat. a remote control.",
    ["A cat ", "dogs"],
    [["a cat"], ["two dogs", "a remote control"]],
    ["a cat. dogs.", "two cats?"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of the reference with its processor."""
    home = tmp_path_factory.mktemp("grounding")
    (home / "vocab.txt").write_text("\n".join(WORDS.get(i, f"[unused{i}]") for i in range(1100)) + "\n")
    tokenizer = transformers.BertTokenizer.from_pretrained(home)
    size = {"shortest_edge": 64, "longest_edge": 96}
    images = (
        transformers.models.grounding_dino.image_processing_pil_grounding_dino.GroundingDinoImageProcessorPil
    )
    transformers.GroundingDinoProcessor(images(size=size), tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    config = transformers.GroundingDinoConfig(**next(iter(SHAPES["grounding-dino"].values())))
    made = transformers.GroundingDinoForObjectDetection(config)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    made.save_pretrained(home)
    return home


def both(folder: Path) -> tuple[Any, Any]:
    """The reference's processor and ours."""
    theirs = transformers.GroundingDinoProcessor.from_pretrained(folder)
    images = (
        transformers.models.grounding_dino.image_processing_pil_grounding_dino.GroundingDinoImageProcessorPil
    )
    theirs.image_processor = images.from_pretrained(folder)
    return theirs, formers.AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_texts_and_lists_of_phrases_are_prepared_as_the_reference_does(folder: Path, number: int) -> None:
    theirs, ours = both(folder)
    pictures = PICTURES[0] if number < 2 else PICTURES
    options = {"return_tensors": "pt", "padding": True}
    expected, found = (one(images=pictures, text=TEXTS[number], **options) for one in (theirs, ours))
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_weights_of_both_stacks_are_the_references(folder: Path) -> None:
    given = both(folder)[1](images=PICTURES[0], text=TEXTS[0], return_tensors="pt")
    theirs, ours = (
        room.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
        for room in (transformers, formers)
    )
    expected, found = (one(**given, output_attentions=True) for one in (theirs, ours))
    for name in ("encoder_attentions", "decoder_attentions"):
        for kind, right in zip(found[name], expected[name], strict=True):
            assert len(kind) == len(right) == 2
            for mine, other in zip(kind, right, strict=True):
                torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_words_and_boxes_are_the_references(folder: Path) -> None:
    theirs, ours = both(folder)
    given = ours(images=PICTURES, text=TEXTS[3], return_tensors="pt", padding=True)
    model = formers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    right = transformers.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    expected, found = right(**given), model(**given)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
    for sizes in (None, [(40, 50), (60, 45)]):
        options = {"threshold": 0.3, "text_threshold": 0.2, "target_sizes": sizes}
        wanted = theirs.post_process_grounded_object_detection(expected, **options)
        answers = ours.post_process_grounded_object_detection(found, given["input_ids"], **options)
        assert sum(len(one["scores"]) for one in answers)
        for mine, other in zip(answers, wanted, strict=True):
            assert list(mine) == list(other)
            assert mine["text_labels"] == other["text_labels"] == mine["labels"]
            for name in ("scores", "boxes"):
                torch.testing.assert_close(mine[name], other[name], atol=1e-4, rtol=1e-5)
    older = ours.post_process_grounded_object_detection(found, box_threshold=0.3, text_threshold=0.2)
    assert [len(one["scores"]) for one in older] == [len(one["scores"]) for one in answers]


def test_the_pipeline_finds_what_the_references_finds(folder: Path) -> None:
    theirs, _ = both(folder)
    model = transformers.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    their_pipe = transformers.ZeroShotObjectDetectionPipeline(
        model=model, tokenizer=theirs.tokenizer, image_processor=theirs.image_processor, device="cpu"
    )
    pipe = formers.pipeline("zero-shot-object-detection", model=str(folder))
    labels = ["a cat.", "two dogs."]
    expected = [their_pipe(one, candidate_labels=labels, threshold=0.2) for one in PICTURES]
    found = pipe(PICTURES, candidate_labels=labels, threshold=0.2)
    assert sum(map(len, expected))
    for mine, right in zip(found, expected, strict=True):
        assert [one["label"] for one in mine] == [one["label"] for one in right]
        for one, other in zip(mine, right, strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
            assert all(abs(one["box"][edge] - other["box"][edge]) <= 1 for edge in one["box"])
    assert pipe(PICTURES[1], candidate_labels=labels, threshold=0.2) == found[1]


def test_what_is_not_to_be_read_is_refused(folder: Path) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    model = formers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    given = processor(images=PICTURES[0], text="a cat. dogs.", return_tensors="pt")
    with pytest.raises(ValueError, match="says what to find, but it is empty"):
        processor(images=PICTURES[0], text=[])
    with pytest.raises(ValueError, match="no text that says what to find"):
        model(given["pixel_values"])
    with pytest.raises(ValueError, match="each of 1 pictures needs a text, but there are 2"):
        model(given["pixel_values"], given["input_ids"].repeat(2, 1))
    labels = [{"class_labels": torch.tensor([2]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}]
    with pytest.raises(ValueError, match=r"the text tells 2 apart \(0 to 1\)"):
        model(**given, labels=labels)
    with pytest.raises(ValueError, match="two_stage"):
        formers.GroundingDinoConfig(two_stage=False)


def test_what_an_encoder_gave_before_stands_in_its_place(folder: Path) -> None:
    processor = formers.AutoProcessor.from_pretrained(folder)
    model = formers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    given = processor(images=PICTURES[0], text="a cat. dogs.", return_tensors="pt")
    with torch.no_grad():
        whole = model(**given)
        held = (whole.encoder_last_hidden_state_vision, whole.encoder_last_hidden_state_text)
        again = model(**given, encoder_outputs=held)
        with pytest.raises(ValueError, match="encoder_outputs are places of maps and words"):
            model(**given, encoder_outputs=held[::-1])
    torch.testing.assert_close(again.logits, whole.logits)


def test_phrases_of_pictures_with_texts_of_their_own_count_in_the_loss(folder: Path) -> None:
    """Where the reference looks among the phrases of another picture's text, each has its own here."""
    processor = formers.AutoProcessor.from_pretrained(folder)
    model = formers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    box = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    losses = []
    texts, last = ["dogs.", "a cat. dogs.", "a. dog. remote control."], (0, 1, 2)
    labels = [{"class_labels": torch.tensor([one]), "boxes": box} for one in last]
    for text, one in zip(texts, labels, strict=True):
        given = processor(images=PICTURES[0], text=text, return_tensors="pt")
        losses.append(model(**given, labels=[one]).loss)
    given = processor(images=[PICTURES[0]] * 3, text=texts, return_tensors="pt", padding=True)
    torch.testing.assert_close(model(**given, labels=labels).loss, sum(losses) / 3, atol=1e-4, rtol=1e-5)
