"""The exponential moving average of the weights along a run: what is judged and saved, not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from formers.core.notices import notice
from formers.training.files import read_tensors

FILE = "training_weights.pt"
_ETA = 3  # Shamir and Zhang's choice: early weights fade as the cube of time


class EMA:
    """The exponential moving average of a model's trained weights.

    An early average would be mostly of the start, so that step t's share of it is at first that of
    polynomial-decay averaging, 4 / (t + 3) (Shamir and Zhang 2013, arXiv:1212.1824, section 4), which
    needs no knowledge of the run's length; from where `1 - decay` is larger, it is that. The average is
    kept in float32 at least.

    Args:
        model: its floating-point parameters that want gradients are averaged.
        decay: in (0, 1); 0.999 remembers about a thousand steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights: dict[str, nn.Parameter] = {
            name: weight
            for name, weight in model.named_parameters()
            if weight.requires_grad and weight.is_floating_point()
        }
        self._average: dict[str, Tensor] = {}
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Let the average be the weights as they are."""
        self._average = {name: _wide(weight.detach()).clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step`, counted from 1."""
        share = min(1.0, max(1 - self.decay, (_ETA + 1) / (step + _ETA)))
        now = [_wide(weight.detach()) for weight in self._weights.values()]
        blend: Any = get_ema_multi_avg_fn
        blend(1 - share)(list(self._average.values()), now, step)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average for its weights, until the block ends."""
        own = {name: weight.data for name, weight in self._weights.items()}
        try:
            for name, weight in self._weights.items():
                weight.data = self._average[name].to(weight.dtype)
            yield
        finally:
            for name, weight in self._weights.items():
                weight.data = own[name]

    @torch.no_grad()
    def settle(self) -> None:
        """Make the average the model's weights for good."""
        for name, weight in self._weights.items():
            weight.copy_(self._average[name])

    def save(self, folder: Path) -> None:
        """Write what goes on: the weights themselves, and averages that their dtype would round."""
        held = {
            "weights": {name: weight.data for name, weight in self._weights.items()},
            "average": {
                name: average
                for name, average in self._average.items()
                if average.dtype != self._weights[name].dtype
            },
        }
        torch.save(held, folder / FILE)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Go on from a checkpoint whose averaged weights are in the model already."""
        self.restart()
        if not (folder / FILE).is_file():
            notice(f"{folder} holds no {FILE}: the average of the weights starts there.")
            return
        for name, average in put_weights_back(dict(self._weights), folder).items():
            self._average[name].copy_(average)


@torch.no_grad()
def put_weights_back(weights: dict[str, nn.Parameter], folder: Path) -> dict[str, Any]:
    """Put the weights of a run that was averaged into its model; returns the averages kept beside them."""
    held = read_tensors(folder / FILE)
    if set(held["weights"]) != set(weights):
        differing = sorted(set(held["weights"]) ^ set(weights))
        raise ValueError(
            f"{folder / FILE} and the model train different parameters: {', '.join(differing[:5])}"
        )
    for name, weight in held["weights"].items():
        weights[name].copy_(weight)
    averages: dict[str, Any] = held["average"]
    return averages


def _wide(weight: Tensor) -> Tensor:
    return weight.to(torch.promote_types(weight.dtype, torch.float32))
