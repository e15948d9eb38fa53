"""Which files hold a model's weights, and their tensors under one roof."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.failures import CheckpointError
from formers.checkpoints.safetensors_file import SafetensorsFile, is_safetensors
from formers.checkpoints.weight_file import Entry, WeightFile, file_hash
from formers.configs import read_json_object
from formers.hub import Source

SAFE_NAME = "model.safetensors"
BIN_NAME = "pytorch_model.bin"
_OTHER_FRAMEWORKS = ("tf_model.h5", "model.ckpt.index", "flax_model.msgpack")

_POINTER = b"version https://git-lfs"  # how a file begins that Git left in place of the weights


def with_variant(name: str, variant: str | None) -> str:
    """`model.safetensors` of the variant "fp16" is `model.fp16.safetensors`."""
    if not variant:
        return name
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{variant}.{ending}"


def find_weights(
    source: Source, *, variant: str | None = None, use_safetensors: bool | None = None
) -> list[Path]:
    """Find the weight files of a model: one file, or the shards that an index names.

    Args:
        source: the folder or repository.
        variant: the middle of the file name, such as "fp16".
        use_safetensors: True for safetensors only, False for `.bin` only, None for the first there is.

    Returns:
        The files. The single file counts before an index beside it.

    Raises:
        OSError: when there are no weights, or a shard is missing.
    """
    bases = [SAFE_NAME, BIN_NAME]
    if use_safetensors is not None:
        bases = [SAFE_NAME if use_safetensors else BIN_NAME]
    tried: list[str] = []
    for base in bases:
        single, index = with_variant(base, variant), with_variant(f"{base}.index.json", variant)
        tried += [single, index]
        if (path := source.find(single)) is not None:
            return [path]
        if (path := source.find(index)) is not None:
            return source.get_all(shards_of(path))
    raise OSError(_no_weights(source, tried, variant))


def shards_of(index: Path) -> list[str]:
    """The names of the shards that an index file names.

    Raises:
        OSError: when the index cannot be read.
    """
    table = read_json_object(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f"{index} has no weight_map: it is no index of shards")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(f"{index} names {name!r}, which lies outside the checkpoint")
    return names


def _no_weights(source: Source, tried: list[str], variant: str | None) -> str:
    there = source.listing()
    hint = ""
    foreign = [name for name in there if name.split("/")[-1] in _OTHER_FRAMEWORKS]
    weights = [name for name in there if name.endswith((".safetensors", ".bin"))]
    if weights and all(name.split("/")[-1].startswith("adapter_model.") for name in weights):
        hint = f" It holds an adapter alone ({weights[0]}), which goes on top of a model{_base_of(source)}."
    elif foreign and not weights:
        hint = (
            f" It has {', '.join(foreign)}: weights of another framework, which have to be converted first."
        )
    elif weights:
        hint = f" It has {', '.join(weights[:8])}: " + (
            "leave variant out?"
            if variant
            else "is variant=... or subfolder=... missing, or use_safetensors wrong?"
        )
    if source.doubt is not None:
        return (
            f"the weights of {source} are not in the cache, and the network was not used because "
            f"{source.doubt}. Download the model once with an internet connection."
        )
    return f"{source} has no weights: looked for {', '.join(tried)}.{hint}"


def _base_of(source: Source) -> str:
    """Where the model under an adapter is, as far as its config says it."""
    path = source.find("adapter_config.json")
    try:
        base = None if path is None else read_json_object(path).get("base_model_name_or_path")
    except ValueError:
        base = None
    load = "load that, and put the adapter on it: PeftModel.from_pretrained(model, adapter)"
    return f": {base!r}; {load}" if base else f", which its adapter_config.json does not name; {load}"


class _Table(WeightFile):
    """Tensors in memory, with the questions that a file answers."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        entries, end = {}, 0
        for name, value in tensors.items():
            entries[name] = Entry(value.dtype, tuple(value.shape), end, end := end + value.nbytes)
        layout = {name: [str(entry.dtype), list(entry.shape)] for name, entry in entries.items()}
        layout_hash = hashlib.sha256(json.dumps(layout).encode()).hexdigest()
        super().__init__(Path("the given tensors"), entries, header_hash=layout_hash)
        self._tensors = dict(tensors)

    @property
    def size(self) -> int:
        return sum(value.nbytes for value in self._tensors.values())

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name].detach()


def _refuse_pointer(path: Path) -> None:
    """Name a file that Git left in place of the weights."""
    with open(path, "rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(
                f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in {path.parent}, or "
                "load the model by its name"
            )


