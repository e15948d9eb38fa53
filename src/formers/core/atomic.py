"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def temporary_beside(path: Path) -> Path:
    """Return a fresh name in the folder of `path`; such names start with `.` and end in `.partial`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


def sync_file(path: Path) -> None:
    """Flush what was written under `path` to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to the disk (nothing to do where folders cannot be opened)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written into: before the work, not after it.

    Raises:
        OSError: naming the folder.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"0")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; on success it is synced and renamed to `path`.

    When the block raises, the temporary file goes and `path` is as it was. A reader sees the old
    file or the new one, never a part.

        with write_atomically("out/config.json") as part:
            part.write_text(text)
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(target)
    try:
        yield part
        sync_file(part)
        os.replace(part, target)
        sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 to `path`, atomically, and return the path."""
    target = Path(path)
    with write_atomically(target) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return target
