"""Attention by blocks, against its definition in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.core.notices import Notice, forget_notices
from formers.nn import spec
from formers.nn.mixers.block_sparse import block_sparse_steps, plan
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

HEADS, EACH, WIDTH, BLOCK, LENGTH = 3, 2, 6, 2, 21  # the last block is not full
BLOCKS = -(-LENGTH // BLOCK)


def attention(random: int, training: bool) -> tuple[spec.BlockSparse, Any]:
    """Its spec, and a node with random weights."""
    torch.manual_seed(0)
    owner = Block()
    s = spec.BlockSparse(spec.Heads(HEADS, HEADS, EACH), block=BLOCK, random=random, longest=LENGTH)
    build(owner, block_sparse_steps(s, WIDTH), {role: f"attn.{role}" for role in ("q", "k", "v", "o")})
    made: Any = owner.attn
    made.double().train(training)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return s, made


def seen(s: spec.BlockSparse, head: int, block: int, training: bool) -> list[int]:
    """The blocks that a block sees, some of them several times."""
    if block in (0, BLOCKS - 1):
        return list(range(BLOCKS))
    near = sorted({0, block - 1, block, block + 1, BLOCKS - 1})
    if not training or not s.random:
        return near + [0] * s.random
    return near + plan(BLOCK, s.random, LENGTH, 0, HEADS, BLOCKS)[head, block - 1].tolist()


def slowly(s: spec.BlockSparse, parts: list[Tensor], real: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """q, k, v [T, H, D] key by key: what is mixed, and the weight of each key, told once, [H, T, T]."""
    q, k, v = parts
    mixed, weights = torch.zeros_like(q), q.new_zeros(HEADS, LENGTH, LENGTH)
    for head in range(HEADS):
        for i in range(LENGTH):
            if not real[i]:
                continue
            blocks = seen(s, head, i // BLOCK, training)
            keys = [j for b in blocks for j in range(b * BLOCK, b * BLOCK + BLOCK) if j < LENGTH and real[j]]
            scores = torch.stack([(q[i, head] @ k[j, head] / math.sqrt(EACH)).exp() for j in keys])
            for j, weight in zip(keys, scores / scores.sum(), strict=True):
                mixed[i, head] += weight * v[j, head]
                weights[head, i, j] = weight
    return mixed, weights


@pytest.mark.parametrize("training", [False, True], ids=["read", "trained"])
@pytest.mark.parametrize("random", [0, 1, 2])
@pytest.mark.parametrize("sided", ["left", "right"])
def test_a_block_sees_its_neighbours_two_for_all_and_some_at_random(
    sided: str, random: int, training: bool
) -> None:
    s, made = attention(random, training)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    mask = torch.ones(2, LENGTH)
    mask[1, slice(15, None) if sided == "right" else slice(0, 5)] = 0
    told, plain = alone(x, mask), alone(x, mask)
    told.pass_.trace["attentions"] = []
    for flow in (told, plain):
        compute(made, flow)
    w = dict(made.state_dict())
    for row in range(2):
        parts = [x[row] @ w[f"{role}.weight"].T + w[f"{role}.bias"] for role in ("q", "k", "v")]
        heads = [part.view(LENGTH, HEADS, EACH) for part in parts]
        mixed, weights = slowly(s, heads, mask[row].bool(), training)
        expected = mixed.flatten(1) @ w["o.weight"].T + w["o.bias"]
        for flow in (told, plain):
            torch.testing.assert_close(flow.x[row], expected)
        real = mask[row].bool()
        torch.testing.assert_close(told.pass_.trace["attentions"][0][row][:, real], weights[:, real])


def test_in_a_short_row_every_token_sees_all_and_one_is_told() -> None:
    s, made = attention(2, False)
    x = torch.randn(1, s.least, WIDTH, dtype=torch.float64)
    forget_notices()
    flow = alone(x)
    flow.pass_.trace["attentions"] = []
    with pytest.warns(Notice, match="at most 18 tokens are too short"):
        compute(made, flow)
    assert bool((flow.pass_.trace["attentions"][0] > 0).all())


def test_a_plan_that_has_too_few_blocks_to_draw_from_says_so() -> None:
    with pytest.raises(ValueError, match="choose a smaller block_size than 256"):
        plan(256, 3, 4096, 0, 2, 16)
