"""Attention by contents, distances and segments against its definition in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.masks import Causal
from formers.nn.mixers.relative import Streams, distances, relative_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build, compute
from formers.nn.tree import Block

HEADS, WIDTH, EACH = 3, 12, 4
SPEC = spec.Relative(spec.Heads(HEADS, HEADS, EACH), std=0.5)
ROLES = (*"qkvor", "content_bias", "distance_bias", "segment_bias", "segment")
SPECS = {
    "both ways": SPEC,
    "short distances": replace(SPEC, clamp=2),
    "one way": replace(SPEC, mask=Causal()),
    "as many keys for all": replace(SPEC, mask=Causal(), same_length=True),
}


def wave(distance: int) -> Tensor:
    """Sines of a distance, then cosines."""
    turns = [distance / 10_000 ** (2 * i / WIDTH) for i in range(WIDTH // 2)]
    return torch.tensor([*map(math.sin, turns), *map(math.cos, turns)], dtype=torch.float64)


def slowly(s: spec.Relative, w: dict[str, Tensor], x: Tensor, memory: Tensor, types: Tensor) -> Tensor:
    """One sequence [T, E] behind its memory [M, E], pair by pair and head by head."""
    keys, past = torch.cat((memory, x)), len(memory)
    kinds, rows = [0] * past + types.tolist(), []
    for t, token in enumerate(x):
        mixed = []
        for head in range(HEADS):
            q, scores, values = token @ w["q"][:, head], [], []
            for j, key in enumerate(keys):
                hidden = s.causal and j > past + t or (s.same_length and j < t)
                if hidden and j != past + t:
                    continue
                back = past + t - j
                back = max(-s.clamp, min(s.clamp, back)) if s.clamp > 0 else back
                kind = w["segment"][int(kinds[j] != kinds[past + t]), head]
                score = (q + w["content_bias"][head]) @ (key @ w["k"][:, head])
                score = score + (q + w["distance_bias"][head]) @ (wave(back) @ w["r"][:, head])
                scores.append((score + (q + w["segment_bias"][head]) @ kind) / EACH**0.5)
                values.append(key @ w["v"][:, head])
            mixed.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        rows.append(w["o"].flatten(1) @ torch.cat(mixed))
    return torch.stack(rows)


def built(s: spec.Relative) -> tuple[Block, dict[str, Tensor]]:
    """The mixer with drawn values, and those by role."""
    torch.manual_seed(0)
    block, weights = Block(), {}
    build(block, relative_steps(s, WIDTH), {**{role: role for role in ROLES}, "weights_dropout": None})
    block.double().eval()
    for role in ROLES:
        value = block.get_parameter(role)
        weights[role] = value.data = torch.randn_like(value) * 0.5
    return block, weights


def run(block: Block, s: spec.Relative, x: Tensor, types: Tensor, layout: Layout, **more: Any) -> Tensor:
    """One pass over rows [N, E], or [T, B, E] where it is watched."""
    watched, real = x.dim() == 3, more.pop("real", None)
    geometry = Geometry(layout, torch.arange(layout.length)[None])
    pass_ = Pass(geometry, Visibility(real), eager, watched=watched)
    shared = Streams(types=types, **more)
    shared.table = distances(s, pass_, shared.past, x)
    pass_.memo.put("streams", shared)
    flow = Flow(x, pass_)
    compute(block, flow)
    return flow.x


@pytest.mark.parametrize("s", SPECS.values(), ids=SPECS)
@torch.no_grad()
def test_it_is_the_definition_packed_watched_and_behind_a_memory(s: spec.Relative) -> None:
    block, w = built(s)
    x, memory = torch.randn(3, 7, WIDTH).double(), torch.randn(4, 3, WIDTH).double()
    types = torch.randint(2, (3, 7))
    nothing = x.new_zeros(0, WIDTH)
    layout = Layout.dense(3, 7)
    expected = torch.stack(
        [slowly(s, w, *row, types=kind) for *row, kind in zip(x, memory.unbind(1), types, strict=True)]
    )
    found = run(block, s, x.flatten(0, 1), types.flatten(), layout, memories=(memory,))
    torch.testing.assert_close(found.view_as(x), expected)
    found = run(block, s, x.transpose(0, 1), types.t(), layout, memories=(memory,))
    torch.testing.assert_close(found.transpose(0, 1), expected)

    real = torch.ones(3, 7, dtype=torch.bool)
    real[0, 5:], real[1, :3] = False, False  # padding on either side
    packed = Layout.of(real)
    found = packed.unpack(run(block, s, packed.pack(x), packed.pack(types), packed))
    beside = run(block, s, x.flatten(0, 1), types.flatten(), layout, real=real).view_as(x)
    for row in range(3):
        alone_ = slowly(s, w, x[row][real[row]], nothing, types[row][real[row]])
        torch.testing.assert_close(found[row][real[row]], alone_)
        torch.testing.assert_close(beside[row][real[row]], alone_)


def test_what_is_kept_is_cut_as_the_spec_says() -> None:
    s, shared = replace(SPEC, memory=4, reuse=3), Streams(kept=[])
    x = torch.randn(2, 5, WIDTH)
    assert torch.equal(shared.recall(s, 0, x), x)
    assert torch.equal(shared.kept[0], x.transpose(0, 1)[:3])  # type: ignore[index]  # it was asked for
    later = Streams(memories=(shared.kept[0],), kept=[])  # type: ignore[index]
    assert later.recall(s, 0, x).shape == (2, 8, WIDTH)
    assert torch.equal(later.kept[0], torch.cat((shared.kept[0], x.transpose(0, 1)[:3]))[-4:])  # type: ignore[index]


def test_a_layer_that_is_called_by_itself_says_what_it_lacks() -> None:
    block, _ = built(SPEC)
    with pytest.raises(ValueError, match="table of distances: call the model"):
        compute(block, alone(torch.randn(2, 3, WIDTH).double()))
