"""Attention whose heads are experts, against its definition in float64; cached, padded, recorded."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.mixers import experts, head_experts
from formers.nn.mixers.head_experts import chosen_steps
from formers.nn.program import build
from formers.nn.tree import Block

WIDTH, HEADS, HEAD, COUNT, TWO = 12, 2, 4, 5, 2
SPEC = spec.HeadExperts(spec.Heads(TWO * HEADS, HEADS, HEAD), mask=Causal(), count=COUNT, chosen=TWO)
NAMES = {role: f"attn.{role}" for role in ("chooser", "kv", "chosen_q", "chosen_o", "o_bias")}


def slowly(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """One sequence [T, E], token by token, expert by expert, head by head."""
    out = []
    for t, token in enumerate(x):
        logits = (w["chooser.weight"] @ token).tolist()
        best = sorted(range(COUNT), key=lambda i: -logits[i])[:TWO]
        total = sum(math.exp(logits[i]) for i in best)
        row = w["o_bias"].clone()
        for i in best:
            q, mixed = (w["chosen_q"][i] @ token).view(HEADS, HEAD), []
            for h in range(HEADS):
                kv = [(w["kv.weight"] @ other).view(2, HEADS, HEAD)[:, h] for other in x[: t + 1]]
                weights = (torch.stack([q[h] @ k for k, _ in kv]) / math.sqrt(HEAD)).softmax(0)
                mixed.append(sum(a * v for a, (_, v) in zip(weights, kv, strict=True)))
            row = row + math.exp(logits[i]) / total * (w["chosen_o"][i] @ torch.cat(mixed))  # type: ignore[arg-type]  # sums of tensors
        out.append(row)
    return torch.stack(out)


@pytest.mark.parametrize("tracked", [False, True], ids=["no gradients", "gradients"])
@pytest.mark.parametrize("recorded", [False, True], ids=["routed", "recorded"])
def test_chosen_heads_are_their_definition(
    recorded: bool, tracked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_experts, "recording", lambda: recorded)
    torch.manual_seed(0)
    owner = Block()
    build(owner, chosen_steps(SPEC, WIDTH), NAMES)
    made: Any = owner.attn
    made.double()
    weights = dict(made.named_parameters())
    x = torch.randn(2, 6, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        for value in weights.values():
            value.copy_(torch.randn(value.shape))
        expected = torch.stack([slowly(weights, row) for row in x])
    with torch.set_grad_enabled(tracked):
        found = made(x)[0].detach()
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_heads_that_are_not_those_of_so_many_experts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 experts of 2 heads each are not 4 heads"):
        replace(SPEC, chosen=3)


# -- within a model -----------------------------------------------------------------------------------


def small() -> Any:
    """A small JetMoE whose experts disagree."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 2}
    heads = {"num_key_value_heads": 2, "kv_channels": 8, "num_local_experts": 5, "initializer_range": 0.3}
    return formers.JetMoeForCausalLM(formers.JetMoeConfig(**sizes, **heads, pad_token_id=0)).eval()


IDS = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("steps", [(1,) * 9, (4, 3, 2)], ids=["token by token", "by pieces"])
def test_a_cached_pass_gives_what_one_pass_gives(steps: tuple[int, ...]) -> None:
    model = small()
    with torch.no_grad():
        whole, past, found = model(IDS, use_cache=False).logits, None, []
        for piece in IDS.split(steps, 1):
            out = model(piece, past_key_values=past, use_cache=True)
            past = out.past_key_values
            found.append(out.logits)
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cached", [False, True], ids=["packed", "cached"])
def test_padding_changes_nothing(side: str, cached: bool) -> None:
    model = small()
    fill = torch.zeros(3, 4, dtype=torch.long)
    ids = torch.cat((fill, IDS) if side == "left" else (IDS, fill), 1)
    real = ids > 0
    with torch.no_grad():
        found = model(ids, attention_mask=real.long(), use_cache=cached).logits
        expected = model(IDS, use_cache=False).logits
    torch.testing.assert_close(found[real].view_as(expected), expected, atol=1e-5, rtol=1e-5)


def test_a_watched_pass_and_a_recorded_one_give_what_a_packed_one_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, seen = small(), []
    with torch.no_grad():
        packed = model(IDS, use_cache=False).logits
        handle = model.model.layers[1].self_attention.register_forward_hook(lambda *a: seen.append(a[2][0]))
        watched = model(IDS, use_cache=False).logits
        handle.remove()
        for module in (head_experts, experts):
            monkeypatch.setattr(module, "recording", lambda: True)
        recorded = model(IDS, use_cache=False).logits
    assert seen[0].shape == (3, 9, 32)
    torch.testing.assert_close(watched, packed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(recorded, packed, atol=1e-5, rtol=1e-5)


def test_what_routers_of_attention_cost_counts_once_in_the_loss() -> None:
    model = small()
    found = model(IDS, labels=IDS, output_router_logits=True)
    assert [tuple(t.shape) for t in found.router_logits] == [(27, 5)] * 4
    plain = model(IDS, labels=IDS).loss
    torch.testing.assert_close(found.loss, plain + model.config.aux_loss_coef * found.aux_loss)