class TensorFiles:
    """The tensors of one or more weight files. Make one with `TensorFiles.of`."""

    def __init__(self, files: Sequence[WeightFile]) -> None:
        self._files = list(files)
        self._where: dict[str, WeightFile] = {}
        self._alias: dict[str, str] = {}
        for file in self._files:
            for name in file.names():
                if name in self._where:
                    raise CheckpointError(
                        f"tensor {name!r} is both in {self._where[name].path} and in {file.path}: "
                        "the folder mixes two checkpoints. Save or download it again."
                    )
                self._where[name] = file
        for file in self._files:
            for dropped, kept in file.metadata.items():  # names that share another one's tensor
                if kept in self._where and dropped not in self._where:
                    self._alias[dropped] = kept

    @classmethod
    def of(cls, paths: Iterable[str | Path]) -> TensorFiles:
        """Open weight files; only their headers are read.

        Raises:
            CheckpointError: for a damaged file, or two files with the same tensor.
        """
        return cls([open_file(Path(path)) for path in paths])

    @classmethod
    def holding(cls, tensors: Mapping[str, Tensor]) -> TensorFiles:
        """Take tensors that are in memory already: a `state_dict` in place of files."""
        return cls([_Table(tensors)])

    @property
    def paths(self) -> list[Path]:
        """The files; none for tensors in memory."""
        return [file.path for file in self._files if not isinstance(file, _Table)]

    @property
    def metadata(self) -> dict[str, str]:
        """The free-text entries of the safetensors headers."""
        return {key: value for file in self._files for key, value in file.metadata.items()}

    def names(self) -> list[str]:
        """The names of all tensors."""
        return [*self._where, *self._alias]

    def __contains__(self, name: object) -> bool:
        return name in self._where or name in self._alias

    def _find(self, name: str) -> tuple[WeightFile, str]:
        name = self._alias.get(name, name)
        if name not in self._where:
            raise KeyError(f"no tensor {name!r} in {', '.join(str(path) for path in self.paths)}")
        return self._where[name], name

    def place(self, name: str) -> tuple[int, int]:
        """Which file a tensor lies in, and where it begins there."""
        file, name = self._find(name)
        return self._files.index(file), file.entries[name].begin

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        file, name = self._find(name)
        return file.entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor, without reading it."""
        file, name = self._find(name)
        return file.entries[name].dtype

    def tensor(self, name: str, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """Return a tensor: on the file's own pages where neither dtype nor device ask for a copy.

        Args:
            name: its name.
            dtype: another floating dtype; integer and boolean tensors keep theirs.
            device: another device than the CPU.
        """
        file, name = self._find(name)
        kept = file.entries[name].dtype
        target = dtype if dtype is not None and kept.is_floating_point else kept
        place = torch.device(device) if device is not None else torch.device("cpu")
        if target == kept and place.type == "cpu":
            return file.tensor(name)
        return file.converted(name, target, place)

    def floating_dtype(self) -> torch.dtype | None:
        """The floating dtype that most values have; None when there is none."""
        counts: dict[torch.dtype, int] = {}
        for name in self._where:
            kind = self.dtype(name)
            if kind.is_floating_point:
                counts[kind] = counts.get(kind, 0) + int(torch.Size(self.shape(name)).numel())
        return max(counts, key=lambda kind: counts[kind]) if counts else None

    def fingerprint(self) -> str:
        """A cheap hash of names, dtypes, shapes, offsets and sizes. It does not see the values."""
        digest = hashlib.sha256()
        for file in sorted(self._files, key=lambda file: file.path.name):
            digest.update(f"{file.path.name} {file.size} {file.header_hash}\n".encode())
        return digest.hexdigest()

    def content_hash(self) -> str:
        """A hash of every byte of the files (reads them all)."""
        digest = hashlib.sha256()
        for file in sorted(self._files, key=lambda file: file.path.name):
            if isinstance(file, _Table):
                raise ValueError("tensors in memory have no content hash: save them first")
            digest.update(f"{file.path.name} {file_hash(file.path)}\n".encode())
        return digest.hexdigest()


def open_file(path: Path) -> WeightFile:
    """Open one weight file by the format that its name says.

    Raises:
        OSError: when it does not exist or is damaged.
    """
    if not path.is_file():
        raise OSError(f"there is no weight file {path}")
    _refuse_pointer(path)
    if is_safetensors(path):
        return SafetensorsFile(path)
    from formers.checkpoints.bin_file import BinFile  # what reads pickles is seldom needed

    return BinFile(path)
