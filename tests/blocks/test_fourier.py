"""The Fourier mixer against the transform written out, number by number, in float64."""

from __future__ import annotations

import cmath
import math
from typing import Any

import pytest
import torch

import formers
from formers.core.notices import Notice
from formers.nn.mixers.fourier import real_transform


def slowly(x: torch.Tensor) -> torch.Tensor:
    """One sequence [T, E]."""
    length, width = x.shape
    out = torch.zeros(length, width, dtype=torch.float64)
    for t in range(length):
        for e in range(width):
            turned = (
                float(x[s, f]) * cmath.exp(-2j * math.pi * (t * s / length + e * f / width))
                for s in range(length)
                for f in range(width)
            )
            out[t, e] = sum(turned).real
    return out


@pytest.mark.parametrize(("length", "width"), [(1, 6), (5, 6), (4, 7), (2, 1), (7, 2)])
def test_the_transform_is_its_definition(length: int, width: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, length, width, dtype=torch.float64)
    torch.testing.assert_close(real_transform(x), torch.stack([slowly(row) for row in x]))


def test_narrow_numbers_are_mixed_in_float32() -> None:
    x = torch.randn(1, 6, 8).bfloat16()
    torch.testing.assert_close(real_transform(x), real_transform(x.float()).bfloat16())


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 2, "intermediate_size": 16}
    return formers.FNetModel(formers.FNetConfig(**sizes, **values)).eval()


def test_a_mask_that_hides_padding_is_told_to_change_nothing() -> None:
    made, ids = small(), torch.randint(4, 50, (2, 6))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    expected = made(ids)[0]
    assert torch.equal(made(ids, attention_mask=torch.ones_like(ids))[0], expected)
    with pytest.warns(Notice, match="padding as text"):
        assert torch.equal(made(ids, attention_mask=mask)[0], expected)


def test_matrices_in_place_of_the_transform_are_refused() -> None:
    with pytest.raises(ValueError, match="use_tpu_fourier_optimizations"):
        small(use_tpu_fourier_optimizations=True)
