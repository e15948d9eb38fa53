"""What stands in front of a GGUF file's tensors: its metadata, and where each tensor lies.

The layout is that of ggml's docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ENDING = ".gguf"
INSTEAD = "keep the model as safetensors, in int8 or int4 for instance"  # of what no file can say
_MAGIC = b"GGUF"
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_MOST_AXES = 4
_FLOAT32 = 0  # as ggml numbers its types
# kinds of models that files call by another name than their model type
_OTHERWISE = {"command-r": "cohere", "gemma3": "gemma3_text", "t5encoder": "t5"}


def model_type_of(architecture: str, known: Iterable[str]) -> str | None:
    """Which of some model types a file calls so, `qwen2moe` for `qwen2_moe`; None for none of them."""
    wanted = re.sub("[-_]", "", _OTHERWISE.get(architecture, architecture))
    return next((one for one in known if re.sub("[-_]", "", one) == wanted), None)


class BadGguf(OSError):
    """A file is no GGUF, or is damaged."""


@dataclass(frozen=True)
class Held:
    """One tensor: its shape (the outermost axis first), the number of its ggml type, and its first byte."""

    shape: tuple[int, ...]
    type: int
    begin: int


@dataclass(frozen=True)
class Header:
    """The metadata by their keys, and the tensors by their names."""

    path: Path
    size: int
    fields: dict[str, Any]
    tensors: dict[str, Held]

    @property
    def architecture(self) -> str:
        """What llama.cpp calls the kind of model.

        Raises:
            BadGguf: where it is not said.
        """
        found = self.fields.get("general.architecture")
        if not isinstance(found, str) or not found:
            raise BadGguf(f"{self.path} does not say which kind of model it holds (general.architecture)")
        return found

    def of_model(self, key: str) -> Any:
        """What the metadata say under the architecture's name; None for nothing."""
        return self.fields.get(f"{self.architecture}.{key}")

    def floats(self, name: str) -> list[float] | None:
        """A small tensor of float32; None where there is none of that name.

        Raises:
            BadGguf: where it has another type, or the file ends before it.
        """
        held = self.tensors.get(name)
        if held is None:
            return None
        count = math.prod(held.shape)
        if held.type != _FLOAT32 or held.begin + 4 * count > self.size:
            raise BadGguf(f"{self.path} is truncated or damaged: {name!r} is no list of numbers.")
        with open(self.path, "rb") as file:
            file.seek(held.begin)
            return list(struct.unpack(f"<{count}f", file.read(4 * count)))


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self.at = path, data, 0

    def _truncated(self) -> BadGguf:
        return BadGguf(
            f"{self._path} is truncated or damaged: what stands in front of its tensors goes on behind its "
            f"last byte ({len(self._data)}). Download it again."
        )

    def _take(self, count: int) -> int:
        begin, self.at = self.at, self.at + count
        if self.at > len(self._data):
            raise self._truncated()
        return begin

    def numbers(self, kind: str, count: int = 1) -> tuple[Any, ...]:
        width = struct.calcsize("<" + kind)
        if count > len(self._data):
            raise self._truncated()
        return struct.unpack_from(f"<{count}{kind}", self._data, self._take(width * count))

    def text(self) -> str:
        length = self.numbers("Q")[0]
        begin = self._take(length)
        return self._data[begin : begin + length].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind in _FIXED:
            return self.numbers(_FIXED[kind])[0]
        if kind == _TEXT:
            return self.text()
        if kind != _LIST:
            raise BadGguf(f"{self._path} is damaged: {kind} is no type of a value. Download it again.")
        inner, count = self.numbers("I")[0], self.numbers("Q")[0]
        if inner in _FIXED:
            return list(self.numbers(_FIXED[inner], count))
        if count > len(self._data) or inner == _LIST:  # lists of lists are not written by anybody
            raise self._truncated()
        return [self.value(inner) for _ in range(count)]


def read_header(path: Path) -> Header:
    """Read what stands in front of the tensors; they stay where they are.

    Raises:
        BadGguf: when the file is none, of another version, or truncated.
    """
    state = os.stat(path)
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)  # config, tokenizer and weights are read one after the other
def _read(path: Path, size: int, changed: int) -> Header:
    with open(path, "rb") as file:
        begin = file.read(4)
        if begin != _MAGIC:
            raise BadGguf(f"{path} is no GGUF file: it begins with {begin!r} instead of {_MAGIC!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(path, size, _Reader(path, data))


def _header(path: Path, size: int, reader: _Reader) -> Header:
    reader.at = len(_MAGIC)
    version = reader.numbers("I")[0]
    if version not in (2, 3):
        raise BadGguf(
            f"{path} is a GGUF of version {version}, and versions 2 and 3 of little-endian machines are "
            "read: convert it again with a newer llama.cpp"
        )
    count, entries = reader.numbers("Q", 2)
    fields = {}
    for _ in range(entries):
        key = reader.text()
        fields[key] = reader.value(reader.numbers("I")[0])
    found = []
    for _ in range(count):
        name, axes = reader.text(), reader.numbers("I")[0]
        if axes > _MOST_AXES:
            raise BadGguf(f"{path} is damaged: tensor {name!r} has {axes} axes. Download it again.")
        shape = reader.numbers("Q", axes)
        kind, offset = reader.numbers("I")[0], reader.numbers("Q")[0]
        found.append((name, Held(shape[::-1], kind, offset)))
    align = fields.get("general.alignment", 32)
    if type(align) is not int or align < 1:
        raise BadGguf(f"{path} is damaged: its alignment is {align!r}. Download it again.")
    start = -(-reader.at // align) * align
    tensors = {name: Held(held.shape, held.type, start + held.begin) for name, held in found}
    return Header(path, size, fields, tensors)
