"""Torch's own `.bin` format, read without running what is in it.

A `.bin` file holds a pickle, and a pickle can name any function to be called on loading. This reader knows
the dozen names that a table of tensors needs, has a stand-in for each, and refuses every other name before
anything is called. What a pickle makes it do is bounded by the pickle's length, and that by `_LONGEST`.
The values are mapped from the file where they lie uncompressed and aligned.
"""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from formers.checkpoints.failures import CheckpointError, UnsafeCheckpoint
from formers.checkpoints.safetensors_file import DTYPES
from formers.checkpoints.weight_file import Entry, WeightFile, is_possible

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of files written before torch 1.6
_PROTOCOL = 1001
_NESTED = ("state_dict", "model_state_dict", "model", "module")  # where training scripts put the table
_LONGEST = 1 << 23  # bytes of pickle: eighty thousand tensors
_MOST_STEPS = 1 << 21  # of a pickle; a tensor takes about thirty-five
_ROOM = 1 << 28  # bytes that may be unpacked, or named again and again, whatever the size of the file

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
# names of torch that are about values in less than a byte, or with a scale beside them
_QUANTIZED = r"torch\S* (Q\w+Storage|q|\w*_q|\w*quant|u?int[1-7]$|bits)"


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
    offset: int  # in values, as `stride`
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> _Stored:
    """A window on a storage, in a dtype of its own where one is among the rest."""
    if not isinstance(storage, _Storage):
        raise CheckpointError("the pickle builds a tensor out of something that is no storage")
    sound = is_possible(shape) and len(shape) == len(stride) and is_possible((offset,))
    if not sound or any(type(step) is not int or step < 0 for step in stride):
        raise CheckpointError("a tensor has an impossible shape, stride or offset")
    dtype = next((value for value in rest if isinstance(value, torch.dtype)), storage.dtype)
    return _Stored(storage, dtype, offset, tuple(shape), tuple(stride))


def _first(value: Any, *_: Any) -> Any:
    return value


def _apply_kind(call: Any, _kind: Any, args: Any, _state: Any) -> Any:
    if not isinstance(call, _StandIn) or call.make not in (_tensor, _first):
        raise UnsafeCheckpoint("the pickle calls something other than a tensor's own constructor")
    return call.make(*args)


def _size(numbers: Any) -> tuple[Any, ...]:
    if not is_possible(numbers):
        raise CheckpointError("a tensor has an impossible shape")
    return tuple(numbers)


def _ordered(pairs: Any = ()) -> Any:
    """Ordered tables come empty, or with their entries as the pickles of Python 2 have them."""
    return _add({}, [item for key, value in pairs for item in (key, value)])


def _add(target: Any, items: list[Any]) -> Any:
    """Add items to a list, or keys and values that alternate to a table.

    Hashing keys other than texts and numbers could take any time, and no tensor has one.
    """
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        target.update((key, value) for key, value in pairs if isinstance(key, (str, int)))
    else:
        raise CheckpointError("the pickle adds to something that is neither list nor table")
    return target


@dataclass(frozen=True)
class _StandIn:
    """What the pickle reaches in place of a function; it makes records and nothing else."""

    make: Callable[..., Any]


def _allowed() -> dict[tuple[str, str], Any]:
    """Every global that may appear, with what stands in for it."""
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): _StandIn(_ordered),
        ("builtins", "set"): _StandIn(lambda *_: []),
        ("__builtin__", "set"): _StandIn(lambda *_: []),  # as Python 2 called it
        ("torch", "Size"): _StandIn(_size),
        ("torch", "device"): _StandIn(lambda *_: "device"),
        ("torch", "Tensor"): "Tensor",
        ("torch.nn.parameter", "Parameter"): "Parameter",
        ("torch._utils", "_rebuild_tensor"): _StandIn(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _StandIn(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): _StandIn(_tensor),
        ("torch._utils", "_rebuild_parameter"): _StandIn(_first),
        ("torch._utils", "_rebuild_parameter_with_state"): _StandIn(_first),
        ("torch._tensor", "_rebuild_from_type_v2"): _StandIn(_apply_kind),
    }
    for name, dtype in _STORAGES.items():
        table["torch", name] = table["torch.storage", name] = dtype
    for dtype in (*DTYPES.values(), *_STORAGES.values()):
        table["torch", str(dtype).removeprefix("torch.")] = dtype
    return table


