"""Metrics agree with scikit-learn, and refuse what cannot be measured."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics as reference
import torch

from formers.evaluation.metrics import (
    classification,
    compute_metrics_for,
    entities,
    entity_scores,
    load_metric,
    multi_label,
    regression,
    token_classification,
)

NAMES = ["billing", "shipping", "returns", "technical"]


@pytest.fixture
def judged():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, size=300)
    logits = rng.normal(size=(300, 4)) + 2 * np.eye(4)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, logits, probabilities


def test_classification_agrees_with_scikit_learn(judged):
    labels, logits, probabilities = judged
    found = classification(labels, logits, NAMES, from_logits=True)
    predicted = logits.argmax(1)
    for average in ("macro", "micro", "weighted"):
        expected = reference.f1_score(labels, predicted, average=average)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["roc_auc"] == pytest.approx(
        reference.roc_auc_score(labels, probabilities, multi_class="ovr")
    )
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities))
    assert found["matthews_correlation"] == pytest.approx(reference.matthews_corrcoef(labels, predicted))
    assert found["top_3_accuracy"] == pytest.approx(
        reference.top_k_accuracy_score(labels, probabilities, k=3)
    )
    assert found["confusion_matrix"] == reference.confusion_matrix(labels, predicted).tolist()
    assert found["per_class"]["returns"]["support"] == (labels == 2).sum()
    expected = reference.precision_score(labels, predicted, labels=[3], average=None)[0]
    assert found["per_class"]["technical"]["precision"] == pytest.approx(expected)


def test_lists_tensors_and_names_of_labels_give_the_same_numbers(judged):
    labels, _, probabilities = judged
    expected = classification(labels, probabilities, NAMES)
    assert classification(labels.tolist(), probabilities.tolist(), NAMES) == expected
    tensors = classification(torch.tensor(labels), torch.tensor(probabilities), dict(enumerate(NAMES)))
    assert tensors["confusion_matrix"] == expected["confusion_matrix"]
    assert classification([NAMES[i] for i in labels], probabilities, NAMES) == expected


def test_half_precision_probabilities_of_a_model_are_accepted():
    logits = torch.randn(64, 11, generator=torch.Generator().manual_seed(0))
    half = logits.softmax(-1).bfloat16()
    assert classification(torch.zeros(64, dtype=torch.long), half)["n"] == 64


def test_a_label_that_occurs_nowhere_does_not_pull_the_macro_average_down():
    found = classification([0, 1, 0, 1], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0]])
    expected = reference.f1_score([0, 1, 0, 1], [0, 1, 0, 0], average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["per_class"]["LABEL_2"]["support"] == 0


def test_roc_auc_is_none_where_one_label_is_all_there_is():
    assert classification([0, 0], [[0.9, 0.1], [0.8, 0.2]])["roc_auc"] is None


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [[2.0, -1.0], [0.1, 3.0]], "from_logits=True"),
        ([0, 1], [[0.9, 0.9], [0.1, 0.2]], "row 0 sums to 1.8"),
        ([0, 1], [[0.9, float("nan")], [0.1, 0.9]], "NaN or infinity in 1 of 2 rows"),
        ([], [], "nothing to measure"),
        ([0, 2], [[0.9, 0.1], [0.1, 0.9]], "found 0..2"),
        ([0, -100], [[0.9, 0.1], [0.1, 0.9]], "found -100..0"),
        ([0], [[0.9, 0.1], [0.1, 0.9]], "1 labels for 2 rows"),
        ([[1, 0], [0, 1]], [[0.9, 0.1], [0.1, 0.9]], "multi-label"),
        ([0.5, 1.0], [[0.9, 0.1], [0.1, 0.9]], "whole numbers"),
        ([0, 1], [0.9, 0.1], "must be"),
        ([0, 1], [[0.9, 0.1], [1.0]], "rows of one length"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        classification(labels, scores)


def test_names_must_fit_the_scores():
    with pytest.raises(ValueError, match="2 labels in the scores but 3 label_names"):
        classification([0, 1], [[0.9, 0.1], [0.1, 0.9]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="unknown labels"):
        classification(["a", "x"], [[0.9, 0.1], [0.1, 0.9]], ["a", "b"])


def test_multi_label_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, size=(120, 5))
    logits = rng.normal(size=(120, 5)) + truth
    found = multi_label(truth, logits, from_logits=True)
    predicted = (logits >= 0).astype(int)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(truth, predicted))
    assert found["exact_match"] == pytest.approx(reference.accuracy_score(truth, predicted))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(truth, logits))


def test_a_trainer_gets_plain_numbers_from_a_pair_or_a_record(judged):
    labels, logits, _ = judged
    compute = compute_metrics_for(NAMES)
    found = compute((logits, labels))
    assert found["f1"] == found["macro_f1"]
    assert all(isinstance(value, float) for value in found.values())
    hidden_states_too = SimpleNamespace(predictions=(logits, np.zeros((300, 2, 2))), label_ids=labels)
    assert compute(hidden_states_too) == found


def test_a_trainer_without_labels_is_told():
    with pytest.raises(ValueError, match="'labels' column"):
        compute_metrics_for(NAMES)((np.zeros((2, 4)), None))


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'text-classification'"):
        compute_metrics_for(task="text-clasification")


def test_entities_follow_the_conll_rules():
    assert entities(["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]) == {
        ("PER", 0, 2),
        ("LOC", 3, 4),
        ("LOC", 4, 5),
    }
    assert entities(["I-PER", "I-LOC", "I-LOC", "O"]) == {("PER", 0, 1), ("LOC", 1, 3)}
    with pytest.raises(ValueError, match="not an IOB2 tag"):
        entities(["PER"])


def test_entity_scores_count_whole_entities():
    found = entity_scores(
        [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG"]],
        [["B-PER", "I-PER", "O", "B-ORG"], ["O", "B-ORG"]],
    )
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["per_type"]["PER"]["f1"] == 1.0
    assert found["per_type"]["LOC"]["f1"] == 0.0


def test_token_classification_leaves_out_ignored_positions():
    tags = ["O", "B-PER", "I-PER"]
    labels = np.array([[-100, 1, 2, 0, -100]])
    logits = np.eye(3)[[[1, 1, 2, 0, 1]]]
    found = token_classification(labels, logits, tags)
    assert (found["f1"], found["accuracy"]) == (1.0, 1.0)


def test_regression_agrees_with_scikit_learn():
    rng = np.random.default_rng(2)
    truth, found = rng.normal(size=50), rng.normal(size=(50, 1))
    result = regression(truth, found)
    assert result["mse"] == pytest.approx(reference.mean_squared_error(truth, found))
    assert result["r2"] == pytest.approx(reference.r2_score(truth, found))
    assert result["pearson"] == pytest.approx(np.corrcoef(truth, found[:, 0])[0, 1])


@pytest.mark.parametrize(
    ("name", "function", "options"),
    [
        ("accuracy", reference.accuracy_score, {}),
        ("f1", reference.f1_score, {"average": "macro"}),
        ("precision", reference.precision_score, {"average": "weighted"}),
        ("recall", reference.recall_score, {"average": "micro"}),
        ("matthews_correlation", reference.matthews_corrcoef, {}),
        ("mse", reference.mean_squared_error, {}),
        ("mae", reference.mean_absolute_error, {}),
    ],
)
def test_metrics_by_name_agree_with_scikit_learn(judged, name, function, options):
    labels, logits, _ = judged
    predicted = logits.argmax(1)
    metric = load_metric(name)
    expected = pytest.approx(function(labels, predicted, **options))
    assert metric.compute(predictions=predicted, references=labels, **options)[name] == expected
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.add_batch(predictions=torch.tensor(predicted[part]), references=torch.tensor(labels[part]))
    assert metric.compute(**options)[name] == expected


def test_glue_tasks_have_their_metrics():
    found = load_metric("glue", "mrpc").compute(predictions=[1, 0, 1, 1], references=[1, 0, 0, 1])
    assert found == {"accuracy": 0.75, "f1": pytest.approx(0.8)}
    found = load_metric("glue", "stsb").compute(
        predictions=[1.0, 2.0, 2.0, 9.0], references=[0.0, 1.0, 4.0, 3.0]
    )
    from scipy.stats import spearmanr

    assert found["spearmanr"] == pytest.approx(spearmanr([1, 2, 2, 9], [0, 1, 4, 3]).statistic)


def test_logits_in_place_of_labels_are_noticed():
    with pytest.raises(ValueError, match=r"predictions.argmax\(-1\)"):
        load_metric("accuracy").compute(predictions=np.zeros((3, 2)), references=[0, 1, 0])


def test_unknown_metrics_and_keywords_get_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        load_metric("acuracy")
    with pytest.raises(TypeError, match="did you mean 'average'"):
        load_metric("f1").compute(predictions=[0], references=[0], avrage="macro")


def test_a_metric_with_nothing_to_compare_says_so():
    with pytest.raises(ValueError, match="nothing to compare"):
        load_metric("accuracy").compute()
    with pytest.raises(ValueError, match="both predictions= and references="):
        load_metric("accuracy").compute(predictions=[1])


def test_importing_the_evaluation_loads_no_heavy_package():
    heavy = ("torch", "sklearn", "matplotlib", "scipy", "pandas", "jinja2")
    judging = [f"evaluation.{name}" for name in ("metrics", "calibration", "thresholds", "baselines")]
    modules = ", ".join(
        f"formers.{name}" for name in (*judging, "desk.golden", "desk.drift", "desk.report", "desk.charts")
    )
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
