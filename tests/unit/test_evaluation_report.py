"""The report is one safe page, one picture and one file of numbers, and the baseline is the one to beat."""

from __future__ import annotations

import csv
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from formers.desk import charts
from formers.desk.report import write_report
from formers.evaluation.baselines import tfidf_baseline
from formers.evaluation.calibration import fit_temperature
from formers.evaluation.metrics import classification
from formers.evaluation.thresholds import Thresholds, fit_thresholds

DATA = Path(__file__).parents[2] / "examples/data/cpython-changelog.csv.gz"
NAMES = ["billing", "shipping & <returns>", "technical"]
HISTORY = [
    {"loss": 1.1, "epoch": 0.5, "step": 10},
    {"eval_loss": 0.9, "eval_macro_f1": 0.5, "eval_accuracy": 0.6, "epoch": 1.0},
    {"loss": 0.7, "epoch": 1.5, "step": 30},
    {"eval_loss": 0.8, "eval_macro_f1": 0.7, "eval_accuracy": 0.7, "epoch": 2.0},
    {"train_runtime": 12.0, "epoch": 2.0},
]


class Page(HTMLParser):
    """Tags of a page; fails when one is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def judged(seed, n=400):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.6, 0.3, 0.1])
    return 3 * (rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]), labels


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A full report on a made-up router, whose texts try to break out of the page."""
    validation, truth = judged(0)
    logits, labels = judged(1)
    calibration = fit_temperature(validation, truth)
    thresholds = fit_thresholds(calibration.apply(validation), truth, NAMES, precision=0.9)
    texts = [f'<script>alert({i})</script> my card & "order" {"x" * 500}' for i in range(len(labels))]
    return write_report(
        tmp_path_factory.mktemp("report"),
        title="Router <of> tickets",
        label_names=NAMES,
        labels=labels,
        logits=logits,
        texts=texts,
        calibration=calibration,
        thresholds=thresholds,
        baseline_results={
            "TF-IDF + logistic regression": classification(labels, 0.5 * logits, NAMES, from_logits=True)
        },
        training_history=HISTORY,
        model_facts={"Model": "a <b>bold</b> name", "Parameters": 22_700_000},
    )


def test_three_files_are_written(written):
    assert written.html.name == "report.html"
    assert written.png.read_bytes().startswith(b"\x89PNG")
    values = json.loads(written.metrics.read_text())
    assert values["metrics"]["ece"] < values["metrics_before_calibration"]["ece"]
    assert values["labels"] == NAMES


def test_the_page_is_well_formed_and_has_every_part(written):
    text = written.html.read_text()
    page = Page(text)
    assert page.open == []
    for part in ("labels", "calibration", "human", "confusion", "training", "made", "baseline"):
        assert ("id", part) in page.attributes
    assert page.tags.count("svg") == 8
    assert dict(page.attributes)["lang"] == "en"


def test_nothing_in_the_page_comes_from_outside_or_runs(written):
    page = Page(written.html.read_text())
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("href", "src", "xlink:href")]
    assert all(value.startswith("#") for value in addresses)
    assert "url(" not in written.html.read_text()


def test_what_comes_from_data_is_escaped(written):
    text = written.html.read_text()
    assert "&lt;script&gt;alert(" in text
    assert "<b>bold</b>" not in text
    assert "shipping &amp; &lt;returns&gt;" in text
    assert "x" * 450 not in text  # long texts are cut


def test_every_chart_says_what_it_shows(written):
    text = written.html.read_text()
    assert len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]{10,}"', text)) == text.count("<svg")


def test_a_report_needs_only_labels_and_probabilities(tmp_path):
    logits, labels = judged(2, n=60)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    paths = write_report(
        tmp_path, title="Bare", label_names=None, labels=labels, probabilities=probabilities, plots=False
    )
    assert paths.png is None
    page = Page(paths.html.read_text())
    assert ("id", "training") not in page.attributes
    assert "not calibrated" in paths.html.read_text()


def test_a_bare_report_has_its_picture_too(tmp_path):
    logits, labels = judged(2, n=60)
    paths = write_report(tmp_path, title="Bare", label_names=NAMES, labels=labels, logits=logits, plots=True)
    assert paths.png.stat().st_size > 10_000


def test_perfect_answers_and_many_labels_can_be_shown(tmp_path):
    labels = np.arange(30)
    paths = write_report(
        tmp_path, title="All right", label_names=None, labels=labels, logits=20 * np.eye(30), texts=["t"] * 30
    )
    text = paths.html.read_text()
    Page(text)
    assert "The 20 most frequent of 30 labels" in text
    assert "The surest mistakes" not in text


