"""Few vectors that ask many, and maps that are thinned out: as their definitions say, in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.connectors import GridPool
from formers.nn.latent_projection import LatentProjection, LatentQueries
from formers.nn.resampling import Perceiver, Resampler

WIDTH, ASKING, ASKED = 12, 3, 7


def made(**changed: Any) -> Resampler:
    """Two layers of four heads that share two keys and values."""
    torch.manual_seed(0)
    given = {"count": ASKING, "depth": 2, "heads": spec.Heads(4, 2, 5), "act": "silu"}
    found = Resampler(Perceiver(**{**given, "norm": spec.Norm("rms", 1e-6), **changed}), WIDTH).double()
    for value in found.parameters():
        nn.init.normal_(value, std=0.3)
    return found.eval()


def normed(x: Tensor, weight: Tensor) -> Tensor:
    """Rows over their root mean square."""
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * weight


def as_defined(model: Resampler, context: Tensor, real: Tensor) -> Tensor:
    """Row by row, head by head."""
    rows = []
    for row, seen in zip(context, real, strict=True):
        x = model.latents
        for layer in model.layers:
            own, w = normed(x, layer.input_latents_norm.weight), layer.self_attn
            both = torch.cat((normed(row[seen], layer.input_context_norm.weight), own))
            heads = []
            for head in range(4):
                q, k, v = (
                    (rows_ @ one.weight.T).split(5, dim=1)
                    for rows_, one in ((own, w.q_proj), (both, w.k_proj), (both, w.v_proj))
                )
                heads.append((q[head] @ k[head // 2].T * 5**-0.5).softmax(-1) @ v[head // 2])
            x = x + torch.cat(heads, dim=1) @ w.o_proj.weight.T
            y, mlp = normed(x, layer.post_attention_layernorm.weight), layer.mlp
            gate = nn.functional.silu(y @ mlp.gate_proj.weight.T)
            x = x + gate * (y @ mlp.up_proj.weight.T) @ mlp.down_proj.weight.T
        rows.append(normed(x, model.norm.weight))
    return torch.stack(rows)


def test_vectors_ask_what_shows_something_and_themselves() -> None:
    model, context = made(), torch.randn(2, ASKED, WIDTH, dtype=torch.float64)
    real = torch.arange(ASKED) < torch.tensor([[ASKED], [4]])
    found = model(context, attention_mask=real)
    # such norms compute in float32
    torch.testing.assert_close(found, as_defined(model, context, real), atol=1e-6, rtol=0)
    torch.testing.assert_close(model(context)[:1], found[:1], atol=1e-6, rtol=0)


def test_dropout_falls_on_weights_in_training_alone() -> None:
    model, context = made(dropout=0.5), torch.randn(1, ASKED, WIDTH, dtype=torch.float64)
    plain = model(context)
    assert torch.equal(plain, model(context))
    assert not torch.equal(plain, model.train()(context))


@pytest.mark.parametrize("kind", ["average", "max", "conv"])
def test_squares_of_patches_are_one(kind: str) -> None:
    pool, rows = GridPool(kind, 2, 3).double(), torch.randn(2, 25, 3, dtype=torch.float64)
    grid = rows.view(2, 5, 5, 3)[:, :4, :4].reshape(2, 2, 2, 2, 2, 3)
    conv: Any = pool.pool if kind == "conv" else SimpleNamespace(weight=None, bias=None)
    expected = {
        "average": lambda: grid.mean((2, 4)),
        "max": lambda: grid.amax((2, 4)),
        "conv": lambda: torch.einsum("bhiwjc,ocij->bhwo", grid, conv.weight) + conv.bias,
    }[kind]()
    torch.testing.assert_close(pool(rows), expected.flatten(1, 2), atol=1e-12, rtol=0)


def test_what_makes_no_square_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no square grid"):
        GridPool("max", 2, 3)(torch.randn(1, 10, 3))
    with pytest.raises(ValueError, match="average, max or conv"):
        GridPool("mean", 2, 3)


def test_latent_queries_ask_projected_states_and_themselves_by_the_definition() -> None:
    torch.manual_seed(0)
    model: Any = LatentProjection(LatentQueries(ASKING, 5, WIDTH, 3)).double().eval()
    for value in model.parameters():
        nn.init.normal_(value, std=0.5)
    states, one = torch.randn(2, ASKED, 5).double(), model.x_attn
    found, weights = model(states, weighed=True)
    for row, mixed, weighed in zip(states, found, weights, strict=True):
        both = torch.cat((model.dense(row), model.latent_query))
        q, k, v = one.q_proj(model.latent_query), one.k_proj(both), one.v_proj(both)
        heads = list[Tensor]()
        for head in range(3):
            at = slice(4 * head, 4 * head + 4)
            share = (q[:, at] @ k[:, at].t() / 2.0).softmax(-1)
            assert torch.allclose(weighed[head], share)
            heads.append(share @ v[:, at])
        assert torch.allclose(mixed, one.out_proj(torch.cat(heads, -1)))
    assert torch.allclose(model(states)[0], found)
    assert model(states)[1] is None
