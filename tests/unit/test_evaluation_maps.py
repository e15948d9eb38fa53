"""Labels of pixels against those that are right."""

import numpy as np
import pytest

from formers.evaluation import load_metric
from formers.evaluation.maps import mean_iou


def by_definition(predictions, references, label, ignored):
    both = either = there = 0
    for one, two in zip(predictions, references, strict=True):
        for found, right in zip(one.flatten(), two.flatten(), strict=True):
            if right != ignored:
                both += found == right == label
                either += label in (found, right)
                there += right == label
    return (both / either if either else np.nan), (both / there if there else np.nan)


def test_intersections_and_unions_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    predictions = [rng.integers(0, 4, (6, 7)), rng.integers(0, 4, (3, 5))]
    references = [np.where(one > 2, 255, (one + rng.integers(0, 2, one.shape)) % 3) for one in predictions]
    found = mean_iou(predictions, references, num_labels=5, ignore_index=255)
    each = [by_definition(predictions, references, label, 255) for label in range(5)]
    np.testing.assert_allclose(found["per_category_iou"], [one for one, _ in each])
    np.testing.assert_allclose(found["per_category_accuracy"], [one for _, one in each])
    assert np.isnan(found["per_category_iou"][4])
    assert found["mean_iou"] == pytest.approx(np.nanmean([one for one, _ in each]))
    filled = mean_iou(predictions, references, num_labels=5, ignore_index=255, nan_to_num=0.0)
    assert filled["per_category_iou"][4] == 0
    assert filled["mean_iou"] == pytest.approx(found["mean_iou"])


def test_labels_are_reduced_and_renamed_before_they_are_compared():
    right = np.array([[0, 1, 2, 255]])
    options = {"num_labels": 3, "ignore_index": 255}
    assert mean_iou([np.array([[2, 0, 1, 2]])], [right], reduce_labels=True, **options)["mean_iou"] == 1
    swapped = mean_iou([np.array([[1, 0, 2, 0]])], [right], label_map={0: 1, 1: 0}, **options)
    assert swapped["overall_accuracy"] == 1
    assert right.tolist() == [[0, 1, 2, 255]]


def test_what_does_not_fit_is_refused():
    right = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match="enlarge the logits"):
        mean_iou([np.zeros((1, 2), int)], [right], num_labels=2, ignore_index=255)
    with pytest.raises(ValueError, match="references of picture 0 hold labels from 9 to 9"):
        mean_iou([right], [right + 9], num_labels=2, ignore_index=255)
    with pytest.raises(ValueError, match="1 predictions, but 2 references"):
        mean_iou([right], [right] * 2, num_labels=2, ignore_index=255)


def test_the_metric_is_found_by_name_and_takes_batches():
    metric = load_metric("mean_iou")
    for _ in range(2):
        metric.add_batch(predictions=np.ones((2, 3, 3), int), references=np.ones((2, 3, 3), int))
    assert metric.compute(num_labels=2, ignore_index=255)["mean_iou"] == 1
