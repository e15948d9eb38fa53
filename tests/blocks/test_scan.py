"""The selective scan against the recurrence written out number by number in float64, and its first values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import formers
from formers.nn.mixers import scan
from formers.nn.mixers.scan import _scan
from formers.nn.recurrence import recur
from tests.blocks.recurrences import hold_to_padding, seen_inside, stirred

SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 5, "pad_token_id": 0}


def tensors(length: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    batch, inner, count = 2, 3, 4
    step = torch.rand(batch, length, inner)
    u, writes, reads = (torch.randn(batch, length, n) for n in (inner, count, count))
    return [step, u, writes, reads, torch.randn(inner, count), torch.randn(batch, count, inner)]


def slowly(step: Any, u: Any, writes: Any, reads: Any, decay: Any, state: Any) -> tuple[Any, Any]:
    """One number at a time."""
    h = state.double().clone()
    out = torch.zeros(*u.shape, dtype=torch.float64)
    for b in range(u.shape[0]):
        for t in range(u.shape[1]):
            for i in range(u.shape[2]):
                d = float(step[b, t, i])
                for n in range(h.shape[1]):
                    kept = math.exp(-d * math.exp(float(decay[i, n])))
                    h[b, n, i] = kept * h[b, n, i] + d * float(writes[b, t, n]) * float(u[b, t, i])
                    out[b, t, i] += float(reads[b, t, n]) * h[b, n, i]
    return out, h


@pytest.mark.parametrize("length", [1, 6, 7, 13])
def test_the_scan_is_the_recurrence_across_its_chunks(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 6)
    given = tensors(length)
    expected, found = slowly(*given), _scan(*given)
    for theirs, ours in zip(expected, found, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def small_mamba(**values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(formers.MambaForCausalLM(formers.MambaConfig(**SMALL, **values)))


@pytest.mark.parametrize("bias", [False, True])
def test_padding_on_either_side_enters_nothing(bias: bool) -> None:
    model = small_mamba(use_bias=bias)
    hold_to_padding(model)


def test_a_gap_in_a_row_is_time_that_passes_with_a_cache_and_without() -> None:
    model = small_mamba()
    ids = torch.randint(3, 40, (2, 8))
    mask = torch.tensor([[1, 1, 1, 0, 0, 1, 1, 1], [1] * 8])
    with torch.no_grad():
        plain = model(ids, attention_mask=mask, use_cache=False).logits
        cached = model(ids, attention_mask=mask, use_cache=True).logits
    torch.testing.assert_close(plain[mask.bool()], cached[mask.bool()], atol=1e-5, rtol=1e-5)


def test_a_step_may_be_masked_by_its_own_tokens_alone() -> None:
    model = small_mamba()
    ids, mask = torch.randint(3, 40, (2, 6)), torch.ones(2, 6, dtype=torch.long)
    mask[0, :2] = 0
    with torch.no_grad():
        whole = model(ids, attention_mask=mask).logits
        past = model(ids[:, :4], attention_mask=mask[:, :4]).cache_params
        steps = [
            model(ids[:, at : at + 1], attention_mask=mask[:, at : at + 1], cache_params=past).logits
            for at in (4, 5)
        ]
    torch.testing.assert_close(torch.cat(steps, 1), whole[:, 4:], atol=1e-5, rtol=1e-5)


def test_a_recurrence_refuses_masks_and_rows_that_it_cannot_honour() -> None:
    model = small_mamba()
    ids = torch.randint(3, 40, (1, 6))
    with pytest.raises(ValueError, match="reads whole rows"):
        model(ids, attention_mask=torch.ones(1, 6, 6).tril().long())
    with pytest.raises(ValueError, match="one example in each row"):
        model(ids, position_ids=torch.tensor([[0, 1, 2, 0, 1, 2]]))


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small_mamba()
    layer = {"norm", "mixer", "mixer.in_proj", "mixer.conv1d", "mixer.x_proj", "mixer.dt_proj", "mixer.act"}
    assert seen_inside(model, model.backbone.layers[0]) == layer | {"", "mixer.out_proj"}


def test_there_are_no_weights_of_attention_to_show() -> None:
    out = small_mamba()(torch.randint(3, 40, (1, 4)), output_attentions=True)
    assert "attentions" not in out


def test_a_sum_in_float32_is_kept_in_half_precision() -> None:
    ids = torch.randint(3, 40, (1, 4))
    for wide in (True, False):
        model = small_mamba(residual_in_fp32=wide).bfloat16()
        states = model(ids, output_hidden_states=True).hidden_states
        assert [state.dtype for state in states[:-1]] == [torch.float32 if wide else torch.bfloat16] * 2


def test_an_exported_recurrence_serves_other_lengths():
    class Reads(torch.nn.Module):
        def forward(self, keep, add, state):
            return recur(keep, add, state)

    def given(length):
        keep, add = torch.rand(2, 2, length, 3, dtype=torch.float64)
        return keep, add, torch.rand(2, 3, dtype=torch.float64)

    free = {1: torch.export.Dim.AUTO}
    program = torch.export.export(Reads(), given(5), dynamic_shapes=(free, free, None), strict=False)
    keep, add, state = given(9)
    found = program.module()(keep, add, state)
    torch.testing.assert_close(found, recur(keep, add.clone(), state))
