"""Attention to a few places of maps, against its definition in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.fresh import Rays
from formers.nn.layout import Layout
from formers.nn.mixers.deformable import Looked, deformable_steps
from formers.nn.passing import Visibility, plain_pass
from formers.nn.program import Flow, build, compute
from formers.nn.stems import stem_of
from formers.nn.tree import Block

WIDTH, HEADS, POINTS, SIZES = 12, 3, 2, ((4, 3), (2, 5))
EACH, ROOM = WIDTH // HEADS, sum(h * w for h, w in SIZES)
SPEC = spec.Deformable(spec.Heads.split(WIDTH, HEADS), levels=len(SIZES), points=POINTS)
ROLES = ("offsets", "weights", "v", "o")


def at_place(grid: Tensor, x: float, y: float) -> Tensor:
    """What stands at a place of a map [h, w, D], whose cells are one wide: the mean of the four around it."""
    height, width, _ = grid.shape
    found = torch.zeros(grid.shape[-1], dtype=torch.float64)
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                found += share * grid[row, column]
    return found


def nearest(grid: Tensor, x: float, y: float) -> Tensor:
    """What stands nearest to it, as RT-DETR v2 counts: cells are told apart at their middles."""
    height, width, _ = grid.shape
    row, column = (min(max(math.floor(one + 0.5), 0), most - 1) for one, most in ((y, height), (x, width)))
    return grid[row, column]


def slowly(
    s: spec.Deformable, w: dict[str, Any], x: Tensor, read: Tensor, at: Tensor, real: Tensor
) -> Tensor:
    """One row [T, E] over what is read [S, E], head by head and place by place."""
    values = torch.where(real[:, None], w["v"](read), torch.zeros(())).view(ROOM, HEADS, EACH)
    out = []
    for row, here in zip(x, at, strict=True):  # here: [L or 1, 2 or 4]
        offsets = w["offsets"](row).view(HEADS, len(SIZES), POINTS, 2)
        weights = w["weights"](row).view(HEADS, -1).softmax(-1).view(HEADS, len(SIZES), POINTS)
        mixed = torch.zeros(HEADS, EACH, dtype=torch.float64)
        for head in range(HEADS):
            start = 0
            for level, (height, width) in enumerate(SIZES):
                grid = values[start : start + height * width, head].view(height, width, EACH)
                start += height * width
                place = here[level if len(here) > 1 else 0]
                for point in range(POINTS):
                    off = offsets[head, level, point]
                    if len(place) == 2:
                        across, down = place[0] * width + off[0], place[1] * height + off[1]
                    else:
                        off = off / POINTS * place[2:] * s.reach
                        across, down = (place[0] + off[0]) * width, (place[1] + off[1]) * height
                    found = (nearest if s.nearest else at_place)(grid, float(across), float(down))
                    mixed[head] += weights[head, level, point] * found
        out.append(w["o"](mixed.flatten()))
    return torch.stack(out)


def made(s: spec.Deformable) -> tuple[Any, dict[str, Any]]:
    """A part of a layer, and its leaves by role, with values that reach beyond the maps' edges."""
    torch.manual_seed(0)
    owner, prefix = Block(), "cross_" if s.cross else ""
    build(owner, deformable_steps(s, WIDTH), {f"{prefix}{role}": f"attn.{role}" for role in ROLES})
    part: Any = owner.attn
    part.double()
    with torch.no_grad():
        for value in part.parameters():
            value.copy_(torch.randn(value.shape))
    return part, dict(part.named_children())


def computed(part: Any, x: Tensor, looked: Looked, seen: Visibility, watched: bool) -> Tensor:
    """What the part makes of rows [B, T, E]."""
    pass_ = plain_pass((len(x), x.shape[1]), x.device, None, {"attentions": []}, watched)
    pass_.visibility = seen
    pass_.memo.put("looked", looked)
    flow = Flow(x if watched else Layout.dense(len(x), x.shape[1]).pack(x), pass_)
    compute(part, flow)
    return flow.x.view(x.shape)


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("form", ["points", "boxes", "one box", "nearest"])
def test_a_query_weighs_what_stands_at_offsets_from_its_place(form: str, watched: bool) -> None:
    s = replace(SPEC, cross=True, nearest=form == "nearest", reach=0.3 if form == "one box" else 0.5)
    part, leaves = made(s)
    draw = torch.Generator().manual_seed(1)
    x, read = (torch.randn(2, n, WIDTH, generator=draw, dtype=torch.float64) for n in (5, ROOM))
    levels = 1 if form == "one box" else len(SIZES)
    at = torch.rand(
        2, 5, levels, 2 if form in ("points", "nearest") else 4, generator=draw, dtype=torch.float64
    )
    real = torch.rand(2, ROOM, generator=draw) < 0.8
    seen = Visibility(encoder=read, encoder_real=real)
    with torch.no_grad():
        found = computed(part, x, Looked(SIZES, at), seen, watched)
        expected = torch.stack([slowly(s, leaves, *row) for row in zip(x, read, at, real, strict=True)])
    torch.testing.assert_close(found, expected)


