"""Temperature scaling finds the truth where it is known, and its record survives the disk."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from formers.core.notices import Notice, forget_notices
from formers.evaluation.calibration import (
    Calibration,
    brier_score,
    error_by_chance,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    maximum_calibration_error,
    reliability,
)


def sampled(n, labels=5, heat=1.0, seed=0):
    """Logits whose labels were drawn from softmax(logits / heat): the true temperature is `heat`."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, labels))
    weights = np.exp(logits / heat)
    drawn = (weights / weights.sum(1, keepdims=True)).cumsum(1) > rng.random((n, 1))
    return logits, drawn.argmax(1)


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_the_temperature_that_drew_the_labels_is_found(heat):
    logits, labels = sampled(20_000, heat=heat)
    assert fit_temperature(logits, labels).temperature == pytest.approx(heat, rel=0.05)


def test_the_temperature_is_where_scipy_finds_the_least_loss():
    logits, labels = sampled(400, heat=1.7, seed=3)

    def loss(log_temperature):
        scaled = torch.tensor(logits) / np.exp(log_temperature)
        return torch.nn.functional.cross_entropy(scaled, torch.tensor(labels)).item()

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, labels).temperature == pytest.approx(np.exp(best.x), rel=1e-5)


def test_calibration_on_one_split_halves_the_error_on_another():
    logits, labels = sampled(1000, labels=11, heat=3.0, seed=1)
    calibration = fit_temperature(logits, labels)
    other, truth = sampled(1000, labels=11, heat=3.0, seed=2)
    before = expected_calibration_error(truth, other, from_logits=True)
    after = expected_calibration_error(truth, calibration.apply(other))
    assert after < before / 2


def test_calibration_changes_no_answer_and_states_what_it_did():
    logits, labels = sampled(500, heat=2.0)
    calibration = fit_temperature(logits, labels)
    assert (calibration.apply(logits).argmax(1) == logits.argmax(1)).all()
    assert calibration.fitted_on == 500
    assert calibration.ece_after < calibration.ece_before
    assert calibration.nll_after == pytest.approx(log_loss(labels, calibration.apply(logits)))


def test_independent_labels_are_calibrated_with_a_sigmoid():
    rng = np.random.default_rng(0)
    logits = 4 * rng.normal(size=(5000, 6))
    truth = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / 2.0))).astype(int)
    calibration = fit_temperature(logits, truth, multi_label=True)
    assert calibration.temperature == pytest.approx(2.0, rel=0.05)
    assert calibration.apply([[0.0, 0.0]]).tolist() == [[0.5, 0.5]]


def test_a_tensor_gives_a_tensor_and_agrees_with_numpy():
    logits, _ = sampled(10)
    calibration = Calibration(1.3)
    found = calibration.apply(torch.tensor(logits))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), calibration.apply(logits), atol=1e-6)
    assert calibration.apply([1.0, 2.0]).sum() == pytest.approx(1.0)


def test_huge_logits_do_not_overflow():
    assert Calibration(1.0).apply([[1e5, 0.0], [-1e5, 0.0]]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_split_that_determines_no_temperature_is_noticed_and_changes_nothing(turn):
    forget_notices()
    logits = np.array([[5.0, 0.0], [0.0, 5.0]]) * turn
    with pytest.warns(Notice, match="do not determine a temperature"):
        assert fit_temperature(logits, [0, 1]).temperature == 1.0


def test_reliability_bins_hold_every_text_once():
    logits, labels = sampled(700)
    for adaptive in (False, True):
        bins = reliability(labels, logits, bins=10, adaptive=adaptive, from_logits=True)
        assert sum(b.count for b in bins) == 700
    assert {b.count for b in bins} == {70}


def test_the_errors_of_a_case_worked_out_by_hand():
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]
    labels = [0, 1, 0, 1]  # of the two at 0.9 one is right; of the two at 0.6 both
    assert expected_calibration_error(labels, probabilities, bins=10) == pytest.approx(0.4)
    assert maximum_calibration_error(labels, probabilities, bins=10) == pytest.approx(0.4)
    assert brier_score(labels, probabilities) == pytest.approx((0.02 + 1.62 + 0.32 + 0.32) / 4)


