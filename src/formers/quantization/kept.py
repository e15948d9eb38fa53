"""Leaves that hold the whole numbers of a file as they are, where its blocks are groups of 32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.checkpoints.gguf_file import GgufFile
from formers.quantization.configs import CompressedTensorsConfig
from formers.quantization.groups import GroupedLinear, Groups
from formers.quantization.layouts import Compressed

_SIZE = 32


def keep(model: Any, file: GgufFile) -> tuple[CompressedTensorsConfig, Callable[[str, Tensor], bool]]:
    """Put such leaves into a model that waits for its weights.

    Returns:
        The record that says which, and what is asked of every tensor: True where a leaf has its numbers.
    """
    leaves: dict[str, GroupedLinear] = {}
    others, targets = [], dict[int, list[str]]()
    for path, leaf in [*model.named_modules()]:
        if type(leaf) is not nn.Linear:
            continue
        bits = file.bits(f"{path}.weight")
        if bits is None or "weight" in getattr(leaf, "_keep_float32", ()):
            others.append(path)
            continue
        layout = Compressed(bits, _SIZE, packs=True)
        packed = GroupedLinear(leaf.in_features, leaf.out_features, leaf.bias is not None, layout)
        model.set_submodule(path, packed)
        leaves[f"{path}.weight"] = packed
        targets.setdefault(bits, []).append(path)
    common = {"type": "int", "symmetric": True, "strategy": "group", "group_size": _SIZE}
    groups = {
        f"group_{i}": {"targets": paths, "weights": {"num_bits": bits, **common}}
        for i, (bits, paths) in enumerate(targets.items())
    }

    def take(name: str, value: Tensor) -> bool:
        if name not in leaves:
            return False
        codes, scale = (x.to(value.device) for x in file.coded(name))
        layout: Any = leaves[name].layout
        scale = scale.to(torch.bfloat16) if layout.bits == 4 else scale
        leaves[name].put(Groups(codes, scale, layout.middle))
        return True

    return CompressedTensorsConfig(groups, "pack-quantized", ignore=others), take