def test_maps_look_at_themselves() -> None:
    part, leaves = made(SPEC)
    x = torch.randn(1, ROOM, WIDTH, dtype=torch.float64)
    at = torch.rand(1, ROOM, len(SIZES), 2, dtype=torch.float64)
    real = torch.ones(1, ROOM, dtype=torch.bool)
    with torch.no_grad():
        found = computed(part, x, Looked(SIZES, at), Visibility(), watched=False)
        expected = slowly(SPEC, leaves, x[0], x[0], at[0], real[0])
    torch.testing.assert_close(found[0], expected)


def test_fresh_heads_look_in_directions_of_their_own_and_each_point_a_step_further() -> None:
    first = torch.empty(4 * 3 * 2 * 2)
    Rays(heads=4, points=2).fill_(first)
    ways = first.view(4, 3, 2, 2)
    torch.testing.assert_close(ways[:, :, 1], 2 * ways[:, :, 0])
    expected = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(ways[:, :, 0], expected)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [(((4, 3),), "2 maps are read"), (((4, 3), (2, 4)), "22 places in all"), (None, "call the model")],
)
def test_maps_that_do_not_fit_what_is_read_are_refused(sizes: Any, says: str) -> None:
    part, _ = made(SPEC)
    x = torch.randn(1, ROOM, WIDTH, dtype=torch.float64)
    looked: Any = sizes and Looked(sizes, torch.rand(1, ROOM, 1, 2))
    with pytest.raises(ValueError, match=says):
        computed(part, x, looked, Visibility(), watched=True)


# -- the rows of maps, and where they stand ------------------------------------------------------------


def looked_at(s: spec.MultiScaleRows, given: dict[str, Any]) -> Any:
    """What the stem lets layers know."""
    stem = stem_of(s)
    pass_ = plain_pass(stem.shape(given), torch.device("cpu"), None, {}, True)
    stem.run(Block(), given, pass_)
    if s.asks:
        pass_.memo.get("follow").before(0, pass_)
    return pass_.memo.get("looked")


def test_a_place_of_a_map_stands_in_the_middle_of_its_cell_and_as_far_in_every_other_map() -> None:
    rows, ratios = torch.zeros(1, ROOM, 2), torch.tensor([[[0.5, 1.0], [0.8, 0.6]]])  # (across, down) of each
    given = {"inputs_embeds": rows, "spatial_shapes_list": SIZES, "valid_ratios": ratios}
    found = looked_at(spec.MultiScaleRows(2), given)
    assert found.at.shape == (1, ROOM, 2, 2)
    # the second row's third cell of the first map: its share of what is no padding, in both maps
    own = torch.tensor([2.5 / (3 * 0.5), 1.5 / (4 * 1.0)])
    torch.testing.assert_close(found.at[0, 1 * 3 + 2], own * ratios[0])
    # the first row's second cell of the second map
    torch.testing.assert_close(
        found.at[0, 12 + 1], torch.tensor([1.5 / (5 * 0.8), 0.5 / (2 * 0.6)]) * ratios[0]
    )


def test_queries_stand_where_callers_say() -> None:
    boxes, ratios = torch.rand(1, 3, 4), torch.tensor([[[0.5, 1.0], [0.8, 0.6]]])
    given = {"inputs_embeds": torch.zeros(1, 3, 2), "spatial_shapes_list": SIZES, "reference_points": boxes}
    found = looked_at(spec.MultiScaleRows(2, asks=True), given)
    torch.testing.assert_close(found.at, boxes[:, :, None])
    found = looked_at(spec.MultiScaleRows(2, asks=True), given | {"valid_ratios": ratios})
    torch.testing.assert_close(found.at, boxes[:, :, None] * torch.cat((ratios, ratios), -1)[:, None])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"spatial_shapes_list": None}, "height and width of each map"),
        ({"spatial_shapes_list": ((4, 3), (2, 4))}, "maps of 20 places"),
        ({"valid_ratios": torch.ones(1, 3, 2)}, r"valid_ratios must have shape \[1, 2, 2\]"),
    ],
)
def test_what_does_not_say_where_rows_stand_is_refused(given: dict[str, Any], says: str) -> None:
    whole = {"inputs_embeds": torch.zeros(1, ROOM, 2), "spatial_shapes_list": SIZES, "valid_ratios": None}
    with pytest.raises(ValueError, match=says):
        looked_at(spec.MultiScaleRows(2), whole | given)
