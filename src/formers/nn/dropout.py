"""Dropout (Srivastava et al. 2014), four times cheaper on a CPU than torch's.

Torch draws one number per element from a generator that runs on one core. Here a 64-bit draw decides four
elements, 16 bits each, so the rate is kept to 1/65536; what is kept is scaled by the rate that is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.notices import given, notice
from formers.nn.recording import recording

_STEPS = 1 << 16
_LEFT_ON = "dropout left on"  # key of the notice


def drop(x: Tensor, rate: float) -> Tensor:
    """Zero each element with probability `rate` and scale the others by 1 / (1 - rate).

    Args:
        x: any shape, floating.
        rate: in [0, 1]; 0 returns `x` itself.

    Returns:
        The shape and dtype of `x`. Draws come from torch's default generator.

    Raises:
        ValueError: for a rate outside [0, 1].
    """
    if rate == 0.0:
        return x
    cut = round(rate * _STEPS)
    if x.device.type != "cpu" or not 0 < cut < _STEPS or recording():
        return F.dropout(x, rate)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= cut - _STEPS // 2
    return x * kept.to(x.dtype).mul_(_STEPS / (_STEPS - cut))


class Dropout(nn.Dropout):
    """`nn.Dropout` that draws as `drop` does."""

    def forward(self, input: Tensor) -> Tensor:
        """[..] -> [..]; nothing is dropped in evaluation."""
        return drop(input, self.p) if self.training and self.p else input


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016, arXiv:1603.09382): in training whole rows become zeros.

    Those that are kept are scaled by 1 / (1 - rate).
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = rate

    def forward(self, x: Tensor) -> Tensor:
        """[B, ..] -> [B, ..]."""
        if not self.drop_prob or not self.training:
            return x
        kept = torch.rand(x.shape[0], *(1,) * (x.dim() - 1), dtype=x.dtype, device=x.device) >= self.drop_prob
        return x / (1.0 - self.drop_prob) * kept

    def extra_repr(self) -> str:
        """The rate."""
        return f"p={self.drop_prob}"


def notice_left_on(model: nn.Module) -> None:
    """Say it when a model in training mode runs without gradients: dropout makes its answers vary."""
    if not model.training or torch.is_grad_enabled() or recording() or given(_LEFT_ON):
        return
    if any(isinstance(part, nn.Dropout) and part.p and part.training for part in model.modules()):
        notice(
            "the model is in training mode and computes no gradients: dropout is on, so that the same input "
            "gives another answer each time. model.eval() turns it off",
            key=_LEFT_ON,
        )
