"""`formers train --task`: from a small file to a folder that the pipeline of the task answers from."""

from __future__ import annotations

import json
import math

import pytest
import torch

import tiny
from formers import pipeline
from formers.evaluation.overlap import bleu, rouge
from formers.evaluation.spans import squad
from formers.jobs.table import job_of, judge
from formers.jobs.tokens import read_conll
from system.cli_command import in_this_process
from system.recipe_data import (
    alike,
    rewritten,
    save_decoder,
    save_writer,
    sentences,
    train,
    write_conll,
    write_lines,
    write_squad,
    write_texts,
)

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")


@pytest.fixture
def formers(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


# --- token classification ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entities(tmp_path_factory, encoder):
    folder = tmp_path_factory.mktemp("tokens")
    data = write_conll(folder / "data.conll", sentences(100))
    return train("token-classification", data, encoder, folder / "out", epochs=5)


def test_a_model_of_entities_is_trained_from_conll_and_reported_by_type(entities):
    job, outcome = entities
    assert outcome.report.metrics["f1"] > 0.7
    assert set(outcome.report.metrics["per_type"]) <= set(tiny.WORDS)
    assert "## Sentences with most mistakes" in (job.plan.output / "report.md").read_text()
    pipe = pipeline("ner", model=str(job.plan.output), aggregation_strategy="simple")
    assert pipe("please help with the parcel courier")[-1]["entity_group"] == "shipping"


def test_the_held_out_sentences_are_judged_again_alike_by_the_command(formers, entities):
    folder = entities[0].plan.output
    status, shown, errors = formers("evaluate", "-m", folder, "-d", folder / "held-out.jsonl", "--json")
    assert status == 0, errors
    assert json.loads(shown) == entities[1].report.metrics


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.conll", "my O\nparcel\n", "line 2: expected a word and its label, found 'parcel'"),
        ("a.conll", "-DOCSTART- O\n\n", "holds no sentence"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', "line 1 has 2 words and 1 labels"),
        ("a.jsonl", '{"tokens": "a b", "tags": ["O"]}', "line 1: expected a list of words"),
        ("a.jsonl", '{"text": ["a"], "tags": ["O"]}', "name the right one with --text-column"),
    ],
)
def test_sentences_that_are_not_labelled_are_refused_with_their_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        train("token-classification", tmp_path / name, tmp_path, tmp_path / "out")


def test_columns_of_conll_are_parted_by_tabs_or_blanks(tmp_path):
    file = tmp_path / "a.conll"
    file.write_text("# a comment\nNew York\tN\tB-LOC\n\nis V O\n")
    assert read_conll(file) == [
        {"tokens": ["New York"], "tags": ["B-LOC"]},
        {"tokens": ["is"], "tags": ["O"]},
    ]


# --- question answering --------------------------------------------------------------------------------


def test_a_model_of_questions_is_trained_from_squad_with_windows(tmp_path, encoder):
    data = write_squad(tmp_path / "squad.json", 100)
    more = {"epochs": 5, "max_length": 12, "stride": 2}
    job, outcome = train("question-answering", data, encoder, tmp_path / "out", **more)
    found = outcome.report.metrics
    assert found["HasAns_f1"] > 60
    assert found["NoAns_exact"] > 60
    contexts = [{row["context"] for row in part} for part in vars(outcome.parts).values()]
    assert sum(map(len, contexts)) == len(set.union(*contexts))  # no text is in two parts
    answer = pipeline("question-answering", model=str(job.plan.output))(
        question="please help", context="is my help with the invoice again"
    )
    assert answer["answer"] == "invoice"
    again = judge("question-answering", str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == found


def test_answers_are_compared_as_the_script_of_squad_compares_them():
    found = squad(["The Eiffel Tower!", "in Paris", "", "x"], [["eiffel tower"], ["Paris", "Lyon"], [], []])
    assert found["exact"] == 50
    assert found["f1"] == pytest.approx(100 * (1 + 2 / 3 + 1 + 0) / 4)
    assert found["NoAns_f1"] == 50


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"answers": {"text": ["card"], "answer_start": [0]}},
            "'card' does not stand at character 0: it stands at 3",
        ),
        ({"answers": {"text": ["late"], "answer_start": [0]}}, "it is not in the context"),
        ({"answers": {"text": ["card"], "answer_start": []}}, "of one length"),
        ({"question": ""}, "line 2: the question is ''"),
    ],
)
def test_questions_without_their_answer_are_refused_with_their_line(tmp_path, changed, said):
    row = {"question": "what", "context": "my card", "answers": {"text": ["card"], "answer_start": [3]}}
    data = write_lines(tmp_path / "a.jsonl", [row, {**row, **changed}])
    with pytest.raises(ValueError, match=said):
        train("question-answering", data, tmp_path, tmp_path / "out")


