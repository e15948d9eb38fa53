"""Fresh values for parameters that nobody gave any.

What is drawn are the kinds of modules that the library builds from. A module of another kind keeps what its
constructor set; where it was made without storage, its own `reset_parameters` gives it values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from formers.nn.fresh import BySize, Cut, Drawn
from formers.nn.integers import IntegerLinear, IntegerTable
from formers.nn.leaves import Conv1D, GroupedLinear, Pointwise, RMSNorm, ScaledEmbedding, WideLinear

_DRAWN = (
    nn.Linear,
    WideLinear,
    nn.Embedding,
    ScaledEmbedding,
    Conv1D,
    GroupedLinear,
    Pointwise,
    IntegerLinear,
    IntegerTable,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose2d,
)
_FILLED = "_has_its_values"  # set on modules whose parameters were loaded, drawn or resized


@torch.no_grad()
def initialise(
    model: nn.Module,
    names: Iterable[str],
    std: float,
    special: Mapping[str, float] | None = None,
    *,
    anew: bool = False,
) -> None:
    """Give the parameters `names` of `model` values, where their constructors left none that count.

    Tables and matrices are normal with deviation `std`, or with that of the longest ending in `special`
    that fits the name; norms start at one; biases and a padding row at zero. A module may know better, with
    `_fresh`: name of a parameter -> something whose `fill_(tensor)` fills it.

    Args:
        model: holds the parameters; one that has no values yet is NaN.
        names: what to fill.
        std: the deviation.
        special: ending of a name -> another deviation.
        anew: values that someone gave are replaced too.
    """
    owners: dict[str, nn.Module] = dict(model.named_modules())
    left: dict[nn.Module, list[str]] = {}  # to be reset by themselves
    for name in names:
        path, _, leaf = name.rpartition(".")
        if not _fill(owners[path], leaf, _deviation(name, std, special or {}), anew):
            left.setdefault(owners[path], []).append(leaf)
    for owner, leaves in left.items():
        _reset(owner, leaves)


def _fill(owner: nn.Module, name: str, std: float, anew: bool) -> bool:
    """Give one parameter or buffer its value; False where only its module can tell which."""
    value = getattr(owner, name)
    blank = anew or _is_blank(value)
    fresh = getattr(owner, "_fresh", {})
    if isinstance(fresh.get(name), Drawn):
        fresh[name].fill_(value, std)
    elif name in fresh:
        fresh[name].fill_(value)
    elif type(owner) in _DRAWN and name in ("weight", "bias"):
        if blank or not _was_given(owner, name, value):
            _draw(owner, name, value, std)
    elif not blank:
        pass
    elif isinstance(owner, (nn.LayerNorm, RMSNorm)):
        value.fill_(1.0 if name == "weight" else 0.0)
    else:
        return False
    return True


def _draw(owner: nn.Module, name: str, value: Tensor, std: float) -> None:
    if name == "bias":
        value.zero_()
        return
    if isinstance(std, Cut):
        torch.nn.init.trunc_normal_(value, 0.0, std, -std.at * std, std.at * std)
    else:
        value.normal_(0.0, std.of(value) if isinstance(std, BySize) else std)
    if isinstance(owner, nn.Embedding) and owner.padding_idx is not None:
        value[owner.padding_idx].zero_()


def _is_blank(value: Tensor) -> bool:
    return value.is_floating_point() and value.numel() > 0 and bool(value.flatten()[0].isnan())


def _was_given(owner: nn.Module, name: str, value: Tensor) -> bool:
    """Whether someone changed a value after its module was made: torch counts how often it was written.

    Its own constructors write once, and once more for a padding row; the library's do not write at all.
    """
    if isinstance(owner, (Conv1D, GroupedLinear)) or value.is_inference():
        return False
    padded = isinstance(owner, nn.Embedding) and owner.padding_idx is not None
    return value._version != 1 + padded


def _reset(owner: nn.Module, names: list[str]) -> None:
    """Let a module give `names` the values that it starts with; its other values stay."""
    reset = getattr(owner, "reset_parameters", None) or getattr(owner, "_reset_parameters", None)
    if not callable(reset):
        return
    held = {**owner._parameters, **owner._buffers}
    kept = {name: value.clone() for name, value in held.items() if value is not None and name not in names}
    reset()
    for name, value in kept.items():
        getattr(owner, name).copy_(value)


def mark_filled(*modules: nn.Module) -> None:
    """Note that these modules, and what they hold, have their values."""
    for module in modules:
        for part in module.modules():
            part.__dict__[_FILLED] = True


def unfilled(model: nn.Module) -> list[str]:
    """Names of the parameters that nothing has filled since their modules were made; shared ones once."""
    parts = list(model.named_modules())
    seen = {id(p) for _, part in parts if _FILLED in part.__dict__ for p in part._parameters.values()}
    names = []
    for path, part in parts:
        for name, value in part._parameters.items():
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                names.append(f"{path}.{name}".lstrip("."))
    return names


def _deviation(name: str, std: float, special: Mapping[str, float]) -> float:
    fitting = [ending for ending in special if name.endswith(ending)]
    return special[max(fitting, key=len)] if fitting else std
