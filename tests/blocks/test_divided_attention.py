"""Attention over time and over space by turns, against its definition in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.divided_attention import divided_steps
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

HEADS, WIDTH, FRAMES, PLACES = 2, 8, 3, 4
NORM = spec.Norm(eps=1e-5)
NAMES = {
    **{"time_norm": "tn", "time_qkv": "t.qkv", "time_weights_dropout": "t.drop", "time_o": "t.o"},
    **{"time_dropout": "t.out", "time_skip": "skip", "time_dense": "td"},
    **{"attention_norm": "sn", "qkv": "s.qkv", "weights_dropout": "s.drop", "o": "s.o"},
    **{"attention_dropout": "s.out", "attention_skip": "skip"},
}


def attended(w: dict[str, Tensor], part: str, x: Tensor) -> Tensor:
    """One group [n, E]: norm, every head by itself, projection."""
    x = torch.nn.functional.layer_norm(x, (WIDTH,), w[f"{part}n.weight"], w[f"{part}n.bias"], 1e-5)
    q, k, v = (x @ w[f"{part}.qkv.weight"].T + w[f"{part}.qkv.bias"]).chunk(3, dim=-1)
    each, heads = WIDTH // HEADS, []
    for h in range(HEADS):
        of = slice(h * each, h * each + each)
        heads.append((q[:, of] @ k[:, of].T / each**0.5).softmax(-1) @ v[:, of])
    return torch.cat(heads, dim=-1) @ w[f"{part}.o.weight"].T + w[f"{part}.o.bias"]


def over_time(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """One row: every patch by itself, then a linear map; nothing for the class token."""
    made = torch.zeros_like(x)
    for p in range(PLACES):
        at = 1 + p * FRAMES + torch.arange(FRAMES)
        made[at] = attended(w, "t", x[at]) @ w["td.weight"].T + w["td.bias"]
    return made


def over_space(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """One row: every frame by itself behind the class token, whose results are averaged."""
    made = torch.zeros_like(x)
    for t in range(FRAMES):
        at = torch.cat((torch.zeros(1).long(), 1 + torch.arange(PLACES) * FRAMES + t))
        found = attended(w, "s", x[at])
        made[at[1:]] = found[1:]
        made[0] += found[0] / FRAMES
    return made


@pytest.mark.parametrize(("over", "slowly"), [("time", over_time), ("space", over_space)])
def test_patches_attend_over_time_and_space_as_defined(over: Any, slowly: Any) -> None:
    torch.manual_seed(0)
    s = spec.Divided(spec.Heads.split(WIDTH, HEADS), fused="blocks", over=over, frames=FRAMES, norm=NORM)
    owner: Any = Block()
    build(owner, divided_steps(s, WIDTH), NAMES)
    owner.double().eval()
    for weight in owner.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    x = torch.randn(2, 1 + PLACES * FRAMES, WIDTH, dtype=torch.float64)
    wanted = torch.stack([slowly(owner.state_dict(), row) for row in x])
    for watched in (True, False):
        flow = alone(x)
        flow.pass_.watched = watched
        flow.x = x if watched else x.flatten(0, 1)
        compute(owner, flow)
        torch.testing.assert_close(flow.x.view_as(x), wanted)


def test_whole_groups_are_left_out_in_training_and_columns_must_fit() -> None:
    torch.manual_seed(0)
    s = spec.Divided(spec.Heads.split(WIDTH, HEADS), fused="blocks", frames=FRAMES, skip=0.5)
    owner: Any = Block()
    build(owner, divided_steps(s, WIDTH), NAMES)
    x = torch.randn(1, 1 + PLACES * FRAMES, WIDTH)
    for watched in (True, False):
        flow = alone(x)
        flow.pass_.watched = watched
        flow.x = x if watched else x.flatten(0, 1)
        compute(owner.train(), flow)
        by_frame = flow.x.view(1, -1, WIDTH)[0, 1:].unflatten(0, (PLACES, FRAMES)).abs().sum((0, 2))
        assert 0 < int((by_frame == 0).sum()) < FRAMES
    with pytest.raises(ValueError, match="3 frames do not make 12 columns"):
        compute(owner, alone(x[:, 1:]))
