"""Fresh values for parameters that no checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from formers.nn.leaves import Conv1D, RMSNorm


@torch.no_grad()
def initialise(
    model: nn.Module, names: Iterable[str], std: float, special: Mapping[str, float] | None = None
) -> None:
    """Draw the parameters `names` of `model`.

    Tables and matrices are normal with deviation `std`, or with that of the longest ending in `special`
    that fits the name; norms start at one; biases and a padding row at zero.
    """
    owners: dict[str, nn.Module] = dict(model.named_modules())
    for name in names:
        path, _, last = name.rpartition(".")
        _draw(owners[path], last, _deviation(name, std, special or {}))


def _draw(owner: nn.Module, name: str, std: float) -> None:
    value = getattr(owner, name)
    fresh = getattr(owner, "_fresh", {})
    if name in fresh:
        fresh[name].fill_(value)
    elif name in owner._buffers:
        value.zero_()
    elif isinstance(owner, (nn.LayerNorm, RMSNorm)):
        value.fill_(1.0 if name == "weight" else 0.0)
    elif name == "weight" and isinstance(owner, (nn.Linear, nn.Embedding, Conv1D)):
        value.normal_(0.0, std)
        if isinstance(owner, nn.Embedding) and owner.padding_idx is not None:
            value[owner.padding_idx].zero_()
    elif value.dim() > 1 and name != "bias" and value.is_floating_point():
        value.normal_(0.0, std)
    else:
        value.zero_()


def _deviation(name: str, std: float, special: Mapping[str, float]) -> float:
    fitting = [ending for ending in special if name.endswith(ending)]
    return special[max(fitting, key=len)] if fitting else std