# How many values a step of a pickle takes off the stack (None: those since the last mark) ...
_TAKES: dict[str, int | None] = {
    **dict.fromkeys(("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_SET", "EMPTY_DICT", "NEWTRUE", "NEWFALSE"), 0),
    **dict.fromkeys(("TUPLE1", "BINPERSID", "APPEND", "POP", "BUILD"), 1),  # nothing reads what BUILD sets
    **dict.fromkeys(("TUPLE2", "STACK_GLOBAL", "REDUCE", "SETITEM"), 2),
    "TUPLE3": 3,
    **dict.fromkeys(("TUPLE", "LIST", "FROZENSET", "DICT"), None),
    **dict.fromkeys(("APPENDS", "ADDITEMS", "SETITEMS", "POP_MARK"), None),
}
# ... and what it makes of them.
_MAKES: dict[str, Callable[[list[Any]], Any]] = {
    **dict.fromkeys(("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"), tuple),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET", "LIST", "FROZENSET"), list),
    **dict.fromkeys(("EMPTY_DICT", "DICT"), lambda items: _add({}, items)),
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
}
_VALUES = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "NONE", "UNICODE")
    + ("BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES")
)
_OLD_TEXTS = frozenset(("STRING", "BINSTRING", "SHORT_BINSTRING"))


class _Reader:
    """A machine for pickles that reaches nothing but the table of `_allowed`.

    It works no longer than its pickle is: no number in the pickle decides how much is done or kept. What it
    does not know is not done: calling classes, looking up registered extensions, setting memory aside.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = _allowed()
        self._left, self._steps = _LONGEST, _MOST_STEPS
        self._makes = {**_MAKES, "STACK_GLOBAL": self._find, "BINPERSID": self._store, "REDUCE": self._call}
        self.storages: dict[str, _Storage] = {}

    def read(self, file: BinaryIO) -> Any:
        """The value of the pickle that begins here; the file stands behind it then."""
        stack: list[Any] = []
        marks: list[int] = []
        memo: dict[int, Any] = {}
        arg: Any
        for step, arg, _ in pickletools.genops(file):
            name = step.name
            self._steps -= 1
            if self._steps < 0:
                raise CheckpointError(f"{self._path}: the pickle has more steps than any table of tensors")
            if name in _VALUES:
                stack.append(arg)
            elif name.endswith(("PUT", "MEMOIZE")):
                memo[len(memo) if arg is None else arg] = stack[-1]
            elif name.endswith("GET"):
                stack.append(memo[arg])
            elif name == "MARK":
                marks.append(len(stack))
            elif name in _TAKES:
                count = _TAKES[name]
                at = marks.pop() if count is None else len(stack) - count
                values = stack[at:]
                del stack[at:]
                if name in self._makes:
                    stack.append(self._makes[name](values))
                elif name.startswith(("APPEND", "ADD", "SET")):
                    _add(stack[-1], values)
            elif name == "GLOBAL":
                stack.append(self._find(arg.split(" ", 1)))
            elif name in _OLD_TEXTS:
                stack.append(arg.encode("latin-1").decode())
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise CheckpointError(f"{self._path}: {name} is no step of a pickle with tensors")
        return stack.pop()

    def _find(self, names: list[Any]) -> Any:
        """The stand-in for a global."""
        module, name = names
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError(f"{self._path}: the pickle has a name that is no text")
        known = self._table.get((module, name))
        if known is None and re.match(_QUANTIZED, f"{module} {name}"[:99]):
            raise CheckpointError(
                f"{self._path} holds quantized tensors ({name}), which are not read by this version: load "
                "the checkpoint that it was made from"
            )
        if known is None:
            raise UnsafeCheckpoint(
                f"{self._path} names {module}.{name}, which is no part of a table of tensors and could run "
                "code. Nothing was run. If you trust its origin, convert it to safetensors in a sandbox."
            )
        return known

    def _store(self, values: list[Any]) -> _Storage:
        """The storage that the pickle describes."""
        pid = values[0]
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise CheckpointError(f"{self._path}: the pickle refers to something that is no storage")
        _, dtype, key, _location, count, *view = pid
        known = isinstance(dtype, torch.dtype) and isinstance(key, (str, int)) and is_possible((count,))
        if not known or (view and view[0]):
            raise CheckpointError(f"{self._path}: the pickle describes a storage that cannot be read")
        key = str(key)
        return self.storages.setdefault(key, _Storage(key, dtype, count * dtype.itemsize))

    def _call(self, values: list[Any]) -> Any:
        """What a stand-in makes of its arguments."""
        does, args = values
        if not isinstance(does, _StandIn):
            raise UnsafeCheckpoint(f"{self._path}: the pickle calls something that is no part of a table")
        self._left -= sum(len(arg) for arg in args if isinstance(arg, (list, tuple)))
        if self._left < 0:
            raise CheckpointError(f"{self._path}: the pickle repeats its values without an end")
        return does.make(*args)


@dataclass(frozen=True)
class _Place:
    """Where a storage's bytes lie; `packed` when they are compressed inside the zip archive."""

    begin: int
    length: int
    packed: str = ""


