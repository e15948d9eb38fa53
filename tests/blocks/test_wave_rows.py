"""Convolutions over samples as products over rows, against the definition in float64."""

from __future__ import annotations

import itertools

import pytest
import torch

from formers.nn import spec
from formers.nn.stems.wave_rows import read_rows, reads_rows
from formers.nn.stems.waves import WaveReader


def _reader(each: bool, bias: bool) -> WaveReader:
    """Kernels of whole steps, of more than steps, of less than one, and of one place."""
    shape = ((6, 40, 5, 4, 7), (10, 3, 2, 5, 1), (5, 2, 3, 2, 1))
    reader = WaveReader(spec.Waves(*shape, 16, each=each, bias=bias)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in reader.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    return reader


def _defined(reader: WaveReader, sound: torch.Tensor) -> torch.Tensor:
    """[B, samples] -> [B, T, C]: every result by itself."""
    x = sound.double()[:, None]
    for layer in reader.conv_layers:
        conv, norm = layer.conv, layer._modules.get("layer_norm")
        kernel, step = conv.kernel_size[0], conv.stride[0]
        starts = range(0, x.shape[2] - kernel + 1, step)
        weight = conv.weight.double()
        x = torch.stack([(x[:, None, :, i : i + kernel] * weight).sum((2, 3)) for i in starts], 2)
        x = x if conv.bias is None else x + conv.bias.double()[:, None]
        if norm is not None:
            axis = 1 if isinstance(norm, torch.nn.LayerNorm) else 2
            x = (x - x.mean(axis, True)) / (x.var(axis, keepdim=True, unbiased=False) + norm.eps).sqrt()
            x = x * norm.weight.double()[:, None] + norm.bias.double()[:, None]
        x = x * (1 + torch.erf(x / 2**0.5)) / 2
    return x.transpose(1, 2)


@pytest.mark.parametrize(("each", "bias"), [*itertools.product((True, False), repeat=2)])
def test_rows_are_what_convolutions_make(each: bool, bias: bool) -> None:
    reader = _reader(each, bias)
    sound = torch.randn(3, 203, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.05
    with torch.no_grad():
        assert reads_rows(reader.conv_layers, sound)
        found = read_rows(reader.conv_layers, sound)
    torch.testing.assert_close(found.double(), _defined(reader, sound), atol=2e-5, rtol=1e-4)


def test_what_is_of_another_kind_or_learned_from_is_no_product_over_rows() -> None:
    reader, sound = _reader(False, False), torch.randn(1, 203)
    assert not reads_rows(reader.conv_layers, sound)  # gradients are wanted
    with torch.no_grad():
        assert not reads_rows(reader.conv_layers, sound.double())
        reader.conv_layers[2].conv = torch.nn.Conv1d(40, 5, 2, stride=3, padding=1)
        assert not reads_rows(reader.conv_layers, sound)
