"""Windows in blocks compute what every query's own keys give, written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from formers.nn.windows import Around, Aside, around, banded

SIZES = [(1, 3), (7, 3), (33, 3), (64, 3), (75, 40), (200, 33)]  # length, reach


def _written_out(
    q: Tensor, k: Tensor, v: Tensor, seen: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q.double() @ k.double().transpose(-1, -2) * 0.3
    scores = scores if bias is None else scores + bias.double()
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return weights @ v.double(), weights


def _made(length: int, heads: int = 3, width: int = 5) -> list[Tensor]:
    torch.manual_seed(length)
    return [torch.randn(2, heads, length, width) for _ in range(3)]


@pytest.mark.parametrize(("length", "reach"), SIZES)
def test_a_query_sees_the_real_keys_within_its_reach(length: int, reach: int) -> None:
    q, k, v = _made(length)
    real = torch.ones(2, length, dtype=torch.bool)
    real[1, length // 2 + 1 :] = False
    at = torch.arange(length)
    near = (at - at[:, None]).abs() <= reach
    expected, weights = _written_out(q, k, v, near & real[:, None, None])
    found, shown = around(q, k, v, Around.within(reach), 0.3, real, shown=True)
    assert shown is not None
    shown = banded(shown, Around.within(reach), length)
    assert shown.shape[-1] == 2 * reach + 1
    torch.testing.assert_close(found[0], expected[0].float())
    torch.testing.assert_close(found[1, :, : length // 2 + 1], expected[1, :, : length // 2 + 1].float())
    for place in (0, length // 2, length - 1):  # of the first row, where all are real
        lower, upper = max(0, place - reach), min(length, place + reach + 1)
        own = shown[0, :, place, lower - place + reach : upper - place + reach]
        torch.testing.assert_close(own, weights[0, :, place, lower:upper].float())


@pytest.mark.parametrize("length", [5, 12, 30])
def test_blocks_see_themselves_and_what_stands_beside(length: int) -> None:
    q, k, v = _made(length)
    beside = [torch.randn(2, 3, 4, 5) for _ in range(2)]
    held = torch.tensor([[True, True, True, True], [True, False, False, False]])
    table, rows = torch.randn(3, 7, 4), torch.randint(0, 7, (2, length))
    bias = table[:, rows].transpose(0, 1)  # [B, H, T, G]
    at = torch.arange(length) // 6
    same = (at == at[:, None]).expand(2, 1, -1, -1)
    seen = torch.cat((held[:, None, None].expand(-1, -1, length, -1), same), -1)
    added = torch.cat((bias, torch.zeros(2, 3, length, length)), -1)
    expected, _ = _written_out(q, torch.cat((beside[0], k), 2), torch.cat((beside[1], v), 2), seen, added)
    found, _ = around(q, k, v, Around(6), 0.3, aside=Aside(*beside, held, table, rows))
    torch.testing.assert_close(found, expected.float())


def test_what_is_added_goes_by_the_offset() -> None:
    q, k, v = _made(70)
    table = torch.randn(3, 2 * 9 + 1)

    def bias(offsets: Tensor) -> Tensor:
        return table[:, offsets.clamp(-9, 9) + 9][None]

    at = torch.arange(70)
    offsets = at - at[:, None]
    expected, _ = _written_out(q, k, v, offsets.abs() <= 9, bias(offsets))
    found, _ = around(q, k, v, Around.within(9), 0.3, bias=bias)
    torch.testing.assert_close(found, expected.float())


def test_gradients_are_those_of_every_querys_own_keys() -> None:
    both = [[t.clone().requires_grad_() for t in _made(50)] for _ in range(2)]
    at = torch.arange(50)
    expected, _ = _written_out(*both[0], (at - at[:, None]).abs() <= 4)
    expected.square().sum().backward()
    around(*both[1], Around.within(4), 0.3)[0].square().sum().backward()
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=1e-4, rtol=1e-4)
