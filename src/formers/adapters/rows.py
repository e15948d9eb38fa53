"""One batch through several adapters: every row through its own, or through none."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.adapters.layer import AdapterLayer
from formers.adapters.saved import ModulesToSaveWrapper
from formers.adapters.targets import expert_paths
from formers.adapters.tuner import Tuner, parts_of

BARE = "__base__"  # of rows that are computed without an adapter
_CARRIED = "decoder_adapter_rows"  # the keyword whose rows `generate` chooses as those of its tokens


class Rows:
    """Which adapter computes each row of a batch.

    Attributes:
        names: those that are named, each once.
        numbers: [B], int64, the place of each row's among `names`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(dict.fromkeys(names))
        self.numbers = torch.tensor([self.names.index(name) for name in names])

    def groups(self, x: Tensor) -> list[tuple[str, Tensor]]:
        """Names of the adapters, and the rows of x that each computes.

        Raises:
            ValueError: where x has other rows than the batch, so that they cannot be told apart.
        """
        own, count = self.numbers, len(x)
        if count and len(own) % count == 0:  # one for all copies of a prompt
            copies = own.view(count, -1)
            own = copies[:, 0]
            if not bool((copies == own[:, None]).all()):
                count = -1
        if count != len(own):
            raise ValueError(
                f"adapter_names has {len(self.numbers)} rows, but an adapted leaf reads {len(x)}: it needs "
                "one name for each text, and leaves that read each text apart"
            )
        own = own.to(x.device)
        return [(name, (own == i).nonzero()[:, 0]) for i, name in enumerate(self.names) if name != BARE]


def _layer(layer: AdapterLayer, rows: Rows, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In place of an adapted leaf's `forward`."""
    if layer.disable_adapters:
        return layer.computed(x, *args, **kwargs)
    groups = [(name, at) for name, at in rows.groups(x) if layer.holds(name) and len(at)]
    for name, at in groups:
        x = x.index_copy(0, at, layer.entering(name, x[at]))
    result = layer.computed(x, *args, **kwargs)
    for name, at in groups:
        made = layer.adapted(name, x[at], result[at])
        result = result.index_copy(0, at, made.to(result.dtype))
    return result


def _whole(part: ModulesToSaveWrapper, rows: Rows, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In place of the `forward` of a module that is saved whole."""
    result: Tensor = part.original_module(x, *args, **kwargs)
    for name, at in rows.groups(x):
        if name in part.modules_to_save and part.enabled and len(at):
            result = result.index_copy(0, at, part.modules_to_save[name](x[at], *args, **kwargs))
    return result


@contextmanager
def each_by_its_own(tuner: Tuner, names: Sequence[str] | None) -> Iterator[None]:
    """Let every row of a batch go through the adapter that is named for it; nothing changes where None.

    Leaves are called, with a place for each row, as in a watched pass.

    Raises:
        ValueError: while training, for adapters that are merged, unknown names, and what cannot tell rows.
        TypeError: for no list of names.
    """
    if names is None:
        yield
        return
    model: Any = tuner.model
    _check(tuner, names)
    rows, forward = Rows(names), model.forward

    def carried(*args: Any, decoder_adapter_rows: Tensor | None = None, **given: Any) -> Any:
        if decoder_adapter_rows is not None:
            rows.numbers = decoder_adapter_rows.cpu()
        return forward(*args, **given)

    known = [one for one in inspect.signature(forward).parameters.values() if one.kind is not one.VAR_KEYWORD]
    own = inspect.Parameter(_CARRIED, inspect.Parameter.KEYWORD_ONLY)
    carried.__signature__ = inspect.Signature([*known, own])  # type: ignore[attr-defined]  # what may be given
    changed = [part for _, part in parts_of(model)]
    for part in changed:
        compute: Any = _layer if isinstance(part, AdapterLayer) else _whole
        part.__dict__["forward"] = partial(compute, part, rows)
    model.__dict__["forward"] = carried
    try:
        yield
    finally:
        for one in (*changed, model):
            one.__dict__.pop("forward", None)


def carrying(names: Sequence[str] | None) -> dict[str, Tensor]:
    """The keyword of `generate` that lets each name follow its row."""
    return {} if names is None else {_CARRIED: Rows(names).numbers}


def _check(tuner: Tuner, names: Any) -> None:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"adapter_names is a list with a name for each row, got {names!r}")
    if tuner.training:
        raise ValueError("Cannot pass `adapter_names` when the model is in training mode: call model.eval()")
    unknown = sorted({name for name in names if name != BARE and name not in tuner.peft_config})
    if unknown:
        raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}")
    inside = expert_paths(tuner.model)
    for path, part in parts_of(tuner.model):
        if isinstance(part, AdapterLayer) and part.merged:
            raise ValueError(
                "adapters are merged, so that no row can leave them out: unmerge_adapter() first"
            )
        if any(path == one or path.startswith(f"{one}.") for one in inside):
            raise ValueError(f"{path} is an expert's, which reads tokens of all rows: they take one adapter")
