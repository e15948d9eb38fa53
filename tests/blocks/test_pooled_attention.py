"""Attention of pooled queries, and what is made of pairs of places, against definitions in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.mixers.pooled_attention import Places, Reach, distances, pooled_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build, compute
from formers.nn.tree import Block
from formers.stacks.funnel import halved, spread

HEADS, WIDTH, EACH = 3, 12, 4
SPEC = spec.Pooled(spec.Heads(HEADS, HEADS, EACH))
BARE = ("r", "content_bias", "distance_bias", "segment_bias", "segment")
TOKENS = Places(6)
# who asks and who is seen: places of two tokens each see tokens, or each other
CASES = {
    "tokens": (SPEC, TOKENS, TOKENS),
    "pairs see tokens": (SPEC, Places(3, step=2), TOKENS),
    "pairs": (SPEC, Places(3, step=2), Places(3, step=2)),
    "a lone first token, pairs see tokens": (replace(SPEC, lone=True), Places(4, -1, 2), Places(6)),
    "a lone first token, fours see pairs": (replace(SPEC, lone=True), Places(2, -3, 4), Places(4, -1, 2)),
}


def wave(distance: int) -> Tensor:
    """Sines of a distance, then cosines."""
    turns = [distance / 10_000 ** (2 * i / WIDTH) for i in range(WIDTH // 2)]
    return torch.tensor([*map(math.sin, turns), *map(math.cos, turns)], dtype=torch.float64)


def slowly(s: spec.Pooled, w: dict[str, Tensor], x: Tensor, keys: Tensor, reach: Reach, row: int) -> Tensor:
    """One row [T, E], which sees [S, E], pair by pair and head by head."""
    rows = []
    for i, asks in enumerate(x):
        mixed = []
        for head in range(HEADS):
            mine = slice(head * EACH, (head + 1) * EACH)
            q, scores, values = (w["q"] @ asks)[mine], [], []
            for j, seen in enumerate(keys):
                score = (q + w["content_bias"][head]) @ (w["k"] @ seen + w["k.bias"])[mine]
                if not (s.lone and 0 in (i, j)):
                    away = reach.query.first + i * reach.query.step - reach.key.first - j * reach.key.step
                    score = score + (q + w["distance_bias"][head]) @ (wave(away) @ w["r"][:, head])
                    kinds = (1, 1)
                    if reach.query.types is not None and reach.key.types is not None:
                        kinds = (int(reach.query.types[row, i]), int(reach.key.types[row, j]))
                    same = kinds[0] == kinds[1] or s.common in kinds
                    score = score + (q + w["segment_bias"][head]) @ w["segment"][int(same), head]
                score = score / EACH**0.5
                if reach.key.real is not None and not reach.key.real[row, j]:
                    score = score - 1e6
                scores.append(score)
                values.append((w["v"] @ seen + w["v.bias"])[mine])
            mixed.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        rows.append(w["o"] @ torch.cat(mixed) + w["o.bias"])
    return torch.stack(rows)


def built(s: spec.Pooled) -> tuple[Block, dict[str, Tensor]]:
    """The mixer with drawn values, and those by role."""
    torch.manual_seed(0)
    block, weights = Block(), {}
    names = {**{role: role for role in (*"qkvo", *BARE)}, "weights_dropout": None}
    build(block, pooled_steps(s, WIDTH), names)
    block.double().eval()
    for name, value in block.named_parameters():
        weights[name.removesuffix(".weight")] = value.data = torch.randn_like(value) * 0.5
    return block, weights


def waves_of(query: Places, key: Places, factors: bool) -> Any:
    """Of distances, or of both ends; where a lone first token stands does not matter."""
    if not factors:
        return torch.stack([wave(away) for away in distances(query, key)])
    ends = ([wave(max(p.first + p.step * i, 0)) for i in range(p.count)] for p in (query, key))
    return tuple(torch.stack(end) for end in ends)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("factors", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_pooled_attention_is_its_definition(case: str, factors: bool, watched: bool) -> None:
    s, query, key = CASES[case]
    block, weights = built(s)
    x, keys = (torch.randn(2, places.count, WIDTH, dtype=torch.float64) for places in (query, key))
    types = [torch.randint(0, 3, (2, places.count)) for places in (query, key)]
    real = torch.arange(key.count)[None] < torch.tensor([[key.count], [key.count - 1]])
    for mask, kinds in ((None, (None, None)), (real, types)):
        ends = [replace(one, types=kind, real=mask) for one, kind in zip((query, key), kinds, strict=True)]
        reach = Reach(*ends, waves_of(query, key, factors), keys if watched else keys.flatten(0, 1))
        layout = Layout.dense(2, query.count)
        geometry = Geometry(layout, torch.arange(query.count)[None])
        pass_ = Pass(geometry, Visibility(), eager, watched=watched)
        pass_.memo.put("reach", reach)
        flow = Flow(x if watched else x.flatten(0, 1), pass_)
        compute(block, flow)
        expected = torch.stack([slowly(s, weights, x[row], keys[row], reach, row) for row in range(2)])
        torch.testing.assert_close(flow.x.view_as(expected), expected)


def test_a_row_of_padding_alone_reads_what_it_would_without_padding() -> None:
    """Small scores survive: nothing large is taken from all of them."""
    block, _ = built(SPEC)
    block.float()
    x, found = torch.randn(2, 6, WIDTH), []
    for real in (None, torch.tensor([[True] * 6, [False] * 6])):
        places = replace(TOKENS, real=real)
        waves = waves_of(places, places, False).float()
        pass_ = Pass(Geometry(Layout.dense(2, 6), torch.arange(6)[None]), Visibility(), eager)
        pass_.memo.put("reach", Reach(places, places, waves))
        flow = Flow(x.flatten(0, 1), pass_)
        compute(block, flow)
        found.append(flow.x)
    torch.testing.assert_close(*found)


def test_a_part_by_itself_says_that_it_lacks_its_places() -> None:
    block, _ = built(SPEC)
    with pytest.raises(ValueError, match="call the model, not a part"):
        compute(block, alone(torch.zeros(1, 3, WIDTH, dtype=torch.float64)))


def funnel(lone: bool, cut: bool) -> spec.Funnel:
    """Three blocks of one layer."""
    feedforward = spec.FeedForward(4)
    layer = spec.layer(replace(SPEC, lone=lone), feedforward, spec.Norm())
    names = spec.Names("blocks", {}, {})
    first = spec.Stack(spec.Tokens(7, WIDTH), (layer,) * 3, names, WIDTH)
    return spec.Funnel(first, (1, 1, 1), (1, 1, 1), {}, lone=lone, cut=cut)


@pytest.mark.parametrize(
    ("lone", "cut", "pairs", "back"),
    [
        (True, True, [0, 1.5, 3.5, 5], [0, 10, 10, 10, 10, 20, 20]),
        (True, False, [0, 1.5, 3.5, 5.5], [0, 10, 10, 10, 10, 20, 20]),
        (False, False, [0.5, 2.5, 4.5, 6], [0, 0, 0, 0, 10, 10, 10]),
    ],
)
def test_places_become_pairs_and_tokens_get_their_place_back(
    lone: bool, cut: bool, pairs: list[float], back: list[float]
) -> None:
    f, tokens = funnel(lone, cut), torch.arange(7.0)[None, :, None]
    assert halved(tokens, f, lambda two: two.mean(2)).flatten().tolist() == pairs
    places = torch.arange(0, 30, 10.0)[None, : 3 if lone else 2, None]
    assert spread(places, f, 7).flatten().tolist() == back


def test_a_token_that_was_left_out_gets_zeros_for_a_place() -> None:
    assert spread(torch.ones(1, 2, 1), funnel(True, True), 8).flatten().tolist() == [1] * 5 + [0] * 3


def test_fresh_matrices_spread_by_their_sizes_and_tensors_from_zero_up() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "block_sizes": [1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 96}
    model = formers.FunnelModel(formers.FunnelConfig(**sizes, initializer_range=0.3))
    layer = model.encoder.blocks[0][0]
    assert layer.ffn.linear_1.weight.std().item() == pytest.approx(128**-0.5, rel=0.1)
    assert model.embeddings.word_embeddings.weight.std().item() == pytest.approx(1.0, rel=0.1)
    kernel = layer.attention.r_kernel
    assert 0 <= kernel.min() < 0.01 < 0.29 < kernel.max() <= 0.3


@pytest.mark.parametrize("values", [{"block_repeats": [1]}, {"block_repeats": [1, 0]}, {"block_sizes": []}])
def test_blocks_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="blocks"):
        formers.FunnelModel(
            formers.FunnelConfig(vocab_size=9, d_model=8, **{"block_sizes": [1, 1], **values})
        )


def test_texts_shorter_than_a_pair_are_read_too() -> None:
    config = formers.FunnelConfig(vocab_size=9, block_sizes=[1, 1, 1], d_model=16, n_head=2, d_head=4)
    model = formers.FunnelModel(config).eval()
    for length in (1, 2, 3):
        assert model(torch.ones(2, length, dtype=torch.long)).last_hidden_state.shape == (2, length, 16)
