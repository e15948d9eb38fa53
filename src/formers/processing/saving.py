"""Processors as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from formers.core.notices import refuse_unknown
from formers.hub.push import split_push_keywords
from formers.hub.pushable import Pushable, push_saved


class Saving(Pushable):
    """What is saved into a folder, and pushed from there."""

    def written(self, folder: Path) -> list[str]:
        """Write the files into a folder that is there; returns their paths."""
        raise NotImplementedError(f"{type(self).__name__} writes nothing")

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Write the settings, and the files of a tokenizer where there is one, into a folder.

        Args:
            save_directory: made where it does not exist.
            push_to_hub: upload the files afterwards; `kwargs` (`repo_id`, `token`, ...) go to the upload.
            kwargs: see `push_to_hub`.

        Returns:
            The paths of the files.

        Raises:
            NotADirectoryError: when the path is a file.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise NotADirectoryError(f"{folder} is a file; a processor is saved into a folder")
        push, rest = split_push_keywords(kwargs)
        refuse_unknown(rest, ["push_to_hub", *push], f"{type(self).__name__}.save_pretrained")
        folder.mkdir(parents=True, exist_ok=True)
        written = self.written(folder)
        if push_to_hub:
            push_saved(folder, push, [Path(one).name for one in written])
        return written
