"""`formers predict` for every task that `formers train` knows: rows in, JSON lines out."""

from __future__ import annotations

import json

import pytest

import tiny
from system.cli_command import in_this_process
from system.recipe_data import save_decoder, save_writer

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")
TEXTS = ["please help with the parcel courier", "the invoice was charged twice", "help"]
HEADS = {
    "token-classification": "TokenClassification",
    "question-answering": "QuestionAnswering",
    "fill-mask": "MaskedLM",
    "multiple-choice": "MultipleChoice",
    "multi-label-classification": "SequenceClassification",
    "pair-classification": "SequenceClassification",
    "regression": "SequenceClassification",
}
KINDS = {"multi-label-classification": "multi_label_classification", "regression": "regression"}


@pytest.fixture
def formers(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def saved(task, encoder, folder):
    """An untrained model of a task, as `formers train --task` leaves one."""
    import formers

    if task in ("summarization", "translation"):
        save_writer(folder)
        short = formers.GenerationConfig.from_pretrained(folder)
        short.update(max_new_tokens=4, num_beams=1)
        short.save_pretrained(folder)
    elif task == "text-generation":
        save_decoder(folder)
    else:
        auto = getattr(formers, f"AutoModelFor{HEADS[task]}" if task in HEADS else "AutoModel")
        labels = {"num_labels": 1 if task == "regression" else 3} if task in HEADS else {}
        model = auto.from_pretrained(encoder, **labels)
        if task in KINDS:
            model.config.problem_type = KINDS[task]
        model.save_pretrained(folder)
        formers.AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    (folder / "metrics.json").write_text(json.dumps({"version": 1, "task": task}))
    return folder


def rows_for(task):
    if task == "question-answering":
        return [{"question": "what help ?", "context": text} for text in TEXTS]
    if task == "pair-classification":
        return [{"text": text, "text_pair": "help"} for text in TEXTS]
    if task == "multiple-choice":
        return [{"question": text, "choices": ["help", "the parcel"]} for text in TEXTS]
    if task == "fill-mask":
        return [{"text": f"{text} [MASK]"} for text in TEXTS]
    return [{"text": text} for text in TEXTS]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("task", "holds"),
    [
        ("token-classification", None),
        ("question-answering", "answer"),
        ("summarization", "summary_text"),
        ("translation", "translation_text"),
        ("fill-mask", "token_str"),
        ("text-generation", "generated_text"),
        ("sentence-embeddings", None),
        ("multiple-choice", "choice"),
        ("multi-label-classification", "label"),
        ("pair-classification", "label"),
        ("regression", "score"),
    ],
)
def test_every_task_answers_rows_in_their_order(task, holds, formers, encoder, tmp_path):
    model = saved(task, encoder, tmp_path / "model")
    data = write(tmp_path / "rows.jsonl", rows_for(task))
    status, said, _ = formers("predict", "-m", model, "--file", data, "--device", "cpu")
    found = [json.loads(line) for line in said.splitlines()]
    assert status == 0
    assert len(found) == len(TEXTS)
    for row, text in zip(found, TEXTS, strict=True):
        assert any(text in str(value) for name, value in row.items() if name != "answer")
        answer = row["answer"][0] if isinstance(row["answer"], list) and holds else row["answer"]
        assert holds is None or holds in answer


def test_an_output_that_was_stopped_is_gone_on_with(formers, encoder, tmp_path):
    model = saved("multiple-choice", encoder, tmp_path / "model")
    data = write(tmp_path / "rows.jsonl", rows_for("multiple-choice"))
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    assert formers("predict", "-m", model, "--file", data, "--output", whole)[0] == 0
    lines = whole.read_text().splitlines(keepends=True)
    part.write_text(lines[0] + lines[1][:9])  # it was stopped while it wrote the second
    status, _, said = formers("predict", "-m", model, "--file", data, "--output", part)
    assert status == 2
    assert "--resume goes on with it" in said
    assert formers("predict", "-m", model, "--file", data, "--output", part, "--resume")[0] == 0
    assert [json.loads(line) for line in part.read_text().splitlines()] == [
        json.loads(line) for line in lines
    ]
    part.write_text(lines[1])
    status, _, said = formers("predict", "-m", model, "--file", data, "--output", part, "--resume")
    assert status == 2
    assert "does not answer row 1" in said


@pytest.mark.parametrize(
    ("task", "rows", "sentence"),
    [
        ("question-answering", [{"question": "a", "context": "b"}, {"question": "", "context": "b"}],
         "line 2: the column 'question' is empty"),
        ("question-answering", [{"question": "a"}], "line 1 has no column 'context'"),
        ("summarization", [{"text": "a"}, {"text": 3}], "line 2: the column 'text' holds 3"),
        ("multiple-choice", [{"question": "a", "choices": ["b"]}], "line 1: expected two choices or more"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_asked_is_named_before_the_model_is_loaded(
    task, rows, sentence, formers, tmp_path
):
    data = write(tmp_path / "rows.jsonl", rows)
    status, _, said = formers("predict", "-m", tmp_path / "no-model", "--task", task, "--file", data)
    assert status == 2
    assert sentence in said


def test_texts_alone_do_for_tasks_that_ask_about_one(formers, encoder, tmp_path):
    model = saved("fill-mask", encoder, tmp_path / "model")
    status, said, _ = formers("predict", "-m", model, "help with the [MASK]")
    assert status == 0
    assert json.loads(said)["text"] == "help with the [MASK]"
    status, _, said = formers("predict", "-m", model, "--task", "question-answering", "help")
    assert status == 2
    assert "question and context" in said