def test_the_error_that_chance_gives_true_scores_is_foretold():
    errors, foretold = [], []
    for seed in range(60):
        logits, labels = sampled(400, seed=seed)
        errors.append(expected_calibration_error(labels, logits, from_logits=True))
        foretold.append(error_by_chance(logits, from_logits=True))
    assert np.mean(foretold) == pytest.approx(np.mean(errors), rel=0.1)


def test_logits_where_probabilities_belong_are_refused():
    logits, labels = sampled(20)
    with pytest.raises(ValueError, match="from_logits=True"):
        expected_calibration_error(labels, logits)


def test_the_record_survives_the_disk(tmp_path):
    logits, labels = sampled(300, heat=2.0)
    calibration = fit_temperature(logits, labels)
    path = calibration.save(tmp_path)
    assert path.name == "calibration.json"
    assert Calibration.load(tmp_path) == Calibration.load(str(path)) == calibration


def test_a_model_without_calibration_has_none(tmp_path):
    assert Calibration.load(tmp_path) is None

    class Source:
        def find(self, name):
            return None

    assert Calibration.load(Source()) is None


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a model folder"):
        Calibration.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a valid JSON file"),
        ("[1]", "where an object"),
        ('{"version": 9, "temperature": 1}', "version 9"),
        ('{"temperature": 0}', "'temperature' must lie between"),
        ('{"temperature": 1e-300}', "'temperature' must lie between"),
        ('{"temperature": 1e300}', "'temperature' must lie between"),
        ('{"temperature": -1}', "'temperature' must lie between"),
        ('{"temperature": NaN}', "'temperature' must be a finite number"),
        ('{"temperature": 1' + 400 * "0" + "}", "'temperature' must be a finite number"),
        ('{"temperature": "hot"}', "'temperature' must be a finite number"),
        ('{"temperature": null}', "'temperature' must be a finite number"),
        ('{"temperature": [1]}', "'temperature' must be a finite number"),
        ('{"temperature": 1, "fitted_on": -3}', "'fitted_on' must be a whole number of at least 0"),
        ('{"temperature": 1, "fitted_on": 2.5}', "'fitted_on' must be a whole number of at least 0"),
        ('{"temperature": 1, "ece_after": "low"}', "'ece_after' must be a number or None, found 'low'"),
        ('{"temperature": 1, "function": {}}', "'function' must be a string"),
        ('{"kind": "matrix", "temperature": 1}', "'matrix' is not known"),
        ('{"heat": 2}', "needs a 'temperature'"),
    ],
)
def test_a_broken_record_is_refused_with_its_path(tmp_path, text, message):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Calibration.load(tmp_path)
    assert "calibration.json" in str(caught.value)


def test_the_file_is_plain_json_that_other_tools_can_read(tmp_path):
    Calibration(1.5, fitted_on=10).save(tmp_path)
    values = json.loads((tmp_path / "calibration.json").read_text())
    assert (values["kind"], values["temperature"], values["version"]) == ("temperature", 1.5, 1)


@given(
    logits=st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=2, max_size=40),
    seed=st.integers(0, 1000),
)
def test_no_fit_makes_the_likelihood_worse_or_changes_an_order(logits, seed):
    labels = np.random.default_rng(seed).integers(0, 3, size=len(logits))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        calibration = fit_temperature(logits, labels)
    assert calibration.nll_after <= calibration.nll_before + 1e-9
    assert 0 <= calibration.ece_after <= 1
    probabilities = calibration.apply(logits)
    best = np.take_along_axis(probabilities, np.argmax(logits, axis=1)[:, None], axis=1)
    assert (best[:, 0] == probabilities.max(axis=1)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": True}, "finite number, found True"),
        ({"temperature": 2.0, "fited_on": 3}, "unknown entry 'fited_on'.*did you mean 'fitted_on'"),
    ],
)
def test_a_record_with_entries_that_mean_nothing_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Calibration.from_dict(values)
