"""Two experts for every token against the definition written out token by token, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.mixers.experts import experts_steps
from formers.nn.mixers.top_two import two_of
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build
from formers.nn.tree import Block

EXPERTS, ROWS, LENGTH = 4, 3, 6
EACH = spec.FeedForward(5, "relu")
FORMS = {
    "room for all": spec.TopTwo(share=1.0),
    "a share of the tokens": spec.TopTwo(share=0.2, room=1),
    "twice the even share": spec.TopTwo(),
    "little room": spec.TopTwo(room=3),
    "little room, the surest first": spec.TopTwo(room=3, surest=True),
    "little room, normed early": spec.TopTwo(room=3, early=True),
    "the second drawn": spec.TopTwo("sampling", room=5),
    "the second left out at random": spec.TopTwo("random", room=5),
    "the second left out at random, normed early": spec.TopTwo("random", early=True, room=3, surest=True),
}


def slowly(
    two: spec.TopTwo, logits: list[list[float]], real: list[bool], noise: Tensor, training: bool
) -> list[dict[int, float]]:
    """Expert -> weight for every token."""
    asks: list[list[int]] = []
    weights: list[list[float]] = []
    sure: list[float] = []
    for place, row in enumerate(logits):
        total = sum(map(math.exp, row))
        shares = [math.exp(x) / total for x in row]
        merit = list(row)
        if two.second == "sampling":
            merit = [x - math.log(-math.log(u)) for x, u in zip(row, noise[place].tolist(), strict=True)]
        best = max(range(EXPERTS), key=lambda i: row[i])
        next_best = max((i for i in range(EXPERTS) if i != best), key=lambda i: merit[i])
        found = [shares[best], shares[next_best]]
        weights.append([x / sum(found) for x in found] if two.early else found)
        sure.append(max(shares))
        chosen = [best, next_best]
        if two.second == "random" and 2 * weights[-1][1] <= float(noise[place]):
            chosen = [best]
        asks.append(chosen if real[place] else [])
    order = sorted(range(len(logits)), key=lambda i: -sure[i]) if two.surest else range(len(logits))
    room = two.most(len(logits), EXPERTS, training)
    asked, kept = [0] * EXPERTS, [dict[int, float]() for _ in logits]
    for turn in range(2):
        for place in order:
            if turn < len(asks[place]):
                expert = asks[place][turn]
                if asked[expert] < room:
                    kept[place][expert] = weights[place][turn]
                asked[expert] += 1
    if two.early:
        return kept
    return [{i: w / sum(one.values()) for i, w in one.items()} for one in kept]


@pytest.mark.parametrize("training", [False, True], ids=["evaluated", "trained"])
@pytest.mark.parametrize("two", FORMS.values(), ids=list(FORMS))
def test_two_experts_are_found_and_weighed_as_they_are_by_hand(
    two: spec.TopTwo, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(ROWS * LENGTH, EXPERTS, dtype=torch.float64)
    noise = torch.rand(logits.shape if two.second == "sampling" else (len(logits),), dtype=torch.float64)
    real = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    real[1, 4:] = real[2, :1] = False
    monkeypatch.setattr(torch, "rand_like", lambda like: noise[: len(like)])
    s = spec.Experts(EXPERTS, 2, EACH, two=two)
    positions = torch.arange(LENGTH)[None]

    def found(layout: Layout, seen: Tensor | None, rows: Tensor, **other: Any) -> list[dict[int, float]]:
        flow = Flow(rows, Pass(Geometry(layout, positions), Visibility(seen), eager, **other))
        weights, chosen = two_of(s, rows, flow, training)
        pairs = zip(chosen.tolist(), weights.tolist(), strict=True)
        return [{i: w for i, w in zip(*one, strict=True) if i < EXPERTS} for one in pairs]

    def same(one: list[dict[int, float]], other: list[dict[int, float]]) -> None:
        assert [set(pair) for pair in one] == [set(pair) for pair in other]
        for pair, hand in zip(one, other, strict=True):
            assert pair == pytest.approx(hand)

    by_hand = slowly(two, logits.tolist(), real.flatten().tolist(), noise, training)
    assert two.share == 1.0 or any(len(pair) < 2 for pair in by_hand)
    dense = Layout.dense(ROWS, LENGTH)
    same(found(dense, real, logits, watched=True), by_hand)
    same(found(dense, real, logits), by_hand)
    packed = Layout.of(real)
    if two.second == "all":  # else rows draw other numbers
        order = packed.pack(torch.arange(len(logits)).view(ROWS, LENGTH)).tolist()
        same(found(packed, None, packed.pack(logits.view(ROWS, LENGTH, -1))), [by_hand[i] for i in order])


def test_what_experts_find_is_dropped_in_training_and_as_much_less_in_evaluation() -> None:
    names = {
        "mixture": "ffn",
        "router": "ffn.router",
        "expert_dropout": "ffn.experts.dropout",
        **{f"expert_{role}": f"ffn.experts.{{i}}.{role}" for role in ("up", "down")},
    }
    torch.manual_seed(0)
    found = {}
    for rate in (0.0, 0.25):
        owner = Block()
        s = spec.Experts(EXPERTS, 2, EACH, two=spec.TopTwo(share=1.0), dropout=rate)
        build(owner, experts_steps(s, 6), names)
        made: Any = owner.ffn
        for value in made.parameters():
            torch.nn.init.normal_(value, generator=torch.Generator().manual_seed(value.numel()))
        x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            found[rate] = made.eval()(x, flow=alone(x))
            many = [made.train()(x, flow=alone(x)) for _ in range(400)]
    torch.testing.assert_close(found[0.25], 0.75 * found[0.0])
    mean = torch.stack(many).mean(0)
    assert (mean - found[0.0]).abs().max() < 0.2 * found[0.0].abs().max()
    assert not torch.equal(many[0], many[1])


def test_more_or_fewer_than_two_are_refused() -> None:
    with pytest.raises(ValueError, match="two for each token, not 3"):
        spec.Experts(EXPERTS, 3, EACH, two=spec.TopTwo())
