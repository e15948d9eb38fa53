"""The gated delta rule in chunks against its recurrence written out in float64, and what it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec
from formers.nn.mixers import delta_rule
from formers.nn.mixers.delta_rule import replace_by_key
from tests.blocks.recurrences import hold_to_padding_and_cache, seen_inside, stirred

SMALL = {
    "vocab_size": 40,
    "hidden_size": 12,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "linear_key_head_dim": 5,
    "linear_value_head_dim": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "num_experts": 0,
    "layer_types": ["linear_attention"],
}


def tensors(length: int, groups: int) -> list[Tensor]:
    torch.manual_seed(0)
    batch, heads, width, count = 2, 6, 4, 5
    q, k = (torch.randn(batch, length, groups, count) for _ in range(2))
    v, decay = torch.randn(batch, length, heads, width), -torch.rand(batch, length, heads)
    k = k / k.norm(dim=-1, keepdim=True)
    return [q, k, v, decay, torch.rand(batch, length, heads), torch.randn(batch, heads, count, width)]


def slowly(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, write: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token and one head at a time."""
    q, k, v, decay, write, state = (t.double() for t in (q, k, v, decay, write, state))
    state, out = state.clone(), torch.zeros(v.shape, dtype=torch.float64)
    shared = v.shape[2] // k.shape[2]
    for b in range(v.shape[0]):
        for head in range(v.shape[2]):
            for t in range(v.shape[1]):
                key = k[b, t, head // shared]
                kept = decay[b, t, head].exp() * state[b, head]
                kept = kept + write[b, t, head] * torch.outer(key, v[b, t, head] - key @ kept)
                state[b, head], out[b, t, head] = kept, q[b, t, head // shared] @ kept
    return out, state


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("length", [1, 6, 7, 13])
def test_the_rule_is_the_recurrence_across_its_chunks(
    length: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_rule, "_CHUNK", 6)
    given = tensors(length, groups)
    for theirs, ours in zip(slowly(*given), replace_by_key(*given), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def test_what_forgets_everything_leaves_the_tokens_after_it_exact() -> None:
    given = tensors(9, 2)
    given[3][:, 4] = -3000.0
    for theirs, ours in zip(slowly(*given), replace_by_key(*given), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def test_its_gradients_are_those_of_the_recurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_rule, "_CHUNK", 4)
    given = [t.requires_grad_() for t in tensors(7, 2)]
    ours, theirs = (
        torch.autograd.grad(sum(made.sin().sum() for made in rule(*given)), given)
        for rule in (replace_by_key, _written_out)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def _written_out(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, write: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence over tokens, all heads at once."""
    q, k = (t.repeat_interleave(v.shape[2] // t.shape[2], 2) for t in (q, k))
    out = []
    for t in range(v.shape[1]):
        state = decay[:, t, :, None, None].exp() * state
        wrong = v[:, t] - torch.einsum("bhn,bhnp->bhp", k[:, t], state)
        state = state + torch.einsum("bhn,bhp,bh->bhnp", k[:, t], wrong, write[:, t])
        out.append(torch.einsum("bhn,bhnp->bhp", q[:, t], state))
    return torch.stack(out, 1), state


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(formers.Qwen3NextModel(formers.Qwen3NextConfig(**{**SMALL, **values})))


@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_enters_nothing_and_a_cache_changes_nothing(
    sided: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_rule, "_CHUNK", 4)
    model = small(num_hidden_layers=2, layer_types=["linear_attention", "full_attention"])
    hold_to_padding_and_cache(model, sided, 12, 5, (2, 6, 4))


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small()
    assert seen_inside(model, model.layers[0].linear_attn) == {
        "",
        "in_proj_qkvz",
        "in_proj_ba",
        "conv1d",
        "norm",
        "out_proj",
    }


def test_a_gate_weighs_what_a_head_mixed() -> None:
    mixer = small(layer_types=["full_attention"]).layers[0].self_attn
    x = torch.randn(1, 5, 12)
    with torch.no_grad():
        weight = mixer.q_proj.weight.view(3, 2, 8, 12)
        weight[:, 1] = 0.0
        half = mixer(x)[0]
        weight[1, 1] = -1e4 * x[0, 2] / x[0, 2].norm()  # closes one head's gate for one token
        closed = mixer(x)[0]
        mixer.o_proj.weight.view(12, 3, 8)[:, 1] = 0.0
        without = mixer(x)[0]
    torch.testing.assert_close(closed[0, 2], without[0, 2], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(half[0, 2], closed[0, 2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="6 heads cannot be shared out among 4 groups"):
        small(linear_num_key_heads=4)
    with pytest.raises(ValueError, match="gates are made by a q of its own"):
        spec.Attention(spec.Heads(2, 2, 4), fused="blocks", gated=True)


def test_a_fresh_model_forgets_at_many_speeds() -> None:
    torch.manual_seed(0)
    mixer = formers.Qwen3NextModel(formers.Qwen3NextConfig(**SMALL)).layers[0].linear_attn
    assert mixer.dt_bias.eq(1.0).all()
    assert mixer.A_log.exp().min() >= 0.01
    assert mixer.A_log.exp().max() <= 16.0
    assert len(set(mixer.A_log.tolist())) == 6
