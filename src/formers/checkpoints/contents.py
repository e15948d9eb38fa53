"""What tells the files of a model from others': a hash of each, and one over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from formers.checkpoints.weight_file import file_hash
from formers.hub import Source


def files_of(source: Source) -> list[str]:
    """The files of a model, sorted: without hidden ones, and without checkpoints of a training that goes on.

    Raises:
        OSError: when the repository cannot be read.
    """
    return sorted(name for name in source.listing() if not name.startswith((".", "checkpoint-")))


def hashes_of(source: Source) -> dict[str, str]:
    """File -> SHA-256, in hex; files of the Hub are downloaded where they are not in the cache.

    Raises:
        OSError: when one cannot be read.
    """
    return {name: file_hash(source.get(name)) for name in files_of(source)}


def content_hash(hashes: Mapping[str, str]) -> str:
    """One hash over names and hashes of files: `sha256:` and 64 hex digits."""
    total = hashlib.sha256()
    for name in sorted(hashes):
        total.update(f"{name}\0{hashes[name]}\n".encode())
    return f"sha256:{total.hexdigest()}"
