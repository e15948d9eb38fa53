"""Mixing by a Fourier transform. Role: `fourier`, the node that computes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.program import Flow, Step


class Transform(Step):
    """Every number of the result reads all numbers of its sequence."""

    home, begins = "fourier", True

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        x, layout = flow.x, flow.pass_.layout
        if x.dim() == 3:
            flow.x = real_transform(x)
        else:
            flow.x = torch.cat([real_transform(part).flatten(0, 1) for part in layout.by_span(x)])


def real_transform(x: Tensor) -> Tensor:
    """Real part of the transform over the last two axes, [b, t, E], in float32 at least.

    For real numbers the second half of the features follows from the first: F[-t, -e] is F[t, e] conjugate.
    """
    half = torch.fft.rfft2(x.to(torch.promote_types(x.dtype, torch.float32))).real  # [b, t, E // 2 + 1]
    rest = half[..., 1 : (x.shape[-1] + 1) // 2].flip(-1)
    rest = torch.cat((rest[:, :1], rest[:, 1:].flip(1)), dim=1)  # [b, t, (E - 1) // 2]
    return torch.cat((half, rest), dim=-1).to(x.dtype)


def fourier_steps(s: spec.Fourier, width: int) -> list[Step]:
    """The transform alone."""
    return [Transform()]
