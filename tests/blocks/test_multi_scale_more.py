"""Steps that restoring pictures and matching points brought, against their definitions written out."""

from __future__ import annotations

import math

import pytest
import torch

from formers.nn.nets.depth_bins import LogBinomial
from formers.nn.nets.leaves import leaf_of
from formers.nn.nets.point_matching import centred, matched, other_of_pair, transported
from formers.nn.nets.tree import NetNode, compute, fill
from formers.nn.spec import multi_scale, nets


def _run(run, x, size=None, parts=None):
    node = NetNode()
    fill(node, nets.Node(parts or {}, tuple(run)))
    return compute(node, tuple(run), x, [], None, size)


def test_places_are_repeated_and_cut_to_what_was_told():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    found = _run([multi_scale.Repeated(3)], x)
    assert found.shape == (1, 1, 6, 9)
    assert all(found[0, 0, i, j] == x[0, 0, i // 3, j // 3] for i in range(6) for j in range(9))
    assert torch.equal(_run([multi_scale.CutTo(2)], found, (2, 3)), found[..., :4, :6])
    assert torch.equal(_run([multi_scale.CutTo()], found), found)


def test_the_last_map_stands_behind_what_a_part_makes_of_all():
    maps = tuple(torch.full((1, 1, 2, 2), float(i)) for i in range(3))
    parts = {"chosen": nets.Node({}, (multi_scale.Each((), (multi_scale.Times(2.0),)),))}
    found = _run([multi_scale.Besides("chosen")], maps, parts=parts)
    assert [float(one[0, 0, 0, 0]) for one in found] == [0, 2, 4, 2]


def test_channels_become_places_and_slopes_are_those_that_are_said():
    x = torch.arange(16.0).view(1, 4, 2, 2)
    found = leaf_of(nets.Shuffled())(x)
    assert found.shape == (1, 1, 4, 4)
    for i in range(4):
        for j in range(4):
            assert found[0, 0, i, j] == x[0, 2 * (i % 2) + j % 2, i // 2, j // 2]
    assert leaf_of(nets.Act("leaky_relu", 0.2))(torch.tensor(-1.0)) == pytest.approx(-0.2)
    assert leaf_of(nets.Act("leaky_relu"))(torch.tensor(-1.0)) == pytest.approx(-0.01)


def test_every_point_gives_one_share_and_no_match_takes_what_is_left():
    torch.manual_seed(0)
    scores, none = torch.randn(2, 3, 4, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    found = transported(scores, none, 200).exp()
    assert found.shape == (2, 4, 5)
    torch.testing.assert_close(found[:, :-1].sum(2), torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(found[:, :, :-1].sum(1), torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(found[:, -1].sum(1), torch.full((2,), 4.0, dtype=torch.float64))
    # Sinkhorn's iterations on the numbers themselves
    pairs = torch.full((2, 4, 5), 0.3, dtype=torch.float64)
    pairs[:, :-1, :-1] = scores
    pairs = pairs.exp()
    rows, columns = torch.tensor([1.0, 1, 1, 4]), torch.tensor([1.0, 1, 1, 1, 3])
    across = torch.ones(2, 1, 5, dtype=torch.float64)
    for _ in range(3):
        down = rows[:, None] / (pairs * across).sum(2, keepdim=True)
        across = columns / (pairs * down).sum(1, keepdim=True)
    torch.testing.assert_close(transported(scores, none, 3).exp(), pairs * down * across)


def test_matches_are_each_others_best_and_likely_enough():
    likely = torch.full((1, 4, 4), -9.0)
    likely[0, 0, 1], likely[0, 1, 1], likely[0, 2, 2] = math.log(0.8), math.log(0.9), math.log(0.3)
    numbers, sure = matched(likely, 0.2)
    assert numbers.tolist() == [[[-1, 1, 2], [-1, 1, 2]]]
    torch.testing.assert_close(sure, torch.tensor([[[0, 0.9, 0.3], [0, 0.9, 0.3]]]))
    assert matched(likely, 0.5)[0].tolist() == [[[-1, 1, -1], [-1, 1, -1]]]


def test_places_are_counted_from_the_middle_and_pairs_change_places():
    found = centred(torch.tensor([[20.0, 10.0], [40.0, 0.0]]), (20, 40))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [20 / 28, -10 / 28]]))
    assert other_of_pair(torch.arange(4)[:, None]).flatten().tolist() == [1, 0, 3, 2]


def test_chances_of_bins_are_binomial_and_a_temperature_makes_them_alike():
    """Nearly: factorials are Stirling's approximation, without its factor."""
    chance = torch.tensor([[[0.2, 0.7]]], dtype=torch.float64)
    one = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    found = LogBinomial(5)(chance, one)
    for j, p in enumerate((0.2, 0.7)):
        ways = [4**4 / ((k**k if k else 1) * ((4 - k) ** (4 - k) if k < 4 else 1)) for k in range(5)]
        raw = [ways[k] * p**k * (1 - p) ** (4 - k) for k in range(5)]
        expected = torch.tensor(raw, dtype=torch.float64) / sum(raw)
        torch.testing.assert_close(found[0, :, 0, j], expected, atol=1e-5, rtol=1e-5)
    flat = LogBinomial(5)(chance, 1e6 * one)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.2), atol=1e-4, rtol=1e-4)
