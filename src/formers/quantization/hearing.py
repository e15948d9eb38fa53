"""What leaves read while a model reads texts: for methods that choose numbers by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from formers.tokenization import load


def texts_of(config: Any) -> list[dict[str, Tensor]]:
    """Batches of one text each, out of a record's `dataset`, `tokenizer` and `model_seqlen`.

    Raises:
        ValueError: for texts without a tokenizer, or no texts.
    """
    tokenizer, most, found = config.tokenizer, config.model_seqlen or 512, []
    if not config.dataset:
        raise ValueError(
            "dataset= is empty: give texts like those that the model is to read, a hundred or so"
        )
    if isinstance(tokenizer, str):
        tokenizer = load(tokenizer)
    for text in config.dataset:
        if isinstance(text, str) and tokenizer is None:
            raise ValueError("dataset= has texts: give tokenizer=, which makes ids of them")
        ids = tokenizer(text)["input_ids"] if isinstance(text, str) else text
        found.append({"input_ids": torch.as_tensor(ids).view(1, -1)[:, :most]})
    return found


def in_blocks(paths: Iterable[str]) -> list[list[str]]:
    """Paths by the layer that they lie in, `decoder.layers.3` for instance, in their order."""
    blocks: dict[str, list[str]] = {}
    for path in paths:
        found = re.match(r"(.*?\.\d+)\.", path)
        blocks.setdefault(found[1] if found else path, []).append(path)
    return [*blocks.values()]


@contextmanager
def heard(leaves: dict[str, nn.Module], hear: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Tell `hear` what every leaf reads."""
    hooks = [
        leaf.register_forward_pre_hook(lambda _, given, path=path: hear(path, given[0]))
        for path, leaf in leaves.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def stages(model: Any, batch: dict[str, Tensor], leaves: dict[str, nn.Module]) -> list[list[str]]:
    """Leaves as they are called; those that read one tensor together."""
    found: list[list[str]] = []
    before: list[Tensor] = []

    def hear(path: str, x: Tensor) -> None:
        if before and before[-1].data_ptr() == x.data_ptr() and before[-1].shape == x.shape:
            found[-1].append(path)
        elif not any(path in stage for stage in found):
            found.append([path])
        before[:] = [x]

    with heard(leaves, hear), torch.no_grad():
        model(**batch)
    return found


def hessian_of(rows: Tensor) -> Tensor:
    """[N, in] -> [in, in], the sum over rows."""
    wide = rows.reshape(-1, rows.shape[-1]).float()
    return wide.t() @ wide


def gathered(
    model: Any,
    texts: list[dict[str, Tensor]],
    leaves: dict[str, nn.Module],
    later: Mapping[str, nn.Module],
    of: Callable[[Tensor], Tensor] = hessian_of,
) -> dict[str, Tensor]:
    """The sum over all texts of what `of` makes of a leaf's rows; leaves that read nothing are not in it.

    Args:
        model: reads the texts.
        texts: batches.
        leaves: path -> the leaves that are heard.
        later: path -> others. Where one of them is called after all of those and not before, a pass ends.
        of: rows [.., in] -> what is summed.
    """
    found: dict[str, Tensor] = {}
    calls: list[str] = []
    stop = ""

    def hear(path: str, x: Tensor) -> None:
        calls.append(path)
        if path == stop:
            raise _Enough
        if path in leaves and x.numel():
            made = of(x)
            found[path] = found[path].add_(made) if path in found else made

    if leaves:
        with heard({**later, **leaves}, hear), torch.no_grad():
            for number, batch in enumerate(texts):
                with suppress(_Enough):
                    model(**batch)
                if not number:
                    last = max(
                        (place for place, path in enumerate(calls) if path in leaves), default=len(calls)
                    )
                    behind = next(iter(calls[last + 1 :]), "")
                    stop = behind if behind not in calls[:last] else ""
    return found


class _Enough(Exception):
    """Ends a pass of which the rest is not wanted."""
