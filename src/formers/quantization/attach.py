"""Which leaves of a model are stored in fewer bits, and how they get there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.leaves import Conv1D
from formers.quantization.config import QuantizationConfig
from formers.quantization.formats import FORMATS
from formers.quantization.packed import PackedLinear

_NARROW = (torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2)


def usual_exceptions(model: Any) -> list[str]:
    """Leaves that stay as they are where nobody says: what is tied, the output table, the last one."""
    tied = model.all_tied_weights_keys
    names = {*tied, *tied.values(), [name for name, _ in model.named_parameters()][-1]}
    output = model.get_output_embeddings()
    paths = [path for path, module in model.named_modules() if output is not None and module is output]
    return sorted({*(name.removesuffix(".weight").removesuffix(".bias") for name in names), *paths})


def _spared(path: str, exceptions: Iterable[str]) -> bool:
    """Whether a path is excepted: by its beginning (also as an expression) or its end."""
    end = r"(?:(?<=\.)|(?=\.|$))"
    return any(
        re.match(key[3:], path)
        if key.startswith("re:")
        else re.match(rf"(?:{key}){end}", path) or path.endswith(key)
        for key in exceptions
    )


def _fresh(path: str, leaf: nn.Linear | Conv1D, config: QuantizationConfig) -> PackedLinear | None:
    turned = isinstance(leaf, Conv1D)
    width_out, width_in = reversed(leaf.weight.shape) if turned else leaf.weight.shape
    return FORMATS[config.quant_method].leaf(config, path, (width_in, width_out, leaf.bias is not None))


def places(model: Any, config: QuantizationConfig, all_: bool = False) -> dict[str, tuple[Any, PackedLinear]]:
    """Path -> a leaf, and the one without values that would stand in its place.

    Args:
        model: the model.
        config: how; the leaves that stay are written into it.
        all_: those too that stay.
    """
    if getattr(config, config.skipped) is None:  # said in the files: other readers have other exceptions
        setattr(config, config.skipped, usual_exceptions(model))
    spared = getattr(config, config.skipped)
    found = {}
    for path, leaf in model.named_modules():
        stays = _spared(path, spared) or "weight" in getattr(leaf, "_keep_float32", ())
        if type(leaf) not in (nn.Linear, Conv1D) or (stays and not all_):
            continue
        packed = _fresh(path, leaf, config)
        if packed is not None:
            found[path] = (leaf, packed)
    return found


def replace_leaves(model: Any, config: QuantizationConfig, files: Any = None) -> dict[str, bool]:
    """Put packed leaves, still without values, into a model that waits for its checkpoint.

    Args:
        model: built on the meta device.
        config: how; the leaves that stay are written into it.
        files: the weight files, where they are quantized already: they say which leaves are.

    Returns:
        The replaced leaves by path; True where the weight lies turned, [in, out], in full-precision files.
    """
    names = set() if files is None else {*files.names()}
    done: dict[str, bool] = {}
    for path, (leaf, packed) in places(model, config, files is not None).items():
        if files is None:
            packed.weight = nn.Parameter(torch.empty_like(leaf.weight, device="meta"), False)
        else:
            marks = FORMATS[config.quant_method].marks
            ways = _spellings(path, model.base_model_prefix)
            where = next((way for way in ways if _packed_at(way, names, marks, files)), None)
            if where is None:
                continue
            beside = {name.removeprefix(where + ".") for name in names if name.startswith(where + ".")}
            packed.expect(partial(_shape, files, where), beside)
        model.set_submodule(path, packed)
        done[path] = isinstance(leaf, Conv1D)
    return done


def _spellings(path: str, prefix: str) -> tuple[str, ...]:
    return path, f"{prefix}.{path}", path.removeprefix(f"{prefix}.")


def _packed_at(path: str, names: set[str], marks: tuple[str, ...], files: Any) -> bool:
    weight = f"{path}.weight"
    return any(f"{path}.{mark}" in names for mark in marks) or (
        weight in names and files.dtype(weight) in _NARROW
    )


def _shape(files: Any, path: str, name: str) -> tuple[int, ...]:
    found: tuple[int, ...] = files.shape(f"{path}.{name}")
    return found


def packer(model: Any, turned: dict[str, bool]) -> Callable[[str, Tensor], bool]:
    """What is asked of every tensor of full-precision files: True where a leaf has packed it."""
    leaves = {f"{path}.weight": (model.get_submodule(path), turn) for path, turn in turned.items()}

    def take(name: str, value: Tensor) -> bool:
        if name not in leaves:
            return False
        leaf, turn = leaves[name]
        leaf.take(value.t() if turn else value)
        return True

    return take
