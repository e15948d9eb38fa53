"""What `importlib.metadata` is told of the packages that formers stands for."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any


class Claimed(metadata.Distribution):
    """A package that formers stands for, as `importlib.metadata` has packages."""

    def __init__(self, name: str, version: str) -> None:
        self._text = {
            "METADATA": described(name, version),
            "top_level.txt": f"{name}\n",
            "INSTALLER": "formers\n",
        }

    def read_text(self, filename: str) -> str | None:
        """One of the files that describe a package; None for those that there are not."""
        return self._text.get(str(filename))

    def locate_file(self, path: Any) -> Any:
        """Where a file of the package would lie: beside formers."""
        from pathlib import Path

        return Path(str(sys.modules["formers"].__file__)).parent.parent / path


def described(name: str, version: str) -> str:
    """A package's METADATA file."""
    return (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"Summary: formers under the name of {name} (formers.dropin).\n"
    )
