"""Weights to files, so that a kill at any moment leaves a whole checkpoint: the old one or the new one.

The protocol rests on three facts that every reader of the ecosystem shares: a single file counts before
an index, an index names its shards, and renaming a file is atomic.

1. All new files are written under temporary names and flushed to the disk. The old checkpoint is untouched.
2. Shards whose final names the old checkpoint does not use take them. The others first become visible under
   names of their own, and the index that is written next names those.
3. One rename or removal makes the new checkpoint the one that readers see: the single file, or the index
   (and then the removal of an old single file, which counted before it). The small files that belong to
   the weights, flushed beforehand like them, are renamed at once after it.
4. Only then are the shards under names of their own linked to their final names, the index is written
   once more, and what is left of the old checkpoint goes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from formers.checkpoints.files import BIN_NAME, SAFE_NAME, shards_of, with_variant
from formers.checkpoints.safetensors_file import DTYPE_NAMES, DTYPE_RANK
from formers.core.atomic import sync_file, sync_folder, temporary_beside, write_text

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY_UNITS = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_PIECE = 1 << 26  # bytes written at a time


def parse_size(size: int | str) -> int:
    """Read a number of bytes such as `5_000_000`, `"5GB"` or `"300MiB"`.

    Raises:
        ValueError: when it is none.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(size))
    unit = {**_UNITS, **_BINARY_UNITS, "B": 1, "": 1}.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise ValueError(f"{size!r} is no size: give a number of bytes, or text such as '5GB' or '300MiB'")
    return int(float(match[1]) * unit)


