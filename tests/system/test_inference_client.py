"""Each method of huggingface_hub's client for a task that there is, against a server of that task."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import TextGenerationError
from PIL import Image

import formers
from formers.serving import running
from parity.pictures import colours
from system import task_zoo

PICTURE = Image.fromarray(colours(40, 50))
TABLE = {"Name": ["Anna", "Ben"], "Age": ["31", "45"]}
TEXTS = ["w1 w2 w3", "w4 w5", "w1 w2 w4"]
BOXES = [[f"w{i}", [10 * i, 20, 10 * i + 9, 40]] for i in range(9)]
SEGMENTS = {"subtask": "semantic", "threshold": 0.2}
TONE = (0.1 * np.sin(np.arange(8000) / 9)).astype("float32")


def png() -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "PNG")
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes((TONE * 32767).astype("<i2").tobytes())
    return file.getvalue()


def labels(found: Any) -> list[tuple[str, float]]:
    return [(one["label"], pytest.approx(one["score"], abs=1e-4)) for one in found]


def same_labels(found: Any, expected: Any) -> None:
    assert labels(expected)
    assert [(one.label, one.score) for one in found] == labels(expected)


def same_picture(found: Any, expected: Any) -> None:
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def same_masks(found: Any, expected: Any) -> None:
    assert expected
    assert [one.label for one in found] == [one["label"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        same_picture(one.mask, other["mask"])


def same_boxes(found: Any, expected: Any) -> None:
    same_labels(found, expected)
    boxes = [tuple(vars(one.box)[side] for side in ("xmin", "ymin", "xmax", "ymax")) for one in found]
    assert boxes == [tuple(one["box"].values()) for one in expected]


def same_answers(found: Any, expected: Any) -> None:
    scores = [(one["answer"], pytest.approx(one["score"], abs=1e-4)) for one in expected]
    assert [(one.answer, one.score) for one in found] == scores


def same_sound(found: bytes, expected: Any) -> None:
    with wave.open(io.BytesIO(found)) as reader:
        assert reader.getframerate() == expected["sampling_rate"]
        assert reader.getnframes() > 0


def same_vectors(found: Any, expected: Any) -> None:
    assert np.allclose(found, np.asarray(expected), atol=1e-5)


def cosines(pipe: Any) -> list[float]:
    first, *others = (one / np.linalg.norm(one) for one in pipe(TEXTS))
    return [float(first @ one) for one in others]


Case = tuple[str, Callable[[InferenceClient], Any], Callable[[Any], Any], Callable[[Any, Any], None]]
CASES: list[Case] = [
    (
        "text-classification",
        lambda client: client.text_classification("w1 w2", top_k=2),
        lambda pipe: pipe("w1 w2", top_k=2),
        same_labels,
    ),
    (
        "token-classification",
        lambda client: client.token_classification("w1 w2 w3 w4", aggregation_strategy="none"),
        lambda pipe: pipe("w1 w2 w3 w4", aggregation_strategy="none"),
        lambda found, expected: (
            [(one.entity, one.word, one.start) for one in found]
            == [(one["entity"], one["word"], one["start"]) for one in expected]
            or pytest.fail(f"{found}")
        ),
    ),
    (
        "question-answering",
        lambda client: client.question_answering("w9 w8", "w1 w2 w3 w4", top_k=2),
        lambda pipe: pipe(question="w9 w8", context="w1 w2 w3 w4", top_k=2),
        same_answers,
    ),
    (
        "table-question-answering",
        lambda client: client.table_question_answering(TABLE, "how old is Ben"),
        lambda pipe: pipe(table=TABLE, query="how old is Ben"),
        lambda found, expected: same_vectors(found.coordinates, expected["coordinates"]),
    ),
    (
        "fill-mask",
        lambda client: client.fill_mask("w1 [MASK] w3", top_k=3),
        lambda pipe: pipe("w1 [MASK] w3", top_k=3),
        lambda found, expected: same_labels(
            [type("One", (), {"label": one.token_str, "score": one.score}) for one in found],
            [{"label": one["token_str"], "score": one["score"]} for one in expected],
        ),
    ),
    (
        "zero-shot-classification",
        lambda client: client.zero_shot_classification("w1 w2", ["w3", "w4"], multi_label=True),
        lambda pipe: pipe("w1 w2", candidate_labels=["w3", "w4"], multi_label=True),
        lambda found, expected: same_labels(
            found,
            [{"label": a, "score": b} for a, b in zip(expected["labels"], expected["scores"], strict=True)],
        ),
    ),
    (
        "feature-extraction",
        lambda client: client.feature_extraction("w1 w2"),
        lambda pipe: pipe("w1 w2"),
        same_vectors,
    ),
    (
        "sentence-similarity",
        lambda client: client.sentence_similarity(TEXTS[0], TEXTS[1:]),
        cosines,
        same_vectors,
    ),
    (
        "summarization",
        lambda client: (
            client.summarization("w1 w2 w3", generate_parameters={"max_new_tokens": 5}).summary_text
        ),
        lambda pipe: pipe("w1 w2 w3", max_new_tokens=5)[0]["summary_text"],
        lambda found, expected: same_vectors([found == expected], [True]),
    ),
    (
        "translation",
        lambda client: (
            client.translation("w1 w2 w3", generate_parameters={"max_new_tokens": 5}).translation_text
        ),
        lambda pipe: pipe("w1 w2 w3", max_new_tokens=5)[0]["translation_text"],
        lambda found, expected: same_vectors([found == expected], [True]),
    ),
    (
        "image-classification",
        lambda client: client.image_classification(png(), top_k=3),
        lambda pipe: pipe(PICTURE, top_k=3),
        same_labels,
    ),
    (
        "image-segmentation",
        lambda client: client.image_segmentation(png(), **SEGMENTS),
        lambda pipe: pipe(PICTURE, **SEGMENTS),
        same_masks,
    ),
    (
        "object-detection",
        lambda client: client.object_detection(png(), threshold=0.01),
        lambda pipe: pipe(PICTURE, threshold=0.01),
        same_boxes,
    ),
    ("image-to-image", lambda client: client.image_to_image(png()), lambda pipe: pipe(PICTURE), same_picture),
    (
        "image-to-text",
        lambda client: client.image_to_text(png()).generated_text,
        lambda pipe: pipe(PICTURE)[0]["generated_text"],
        lambda found, expected: same_vectors([found == expected], [True]),
    ),
    (
        "visual-question-answering",
        lambda client: client.visual_question_answering(png(), "w1 w2", top_k=2),
        lambda pipe: pipe(PICTURE, "w1 w2", top_k=2),
        same_answers,
    ),
    (
        "document-question-answering",
        lambda client: client.document_question_answering(png(), "w1 w2", word_boxes=BOXES),
        lambda pipe: pipe(PICTURE, "w1 w2", word_boxes=[tuple(one) for one in BOXES]),
        same_answers,
    ),
    (
        "zero-shot-image-classification",
        lambda client: client.zero_shot_image_classification(png(), ["a cat", "dogs"]),
        lambda pipe: pipe(PICTURE, candidate_labels=["a cat", "dogs"]),
        same_labels,
    ),
    (
        "automatic-speech-recognition",
        lambda client: client.automatic_speech_recognition(wav()).text,
        lambda pipe: pipe(wav())["text"],
        lambda found, expected: same_vectors([found == expected], [True]),
    ),
    (
        "audio-classification",
        lambda client: client.audio_classification(wav(), top_k=3),
        lambda pipe: pipe(wav(), top_k=3),
        same_labels,
    ),
    (
        "text-to-speech",
        lambda client: client.text_to_speech("kick the cat"),
        lambda pipe: pipe("kick the cat"),
        same_sound,
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_client_gets_what_the_pipeline_answers(case: Case, tmp_path: Path) -> None:
    task, asked, expected, same = case
    folder = task_zoo.build(task, tmp_path)
    pipe = formers.pipeline(task, model=str(folder), device="cpu")
    with running(pipe, task=task, log_path=tmp_path / "log") as url:
        found = asked(InferenceClient(model=url))
    same(found, expected(pipe))


def test_texts_are_gone_on_with_whole_and_token_by_token(tmp_path: Path) -> None:
    folder = task_zoo.build("text-generation", tmp_path)
    pipe = formers.pipeline("text-generation", model=str(folder), device="cpu")
    text = "the quick brown"
    expected = pipe(text, max_new_tokens=6, do_sample=False, return_full_text=False)[0]["generated_text"]
    with running(pipe, log_path=tmp_path / "log") as url:
        client = InferenceClient(model=url)
        whole = client.text_generation(text, max_new_tokens=6)
        full = client.text_generation(text, max_new_tokens=6, return_full_text=True)
        details = client.text_generation(text, max_new_tokens=6, details=True)
        parts = list(client.text_generation(text, max_new_tokens=6, stream=True))
        events = list(client.text_generation(text, max_new_tokens=6, stream=True, details=True))
        with pytest.raises(TextGenerationError, match="watermark"):
            client.text_generation(text, watermark=True)
    assert (whole, full) == (expected, text + expected)
    assert details.generated_text == expected == "".join(parts) == events[-1].generated_text
    assert [one.token.id for one in events] == [one.id for one in details.details.tokens]
    assert (details.details.generated_tokens, details.details.finish_reason) == (6, "length")
