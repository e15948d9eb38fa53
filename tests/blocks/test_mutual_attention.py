"""Two sequences that attend to each other, against the definition written out in float64."""

from __future__ import annotations

import pytest
import torch

from formers.nn import spec
from formers.nn.attend import eager, sdpa
from formers.nn.masks import Full, Mask, Padding
from formers.nn.mutual_attention import Fusing, Fusion

PATHS = {
    name: name
    for name in (
        *("attention", "skip", "first_norm", "second_norm", "first_gain", "second_gain"),
        *(f"{side}_{what}" for side in ("first", "second") for what in "qvo"),
    )
}


@pytest.mark.parametrize("backend", [eager, sdpa])
def test_both_read_each_other_by_one_matrix_of_scores(backend) -> None:
    torch.manual_seed(0)
    node = Fusion(Fusing(6, 8, 2, spec.Norm("layer", 1e-5), PATHS, gain=0.5)).double().eval()
    x, y = torch.randn(2, 5, 6, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)
    real = torch.tensor([[True, True, True], [True, True, False]])
    masks: tuple[Mask, Mask] = (Full(), Padding(real))
    (first, _), (second, _) = node(x, y, masks=masks, backend=backend)
    inner, x, y = node.attention, node.first_norm(x), node.second_norm(y)

    def heads(rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(-1, (2, 4)).transpose(1, 2)

    scores = heads(inner.first_q(x)) @ heads(inner.second_q(y)).transpose(-1, -2) / 2.0
    over_words = scores.masked_fill(~real[:, None, None], -torch.inf).softmax(-1)
    over_places = scores.transpose(-1, -2).softmax(-1)
    read = (over_words @ heads(inner.second_v(y))).transpose(1, 2).flatten(-2)
    told = (over_places @ heads(inner.first_v(x))).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(first, x + 0.5 * inner.first_o(read))
    torch.testing.assert_close(second, y + 0.5 * inner.second_o(told))


def test_heads_that_do_not_share_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads do not share 8 features alike"):
        Fusing(6, 8, 3, spec.Norm("layer", 1e-5), PATHS)