def save(
    tensors: Mapping[str, Tensor],
    directory: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    max_shard_size: int | str = "5GB",
    safe_serialization: bool = True,
    variant: str | None = None,
    ties: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a table of tensors as one file, or as shards with an index.

    A process killed at any moment leaves a whole checkpoint in the folder: the old one or the new one.
    A tensor that appears under two names is written once. Memory: one tensor at a time.

    Args:
        tensors: name -> tensor, on any device, contiguous or not.
        directory: the folder; it is made if need be.
        metadata: text for the header; `{"format": "pt"}` when None.
        max_shard_size: bytes per file, as a number or as text such as "5GB".
        safe_serialization: safetensors when True, torch's `.bin` when False.
        variant: the middle of the file name, such as "fp16".
        ties: name -> the name whose tensor it shares; the first is left out when it does share.
        texts: file name -> content of the small files that change with the weights, such as the config.

    Returns:
        The weight files, and the index last when there is one.

    Raises:
        OSError: when the directory is a file.
        ValueError: when there is nothing to write, or a tensor has no values.
    """
    folder = Path(directory)
    if folder.is_file():
        raise OSError(f"{folder} is a file; save takes the name of a folder")
    table, shared = _without_twins(tensors, dict(ties or {}))
    folder.mkdir(parents=True, exist_ok=True)
    base = with_variant(SAFE_NAME if safe_serialization else BIN_NAME, variant)
    shards = _split(table, parse_size(max_shard_size))
    files = _Files(
        folder, base, with_variant(f"{SAFE_NAME if safe_serialization else BIN_NAME}.index.json", variant)
    )
    plan = _plan_names(base, shards)
    text = dict(metadata if metadata is not None else {"format": "pt"})
    parts: dict[str, Path] = {}
    beside = {folder / name: temporary_beside(folder / name) for name in texts or {}}
    try:
        for target, part in beside.items():
            part.write_text((texts or {})[target.name], encoding="utf-8", newline="\n")
            sync_file(part)
        for name, members in plan.items():
            parts[name] = temporary_beside(folder / name)
            here = {dropped: kept for dropped, kept in shared.items() if kept in members}
            content = {member: table[member] for member in members}
            _write(parts[name], content, {**text, **here}, shared, safe_serialization)
    except BaseException:
        for part in (*parts.values(), *beside.values()):
            with suppress(OSError):
                part.unlink()
        raise
    if list(plan) == [base]:
        written = _publish_single(files, parts[base], beside)
    else:
        written = _publish_shards(files, parts, _index(plan, table), beside)
    _clear(files, written, variant)
    return written


# -- what is written ------------------------------------------------------------------------------


def _without_twins(
    tensors: Mapping[str, Tensor], ties: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Leave out tied names, and find other names of one and the same tensor.

    Returns:
        What is to be written, and for each name left out without a tie the name that holds its tensor.
    """
    if not tensors:
        raise ValueError("there are no tensors to save")
    table: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    first: dict[Any, str] = {}
    tied = [name for name in tensors if name in ties and ties[name] in tensors]
    for name in [name for name in tensors if name not in set(tied)] + tied:
        tensor = tensors[name]
        if tensor.is_meta:
            raise ValueError(f"{name!r} is on the meta device: it has no values to save")
        if tensor.layout != torch.strided or tensor.dtype not in DTYPE_NAMES:
            raise ValueError(
                f"{name!r} is a {tensor.layout} tensor of {tensor.dtype}, which the format cannot hold"
            )
        key = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        twin = first.setdefault(key, name) if tensor.numel() else name
        if twin == name:
            table[name] = tensor
        elif ties.get(name) is None:
            shared[name] = twin
    return {name: table[name] for name in tensors if name in table}, shared


def _split(table: Mapping[str, Tensor], limit: int) -> list[list[str]]:
    """Fill shards in the order of the table, each up to `limit` bytes; a larger tensor gets one to itself.

    The ecosystem numbers shards in the order in which they are closed, so the same table is cut and
    numbered the same by every library.
    """
    shards: list[list[str]] = []
    filling: list[str] = []
    used = 0
    for name, tensor in table.items():
        size = tensor.numel() * tensor.element_size()
        if size > limit:
            shards.append([name])
            continue
        if filling and used + size > limit:
            shards.append(filling)
            filling, used = [], 0
        filling.append(name)
        used += size
    return [*shards, filling] if filling else shards


def _plan_names(base: str, shards: list[list[str]]) -> dict[str, list[str]]:
    if len(shards) == 1:
        return {base: shards[0]}
    stem, _, ending = base.rpartition(".")
    count = len(shards)
    return {f"{stem}-{i:05d}-of-{count:05d}.{ending}": names for i, names in enumerate(shards, 1)}


def _index(plan: Mapping[str, list[str]], table: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "metadata": {
            "total_parameters": sum(tensor.numel() for tensor in table.values()),
            "total_size": sum(tensor.numel() * tensor.element_size() for tensor in table.values()),
        },
        "weight_map": {name: file for file, names in plan.items() for name in names},
    }


def _write(
    path: Path,
    content: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    shared: Mapping[str, str],
    safe: bool,
) -> None:
    if safe:
        with open(path, "wb") as file:
            write_safetensors(file, content, metadata)
    else:
        twins = {name: content[kept] for name, kept in shared.items() if kept in content}
        torch.save({**{name: _alone(value) for name, value in content.items()}, **twins}, path)
    sync_file(path)


def _alone(tensor: Tensor) -> Tensor:
    """`torch.save` writes whole storages: give a window on a larger one a storage of its own."""
    tensor = tensor.detach()
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def write_safetensors(file: BinaryIO, content: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write one safetensors file, byte for byte as the safetensors library would."""
    order = sorted(content, key=lambda name: (-DTYPE_RANK[DTYPE_NAMES[content[name].dtype]], name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    at = 0
    for name in order:
        tensor = content[name]
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    file.write(len(raw).to_bytes(8, "little"))
    file.write(raw)
    for name in order:
        _write_values(file, content[name])


def _write_values(file: BinaryIO, tensor: Tensor) -> None:
    if not tensor.numel():
        return
    flat = tensor.detach().contiguous().reshape(-1)  # [values]
    step = max(1, _PIECE // flat.element_size())
    for start in range(0, flat.numel(), step):
        piece = flat[start : start + step].cpu().view(torch.uint8)
        file.write(piece.numpy().data)


# -- how it becomes visible -----------------------------------------------------------------------


@dataclass
class _Files:
    """The names of one checkpoint in a folder."""

    folder: Path
    single: str
    index: str

    def live_shards(self) -> list[str]:
        """The shards that readers see at this moment."""
        if (self.folder / self.single).is_file() or not (self.folder / self.index).is_file():
            return []
        with suppress(OSError):
            return shards_of(self.folder / self.index)
        return []


def _publish_single(files: _Files, part: Path, beside: Mapping[Path, Path]) -> list[Path]:
    """A single file counts before an index: one rename is the moment of change."""
    target = files.folder / files.single
    os.replace(part, target)
    _rename(beside)
    sync_folder(files.folder)
    return [target]


def _rename(beside: Mapping[Path, Path]) -> None:
    for target, part in beside.items():
        os.replace(part, target)


def _publish_shards(
    files: _Files, parts: Mapping[str, Path], index: dict[str, Any], beside: Mapping[Path, Path]
) -> list[Path]:
    folder = files.folder
    live = set(files.live_shards())
    tag = secrets.token_hex(4)
    placed = {}
    for name, part in parts.items():
        stem, _, ending = name.rpartition(".")
        placed[name] = f"{stem}.{tag}.{ending}" if name in live else name
        os.replace(part, folder / placed[name])
    sync_folder(folder)
    table = {name: placed[shard] for name, shard in index["weight_map"].items()}
    part = temporary_beside(folder / files.index)
    part.write_text(_index_text({**index, "weight_map": table}), encoding="utf-8", newline="\n")
    sync_file(part)
    os.replace(part, folder / files.index)
    if (folder / files.single).is_file():  # it counted before the index
        sync_folder(folder)
        os.unlink(folder / files.single)
    _rename(beside)
    sync_folder(folder)
    moved = {name: other for name, other in placed.items() if other != name}
    for name, other in moved.items():
        _give_second_name(folder / other, folder / name)
    if moved:
        sync_folder(folder)
        write_text(folder / files.index, _index_text(index))
        for other in moved.values():
            with suppress(FileNotFoundError):
                os.unlink(folder / other)
    return [*(folder / name for name in parts), folder / files.index]


def _index_text(index: Mapping[str, Any]) -> str:
    return json.dumps(index, indent=2, sort_keys=True) + "\n"


def _give_second_name(path: Path, name: Path) -> None:
    """Make `name` a second name of the file (a copy where the file system has no links)."""
    part = temporary_beside(name)
    try:
        os.link(path, part)
    except OSError:
        shutil.copyfile(path, part)
        sync_file(part)
    os.replace(part, name)


def _clear(files: _Files, written: Iterable[Path], variant: str | None) -> None:
    """Remove what is left of earlier checkpoints and of saves that were killed."""
    keep = {path.name for path in written}
    stale: list[str] = []
    bases = [files.single]
    if files.single.endswith(".bin"):
        # Readers prefer safetensors: left in place, the older weights would be the ones loaded.
        bases.append(with_variant(SAFE_NAME, variant))
    for base in bases:
        stem, _, ending = base.rpartition(".")
        shard = re.compile(rf"{re.escape(stem)}-\d{{5,}}-of-\d{{5,}}(\.[0-9a-f]{{8}})?\.{ending}")
        index = with_variant(f"{base.replace(f'.{variant}', '') if variant else base}.index.json", variant)
        stale += [index, base]  # in this order, an index that was not in use never comes into use
        stale += sorted(path.name for path in files.folder.iterdir() if shard.fullmatch(path.name))
    stale += [path.name for path in files.folder.glob(".*.partial") if _abandoned(path.name)]
    for name in stale:
        if name not in keep:
            with suppress(FileNotFoundError):
                os.unlink(files.folder / name)


def _abandoned(name: str) -> bool:
    """Whether a temporary file belongs to no process that still runs."""
    match = re.search(r"\.(\d+)-[0-9a-f]{8}\.partial$", name)
    if match is None:
        return False
    process = int(match[1])
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
