"""Tensors and metadata as a GGUF file, through the `gguf` package; one tensor in memory at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.gguf_blocks import BLOCK, PACK
from formers.checkpoints.gguf_file import PURPOSE
from formers.core.atomic import write_atomically
from formers.core.extras import need

_AT_ONCE = 1 << 20  # numbers that are packed at a time
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# what takes the place of a type whose blocks a row does not fill, as llama.cpp has it
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# tensors that stay in float32 beside vectors
_WHOLE = tuple(
    f"{name}.weight"
    for name in ("ffn_gate_inp", "ffn_gate_inp_shexp", "position_embd", "ssm_conv1d", "attn_rel_b")
)


@dataclass(frozen=True)
class Kind:
    """What a file is called by llama.cpp: its number, the usual type, and those of some tensors.

    Attributes:
        number: `general.file_type`.
        usual: ggml's type of matrices.
        output: of the table that gives scores of tokens.
        mixed: part of a tensor's name -> type in the layers where more bits help most.
        always: part of a name -> type in all layers.
    """

    number: int
    usual: str
    output: str | None = None
    mixed: Mapping[str, str] = field(default_factory=dict)
    always: Mapping[str, str] = field(default_factory=dict)


KINDS: dict[str, Kind] = {
    "f32": Kind(0, "F32"),
    "f16": Kind(1, "F16"),
    "q4_0": Kind(2, "Q4_0"),
    "q8_0": Kind(7, "Q8_0"),
    "q4_k_m": Kind(
        15, "Q4_K", "Q6_K", {"attn_v.weight": "Q6_K", "ffn_down": "Q6_K"}, {"attn_qkv.weight": "Q5_K"}
    ),
    "bf16": Kind(32, "BF16"),
}


def _helped(layer: int, layers: int) -> bool:
    """Whether more bits help a layer: the first and last eighth, and every third between (llama.cpp)."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def type_of(kind: Kind, name: str, shape: tuple[int, ...], layers: int, tied: bool) -> str:
    """The type, as ggml calls it, of a tensor in a file of that kind."""
    if len(shape) < 2 or not name.endswith(".weight") or name.endswith(_WHOLE):
        return "F32"
    found = kind.usual
    if kind.output and name == ("token_embd.weight" if tied else "output.weight"):
        found = kind.output
    found = next((other for part, other in kind.always.items() if part in name), found)
    number = name.partition("blk.")[2].partition(".")[0]
    if number and _helped(int(number), layers):
        found = next((other for part, other in kind.mixed.items() if part in name), found)
    if found in PACK and shape[-1] % BLOCK:
        found = _FALLBACK[found]
    return found if found in _PLAIN or shape[-1] % 32 == 0 else "F16"


def packed(x: Tensor, name: str) -> Tensor:
    """Numbers as ggml's type of that name: [.., n], floating -> [.., bytes], uint8."""
    if name in _PLAIN:
        return x.to(_PLAIN[name]).contiguous().view(torch.uint8)
    types, quants = need("gguf.constants", "gguf", PURPOSE), need("gguf.quants", "gguf", PURPOSE)
    number = types.GGMLQuantizationType[name]
    rows = x.reshape(-1, x.shape[-1])
    found = []
    for part in torch.split(rows, max(1, _AT_ONCE // x.shape[-1])):
        wide = part.float().contiguous()
        if name in PACK:
            found.append(PACK[name](wide.view(-1, BLOCK)).view(len(part), -1))
        else:
            found.append(torch.from_numpy(quants.quantize(wide.numpy(), number)))
    return torch.cat(found).view(*x.shape[:-1], -1)


def write(
    path: str | os.PathLike[str],
    fields: Mapping[str, Any],
    tensors: Iterable[tuple[str, str, tuple[int, ...], Callable[[], Tensor]]],
) -> None:
    """Write a file, whole or not at all.

    Args:
        path: where.
        fields: metadata; with `general.architecture`.
        tensors: name, ggml's type, shape, and what gives the values.
    """
    gguf = need("gguf", "gguf", PURPOSE)
    held = [*tensors]
    with write_atomically(path) as part:
        writer = gguf.GGUFWriter(str(part), fields["general.architecture"])
        for key, value in fields.items():
            if key != "general.architecture":
                _add(writer, gguf.GGUFValueType, key, value)
        for name, kind, shape, _ in held:
            number = gguf.GGMLQuantizationType[kind]
            block, size = gguf.GGML_QUANT_SIZES[number]
            count = math.prod(shape) // block * size
            raw = (*shape[:-1], shape[-1] // block * size) if shape else ()
            writer.add_tensor_info(name, raw, torch.empty(0, dtype=torch.uint8).numpy().dtype, count, number)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for _, kind, _, values in held:
                with torch.no_grad():
                    writer.write_tensor_data(packed(values().detach().cpu(), kind).numpy())
        finally:
            writer.close()


def _add(writer: Any, types: Any, key: str, value: Any) -> None:
    kinds = {bool: types.BOOL, int: types.UINT32, float: types.FLOAT32, str: types.STRING}
    if not isinstance(value, list):
        writer.add_key_value(key, value, kinds[type(value)])
    elif value:
        inner = types.INT32 if isinstance(value[0], int) else kinds[type(value[0])]
        writer.add_key_value(key, value, types.ARRAY, sub_type=inner)
