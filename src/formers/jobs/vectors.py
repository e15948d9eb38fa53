"""Vectors out: a row for every text, into .npy, .safetensors or JSON lines, in bounded memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from formers.core.atomic import refuse_unwritable, write_atomically

_HEAD = 256  # bytes of a safetensors header, which is written anew when the number of rows is known


class _Form(Protocol):
    """A kind of file: rows are added, and the end is told how many there were."""

    def begin(self, file: IO[bytes], width: int) -> None: ...
    def add(self, file: IO[bytes], text: str, vector: Any) -> None: ...
    def end(self, file: IO[bytes], width: int, rows: int) -> None: ...


class _Binary:
    """Rows of float32 behind a head that says how many there are."""

    def begin(self, file: IO[bytes], width: int) -> None:
        """Leave room for the head."""
        file.write(self._head(width, 0))

    def add(self, file: IO[bytes], text: str, vector: Any) -> None:
        """Add a row [E]."""
        file.write(vector.astype("<f4", copy=False).tobytes())

    def end(self, file: IO[bytes], width: int, rows: int) -> None:
        """Write the head, which is as long as before."""
        file.seek(0)
        file.write(self._head(width, rows))

    def _head(self, width: int, rows: int) -> bytes:
        raise NotImplementedError


class _Numpy(_Binary):
    def _head(self, width: int, rows: int) -> bytes:
        from io import BytesIO

        import numpy as np

        head = BytesIO()  # numpy leaves room for the first axis to grow
        shape = {"shape": (rows, width), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(head, shape)
        return head.getvalue()


class _Safetensors(_Binary):
    def _head(self, width: int, rows: int) -> bytes:
        entry = {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, rows * width * 4]}
        body = json.dumps({"embeddings": entry}).encode().ljust(_HEAD)
        return len(body).to_bytes(8, "little") + body


class _Lines:
    def begin(self, file: IO[bytes], width: int) -> None:
        """Nothing stands before the first line."""

    def add(self, file: IO[bytes], text: str, vector: Any) -> None:
        """Add a line with the text and its vector; it is on its way when it is made."""
        row = {"text": text, "embedding": [float(f"{value:.8g}") for value in vector.tolist()]}
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        file.flush()

    def end(self, file: IO[bytes], width: int, rows: int) -> None:
        """Nothing stands behind the last line."""


_FORMS: dict[str, _Form] = {".npy": _Numpy(), ".safetensors": _Safetensors(), ".jsonl": _Lines()}


def embedded(pipe: Any, blocks: Iterable[Iterable[str]], progress: bool = False) -> Iterator[tuple[str, Any]]:
    """Each text with its vector [E]; a list among `blocks` is answered before the next is asked for.

    Args:
        pipe: a `SentenceEmbeddingPipeline`.
        blocks: lists, or anything else that is read as a stream.
        progress: whether a bar is shown for streams.
    """
    for block in blocks:
        if isinstance(block, list):
            yield from zip(block, pipe(block), strict=True)
            continue
        texts: deque[str] = deque()

        def kept(block: Iterable[str] = block, texts: deque[str] = texts) -> Iterator[str]:
            for text in block:
                texts.append(text)
                yield text

        for vector in pipe(kept(), progress=progress):
            yield texts.popleft(), vector


def check(path: Path) -> None:
    """Refuse a path that vectors cannot be written to: before the work, not after it.

    Raises:
        ValueError: for another ending than those that are known.
        OSError: when nothing can be written there.
    """
    if path.suffix.lower() not in _FORMS:
        raise ValueError(f"{path.name} ends in none of {', '.join(_FORMS)}: name the file by what it holds")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    refuse_unwritable(path.parent)


def write(rows: Iterable[tuple[str, Any]], width: int, path: Path) -> int:
    """Write texts and vectors [E] to `path` as its ending says, wholly or not at all.

    Returns:
        How many there were.
    """
    check(path)
    form = _FORMS[path.suffix.lower()]
    with write_atomically(path) as part, part.open("wb") as file:
        return _written(form, rows, width, file)


def write_lines(rows: Iterable[tuple[str, Any]], file: IO[bytes]) -> int:
    """Write texts and vectors as JSON lines, and return how many there were."""
    return _written(_FORMS[".jsonl"], rows, 0, file)


def _written(form: _Form, rows: Iterable[tuple[str, Any]], width: int, file: IO[bytes]) -> int:
    count = 0
    form.begin(file, width)
    for text, vector in rows:
        form.add(file, text, vector)
        count += 1
    form.end(file, width, count)
    return count
