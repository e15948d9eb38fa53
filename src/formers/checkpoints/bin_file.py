"""Torch's own `.bin` format, read without running what is in it.

A `.bin` file holds a pickle, and a pickle can name any function to be called on loading. This reader
knows the dozen names that a table of tensors needs and refuses every other, before anything is called.
The values are mapped from the file where they lie uncompressed and aligned.
"""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from formers.checkpoints.failures import CheckpointError, UnsafeCheckpoint
from formers.checkpoints.safetensors_file import _map_private

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of files written before torch 1.6
_PROTOCOL = 1001
_NESTED = ("state_dict", "model_state_dict", "model", "module")  # where training scripts put the table

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


@dataclass(frozen=True)
class _Storage:
    """A run of values in the file: which one, of what dtype, how many bytes."""

    key: str
    dtype: torch.dtype
    bytes: int


@dataclass(frozen=True)
class _Stored:
    """A tensor as the pickle describes it: a strided window on a storage."""

    storage: _Storage
    dtype: torch.dtype
    offset: int  # in elements
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Call:
    """The only callables that the pickle can reach. They make records and nothing else."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, name: str, value: object) -> None:
        raise UnsafeCheckpoint("the pickle tries to change the reader itself")

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)


def _tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> _Stored:
    if not isinstance(storage, _Storage):
        raise CheckpointError("the pickle builds a tensor out of something that is no storage")
    return _Stored(storage, storage.dtype, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _tensor_of_dtype(
    storage: Any, offset: int, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any
) -> Any:
    if not isinstance(dtype, torch.dtype):
        raise CheckpointError("the pickle names a dtype that is none")
    plain = _tensor(storage, offset, shape, stride)
    return _Stored(plain.storage, dtype, plain.offset, plain.shape, plain.stride)


def _first(value: Any, *_: Any) -> Any:
    return value


def _apply_kind(call: Any, _kind: Any, args: Any, _state: Any) -> Any:
    if not isinstance(call, _Call):
        raise UnsafeCheckpoint("the pickle calls something other than a tensor's own constructor")
    return call(*args)


def _allowed() -> dict[tuple[str, str], Any]:
    """Every global that may appear, with what stands in for it."""
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): _Call(list),
        ("torch", "Size"): _Call(tuple),
        ("torch", "device"): _Call(str),
        ("torch", "Tensor"): "Tensor",
        ("torch.nn.parameter", "Parameter"): "Parameter",
        ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): _Call(_tensor_of_dtype),
        ("torch._utils", "_rebuild_parameter"): _Call(_first),
        ("torch._utils", "_rebuild_parameter_with_state"): _Call(_first),
        ("torch._tensor", "_rebuild_from_type_v2"): _Call(_apply_kind),
    }
    for name, dtype in _STORAGES.items():
        table["torch", name] = table["torch.storage", name] = dtype
    for name in dir(torch):
        if isinstance(value := getattr(torch, name), torch.dtype):
            table["torch", name] = value
    return table


class _Unpickler(pickle.Unpickler):
    """An unpickler that reaches nothing but the table of `_allowed`."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._table = _allowed()
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._table[module, name]
        except KeyError:
            raise UnsafeCheckpoint(
                f"{self._path} names {module}.{name}, which is no part of a table of tensors and could run "
                "code. Nothing was run. If you trust its origin, convert it to safetensors in a sandbox."
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise CheckpointError(f"{self._path}: the pickle refers to {pid!r}, which is no storage")
        _, dtype, key, _location, count, *view = pid
        if (
            not isinstance(dtype, torch.dtype)
            or not isinstance(count, int)
            or count < 0
            or (view and view[0])
        ):
            raise CheckpointError(
                f"{self._path}: the pickle describes a storage that cannot be read: {pid!r}"
            )
        storage = _Storage(str(key), dtype, count * dtype.itemsize)
        return self.storages.setdefault(str(key), storage) if str(key) not in self.storages else storage


class BinFile:
    """A `.bin` file: the same questions as `SafetensorsFile`, over torch's format.

    Raises:
        UnsafeCheckpoint: when its pickle names anything but tensors.
        CheckpointError: when the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.metadata: dict[str, str] = {}
        self._map: mmap.mmap | None = None
        if self.size == 0:
            raise CheckpointError(f"{path} is empty. Download or save it again.")
        try:
            content, self._places, raw = _open_zip(path) if zipfile.is_zipfile(path) else _open_old(path)
        except CheckpointError:
            raise
        except Exception as error:  # damaged bytes can make zipfile and pickle raise nearly anything
            raise _damaged(path, error) from error
        self.header_hash = hashlib.sha256(raw).hexdigest()
        self._tensors = _table(path, content)
        for name, stored in self._tensors.items():
            self._check(name, stored)

    def _check(self, name: str, stored: _Stored) -> None:
        storage = stored.storage
        place = self._places.get(storage.key)
        extent = stored.offset
        if len(stored.shape) != len(stored.stride) or any(
            n < 0 for n in (*stored.shape, *stored.stride, extent)
        ):
            raise CheckpointError(f"{self.path}: tensor {name!r} has an impossible shape, stride or offset")
        if math.prod(stored.shape):
            extent += 1 + sum((n - 1) * step for n, step in zip(stored.shape, stored.stride, strict=True))
        beyond = place is not None and not place.packed and place.begin + place.length > self.size
        wanted = extent * stored.dtype.itemsize
        if place is None or beyond or place.length < storage.bytes or wanted > storage.bytes:
            raise CheckpointError(f"{self.path} is truncated: the values of {name!r} are not all there")

    def names(self) -> list[str]:
        """The names of the tensors, in the order of the file."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._tensors[name].shape

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor."""
        return self._tensors[name].dtype

    def tensor(self, name: str) -> Tensor:
        """Return a tensor, on the file's pages where they lie uncompressed and aligned."""
        stored = self._tensors[name]
        if not math.prod(stored.shape):
            return torch.empty(stored.shape, dtype=stored.dtype)
        width = stored.dtype.itemsize
        place = self._places[stored.storage.key]
        last = sum((n - 1) * step for n, step in zip(stored.shape, stored.stride, strict=True))
        begin = stored.offset * width
        length = (last + 1) * width
        if place.packed or (place.begin + begin) % width:
            raw = bytearray(place.read(self.path)[begin : begin + length])
            flat = torch.frombuffer(raw, dtype=stored.dtype)
        else:
            if self._map is None:
                self._map = _map_private(self.path, self.size)
            flat = torch.frombuffer(self._map, dtype=stored.dtype, count=last + 1, offset=place.begin + begin)
        return flat.as_strided(stored.shape, stored.stride)

    def converted(self, name: str, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Return a tensor in another dtype or on another device."""
        return self.tensor(name).to(device=device, dtype=dtype)


@dataclass(frozen=True)
class _Place:
    """Where a storage's bytes lie; `packed` when they are compressed inside the zip archive."""

    begin: int
    length: int
    packed: str = ""

    def read(self, path: Path) -> bytes:
        if self.packed:
            try:
                with zipfile.ZipFile(path) as archive:
                    return archive.read(self.packed)
            except Exception as error:  # as above: zlib, zipfile and struct each have their own
                raise _damaged(path, error) from error
        with open(path, "rb") as file:
            file.seek(self.begin)
            return file.read(self.length)


def _open_zip(path: Path) -> tuple[Any, dict[str, _Place], bytes]:
    """Read the format of torch 1.6 and later: a zip archive of a pickle and one entry per storage."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        pickles = [item for item in archive.infolist() if item.filename.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"{path} is a zip archive without a table of tensors (no data.pkl in it)")
        root = pickles[0].filename[: -len("data.pkl")]
        if any(item.filename.startswith(f"{root}code/") for item in archive.infolist()):
            raise UnsafeCheckpoint(f"{path} is a TorchScript archive: it holds code, not only weights")
        names = set(archive.namelist())
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
        places = {}
        for item in archive.infolist():
            if item.filename.startswith(f"{root}data/"):
                places[item.filename[len(root) + 5 :]] = _place(file, item)
        raw = archive.read(pickles[0])
    return _Unpickler(io.BytesIO(raw), path).load(), places, raw


def _place(file: BinaryIO, item: zipfile.ZipInfo) -> _Place:
    if item.compress_type != zipfile.ZIP_STORED:
        return _Place(0, item.file_size, item.filename)
    file.seek(item.header_offset)
    local = file.read(30)
    if local[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no entry at byte {item.header_offset}")
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    return _Place(item.header_offset + 30 + name_length + extra_length, item.file_size)


def _open_old(path: Path) -> tuple[Any, dict[str, _Place], bytes]:
    """Read the format before torch 1.6: five pickles, then each storage's length and bytes."""
    with open(path, "rb") as file:
        head = [_Unpickler(file, path).load() for _ in range(2)]
        if head != [_MAGIC, _PROTOCOL]:
            raise CheckpointError(
                f"{path} is neither a safetensors file nor one of torch.save. Download or save it again."
            )
        system = _Unpickler(file, path).load()
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
        start = file.tell()
        unpickler = _Unpickler(file, path)
        content = unpickler.load()
        end = file.tell()
        places = {}
        for key in _Unpickler(file, path).load():
            storage = unpickler.storages[str(key)]
            (count,) = struct.unpack("<q", file.read(8))
            length = count * storage.dtype.itemsize
            places[str(key)] = _Place(file.tell(), max(0, min(length, path.stat().st_size - file.tell())))
            file.seek(length, io.SEEK_CUR)
        file.seek(start)
        raw = file.read(end - start)
    return content, places, raw


def _table(path: Path, content: Any) -> dict[str, _Stored]:
    """Find the table of tensors: the whole content, or what a training script wrapped around it."""
    for key in ("", *_NESTED):
        inner = content.get(key) if key and isinstance(content, Mapping) else content
        if isinstance(inner, Mapping):
            table = {str(name): value for name, value in inner.items() if isinstance(value, _Stored)}
            if table:
                return table
    if isinstance(content, Mapping) and not content:
        return {}
    raise CheckpointError(f"{path} holds no table of tensors, but a {type(content).__name__}")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or no file that torch.save wrote ({type(error).__name__}: {error}). "
        "Download or save it again."
    )
