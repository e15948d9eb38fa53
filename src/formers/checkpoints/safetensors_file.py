"""The safetensors format: a header that says where each tensor lies, and nothing that could run."""

from __future__ import annotations

import hashlib
import math
import os
import reprlib
from pathlib import Path
from typing import Any

import torch

from formers.checkpoints.failures import CheckpointError
from formers.checkpoints.weight_file import Entry, WeightFile, is_possible
from formers.core.jsonfile import BadJson, parse_json

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

_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit


class SafetensorsFile(WeightFile):
    """A safetensors file whose header has been read and checked.

    Raises:
        CheckpointError: for an empty, truncated or damaged file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, *_read_header(path, path.stat().st_size))


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
        header = parse_json(raw, f"the header of {path}", strict=True)
    except BadJson as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: the header's metadata is no map of texts")
    entries = {name: _entry(path, name, value, 8 + length) for name, value in header.items()}
    _check_layout(path, entries, 8 + length, size)
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    return ordered, metadata, hashlib.sha256(raw).hexdigest()


def _entry(path: Path, name: str, value: Any, start: int) -> Entry:
    try:
        dtype, shape = value["dtype"], tuple(value["shape"])
        begin, end = value["data_offsets"]
        sound = is_possible(shape) and is_possible((begin,)) and is_possible((end,)) and begin <= end
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound or not isinstance(dtype, str):
        raise CheckpointError(f"{path}: the header's entry for {name!r} is damaged: {reprlib.repr(value)}")
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
    return Entry(DTYPES[dtype], shape, start + begin, start + end)


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


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file goes by the name of the format."""
    return os.fspath(path).endswith(".safetensors")
