"""Linear leaves in groups against the product of each group by itself, in float64."""

from __future__ import annotations

import pytest
import torch

from formers.nn import spec
from formers.nn.leaves import linear


def slowly(x: torch.Tensor, weights: list[torch.Tensor], bias: torch.Tensor) -> torch.Tensor:
    """[N, in], and [out / G, in / G] of each group."""
    parts = x.chunk(len(weights), dim=1)
    return torch.cat([part @ weight.t() for part, weight in zip(parts, weights, strict=True)], dim=1) + bias


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("pointwise", [False, True])
def test_each_group_reads_its_share_alone(count: int, pointwise: bool) -> None:
    torch.manual_seed(0)
    made = linear(spec.Grouped(count, pointwise), 12, 18).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    each = made.weight.view(count, -1, 12 // count).unbind() if pointwise else made.weight.mT.unbind()
    expected = slowly(x.flatten(0, 1), list(each), made.bias)
    torch.testing.assert_close(made(x.flatten(0, 1)), expected)
    whole = made(x.transpose(1, 2)).transpose(1, 2) if pointwise else made(x)
    torch.testing.assert_close(whole.reshape(10, 18), expected)


def test_groups_of_unequal_size_are_refused() -> None:
    with pytest.raises(ValueError, match="do not make 5 equal groups"):
        linear(spec.Grouped(5), 12, 20)