# --- language models -----------------------------------------------------------------------------------


def test_a_decoder_is_trained_on_blocks_of_plain_text_and_judged_by_file(tmp_path):
    data = write_texts(tmp_path / "texts", 120)
    more = {"epochs": 5, "max_length": 16, "learning_rate": 1e-2, "batch_size": 8}
    job, outcome = train("causal-lm", data, save_decoder(tmp_path / "decoder"), tmp_path / "out", **more)
    found = outcome.report.metrics
    assert found["perplexity"] < 5  # 30 tokens by chance
    assert set(found["by_file"]) == {"a.txt", "b.txt"}
    pipe = pipeline("text-generation", model=str(job.plan.output))
    answer = pipe("invoice refund charged", max_new_tokens=2, return_full_text=False)
    assert answer == [{"generated_text": "card payment"}]
    again = judge("text-generation", str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == found


def test_an_encoder_learns_hidden_words_which_are_the_same_in_every_evaluation(tmp_path, encoder):
    data = write_texts(tmp_path / "texts", 30)
    more = {"whole_words": True, "mask_share": 0.3, "max_length": 16}
    job, outcome = train("masked-lm", data, encoder, tmp_path / "out", **more)
    assert outcome.report.metrics["perplexity"] > 1
    assert "the model's guesses" in outcome.report.text
    pipe = pipeline("fill-mask", model=str(job.plan.output))
    assert len(pipe("parcel [MASK] address", top_k=3)) == 3
    rows = outcome.parts.validation
    once, twice = (job.features(rows, pipe.tokenizer, pipe.model, training=False) for _ in range(2))
    assert once == twice
    assert any(label >= 0 for row in once for label in row["labels"])


def test_texts_end_at_blank_lines_where_there_are_any(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    (tmp_path / "b.txt").write_text("one\ntwo\n")
    job = job_of("causal-lm")
    read = [
        job(job.plan_class(tmp_path / name, str(tmp_path), tmp_path)).read() for name in ("a.txt", "b.txt")
    ]
    assert [[row["text"] for row in rows] for rows in read] == [["one\ntwo", "three"], ["one", "two"]]


# --- one text from another -----------------------------------------------------------------------------


def test_a_writer_learns_summaries_and_its_report_shows_them(tmp_path):
    rows = [{"document": text, "summary": word} for text, word in rewritten(12)]
    data = write_lines(tmp_path / "a.jsonl", rows)
    more = {"max_target_length": 4, "prefix": "help ", "num_beams": 2}
    job, outcome = train("summarization", data, save_writer(tmp_path / "writer"), tmp_path / "out", **more)
    assert set(outcome.report.metrics) == {"rouge1", "rouge2", "rougeL"}
    assert any("eval_rougeL" in entry for entry in outcome.history)
    assert "| ROUGE-L | text | wanted | written |" in outcome.report.text
    pipe = pipeline("summarization", model=str(job.plan.output))
    assert pipe.prefix == "help "
    assert pipe.model.generation_config.max_new_tokens == 4
    again = judge("summarization", str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == outcome.report.metrics


def test_translations_are_read_by_their_languages_behind_the_prefix_of_the_model(tmp_path):
    rows = [{"translation": {"en": text, "de": word}} for text, word in rewritten(6)]
    data = write_lines(tmp_path / "a.jsonl", rows)
    writer = save_writer(tmp_path / "writer")
    with pytest.raises(ValueError, match=r"line 1 has translations in \['en', 'de'\]: name two"):
        train("translation", data, writer, tmp_path / "out")
    more = {"source_language": "en", "target_language": "de", "num_beams": 1, "max_target_length": 4}
    job, outcome = train("translation", data, writer, tmp_path / "out", **more)
    assert set(outcome.report.metrics) == {"bleu"}
    assert pipeline("translation", model=str(job.plan.output)).prefix == "please "


def test_overlap_is_measured_as_the_packages_define_it():
    assert rouge(["the cat sat"], ["the cat ran"]) == [
        {"rouge1": pytest.approx(200 / 3), "rouge2": pytest.approx(50), "rougeL": pytest.approx(200 / 3)}
    ]
    assert rouge(["Größe 3"], ["größe 4"])[0]["rouge1"] == pytest.approx(50)
    assert bleu(["the cat sat on the mat"], ["the cat sat on the mat"]) == pytest.approx(100)


# --- sentence embeddings -------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "texts"), [("ranking", 2), ("triplet", 3), ("cosine", 2)])
def test_vectors_of_texts_that_belong_together_come_closer(tmp_path, encoder, loss, texts):
    names = ["anchor", "positive", "negative"]
    rows = [dict(zip(names, row, strict=False)) for row in alike(45, texts=texts)]
    if loss == "cosine":
        half = [{**row, "score": 1.0} for row in rows]
        rows = half + [{**row, "positive": alike(46)[at + 1][0], "score": 0.0} for at, row in enumerate(rows)]
    data = write_lines(tmp_path / "a.jsonl", rows)
    job, outcome = train("sentence-embeddings", data, encoder, tmp_path / "out", loss=loss, epochs=3)
    measured, least = {
        "ranking": ("mrr", 0.4),
        "triplet": ("triplets_in_order", 0.7),
        "cosine": ("spearmanr", 0.3),
    }[loss]
    assert outcome.report.metrics[measured] > least
    assert "## Nearest neighbours" in outcome.report.text
    again = judge("sentence-embeddings", str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == outcome.report.metrics


def test_losses_are_small_where_partners_are_alike_and_large_where_others_are():
    from formers.jobs.contrast import LOSSES

    one, other = torch.eye(2), torch.eye(2).flip(0)
    assert LOSSES["ranking"](torch.stack([one, 3 * one]), None) == pytest.approx(0, abs=1e-6)
    assert LOSSES["ranking"](torch.stack([one, other]), None) == pytest.approx(20)
    both = torch.stack([one, one, one])
    assert LOSSES["ranking"](both, None) == pytest.approx(math.log(2), abs=1e-6)  # the third texts count, too
    assert LOSSES["triplet"](torch.stack([one, one, other]), None) == 0
    assert LOSSES["triplet"](torch.stack([one, other, one]), None) == pytest.approx(1.5)
    assert LOSSES["cosine"](torch.stack([one, one]), torch.tensor([1.0, 0.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"anchor": "a", "positive": "b", "score": 4}, "the score 4 is no cosine"),
        ({"anchor": "a", "positive": "", "score": 1}, "line 2: '' is no text"),
        ({"anchor": "a", "positive": "b", "score": None}, "line 2: the score None is no number"),
    ],
)
def test_texts_that_are_no_pair_are_refused_with_their_line(tmp_path, row, said):
    data = write_lines(tmp_path / "a.jsonl", [{"anchor": "a", "positive": "b", "score": 1}, row])
    with pytest.raises(ValueError, match=said):
        train("sentence-embeddings", data, tmp_path, tmp_path / "out")


# --- multiple choice -----------------------------------------------------------------------------------


def test_a_model_learns_to_choose(tmp_path, encoder):
    rows = [
        {"question": one, "ending0": other, "ending1": same, "label": 1}
        if at % 2
        else {"question": one, "ending0": same, "ending1": other, "label": same}
        for at, (one, same, other) in enumerate(alike(60, texts=3))
    ]
    data = write_lines(tmp_path / "a.jsonl", rows)
    job, outcome = train("multiple-choice", data, encoder, tmp_path / "out", epochs=2)
    assert outcome.report.metrics["by_chance"] == 0.5
    assert "## Wrong answers" in outcome.report.text
    again = judge("multiple-choice", str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == outcome.report.metrics


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": 2}, "line 2: the label 2 is none of the 2 choices"),
        ({"choices": ["a"]}, "line 2: expected two choices or more"),
        ({"choices": ["a", "b", "c"]}, "line 2 has 3 choices, the first row has 2"),
        ({"question": ""}, "line 2: there is no text before the choices"),
    ],
)
def test_questions_without_a_choice_are_refused_with_their_line(tmp_path, changed, said):
    row = {"question": "what", "choices": ["a", "b"], "label": 0}
    data = write_lines(tmp_path / "a.jsonl", [row, {**row, **changed}])
    with pytest.raises(ValueError, match=said):
        train("multiple-choice", data, tmp_path, tmp_path / "out")


# --- several labels, numbers, pairs --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "measured", "least"),
    [
        ("multi-label-classification", "roc_auc", 0.6),
        ("regression", "pearson", 0.3),
        ("pair-classification", "roc_auc", 0.6),
    ],
)
def test_texts_have_several_labels_or_a_number_and_pairs_have_a_label(
    tmp_path, encoder, task, measured, least
):
    rows = []
    for at, (one, same, other) in enumerate(alike(120, texts=3)):
        kinds = {
            "multi-label-classification": {"text": f"{one} {other}" if at % 2 else one, "label": [at % 3]},
            "regression": {"text": one, "label": float(at % 3)},
            "pair-classification": {"text": one, "text_pair": same, "label": f"kind {at % 3}"},
        }
        rows.append(kinds[task])
        if at % 2 and task == "multi-label-classification":
            rows[-1]["label"] = [at % 3, (at + 1) % 3]
    data = write_lines(tmp_path / "a.jsonl", rows)
    more = {"epochs": 4, "batch_size": 8, "ema_decay": 0, "learning_rate": 1e-2, "patience": 4}
    job, outcome = train(task, data, encoder, tmp_path / "out", **more)
    assert outcome.report.metrics[measured] > least
    assert "## Furthest off" in outcome.report.text
    again = judge(task, str(job.plan.output), job.plan.output / "held-out.jsonl")
    assert again.metrics == outcome.report.metrics
    asked = {name: text for name, text in rows[0].items() if name != "label"}
    assert pipeline("text-classification", model=str(job.plan.output))(asked)


@pytest.mark.parametrize(
    ("task", "label", "said"),
    [
        ("regression", "many", "line 2: 'many' is no number"),
        ("multi-label-classification", {"a": 1}, "is no list of labels"),
        ("pair-classification", [1], r"line 2: \[1\] is no single label"),
    ],
)
def test_labels_of_another_kind_are_refused_with_their_line(tmp_path, task, label, said):
    data = write_lines(tmp_path / "a.jsonl", [{"text": "a", "label": 1}, {"text": "b", "label": label}])
    if task == "multi-label-classification":
        data = write_lines(data, [{"text": "a", "label": ["x"]}, {"text": "b", "label": label}])
    with pytest.raises(ValueError, match=said):
        train(task, data, tmp_path, tmp_path / "out")


# --- the command ---------------------------------------------------------------------------------------


def test_an_option_of_another_task_is_refused(formers, tmp_path):
    given = ["train", "-m", tmp_path, "-d", tmp_path / "a.csv", "-o", tmp_path / "out"]
    status, _, errors = formers(*given, "--stride", "8")
    assert (status, "--stride is no option of --task text-classification" in errors) == (2, True)
    status, _, errors = formers(*given, "--task", "token-clasification")
    assert (status, "did you mean 'token-classification'" in errors) == (2, True)
