"""Drift checks stay quiet on more of the same, and speak up when the texts or the answers change."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from formers.desk.drift import MINIMUM, DriftBaseline, DriftMonitor, baseline, check
from formers.evaluation.statistics import (
    chi_square_homogeneity,
    chi_square_tail,
    kolmogorov_smirnov,
    population_stability,
    stability_noise,
)

DATA = Path(__file__).parents[2] / "examples/data/cpython-changelog.csv.gz"


@pytest.fixture(scope="module")
def entries():
    """Real texts in a fixed random order, each answered with its label and a score."""
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rng = np.random.default_rng(0)
    picked = [rows[i] for i in rng.permutation(len(rows))[:3000]]
    scores = np.clip(rng.beta(6, 2, size=len(picked)), 0, 1)
    results = [{"label": row["label"], "score": float(s)} for row, s in zip(picked, scores, strict=True)]
    return [row["text"] for row in picked], results


@pytest.fixture(scope="module")
def base(entries):
    texts, results = entries
    return baseline(texts[:1500], results=results[:1500])


def verdicts(report):
    return {feature.name: feature.verdict for feature in report.features}


def test_more_of_the_same_is_stable(entries, base):
    texts, results = entries
    for size in (150, 500, 1500):
        report = check(base, texts[1500 : 1500 + size], results[1500 : 1500 + size])
        assert report.verdict == "stable", str(report)
    assert (report.items, report.exit_status) == (1500, 0)
    assert "score:Library" in verdicts(report)


def test_other_topics_show_in_labels_and_words(entries, base):
    texts, results = entries
    others = [i for i in range(1500, 3000) if results[i]["label"] != "Library"]
    report = check(base, [texts[i] for i in others], [results[i] for i in others])
    assert report.verdict == "drift"
    assert verdicts(report)["labels"] == "drift"


def test_longer_texts_show_in_the_length_alone(entries, base):
    texts, results = entries
    report = check(base, [f"{text} {text}" for text in texts[1500:2500]], results[1500:2500])
    assert [name for name, verdict in verdicts(report).items() if verdict == "drift"] == ["length"]


def test_another_language_shows_in_unknown_words(entries, base):
    texts, results = entries
    strange = [" ".join(word[::-1] for word in text.split()) for text in texts[1500:2000]]
    found = verdicts(check(base, strange, results[1500:2000]))
    assert found["unknown_words"] == found["words"] == "drift"


def test_less_certain_answers_show_in_the_scores(entries, base):
    texts, results = entries
    unsure = [{**result, "score": 0.8 * result["score"]} for result in results[1500:2500]]
    report = check(base, texts[1500:2500], unsure)
    found = verdicts(report)
    assert found["score"] == found["score:Library"] == "drift"
    assert found["length"] == found["labels"] == "stable"
    assert report.exit_status == 1
    assert "drift" in str(report)


def test_a_label_that_the_baseline_does_not_know_is_drift(entries, base):
    texts, results = entries
    renamed = [{**result, "label": "Stdlib"} for result in results[1500:1700]]
    assert verdicts(check(base, texts[1500:1700], renamed))["labels"] == "drift"


def test_too_few_texts_get_no_verdict(entries, base):
    texts, results = entries
    report = check(base, texts[: MINIMUM - 1], results[: MINIMUM - 1])
    assert (report.verdict, report.exit_status) == ("unknown", 2)
    assert "at least" in str(report)


def test_the_baseline_survives_the_disk(entries, base, tmp_path):
    texts, results = entries
    base.save(tmp_path)
    again = DriftBaseline.load(tmp_path)
    assert check(again, texts[1500:], results[1500:]) == check(base, texts[1500:], results[1500:])
    assert DriftBaseline.load(tmp_path / "drift-baseline.json").label_names == base.label_names


def test_a_damaged_baseline_is_refused(base, tmp_path):
    path = base.save(tmp_path)
    path.write_text(path.read_text().replace('"length": [', '"length": [1,', 1))
    with pytest.raises(ValueError, match="histogram 'length' must have shape"):
        DriftBaseline.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("counts", None, "'counts' must be an object"),
        ("counts", {"items": 1}, "'counts' needs a 'length'"),
        ("label_names", "abc", "'label_names' must be a list of strings, found 'abc'"),
        ("profile", [1], "'profile' must be a list of strings"),
        ("vocabulary", ["a"], "'vocabulary' must be words in one string"),
        ("length_unit", 3, "length_unit must be"),
        ("items", 2.5, "'items' must be a whole number"),
        ("items", 7, "must hold counts of 0 or more that sum to 'items', 7"),
        ("length", "abc", "the histogram 'length' must hold numbers alone"),
        ("length", [10**400], "the histogram 'length' must hold numbers alone"),
        ("words", float("nan"), "the histogram 'words' must hold counts of 0 or more"),
        ("score", -1, "the histogram 'score' must hold counts of 0 or more"),
    ],
)
def test_a_baseline_with_entries_of_another_type_is_refused_with_file_and_field(
    base, tmp_path, name, value, message
):
    path = base.save(tmp_path)
    values = json.loads(path.read_text())
    if name in ("words", "score"):
        values["counts"][name][0] = value
    else:
        (values if name in values else values["counts"])[name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message) as caught:
        DriftBaseline.load(tmp_path)
    assert str(path) in str(caught.value)


def test_probabilities_and_label_names_make_the_same_baseline(entries):
    texts, _ = entries
    names = ["a", "b", "c"]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=200)
    results = [{"label": names[row.argmax()], "score": float(row.max())} for row in probabilities]
    from_matrix = baseline(texts[:200], probabilities, label_names=names)
    from_parts = baseline(texts[:200], probabilities.max(1), probabilities.argmax(1), label_names=names)
    from_results = baseline(texts[:200], results=results, label_names=names)
    assert from_matrix.to_dict() == from_parts.to_dict() == from_results.to_dict()


def test_a_baseline_in_tokens_wants_tokens_again(entries):
    texts, results = entries

    def tokenizer(batch):
        return {"input_ids": [[0, *text.encode()[:40], 0] for text in batch]}

    counted = baseline(texts[:300], results=results[:300], tokenizer=tokenizer)
    assert counted.length_unit == "tokens"
    with pytest.raises(ValueError, match="give the tokenizer, or the lengths"):
        check(counted, texts[300:600], results[300:600])
    lengths = [len(ids) for ids in tokenizer(texts[300:600])["input_ids"]]
    by_length = check(counted, texts[300:600], results[300:600], lengths=lengths)
    assert check(counted, texts[300:600], results[300:600], tokenizer=tokenizer) == by_length


def test_a_monitor_counts_as_it_goes_and_forgets_what_is_old(entries, base):
    texts, results = entries
    monitor = DriftMonitor(base, window=500)
    for start in range(1500, 2500, 50):
        monitor.update([f"{text} " * 3 for text in texts[start : start + 50]], results[start : start + 50])
    assert monitor.report().verdict == "drift"
    for start in range(1000, 3000, 50):
        monitor.update(texts[start : start + 50], results[start : start + 50])
    report = monitor.report()
    assert report.verdict == "stable"
    assert 500 <= report.items < 1000


def test_a_monitor_loses_nothing_between_threads(entries, base):
    texts, results = entries
    monitor = DriftMonitor(base, window=None)

    def work(start):
        for i in range(start, 800, 4):
            monitor.update([texts[i]], [results[i]])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.report() == check(base, texts[:800], results[:800])


def test_a_call_that_fails_counts_nothing(entries, base):
    texts, results = entries
    monitor = DriftMonitor(base, window=None)
    with pytest.raises(ValueError, match="not logits"):
        monitor.update(texts[:2], [results[0], {"label": "Library", "score": 7.3}])
    with pytest.raises(ValueError, match="2 texts, 1 labels"):
        monitor.update(texts[:2], results[:1])
    assert monitor.report().items == 0


def test_too_few_texts_make_no_baseline(entries):
    texts, results = entries
    with pytest.raises(ValueError, match="at least 100 texts, got 5"):
        baseline(texts[:5], results=results[:5])
    with pytest.raises(ValueError, match="results="):
        baseline(texts[:100])


def test_the_statistics_agree_with_scipy():
    rng = np.random.default_rng(0)
    for freedom in (1, 3, 10, 99):
        for value in (0.5, freedom, 3.0 * freedom + 10):
            expected = scipy.stats.chi2.sf(value, freedom)
            assert chi_square_tail(value, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-13)
    was, now = rng.integers(20, 60, size=8).astype(float), rng.integers(20, 60, size=8).astype(float)
    expected = scipy.stats.chi2_contingency(np.stack([was, now]), correction=False).pvalue
    assert chi_square_homogeneity(was, now) == pytest.approx(expected)
    was, now = rng.multinomial(400, np.ones(600) / 600), rng.multinomial(300, np.linspace(1, 2, 600) / 900)
    distance, p_value = kolmogorov_smirnov(was.astype(float), now.astype(float))
    samples = [np.repeat(np.arange(600), counts) for counts in (was, now)]
    expected = scipy.stats.ks_2samp(*samples, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue, rel=0.5)


def test_the_index_is_nil_for_equal_histograms_and_its_noise_is_as_foretold():
    was = np.full(10, 100.0)
    assert population_stability(was, 2 * was) == pytest.approx(0.0)
    rng = np.random.default_rng(0)
    draws = [
        population_stability(*rng.multinomial(500, np.ones(10) / 10, size=2).astype(float))
        for _ in range(400)
    ]
    assert np.mean(draws) == pytest.approx(stability_noise(10, 500, 500), rel=0.1)


def test_the_very_texts_of_the_baseline_are_no_drift(entries, base):
    texts, results = entries
    report = check(base, texts[:1500], results[:1500])
    assert report.verdict == "stable", str(report)
    unknown = next(feature for feature in report.features if feature.name == "unknown_words")
    assert (unknown.psi, unknown.now) == (0.0, "mean 0.0 %")


def test_strange_texts_show_among_familiar_ones(entries, base):
    texts, results = entries
    strange = [" ".join(word[::-1] for word in text.split()) for text in texts[:300]]
    assert verdicts(check(base, texts[:900] + strange, results[:1200]))["unknown_words"] == "drift"
