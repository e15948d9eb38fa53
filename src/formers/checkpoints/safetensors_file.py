"""One safetensors file, memory-mapped: tensors that share the file's pages until they are written to."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.failures import CheckpointError

# The format's dtype names, with torch's. Order: as the safetensors library sorts them when it writes.
_NAMES = (
    ("BOOL", "bool"),
    ("U8", "uint8"),
    ("I8", "int8"),
    ("F8_E5M2", "float8_e5m2"),
    ("F8_E4M3", "float8_e4m3fn"),
    ("F8_E8M0", "float8_e8m0fnu"),
    ("F8_E4M3FNUZ", "float8_e4m3fnuz"),
    ("F8_E5M2FNUZ", "float8_e5m2fnuz"),
    ("I16", "int16"),
    ("U16", "uint16"),
    ("F16", "float16"),
    ("BF16", "bfloat16"),
    ("I32", "int32"),
    ("U32", "uint32"),
    ("F32", "float32"),
    ("C64", "complex64"),
    ("F64", "float64"),
    ("I64", "int64"),
    ("U64", "uint64"),
)
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, kind) for name, kind in _NAMES if isinstance(getattr(torch, kind, None), torch.dtype)
}
DTYPE_NAMES: dict[torch.dtype, str] = {kind: name for name, kind in DTYPES.items()}
DTYPE_RANK: dict[str, int] = {name: rank for rank, (name, _) in enumerate(_NAMES)}

# Linux on these machines; Python knows the name only from 3.13 on
_NORESERVE = 0x4000 if sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64") else 0
_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: dtype name, shape, and its bytes [begin, end) in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """A safetensors file whose header has been read and checked.

    Tensors map the file privately: reading them reads the file, writing to one (training in place)
    copies the page and never reaches the file.

    Raises:
        CheckpointError: for an empty, truncated or damaged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        self._given: set[str] = set()
        self.size = path.stat().st_size
        self.entries, self.metadata, self.header_hash = _read_header(path, self.size)

    def names(self) -> list[str]:
        """The names of the tensors, in the order of the file."""
        return list(self.entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor."""
        return DTYPES[self.entries[name].dtype]

    def tensor(self, name: str) -> Tensor:
        """Return a tensor on the file's pages (a copy when its bytes are not aligned for its dtype)."""
        entry = self.entries[name]
        dtype = DTYPES[entry.dtype]
        if entry.begin == entry.end:
            return torch.empty(entry.shape, dtype=dtype)
        if self._map is None:
            self._map = _map_private(self.path, self.size)
        width = dtype.itemsize
        count = (entry.end - entry.begin) // width
        if entry.begin % width:
            # Vectorised kernels expect aligned pointers; files of other writers need not align.
            raw = bytearray(self._map[entry.begin : entry.end])
            return torch.frombuffer(raw, dtype=dtype, count=count).reshape(entry.shape)
        self._given.add(name)
        # Each tensor gets a storage of its own: nothing that looks at storages sees the whole file.
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=entry.begin).reshape(entry.shape)

    def converted(self, name: str, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Return a tensor in another dtype or on another device, and let go of the pages it came from."""
        mapped_before = name in self._given
        source = self.tensor(name)
        target = source.to(device=device, dtype=dtype)
        if target.data_ptr() != source.data_ptr() and not mapped_before and name in self._given:
            self._given.discard(name)
            del source
            self._release(self.entries[name])
        return target

    def _release(self, entry: Entry) -> None:
        """Drop the whole pages of an entry from memory; they can be read again from the file."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        page = mmap.PAGESIZE
        first, last = -(-entry.begin // page) * page, entry.end // page * page
        if last > first:
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)


def _map_private(path: Path, size: int) -> mmap.mmap:
    """Map a file copy-on-write."""
    with open(path, "rb") as file:
        if sys.platform == "win32":
            return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        # Without NORESERVE, a file larger than the free memory could not be mapped writable.
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", _NORESERVE)
        return mmap.mmap(file.fileno(), size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def _read_header(path: Path, size: int) -> tuple[dict[str, Entry], dict[str, str], str]:
    if size < 8:
        raise CheckpointError(
            f"{path} is {'empty' if size == 0 else f'only {size} bytes long'}: no safetensors file. "
            "Download or save it again."
        )
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _HEADER_LIMIT):
            raise CheckpointError(
                f"{path} is truncated or no safetensors file: its header should have {length} bytes, and "
                f"the whole file has {size}. Download or save it again."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: the header is no JSON ({error}). Download or save it again."
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is no JSON object")
    metadata = header.pop("__metadata__", None) or {}
    entries = {name: _entry(path, name, value, 8 + length) for name, value in header.items()}
    _check_layout(path, entries, 8 + length, size)
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    return ordered, {str(k): str(v) for k, v in metadata.items()}, hashlib.sha256(raw).hexdigest()


def _entry(path: Path, name: str, value: Any, start: int) -> Entry:
    try:
        dtype, shape = value["dtype"], tuple(value["shape"])
        begin, end = value["data_offsets"]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (*shape, begin, end))
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: the header's entry for {name!r} is damaged: {value!r}") from error
    if not whole or end < begin:
        raise CheckpointError(f"{path}: the header's entry for {name!r} is damaged: {value!r}")
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name!r} has the dtype {dtype!r}, which this torch does not have"
        )
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != wanted:
        raise CheckpointError(
            f"{path}: tensor {name!r} of shape {list(shape)} and dtype {dtype} takes {wanted} bytes, and the "
            f"header gives it {end - begin}"
        )
    return Entry(dtype, shape, start + begin, start + end)


def _check_layout(path: Path, entries: dict[str, Entry], start: int, size: int) -> None:
    """The tensors must fill the file without a gap and without sharing a byte."""
    at = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.end > size:
            raise CheckpointError(
                f"{path} is truncated: tensor {name!r} ends at byte {entry.end}, and the file has {size}. "
                "Download or save it again."
            )
        if entry.begin < at:
            raise CheckpointError(f"{path}: tensor {name!r} overlaps the one before it in the file")
        if entry.begin > at:
            raise CheckpointError(
                f"{path}: {entry.begin - at} bytes before tensor {name!r} belong to nothing"
            )
        at = entry.end
    if at != size:
        raise CheckpointError(f"{path}: {size - at} bytes at its end belong to no tensor")


def file_hash(path: Path) -> str:
    """SHA-256 of a whole file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file goes by the name of the format."""
    return os.fspath(path).endswith(".safetensors")
