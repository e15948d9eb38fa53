"""Text files, plain or packed with gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The bytes of a file as a stream, unpacked where its name ends in .gz.

    Raises:
        ValueError: for a .gz that is no whole gzip file.
    """
    opener: Any = gzip.open if Path(path).suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}): fetch or pack it again") from error


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> str:
    """The whole text of a file; line ends stay as they are, and a byte-order mark goes.

    Raises:
        ValueError: for other bytes than the encoding has, or a .gz that is no whole gzip file.
    """
    try:
        with opened(path) as stream:
            return str(stream.read(), encoding)
    except UnicodeDecodeError as error:
        found = "UTF-8" if encoding.lower().startswith("utf-8") else encoding
        raise ValueError(
            f"{path} is not {found} text (byte {error.start}): save it as UTF-8 "
            f"(iconv -f latin1 -t utf-8), or read it with load_table(..., encoding='latin-1') or its own"
        ) from error
