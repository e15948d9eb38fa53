"""Text files, plain or packed with gzip, in the encoding that their first bytes say."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_GZIP = b"\x1f\x8b"
# How files begin that are no text, and what to do with them.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save its table as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save its table as CSV",
    b"BZh9": "packed with bzip2: unpack it (bunzip2)",
    b"\xfd7zX": "packed with xz: unpack it (unxz)",
    b"(\xb5/\xfd": "packed with zstd: unpack it (unzstd)",
    b"PAR1": "a Parquet table: give it the ending .parquet",
}
# The marks of encodings; that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The bytes of a file as a stream, unpacked where its name or its first bytes say gzip.

    Raises:
        ValueError: for no whole gzip file, or one that is packed otherwise, as an Excel workbook is.
    """
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start in _OTHERS:
        raise ValueError(f"{path} is {_OTHERS[start]}")
    packed = start.startswith(_GZIP) or Path(path).suffix.lower() == ".gz"
    opener: Any = gzip.open if packed else open
    try:
        with opener(path, "rb") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}): fetch or pack it again") from error


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> str:
    """The whole text of a file; line ends stay as they are, and a byte-order mark goes.

    A mark of UTF-16 or UTF-32 is obeyed where `encoding` is UTF-8.

    Raises:
        ValueError: for other bytes than the encoding has, or what `opened` refuses.
    """
    with opened(path) as stream:
        data: bytes = stream.read()
    unicode = encoding.lower().startswith("utf-8")
    try:
        text = str(data, (marked(data) or "utf-8") if unicode else encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if unicode and not marked(data) else marked(data) or encoding
        raise ValueError(
            f"{path} is not {name} text (byte {error.start}): save it as UTF-8 ({conversion(data)}), or read "
            "it with load_table(..., encoding='latin-1') or its own"
        ) from error
    if "\0" in text[:1000]:
        raise ValueError(f"{path} holds characters of value 0: save it as UTF-8 ({conversion(data)})")
    return text


def marked(data: bytes) -> str | None:
    """The encoding that the mark at the start of `data` names; None without one."""
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def conversion(data: bytes) -> str:
    """The command that makes UTF-8 of a file that begins with `data`, as far as that can be guessed."""
    zero = data[:1000].find(b"\0")  # letters of UTF-16 have one in each pair of bytes
    guess = "latin1" if zero < 0 else f"utf-16{'be' if zero % 2 == 0 else 'le'}"
    return f"iconv -f {marked(data) or guess} -t utf-8"
