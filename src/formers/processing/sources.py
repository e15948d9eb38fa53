"""Bytes of pictures and sounds, from wherever they are: files, addresses, bytes, base64, open files."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from pathlib import Path
from typing import Any

LONGEST_DOWNLOAD = 1 << 28  # bytes
WAIT = 30.0  # seconds for an address to answer


def called(source: Any, kind: str) -> str:
    """What errors call a source: its path or address, or how it was given."""
    if isinstance(source, (str, os.PathLike)):
        said = os.fspath(source)
        return repr(said if len(said) <= 200 else f"{said[:60]}...")
    return repr(getattr(source, "filename", "") or f"a {kind} given as {type(source).__name__}")


def opened(source: Any, kind: str, bad: type[Exception], timeout: float | None, name: str) -> Any:
    """A file that can be read and sought.

    Args:
        source: a path, an http(s) address, bytes, a base64 text or `data:` URL, or a file that is open.
        kind: what it is, a picture or a sound.
        bad: what is raised.
        timeout: seconds for an address to answer.
        name: what errors call it.

    Raises:
        TypeError: for anything else than the above.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if hasattr(source, "read") and hasattr(source, "seek"):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"a {kind} is a path, an address, bytes, base64, an array, a tensor or an object that holds one, "
            f"not a {type(source).__name__}"
        )
    said = os.fspath(source)
    if re.match(r"https?://", said):
        return io.BytesIO(_download(said, kind, bad, timeout, name))
    if not said.startswith("data:") and len(said) < 4096 and Path(said).expanduser().is_file():
        return open(Path(said).expanduser(), "rb")  # noqa: SIM115  (the reader closes it)
    if len(said) < 4096 and Path(said).expanduser().is_dir():
        raise bad(f"{name} is a folder, not a {kind}")
    return io.BytesIO(_decoded(said, bad, name))


def _download(address: str, kind: str, bad: type[Exception], timeout: float | None, name: str) -> bytes:
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    from formers.core.environment import version

    asked = Request(address, headers={"User-Agent": f"formers/{version('formers')}"})
    try:
        with urlopen(asked, timeout=WAIT if timeout is None else timeout) as answer:
            found: bytes = answer.read(LONGEST_DOWNLOAD + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise bad(f"{name} does not answer with a {kind}: {error}") from error
    if len(found) > LONGEST_DOWNLOAD:
        raise bad(f"{name} is larger than {LONGEST_DOWNLOAD >> 20} MiB")
    return found


def _decoded(text: str, bad: type[Exception], name: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        found = base64.b64decode(re.sub(r"\s+", "", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad(f"there is no file {name}, and it is no address and no base64") from error
    if len(found) < 8:  # a short word is base64 by chance
        raise bad(f"there is no file {name}")
    return found
