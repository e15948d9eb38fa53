"""The scan of heads in chunks against its recurrence written out in float64, and what it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers
from formers.nn import spec
from formers.nn.leaves import GatedRMSNorm
from formers.nn.mixers import head_scan
from formers.nn.mixers.head_scan import scan_heads
from formers.nn.recurrence import convolve, recur
from tests.blocks.recurrences import hold_to_padding, seen_inside, stirred

SMALL = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "state_size": 5, "pad_token_id": 0}
HEADS = {"num_heads": 6, "head_dim": 4, "n_groups": 2}


def tensors(length: int, groups: int, forgets: float = 1.0) -> list[Tensor]:
    torch.manual_seed(0)
    batch, heads, width, count = 2, 6, 4, 5
    u, decay = torch.randn(batch, length, heads, width), -forgets * torch.rand(batch, length, heads)
    writes, reads = (torch.randn(batch, length, groups, count) for _ in range(2))
    return [u, decay, writes, reads, torch.randn(batch, groups, count, heads // groups * width)]


def slowly(u: Tensor, decay: Tensor, writes: Tensor, reads: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One token and one head at a time."""
    batch, length, heads, width = u.shape
    groups = writes.shape[2]
    h = state.double().view(batch, groups, -1, heads // groups, width).clone()
    out = torch.zeros(u.shape, dtype=torch.float64)
    for b in range(batch):
        for t in range(length):
            for head in range(heads):
                g, i = divmod(head, heads // groups)
                added = torch.outer(writes[b, t, g].double(), u[b, t, head].double())
                h[b, g, :, i] = decay[b, t, head].double().exp() * h[b, g, :, i] + added
                out[b, t, head] = reads[b, t, g].double() @ h[b, g, :, i]
    return out, h.flatten(3)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [1, 6, 7, 13])
def test_the_scan_is_the_recurrence_across_its_chunks(
    length: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_scan, "_CHUNK", 6)
    given = tensors(length, groups)
    for theirs, ours in zip(slowly(*given), scan_heads(*given), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def test_what_forgets_everything_leaves_the_tokens_after_it_exact() -> None:
    given = tensors(9, 2, forgets=0.01)
    given[1][:, 4] = -3000.0
    for theirs, ours in zip(slowly(*given), scan_heads(*given), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_linear_recurrence_and_its_gradients_are_those_of_its_definition(length: int) -> None:
    torch.manual_seed(0)
    keep, add = (torch.rand(2, length, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    state = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    expected, h = [], state
    for t in range(length):
        h = keep[:, t] * h + add[:, t]
        expected.append(h)
    found = recur(keep, add, state)
    torch.testing.assert_close(found, torch.stack(expected, 1))
    assert torch.autograd.gradcheck(recur, (keep, add, state))
    assert torch.autograd.gradgradcheck(recur, (keep, add, state))
    with torch.no_grad():
        torch.testing.assert_close(recur(keep, add.clone(), state), found)


@pytest.mark.parametrize("reach", [0, 1, 3])
@pytest.mark.parametrize("widths", [(7,), (1, 1, 5), (2, 3, 2)])
def test_a_short_convolution_in_pieces_is_the_whole_one(reach: int, widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv1d(3, 3, reach + 1, groups=3, padding=reach)
    x, window, found, at = torch.randn(2, 7, 3), None, [], 0
    with torch.no_grad():
        whole, _ = convolve(conv, x, reach, None)
        for width in widths:
            mixed, window = convolve(conv, x[:, at : at + width], reach, window)
            found.append(mixed)
            at += width
    assert window.shape == (2, reach, 3)
    torch.testing.assert_close(torch.cat(found, 1), whole)
    padded = nn.functional.pad(x, (0, 0, reach, 0))
    by_hand = sum(padded[:, j : j + 7] * conv.weight[:, 0, j] for j in range(reach + 1)) + conv.bias
    torch.testing.assert_close(whole, by_hand)


@pytest.mark.parametrize("first", [False, True])
def test_a_gated_norm_takes_every_group_by_itself(first: bool) -> None:
    torch.manual_seed(0)
    norm = GatedRMSNorm(6, 1e-3, groups=2, first=first)
    x, gate = torch.randn(4, 6), torch.randn(4, 6)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(6))
        found = norm(x, gate)
    read, factor = x.double(), nn.functional.silu(gate.double())
    for i in (slice(0, 3), slice(3, 6)):
        part = read[:, i] if first else (read * factor)[:, i]
        made = part / (part.square().mean(-1, keepdim=True) + 1e-3).sqrt() * norm.weight[i]
        made = made * factor[:, i] if first else made
        torch.testing.assert_close(found[:, i].double(), made, atol=1e-6, rtol=1e-6, check_dtype=False)


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(formers.Mamba2ForCausalLM(formers.Mamba2Config(**{**SMALL, **HEADS, **values})))


@pytest.mark.parametrize("bias", [False, True])
def test_padding_on_either_side_enters_nothing(bias: bool) -> None:
    model = small(use_bias=bias)
    hold_to_padding(model)


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small()
    layer = {
        "",
        "norm",
        "mixer",
        "mixer.in_proj",
        "mixer.conv1d",
        "mixer.act",
        "mixer.norm",
        "mixer.out_proj",
    }
    assert seen_inside(model, model.backbone.layers[0]) == layer


def test_steps_are_held_within_their_limits_token_by_token_too() -> None:
    model, free = small(time_step_limit=(0.6, 0.8)), small()
    ids = torch.randint(3, 40, (2, 6))
    with torch.no_grad():
        whole, past = model(ids).logits, None
        assert not torch.allclose(whole, free(ids).logits)
        for at in range(6):
            step = model(ids[:, at : at + 1], cache_params=past, use_cache=True)
            past = step.cache_params
            torch.testing.assert_close(step.logits[:, 0], whole[:, at], atol=1e-5, rtol=1e-5)


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"hidden_size \* expand \(24\) must be num_heads \* head_dim \(28\)"
    ):
        small(num_heads=7)
    with pytest.raises(ValueError, match="6 heads cannot be shared out among 4 groups"):
        small(n_groups=4)
    with pytest.raises(ValueError, match="a projection has five parts"):
        spec.HeadScan(2, 4, 3, 1, 4, scales=(1.0, 2.0))


def test_a_fresh_model_forgets_at_a_speed_for_each_head_and_begins_with_steps_within_bounds() -> None:
    torch.manual_seed(0)
    mixer = formers.Mamba2Model(formers.Mamba2Config(**SMALL, **HEADS, time_step_min=0.01)).layers[0].mixer
    assert torch.equal(mixer.A_log, torch.arange(1, 7).log())
    assert mixer.D.eq(1).all()
    steps = nn.functional.softplus(mixer.dt_bias)
    assert steps.min() >= 0.01 - 1e-6
    assert steps.max() <= 0.1 + 1e-6
