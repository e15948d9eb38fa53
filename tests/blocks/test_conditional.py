"""Attention of contents and places apart, boxes at all places, and noisy objects, as they are defined."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.box_proposals import Denoising, noisy, proposals
from formers.nn.box_refinement import logit, moved
from formers.nn.map_positions import GridPlaces, box_waves
from formers.nn.mixers.conditional import conditional_steps
from formers.nn.passing import Visibility, plain_pass
from formers.nn.program import Flow, build, compute
from formers.nn.tree import Block

WIDTH, HEADS = 12, 3
EACH = WIDTH // HEADS


def computed(s: spec.Conditional, watched: bool, **held: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """What such a part makes, in float64, and its leaves by role."""
    torch.manual_seed(0)
    start = "cross_" if s.cross else ""
    roles = ["q", "k", "v", "o", "q_places", "k_places", "waves"]
    owner = Block()
    build(owner, conditional_steps(s, WIDTH), {f"{start}{role}": f"attn.{role}" for role in roles})
    part: Any = owner.attn
    part.double()
    x = held.pop("x")
    pass_ = plain_pass((len(x), x.shape[1]), x.device, None, {}, watched)
    pass_.visibility = Visibility(encoder=held.pop("states", None), encoder_real=held.pop("real", None))
    for name, value in held.items():
        rows = value.flatten(0, 1) if not watched and name != "encoder places" else value
        pass_.memo.put(name, rows)
    flow = Flow(x if watched else x.flatten(0, 1), pass_)
    with torch.no_grad():
        compute(part, flow)
    return flow.x.view(x.shape), dict(part.named_children())


def drawn(*sizes: int) -> Tensor:
    return torch.randn(*sizes, WIDTH, dtype=torch.float64)


def mixed(q: Tensor, k: Tensor, v: Tensor, real: Tensor) -> Tensor:
    """One row's heads, [T, H, .], [S, H, .] -> [T, E]."""
    out = []
    for h in range(HEADS):
        scores = (q[:, h] @ k[:, h].T / math.sqrt(q.shape[-1])).masked_fill(~real, -torch.inf)
        out.append(scores.softmax(-1) @ v[:, h])
    return torch.stack(out, 1).flatten(1)


@pytest.mark.parametrize("watched", [True, False])
def test_places_are_added_to_contents_among_queries(watched: bool) -> None:
    torch.manual_seed(1)
    x, at = drawn(2, 5), drawn(2, 5)
    s = spec.Conditional(spec.Heads.split(WIDTH, HEADS))
    found, w = computed(s, watched, x=x, places=at)
    for row in range(2):
        q, k = (w[r](x[row]) + w[f"{r}_places"](at[row]) for r in "qk")
        heads = [one.view(5, HEADS, EACH) for one in (q, k, w["v"](x[row]))]
        expected = w["o"](mixed(*heads, torch.ones(5, dtype=torch.bool)))  # type: ignore[arg-type]
        torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize("first", [True, False])
def test_places_stand_beside_contents_across(first: bool) -> None:
    torch.manual_seed(1)
    x, at, waves, states, map_ = drawn(2, 5), drawn(2, 5), drawn(2, 5), drawn(2, 7), drawn(2, 7)
    real = torch.ones(2, 7, dtype=torch.bool)
    real[1, 4:] = False
    s = spec.Conditional(spec.Heads.split(WIDTH, HEADS), cross=True, first=first)
    held = {"places": at, "waves": waves, "encoder places": map_}
    found, w = computed(s, False, x=x, states=states, real=real, **held)
    assert ("q_places" in w) == first
    for row in range(2):
        q, k, beside = w["q"](x[row]), w["k"](states[row]), w["k_places"](map_[row])
        if first:
            q, k = q + w["q_places"](at[row]), k + beside
        q, k = (
            torch.cat((a.view(-1, HEADS, EACH), b.view(-1, HEADS, EACH)), -1)
            for a, b in ((q, w["waves"](waves[row])), (k, beside))
        )
        expected = w["o"](mixed(q, k, w["v"](states[row]).view(-1, HEADS, EACH), real[row]))
        torch.testing.assert_close(found[row], expected)


def test_a_part_that_is_called_alone_says_what_it_misses() -> None:
    with pytest.raises(ValueError, match="call the model, not a part"):
        computed(spec.Conditional(spec.Heads.split(WIDTH, HEADS)), True, x=drawn(1, 2))