class BinFile(WeightFile):
    """A `.bin` file.

    Raises:
        UnsafeCheckpoint: when its pickle names anything but tensors.
        CheckpointError: when the file is damaged.
    """

    shares_bytes = True

    def __init__(self, path: Path) -> None:
        if path.stat().st_size == 0:
            raise CheckpointError(f"{path} is empty. Download or save it again.")
        self._unpacked: dict[str, bytearray] = {}
        try:
            content, places, raw = _open_zip(path) if zipfile.is_zipfile(path) else _open_old(path)
        except CheckpointError:
            raise
        except Exception as error:  # damaged bytes can make zipfile and pickle raise nearly anything
            raise _damaged(path, error) from error
        entries = {name: _entry(path, name, value, places) for name, value in _table(path, content).items()}
        super().__init__(path, entries, header_hash=hashlib.sha256(raw).hexdigest())

    def _pages(self, entry: Entry) -> mmap.mmap | bytearray:
        if not entry.packed:
            return super()._pages(entry)
        if entry.packed not in self._unpacked:
            try:
                with zipfile.ZipFile(self.path) as archive:
                    self._unpacked[entry.packed] = bytearray(archive.read(entry.packed))
            except Exception as error:  # as above: zlib, zipfile and struct each have their own
                raise _damaged(self.path, error) from error
        return self._unpacked[entry.packed]


def _entry(path: Path, name: str, stored: _Stored, places: dict[str, _Place]) -> Entry:
    """Where a tensor lies, checked against what is there."""
    storage, width = stored.storage, stored.dtype.itemsize
    place = places.get(storage.key)
    count = math.prod(stored.shape)
    spanned = (
        1 + sum((n - 1) * step for n, step in zip(stored.shape, stored.stride, strict=True)) if count else 0
    )
    end = (stored.offset + spanned) * width
    if place is None or place.length < storage.bytes or end > storage.bytes:
        raise CheckpointError(f"{path} is truncated: the values of {name!r} are not all there")
    if count * width > max(storage.bytes, _ROOM):
        raise CheckpointError(f"{path}: tensor {name!r} repeats few values so often that no memory holds it")
    begin = place.begin + stored.offset * width
    return Entry(stored.dtype, stored.shape, begin, begin + spanned * width, stored.stride, place.packed)


def _open_zip(path: Path) -> tuple[Any, dict[str, _Place], bytes]:
    """Read the format of torch 1.6 and later: a zip archive of a pickle and one entry per storage."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        pickles = [item for item in archive.infolist() if item.filename.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"{path} is a zip archive without a table of tensors (no data.pkl in it)")
        root = pickles[0].filename[: -len("data.pkl")]
        inside = {
            item.filename[len(root) :]: item for item in archive.infolist() if item.filename.startswith(root)
        }
        if any(name.startswith("code/") for name in inside):
            raise UnsafeCheckpoint(f"{path} is a TorchScript archive: it holds code, not only weights")
        unpacked = sum(item.file_size for item in inside.values())
        if unpacked > max(100 * size, _ROOM) or pickles[0].file_size > _LONGEST:
            raise CheckpointError(f"{path} unpacks to far more than a checkpoint of {size} bytes can hold")
        order = inside.get("byteorder")
        if order is not None and archive.read(order) != b"little":
            raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
        places = {name[5:]: _place(file, item) for name, item in inside.items() if name.startswith("data/")}
        raw = archive.read(pickles[0])
    lost = [key for key, place in places.items() if not place.packed and place.begin + place.length > size]
    return _Reader(path).read(io.BytesIO(raw)), {k: p for k, p in places.items() if k not in lost}, raw


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
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = io.BytesIO(file.read(_LONGEST))
        reader = _Reader(path)
        if [reader.read(head) for _ in range(2)] != [_MAGIC, _PROTOCOL]:
            raise CheckpointError(
                f"{path} is neither a safetensors file nor one of torch.save. Download or save it again."
            )
        system = reader.read(head)
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
        start = head.tell()
        content = reader.read(head)
        raw = head.getvalue()[start : head.tell()]
        places = {}
        keys = reader.read(head)
        file.seek(head.tell())
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            length = count * reader.storages[key].dtype.itemsize
            places[key] = _Place(file.tell(), max(0, min(length, size - file.tell())))
            file.seek(length, io.SEEK_CUR)
    return content, places, raw


def _table(path: Path, content: Any) -> dict[str, _Stored]:
    """Find the table of tensors: the whole content, or what a training script wrapped around it."""
    for key in ("", *_NESTED):
        inner = content.get(key) if key and isinstance(content, dict) else content
        if isinstance(inner, dict):
            table = {str(name): value for name, value in inner.items() if isinstance(value, _Stored)}
            if table:
                return table
    if isinstance(content, dict) and not content:
        return {}
    raise CheckpointError(f"{path} holds no table of tensors, but a {type(content).__name__}")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or no file that torch.save wrote ({type(error).__name__}: {str(error)[:200]}). "
        "Download or save it again."
    )
