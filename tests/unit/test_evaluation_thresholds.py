"""Thresholds give the precision that was asked for, or send the label to a human."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from formers.evaluation.thresholds import (
    LabelThreshold,
    Thresholds,
    coverage_curve,
    fit_thresholds,
    wilson_lower,
)


def two_labels(scores, right):
    """Answers 'yes' with these scores, of which those marked are right; no answer 'no'."""
    scores = np.asarray(scores)
    return np.stack([scores, 1 - scores], axis=1), [0 if r else 1 for r in right]


def test_the_lowest_threshold_with_the_wanted_precision_is_chosen():
    probabilities, labels = two_labels([0.95, 0.9, 0.85, 0.8, 0.7, 0.6], [1, 1, 1, 1, 0, 0])
    found = fit_thresholds(probabilities, labels, ["yes", "no"], precision=0.8, minimum_support=2)
    record = found.labels[0]
    assert (record.accepted, record.precision, record.coverage) == (5, 0.8, pytest.approx(5 / 6))
    assert 0.6 < record.threshold < 0.7  # half way, so that rounding changes no decision


def test_a_dip_in_precision_at_the_top_does_not_hide_a_lower_threshold():
    probabilities, labels = two_labels([0.99, 0.9, 0.89, 0.88, 0.87], [0, 1, 1, 1, 1])
    record = fit_thresholds(probabilities, labels, precision=0.8, minimum_support=1).labels[0]
    assert record.accepted == 5


def test_equal_scores_are_accepted_together_or_not_at_all():
    probabilities, labels = two_labels([0.9, 0.9, 0.8, 0.8], [1, 1, 1, 0])
    record = fit_thresholds(probabilities, labels, precision=0.9, minimum_support=1).labels[0]
    assert record.accepted == 2


def test_labels_out_of_reach_always_go_to_a_human_and_say_why():
    probabilities, labels = two_labels([0.9] * 12, [1, 0] * 6)
    found = fit_thresholds(probabilities, labels, ["yes", "no"], precision=0.9)
    assert [record.threshold for record in found.labels] == [None, None]
    assert "no threshold reaches a precision of 0.9" in found.labels[0].reason
    assert "only 0 answers, 10 are needed" in found.labels[1].reason
    assert found.decide([1.0, 0.0]) == (0, False)
    assert not found.accepts("yes", 1.0)


def test_the_careful_way_asks_the_interval_and_accepts_less():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, size=400)
    probabilities, labels = two_labels(scores, rng.random(400) < scores)
    plain = fit_thresholds(probabilities, labels, precision=0.85).labels[0]
    careful = fit_thresholds(probabilities, labels, precision=0.85, use_lower_bound=True).labels[0]
    assert careful.accepted < plain.accepted
    assert careful.precision_lower >= 0.85


def test_the_wanted_precision_holds_on_new_data():
    rng = np.random.default_rng(1)

    def draw(n):
        logits = 2 * rng.normal(size=(n, 4))
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return probabilities, (probabilities.cumsum(1) > rng.random((n, 1))).argmax(1)

    found = fit_thresholds(*draw(4000), precision=0.85)
    outcome = found.measure(*draw(4000))
    assert outcome["precision"] == pytest.approx(0.85, abs=0.03)
    assert 0.3 < outcome["coverage"] < 1


def test_wilson_agrees_with_scipy():
    expected = binomtest(18, 20).proportion_ci(confidence_level=0.9, method="wilson").low
    assert wilson_lower(18, 20) == pytest.approx(expected, abs=1e-4)
    assert wilson_lower(0, 0) == 0.0


def test_one_text_or_many_are_decided_alike():
    limits = Thresholds.fixed(["a", "b"])
    many, accepted = limits.decide([[0.8, 0.2], [0.4, 0.6]])
    assert many.tolist() == [0, 1]
    assert accepted.tolist() == [True, False]
    assert limits.decide([0.8, 0.2]) == (0, True)
    assert limits.decide(np.array([0.75, 0.25])) == (0, True)


def test_names_and_scores_of_a_pipeline_are_decided_with_the_default_for_unknown_labels():
    limits = Thresholds((LabelThreshold("a", 0.5), LabelThreshold("b", None)))
    assert limits.accepts("a", 0.5)
    assert not limits.accepts("a", float("nan"))
    assert not limits.accepts("b", 1.0)
    assert limits.accepts("new", 0.8)
    assert not limits.accepts("new", 0.7)


def test_logits_and_other_numbers_of_labels_are_refused():
    limits = Thresholds.fixed(["a", "b"])
    with pytest.raises(ValueError, match="from_logits"):
        limits.decide([3.0, -1.0])
    with pytest.raises(ValueError, match="2 thresholds but 3 probabilities"):
        limits.decide([[0.2, 0.3, 0.5]])


@pytest.mark.parametrize(("key", "value"), [("precision", 0), ("precision", 1.2), ("minimum_support", 0)])
def test_senseless_wishes_are_refused(key, value):
    probabilities, labels = two_labels([0.9], [1])
    with pytest.raises(ValueError, match=key):
        fit_thresholds(probabilities, labels, **{key: value})


def test_the_record_survives_the_disk(tmp_path):
    probabilities, labels = two_labels(np.linspace(0.5, 1, 50), [1] * 50)
    found = fit_thresholds(probabilities, labels, ["yes", "no"])
    found.save(tmp_path)
    assert Thresholds.load(tmp_path) == found
    assert Thresholds.load(tmp_path / "thresholds.json") == found


def test_thresholds_can_be_written_by_hand(tmp_path):
    (tmp_path / "thresholds.json").write_text('{"labels": {"Billing": 0.8, "Returns": null}, "default": 0.6}')
    found = Thresholds.load(tmp_path)
    assert found.of("Billing") == 0.8
    assert found.of("Returns") is None
    assert found.of("Shipping") == 0.6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": {"a": 1.5}}', "must lie in 0..1"),
        ('{"labels": {}}', "need 'labels'"),
        ('{"labels": {"a": 0.5}, "defualt": 0.5}', "did you mean 'default'"),
        ("{", "not a valid JSON file"),
        ('{"labels": "abc"}', "need 'labels', one record for each, found 'abc'"),
        ('{"labels": ["abc"]}', "entry 1 of 'labels' must be an object"),
        ('{"labels": [{"threshold": 0.5}]}', "entry 1 of 'labels' needs a 'label'"),
        ('{"labels": [{"label": 7, "threshold": 0.5}]}', "'label' must be a string, found 7"),
        ('{"labels": {"a": "0.5"}}', "'threshold' must be a number or None, found '0.5'"),
        ('{"labels": {"a": true}}', "'threshold' must be a number or None, found True"),
        ('{"labels": {"a": NaN}}', "'threshold' must be a number or None, found nan"),
        ('{"labels": {"a": 0.5}, "default": null}', "'default' must be a finite number, found None"),
    ],
)
def test_a_broken_record_is_refused(tmp_path, text, message):
    (tmp_path / "thresholds.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Thresholds.load(tmp_path)
    assert "thresholds.json" in str(caught.value)


def test_the_coverage_curve_starts_with_everything_and_never_grows():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=200)
    curve = coverage_curve(probabilities, rng.integers(0, 3, size=200))
    assert curve[0]["coverage"] == 1.0
    shares = [point["coverage"] for point in curve]
    assert shares == sorted(shares, reverse=True)


@given(
    scores=st.lists(st.tuples(st.floats(0.5, 1.0), st.booleans()), min_size=1, max_size=60),
    precision=st.floats(0.05, 1.0),
    least=st.integers(1, 20),
)
def test_what_the_record_states_is_what_the_thresholds_do(scores, precision, least):
    probabilities, labels = two_labels([score for score, _ in scores], [right for _, right in scores])
    found = fit_thresholds(probabilities, labels, ["yes", "no"], precision=precision, minimum_support=least)
    outcome = found.measure(probabilities, labels)["per_label"]
    for record in found.labels:
        assert outcome[record.label]["accepted"] == record.accepted
        if record.threshold is not None:
            assert record.accepted >= least
            assert record.precision >= precision
            assert outcome[record.label]["precision"] == record.precision


def test_a_tensor_of_one_text_is_decided_like_a_list():
    limits = Thresholds.fixed(["a", "b"], 0.7)
    assert limits.decide(torch.tensor([0.25, 0.75], dtype=torch.bfloat16, requires_grad=True)) == (1, True)


def test_no_threshold_lies_below_the_floor_and_the_record_says_what_it_then_accepts():
    scores = np.array([0.95, 0.9, 0.6, 0.45, 0.4])
    probabilities, labels = np.stack([scores, 1 - scores], axis=1), np.zeros(5, dtype=int)
    probabilities[3:] = [[0.45, 0.3], [0.4, 0.3]]
    probabilities = np.concatenate([probabilities, 1 - probabilities.sum(1, keepdims=True)], axis=1)
    low, raised = (
        fit_thresholds(probabilities, labels, precision=0.8, minimum_support=1, floor=floor).labels[0]
        for floor in (0.0, 0.5)
    )
    assert (low.threshold, low.accepted) == (pytest.approx(0.4), 5)
    assert (raised.threshold, raised.accepted, raised.coverage, raised.precision) == (0.5, 3, 0.6, 1.0)
    with pytest.raises(ValueError, match="floor"):
        fit_thresholds(probabilities, labels, floor=2.0)


def sure_and_unsure(right_among_sure, sure=10, unsure=90):
    """Answers of one label, `sure` of them at 0.6 and the others at 0.45, which are all right."""
    scores = np.r_[np.full(sure, 0.6), np.full(unsure, 0.45)]
    probabilities = np.stack([scores, (1 - scores) * 0.6, (1 - scores) * 0.4], axis=1)
    return probabilities, np.r_[
        np.zeros(right_among_sure), np.ones(sure - right_among_sure), np.zeros(unsure)
    ]


def test_the_wanted_precision_must_be_reached_above_the_floor():
    probabilities, labels = sure_and_unsure(5)
    found = fit_thresholds(probabilities, labels, ["a", "b", "c"], precision=0.9, floor=0.5).labels[0]
    assert (found.threshold, found.accepted, found.answered) == (None, 0, 100)
    assert found.reason == "no threshold at or above the floor of 0.5 reaches a precision of 0.9"


def test_enough_answers_must_lie_above_the_floor():
    probabilities, labels = sure_and_unsure(9, sure=9)
    found = fit_thresholds(probabilities, labels, ["a", "b", "c"], precision=0.9, floor=0.5).labels[0]
    assert found.threshold is None
    assert found.reason == "only 9 answers at or above the floor of 0.5, 10 are needed"


def test_labels_that_a_hand_written_record_leaves_out_are_decided_with_the_default():
    short = Thresholds.from_dict({"labels": {"c": 0.5}, "default": 0.8})
    probabilities = [[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.2, 0.2, 0.6]]
    best, accepted = short.decide(probabilities, ["a", "b", "c"])
    assert best.tolist() == [0, 0, 2]
    assert accepted.tolist() == [True, False, True]
    measured = short.measure(probabilities, ["a", "b", "c"], ["a", "b", "c"])
    assert (measured["accepted"], measured["per_label"]["c"]["accepted"]) == (2, 1)
    with pytest.raises(ValueError, match="pass label_names="):
        short.decide(probabilities)


def test_thresholds_follow_the_order_of_the_model_and_know_its_labels_alone():
    swapped = Thresholds.from_dict({"labels": {"b": 0.9, "a": 0.5}})
    assert swapped.for_labels(["a", "b"]).names == ["a", "b"]
    assert swapped.decide([0.6, 0.4], ["a", "b"]) == (0, True)
    with pytest.raises(ValueError, match="'Libary' is none of them.*did you mean 'Library'"):
        Thresholds.from_dict({"labels": {"Libary": 0.9}}).for_labels(["Library", "Docs"])