# -- where objects may be ------------------------------------------------------------------------------


def test_every_place_has_a_box_in_the_middle_of_its_cell_twice_as_large_in_the_next_map() -> None:
    sizes, real = ((4, 8), (2, 4)), torch.ones(2, 40, dtype=torch.bool)
    real[1].view(-1)[:32].view(4, 8)[:, 6:] = False  # the second picture is narrower
    real[1, 32:].view(2, 4)[:, 3:] = False
    boxes, good = proposals(sizes, torch.zeros(1), real)
    shares = boxes.sigmoid()
    torch.testing.assert_close(shares[0, 8 + 2], torch.tensor([2.5 / 8, 1.5 / 4, 0.05, 0.05]))
    torch.testing.assert_close(shares[1, 8 + 2], torch.tensor([2.5 / 6, 1.5 / 4, 0.05, 0.05]))
    torch.testing.assert_close(shares[1, 32 + 1], torch.tensor([1.5 / 3, 0.5 / 2, 0.1, 0.1]))
    assert torch.equal(good[..., 0], real)
    assert torch.isinf(boxes[1, 7]).all()
    whole = proposals(sizes, torch.zeros(1), blank=9.0)[0]
    torch.testing.assert_close(whole[0], boxes[0])


def test_noisy_objects_stand_near_true_ones_or_farther_off_and_groups_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    box = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.3, 0.1, 0.1]])
    targets = [
        {"class_labels": torch.tensor([1, 2]), "boxes": box},
        {"class_labels": torch.tensor([0]), "boxes": box[:1]},
    ]
    found = noisy(Denoising(6, 3, 0.0, 1.0), targets, queries=5)
    assert found is not None
    assert found.meta["dn_num_group"] == 3
    assert found.meta["dn_num_split"] == [12, 5]
    assert [one.tolist() for one in found.meta["dn_positive_idx"]] == [[0, 1, 4, 5, 8, 9], [0, 4, 8]]
    assert found.labels.tolist() == [[1, 2] * 6, [0, 3] * 6]
    near, far = found.boxes.sigmoid()[0, 0::4, :2], found.boxes.sigmoid()[0, 2::4, :2]
    assert ((near - 0.5).abs() <= 0.1).all()
    assert ((far - 0.5).abs() <= 0.2).all()
    seen = ~found.hidden
    assert seen[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3, *range(12, 17)]
    assert seen[13].nonzero()[:, 0].tolist() == list(range(12, 17))


def test_boxes_are_moved_from_where_queries_stand() -> None:
    at, by = torch.tensor([[0.3, 0.6, 0.2, 0.4]]), torch.tensor([[0.5, 0.0, -0.5, 1.0]])
    torch.testing.assert_close(moved(by, at), (torch.log(at / (1 - at)) + by).sigmoid())
    points = moved(by, at[:, :2])
    torch.testing.assert_close(points[:, 2:], by[:, 2:].sigmoid())
    assert logit(torch.tensor([0.0, 1.0, 2.0])).isfinite().all()


def test_waves_of_a_box_are_sines_and_cosines_by_turns_those_of_y_first() -> None:
    found = box_waves(torch.tensor([0.25, 0.5, 0.75, 1.0]), 4)
    assert found.shape == (16,)
    expected = [
        f(a * 2 * math.pi / 10_000 ** (2 * i / 4))
        for a in (0.5, 0.25, 0.75, 1.0)
        for i in (0, 1)
        for f in (math.sin, math.cos)
    ]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=1e-6)
    straight = box_waves(torch.tensor([0.25, 0.5, 0.75, 1.0]), 4, turned=False)
    torch.testing.assert_close(straight[:4], found[4:8])


def test_places_on_a_grid_tell_the_row_and_then_the_column() -> None:
    found = GridPlaces(8)(width=3, height=2, device=torch.device("cpu"), dtype=torch.float32)[0]
    row, column = 1, 2
    expected = [f(n * r) for n in (row, column) for f in (math.sin, math.cos) for r in (1.0, 10_000**-0.5)]
    torch.testing.assert_close(found[row * 3 + column], torch.tensor(expected))
    with pytest.raises(ValueError, match="multiple of four"):
        GridPlaces(6)