def test_examples_given_by_the_caller_are_the_ones_shown(tmp_path):
    logits, labels = judged(2, n=60)
    example = {"text": "from the queue", "label": "billing", "predicted": "technical", "score": 0.9}
    common = {"title": "T", "label_names": NAMES, "labels": labels, "logits": logits, "plots": False}
    paths = write_report(tmp_path, examples=[example], **common)
    assert "from the queue" in paths.html.read_text()
    with pytest.raises(ValueError, match="'score' is missing"):
        write_report(tmp_path, examples=[{k: v for k, v in example.items() if k != "score"}], **common)


def test_parts_that_do_not_fit_are_refused(tmp_path):
    logits, labels = judged(3, n=50)
    common = {"title": "T", "label_names": NAMES, "labels": labels, "plots": False}
    with pytest.raises(ValueError, match="either logits= or probabilities="):
        write_report(tmp_path, **common)
    with pytest.raises(ValueError, match="3 texts for 50 labels"):
        write_report(tmp_path, logits=logits, texts=["a"] * 3, **common)
    other = fit_thresholds(logits, labels, ["a", "b", "c"], from_logits=True)
    with pytest.raises(ValueError, match="thresholds are for the labels"):
        write_report(tmp_path, logits=logits, thresholds=other, **common)


def test_ticks_are_round_and_lie_within_the_range():
    assert charts.ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.ticks(0.65, 1) == [0.7, 0.8, 0.9, 1.0]
    assert charts.ticks(0, 4) == [0, 1, 2, 3, 4]
    assert charts.ticks(3, 3) == [3]


def test_the_baseline_reaches_what_is_stated_of_it_on_the_real_data():
    from sklearn.model_selection import train_test_split

    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    train, test, train_labels, test_labels = train_test_split(
        texts, labels, test_size=0.1, random_state=0, stratify=labels
    )
    found = tfidf_baseline(train, train_labels, test, test_labels)
    assert found.metrics["macro_f1"] == pytest.approx(0.656, abs=0.002)
    assert found.label_names == sorted(set(labels))


def test_the_baseline_takes_indices_in_the_order_of_the_model():
    texts = ["the card was charged", "the parcel is late", "card charged again", "late parcel again"]
    found = tfidf_baseline(texts, [1, 0, 1, 0], texts, [1, 0, 1, 0], ["shipping", "billing"])
    assert found.predictions.tolist() == [1, 0, 1, 0]
    assert found.label_names == ["shipping", "billing"]
    with pytest.raises(ValueError, match="4 texts and 1 labels"):
        tfidf_baseline(texts, [1], texts, [1, 0, 1, 0])


def bare_findings(monkeypatch, tmp_path, **given):
    """What the page says, and the words that the picture is drawn with."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    words = []
    saved = Figure.savefig

    def listened(figure, *args, **kwargs):
        words.extend(text.get_text() for text in figure.findobj(Text))
        saved(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", listened)
    paths = write_report(tmp_path, title="T", plots=True, **given)
    return paths.html.read_text(), " | ".join(words)


def test_a_report_claims_nothing_that_it_was_not_told(tmp_path, monkeypatch):
    logits, labels = judged(2, n=60)
    page, picture = bare_findings(monkeypatch, tmp_path, label_names=NAMES, labels=labels, logits=logits)
    assert "not trained on" not in page
    assert "held-out" not in page + picture
    assert "Whether the model was trained on any of them is not known" in page
    assert "not calibrated" in picture
    assert "→" not in picture
    assert "no training log" not in picture
    assert "Training, by epoch" not in picture


def test_a_report_on_held_out_texts_says_so(tmp_path, monkeypatch):
    logits, labels = judged(2, n=60)
    given = {"label_names": NAMES, "labels": labels, "logits": logits}
    page, picture = bare_findings(monkeypatch, tmp_path, held_out=True, **given)
    assert "60 texts that the model was not trained on" in page
    assert "60 held-out texts" in picture
    assert "likely to do worse" in write_report(tmp_path, title="T", held_out=False, **given).html.read_text()


def test_a_picture_of_many_long_labels_says_which_it_shows_and_cuts_their_names(tmp_path, monkeypatch):
    names = [f"A rather long name of a label, {i}" for i in range(30)]
    given = {"label_names": names, "labels": np.arange(30), "logits": 20 * np.eye(30)}
    page, picture = bare_findings(monkeypatch, tmp_path, **given)
    assert picture.count("the 20 most frequent of 30 labels") == 2
    assert "The 20 most frequent of 30 labels" in page
    assert names[0] not in picture
    assert "A rather …label, 0" in picture


def test_labels_without_a_threshold_get_the_default_in_a_report(tmp_path):
    logits, labels = judged(2, n=60)
    short = Thresholds.from_dict({"labels": {NAMES[2]: 0.5}, "default": 0.6})
    paths = write_report(
        tmp_path, title="T", label_names=NAMES, labels=labels, logits=logits, thresholds=short, plots=False
    )
    rows = json.loads(paths.metrics.read_text())["thresholds"]["labels"]
    assert [row["threshold"] for row in rows] == [0.6, 0.6, 0.5]
