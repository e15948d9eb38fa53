"""The work of `formers train` as one call from Python, as a notebook makes it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import tiny
from formers.jobs.classification import Plan, run
from formers.jobs.judging import judge
from formers.jobs.predictor import Predictor
from system.cli_command import write_table

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The plan, its outcome, and what it said."""
    folder = tmp_path_factory.mktemp("job")
    plan = Plan(
        data=write_table(folder / "data.csv", tiny.tickets(40)),
        model=str(tiny.save_encoder(folder / "encoder")),
        output=folder / "router",
        epochs=2,
        learning_rate=2e-3,
        batch_size=16,
        validation_size=0.3,
        bf16=False,
        device="cpu",
        card={"name": "Router of tickets", "language": "en"},
    )
    said = []
    return plan, run(plan, said.append), said


def test_the_outcome_holds_the_rows_the_scores_and_the_log(trained):
    plan, outcome, said = trained
    assert len(outcome.training) + len(outcome.validation) + len(outcome.judged.texts) == 120
    assert outcome.probabilities.shape == (len(outcome.validation), len(tiny.LABELS))
    assert np.allclose(outcome.probabilities.sum(axis=1), 1)
    assert any("eval_macro_f1" in entry for entry in outcome.history)
    assert any("calibrated on" in line for line in said)
    assert not (plan.output / "checkpoints").exists()


def test_the_seed_settles_the_weights(trained, tmp_path):
    plan, outcome, _ = trained
    torch.manual_seed(123)  # whatever was drawn before
    again = run(dataclasses.replace(plan, output=tmp_path / "again"), lambda line: None)
    assert np.array_equal(again.probabilities, outcome.probabilities)
    other = run(dataclasses.replace(plan, output=tmp_path / "other", seed=1), lambda line: None)
    assert not np.array_equal(other.probabilities, outcome.probabilities)


def test_the_predictor_is_the_saved_model_with_its_calibration_and_thresholds(trained):
    plan, outcome, _ = trained
    assert outcome.predictor.pipe.calibration is not None
    assert outcome.predictor.thresholds.names == outcome.predictor.labels
    again = Predictor.load(str(plan.output))
    assert again.predict(["my card"]) == outcome.predictor.predict(["my card"])


def test_the_held_out_rows_are_judged_as_formers_evaluate_judges_them(trained):
    plan, outcome, _ = trained
    again = judge(str(plan.output), plan.output / "held-out.csv")
    assert again.metrics == outcome.judged.metrics
    assert "thresholds" in again.metrics


def test_the_model_card_says_what_was_told_of_the_model(trained):
    card = (trained[0].output / "README.md").read_text()
    assert "Router of tickets" in card
    assert 'language: ["en"]' in card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 0}, "batch_size must be"),
        ({"test_size": 1.0}, "test_size must lie between 0 and 0.9"),
        ({"class_weights": "root"}, "sqrt, balanced or none"),
        ({"epochs": float("inf")}, "finite"),
        ({"epochs": 0}, "epochs must be at least 0.01"),
        ({"seed": -1}, "seed must lie between 0 and 4294967295"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_when_it_is_made(tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        Plan(tmp_path / "data.csv", "encoder", tmp_path / "out", **change)
