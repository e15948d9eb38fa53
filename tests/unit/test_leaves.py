"""Nodes of the module tree: which compute, and what the others say when they are called."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from formers.nn import spec
from formers.nn.fresh import sinusoids
from formers.nn.leaves import linear
from formers.nn.program import build
from formers.nn.spec import SpecError
from formers.nn.stems.tokens import positions_of
from formers.nn.steps import Begin, Drop, Normalise, Project
from formers.nn.tree import Block, Group, place


def test_calling_a_node_that_only_holds_weights_says_what_to_call():
    group = Group()
    group.add_module("dense", nn.Linear(2, 2))
    with pytest.raises(NotImplementedError, match=r"this Group \(dense\) cannot be called: it only holds"):
        group(torch.ones(1))


def test_a_path_that_is_an_attribute_of_the_class_is_refused():
    with pytest.raises(SpecError, match="'forward' is an attribute of Block already"):
        place(Block(), "up", "forward", nn.Linear(2, 2))


def steps() -> list:
    return [
        Begin("mlp"),
        Normalise("norm", spec.Norm(), 4),
        Project("up", lambda: linear("linear", 4, 4)),
        Project("down", lambda: linear("linear", 4, 4)),
        Drop("drop", 0.5),
    ]


def test_a_missing_a_misspelt_and_a_doubled_role_are_one_sentence():
    names = {"norm": "norm", "upp": "mlp.up", "down": "norm"}
    with pytest.raises(SpecError) as refused:
        build(Block(), steps(), names, "ToyLayer")
    said = str(refused.value)
    assert said.startswith("ToyLayer: the names do not fit the parts: no path for 'up'; did you mean 'upp'")
    assert "one path for two roles: 'norm' (norm and down)" in said


def test_steps_under_one_node_must_follow_each_other():
    names = {"norm": "a.norm", "up": "b.up", "down": "a.down"}
    with pytest.raises(SpecError, match="the leaves under 'a' do not belong to steps that follow each other"):
        build(Block(), steps(), names)


def test_a_dropout_without_a_path_is_left_out():
    block = Block()
    build(block, steps(), {"norm": "norm", "up": "mlp.up", "down": "mlp.down"})
    assert [name for name, _ in block.named_modules() if name] == ["norm", "mlp", "mlp.up", "mlp.down"]


@pytest.mark.parametrize("width", [6, 8, 9])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_sinusoids_are_those_of_the_definition_however_far(width: int, closed: bool) -> None:
    half = width // 2 if closed else (width + 1) // 2
    last = half - 1 if closed else width / 2
    places = torch.tensor([[0, 1, 7], [40, 3, 5000]])
    expected = torch.zeros(2, 3, width, dtype=torch.float64)
    for i in range(half):
        turn = places.double() * 10_000 ** (-i / last)
        expected[..., i] = turn.sin()
        if half + i < width:
            expected[..., half + i] = turn.cos()
    # the closed range is computed in float32, as its models were trained with: far places are less exact
    found = sinusoids(places, width, closed)
    torch.testing.assert_close(found.double(), expected, atol=5e-4 if closed else 1e-6, rtol=0)


def test_computed_positions_need_no_table_and_a_fixed_table_is_not_trained() -> None:
    computed = positions_of(spec.ComputedPositions(1), 8)
    assert computed.state_dict() == {}
    assert torch.equal(computed(torch.tensor([3, 900])), sinusoids(torch.tensor([3, 900]), 8))
    fixed = positions_of(spec.LearnedPositions(5, offset=2, fixed=True), 8)
    assert {name: tuple(value.shape) for name, value in fixed.named_parameters()} == {"weight": (7, 8)}
    assert not any(value.requires_grad for value in fixed.parameters())
