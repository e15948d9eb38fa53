"""Objects that are found, matched to those that are there: the pairs, their losses, and what is refused."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss

from formers.core.boxes import corners
from formers.core.extras import MissingExtra
from formers.nn.matching import Matching, detection, generalised_overlap, match

COSTS = Matching(1, 5, 2, 0.1, {"loss_ce": 1, "loss_bbox": 5, "loss_giou": 2})


def scene(layers: int = 1) -> tuple[list[Any], list[Any], list[dict[str, Any]]]:
    """What each layer finds in three pictures of two, no and three objects, with 4 queries and 3 labels."""
    torch.manual_seed(1)
    logits = [torch.randn(3, 4, 4, requires_grad=True) for _ in range(layers)]
    boxes = [torch.rand(3, 4, 4, requires_grad=True) for _ in range(layers)]
    targets = [{"class_labels": torch.randint(3, (n,)), "boxes": torch.rand(n, 4)} for n in (2, 0, 3)]
    return logits, boxes, targets


def test_no_other_pairs_cost_less():
    [logits], [boxes], targets = scene()
    for row, (queries, objects) in enumerate(match(logits, boxes, targets, COSTS)):
        there = targets[row]
        shares, right = logits[row].detach().softmax(-1), there["boxes"]
        cost = torch.tensor(
            [
                [
                    5 * (box - other).abs().sum()
                    - shares[q, label]
                    - 2 * generalised_overlap(corners(box), corners(other))
                    for label, other in zip(there["class_labels"], right, strict=True)
                ]
                for q, box in enumerate(boxes[row].detach())
            ]
        )
        assert sorted(objects.tolist()) == list(range(len(right)))
        if not len(right):
            continue
        ways = itertools.permutations(range(4), len(right))
        best = min(sum(float(cost[q, i]) for i, q in enumerate(way)) for way in ways)
        assert float(sum(cost[queries, objects])) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
def test_losses_and_gradients_are_those_of_the_reference(layers: int):
    logits, boxes, targets = scene(layers)
    config = transformers.DetrConfig(num_labels=3, auxiliary_loss=layers > 1, decoder_layers=layers)
    in_order = (
        torch.stack([*all_of[1:], all_of[0]]) for all_of in (logits, boxes)
    )  # theirs has the last last
    want, theirs, _ = ForObjectDetectionLoss(logits[0], targets, "cpu", boxes[0], config, *in_order)
    got, ours = detection(logits, boxes, targets, COSTS)
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(dict(ours), dict(theirs), rtol=0, atol=1e-5)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        torch.autograd.grad(got, [*logits, *boxes]),
        torch.autograd.grad(want, [*logits, *boxes]),
        rtol=0,
        atol=1e-5,
    )


def test_pictures_without_objects_teach_that_there_is_nothing():
    [logits], [boxes], _ = scene()
    none = [{"class_labels": torch.zeros(0), "boxes": torch.zeros(0, 4)}] * 3
    total, named = detection([logits], [boxes], none, COSTS)
    right = -logits.log_softmax(-1)[..., 3].mean()
    torch.testing.assert_close(total, right)
    assert named["loss_bbox"] == named["loss_giou"] == 0


def test_a_box_that_is_no_number_is_matched_last():
    [logits], [boxes], targets = scene()
    with torch.no_grad():
        boxes[0, 1] = float("nan")
    assert 1 not in match(logits, boxes, targets, COSTS)[0][0]


def test_half_precision_is_computed_in_float32():
    logits, boxes, targets = scene()
    low, _ = detection([logits[0].bfloat16()], [boxes[0].bfloat16()], targets, COSTS)
    high, _ = detection(
        [logits[0].bfloat16().float()], [boxes[0].bfloat16().float()], targets, replace(COSTS, nothing=0.1)
    )
    torch.testing.assert_close(low, high)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda t: t[:2], ValueError, "2 entries, but there are 3 pictures"),
        (lambda t: t[0], TypeError, "a dictionary for each picture"),
        (
            lambda t: [{"boxes": t[0]["boxes"]}, *t[1:]],
            TypeError,
            r"labels\[0\] needs the tensors class_labels",
        ),
        (
            lambda t: [{**t[0], "boxes": t[0]["boxes"][:1]}, *t[1:]],
            ValueError,
            r"they are \[N\] and \[N, 4\]",
        ),
        (lambda t: [{**t[0], "class_labels": torch.tensor([0, 3])}, *t[1:]], ValueError, "tells 3 apart"),
        (lambda t: [{**t[0], "boxes": -t[0]["boxes"]}, *t[1:]], ValueError, "negative width or height"),
    ],
    ids=["count", "kind", "keys", "shapes", "labels", "boxes"],
)
def test_objects_that_do_not_fit_are_refused(change: Any, error: type[Exception], says: str):
    logits, boxes, targets = scene()
    with pytest.raises(error, match=says):
        detection(logits, boxes, change(targets), COSTS)


def test_without_scipy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    [logits], [boxes], targets = scene()
    with pytest.raises(MissingExtra, match=r"formers\[vision\]"):
        match(logits, boxes, targets, COSTS)
