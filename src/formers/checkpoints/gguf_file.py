"""A GGUF file: tensors that are brought to floating point one by one, when they are asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.failures import CheckpointError
from formers.checkpoints.weight_file import Entry, WeightFile, is_possible
from formers.core.extras import need
from formers.hub.gguf import Header, Held

PURPOSE = "GGUF files"
_PLAIN, _WHOLE = ("F32", "F16", "BF16", "F64"), ("I8", "I16", "I32", "I64")

_BITS = {"Q4_0": 4, "Q8_0": 8}


@dataclass(frozen=True)
class Place:
    """What a tensor of the file becomes.

    Attributes:
        name: what it is called in the model.
        turn: how the model wants it: a function of tensors, run on zeros too; None for as it is.
        part: which of the file's tensor it is along the outermost axis; None for all.
    """

    name: str
    turn: Callable[[Tensor], Tensor] | None = None
    part: int | None = None


class GgufFile(WeightFile):
    """Tensors by the names of a model.

    Args:
        header: what stands in front of them.
        places: name in the file -> what its tensor becomes; what is not named keeps its name.

    Raises:
        CheckpointError: for a truncated file, or a type of numbers that is not known.
    """

    def __init__(self, header: Header, places: Mapping[str, list[Place]]) -> None:
        self._quants = need("gguf.quants", "gguf", PURPOSE)
        self._types = need("gguf.constants", "gguf", PURPOSE)
        self._held: dict[str, tuple[int, tuple[int, ...], Place]] = {}  # type, shape in the file
        entries = {}
        for name, held in header.tensors.items():
            end = held.begin + self._bytes(header, name, held)
            if end > header.size:
                raise CheckpointError(
                    f"{header.path} is truncated: tensor {name!r} ends at byte {end}, and the file has "
                    f"{header.size}. Download it again."
                )
            for place in places.get(name, [Place(name)]):
                shape, begin, stop = held.shape, held.begin, end
                if place.part is not None:
                    size = (end - begin) // shape[0]
                    begin, shape = begin + place.part * size, shape[1:]
                    stop = begin + size
                self._held[place.name] = held.type, shape, place
                if place.turn is not None:
                    shape = tuple(
                        place.turn(torch.zeros(()).expand(shape)).shape
                    )  # "meta" loads the compiler
                entries[place.name] = Entry(torch.float32, shape, begin, stop)
        said = repr([(name, held.type, held.shape) for name, held in header.tensors.items()])
        super().__init__(header.path, entries, header_hash=hashlib.sha256(said.encode()).hexdigest())

    def _bytes(self, header: Header, name: str, held: Held) -> int:
        kinds = self._types.GGMLQuantizationType
        known = held.type in [kind.value for kind in kinds]
        kind = kinds(held.type) if known else None
        if kind is None or not self._known(kind):
            called = f"type {held.type}" if kind is None else kind.name
            raise CheckpointError(
                f"{header.path}: tensor {name!r} is stored as {called}, which is not read: a newer `gguf` "
                "package may know it (pip install -U gguf); otherwise take a file of another type, Q4_K_M "
                "for instance"
            )
        block, size = self._types.GGML_QUANT_SIZES[kind]
        if not is_possible(held.shape) or (held.shape and held.shape[-1] % block):
            raise CheckpointError(f"{header.path}: tensor {name!r} has the impossible shape {held.shape}")
        return math.prod(held.shape) // int(block) * int(size)

    def _known(self, kind: Any) -> bool:
        """Whether numbers of that type can be read."""
        import numpy

        if kind.name in _PLAIN or kind.name in _WHOLE:
            return True
        try:
            self._quants.dequantize(numpy.zeros(self._types.GGML_QUANT_SIZES[kind][1], numpy.uint8), kind)
        except NotImplementedError:
            return False
        return True

    def bits(self, name: str) -> int | None:
        """Of codes with a scale for 32 in a row, Q4_0 or Q8_0; None for what is stored otherwise, or not."""
        held = self._held.get(name)
        return None if held is None else _BITS.get(self._types.GGMLQuantizationType(held[0]).name)

    def coded(self, name: str) -> tuple[Tensor, Tensor]:
        """What such a tensor is stored as: codes, uint8 with their zero in the middle, and float16 scales."""
        _, shape, place = self._held[name]
        entry = self.entries[name]
        raw = torch.frombuffer(self._pages(entry), dtype=torch.uint8)[entry.begin : entry.end]
        blocks = raw.view(-1, 2 + 4 * (self.bits(name) or 0))
        scale, each = blocks[:, :2].contiguous().view(torch.float16), blocks[:, 2:]
        codes = torch.cat([each & 15, each >> 4], 1) if self.bits(name) == 4 else each ^ 128
        turn = place.turn or torch.clone
        found = turn(codes.reshape(shape)).contiguous(), turn(scale.reshape(shape[0], -1)).contiguous()
        self._release(entry)
        return found

    def tensor(self, name: str) -> Tensor:
        """The tensor in float32: on the file's pages where it lies there so, else in memory of its own."""
        number, shape, place = self._held[name]
        kind, entry = self._types.GGMLQuantizationType(number), self.entries[name]
        if kind == self._types.GGMLQuantizationType.F32 and place.turn is None:
            return super().tensor(name)
        import numpy

        pages = self._pages(entry)
        raw = numpy.frombuffer(pages, numpy.uint8, entry.end - entry.begin, entry.begin)
        if kind == self._types.GGMLQuantizationType.BF16:
            found = torch.from_numpy(raw.view(numpy.int16).copy()).view(torch.bfloat16).float()
        elif kind.name in _PLAIN or kind.name in _WHOLE:
            width = kind.name[0].lower() + str(int(kind.name[1:]) // 8)
            found = torch.from_numpy(raw.view("<" + width).astype(numpy.float32))
        else:
            block, size = self._types.GGML_QUANT_SIZES[kind]
            rows = raw.reshape(-1, shape[-1] // block * size)
            found = torch.from_numpy(self._quants.dequantize(rows, kind))
        found = found.reshape(shape)
        turned = found if place.turn is None else place.turn(found)
        self._release(entry)
        return turned.contiguous()

    def converted(self, name: str, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """The tensor in another dtype or on another device."""
        return self.tensor(name).to(device=device, dtype=dtype)
