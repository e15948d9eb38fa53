"""A weight file, memory-mapped: tensors that share the file's pages until they are written to."""

from __future__ import annotations

import hashlib
import mmap
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Linux on these machines; Python knows the name only from 3.13 on
_NORESERVE = 0x4000 if sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64") else 0
_MOST_AXES = 64
_MOST_VALUES = 1 << 60  # damaged files claim any number, and torch's own sums would overflow


def is_possible(shape: Sequence[Any]) -> bool:
    """Whether a tensor can have the shape that a file claims."""
    if len(shape) > _MOST_AXES:
        return False
    count = 1
    for n in shape:
        if type(n) is not int or n < 0:
            return False
        count *= n or 1
    return count < _MOST_VALUES


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: dtype, shape, and its bytes [begin, end)."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int
    stride: tuple[int, ...] | None = None  # in values; None: row after row
    packed: str = ""  # where the bytes are compressed: whose [begin, end) they are once unpacked


class WeightFile:
    """Tensors by name. They map the file privately.

    Reading them reads the file, writing to one (training in place) copies the page and never reaches it.
    """

    shares_bytes = False  # whether two tensors may lie on the same bytes

    def __init__(
        self,
        path: Path,
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str] | None = None,
        header_hash: str = "",
    ) -> None:
        self.path = path
        self.entries = dict(entries)
        self.metadata = dict(metadata or {})
        self.header_hash = header_hash
        self._map: mmap.mmap | None = None
        self._given: set[str] = set()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def names(self) -> list[str]:
        """The names of the tensors, in the order of the file."""
        return list(self.entries)

    def tensor(self, name: str) -> Tensor:
        """Return a tensor on the file's pages (a copy when its bytes are not aligned for its dtype)."""
        entry = self.entries[name]
        width = entry.dtype.itemsize
        count = (entry.end - entry.begin) // width
        if not count:
            return torch.empty(entry.shape, dtype=entry.dtype)
        pages = self._pages(entry)
        if entry.begin % width:
            # Vectorised kernels expect aligned pointers; files of other writers need not align.
            flat = torch.frombuffer(bytearray(pages[entry.begin : entry.end]), dtype=entry.dtype)
        else:
            self._given.add(name)
            # Each tensor gets a storage of its own: nothing that looks at storages sees the whole file.
            flat = torch.frombuffer(pages, dtype=entry.dtype, count=count, offset=entry.begin)
        return (
            flat.reshape(entry.shape) if entry.stride is None else flat.as_strided(entry.shape, entry.stride)
        )

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

    def _pages(self, entry: Entry) -> mmap.mmap | bytearray:
        """What an entry's offsets count in: the file, mapped copy-on-write."""
        if self._map is None:
            with open(self.path, "rb") as file:
                if sys.platform == "win32":
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                else:
                    # Without NORESERVE, a file larger than the free memory could not be mapped writable.
                    flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", _NORESERVE)
                    self._map = mmap.mmap(
                        file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE
                    )
        return self._map

    def _release(self, entry: Entry) -> None:
        """Drop the whole pages of an entry from memory; they can be read again from the file."""
        if self._map is None or self.shares_bytes or not hasattr(mmap, "MADV_DONTNEED"):
            return
        page = mmap.PAGESIZE
        first, last = -(-entry.begin // page) * page, entry.end // page * page
        if last > first:
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)


def file_hash(path: Path) -> str:
    """SHA-256 of a whole file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()
