"""A JSON file in a model's folder: what `config.json` and `generation_config.json` have in common."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.jsonfile import JsonRecord, plain
from formers.core.notices import refuse_or_leave_out, refuse_unknown
from formers.hub import PUSH_KEYWORDS, Pushable, push_saved

if TYPE_CHECKING:
    from typing_extensions import Self


class ConfigFile(JsonRecord, Pushable):
    """A record of settings that is written with its keys sorted, and of which only what was chosen."""

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Build from what a file holds."""
        raise NotImplementedError

    def override(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields and kept keys by keyword, and return the keywords that are neither."""
        raise NotImplementedError

    def known_names(self) -> Collection[str]:
        """What can be set by keyword."""
        raise NotImplementedError

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], *, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Build from a dictionary; `kwargs` that are fields or keys of it win over it.

        Returns:
            The config, or `(config, unused)` with `return_unused_kwargs=True`.

        Raises:
            TypeError: for a keyword that is neither (unless the unused ones are returned).
            ValueError: for values that contradict each other.
        """
        config = cls.from_content(config_dict)
        return config.with_unused(config.override(kwargs), return_unused_kwargs, "from_dict")

    def with_unused(self, unused: dict[str, Any], wanted: bool, where: str) -> Any:
        """The config and the keywords that it did not use, where they are wanted; else there may be none."""
        if wanted:
            return self, unused
        refuse_or_leave_out(unused, self.known_names(), f"{type(self).__name__}.{where}")
        return self

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes to disk."""
        return self.to_dict()

    def to_json_string(self, use_diff: bool = True) -> str:
        """The JSON text, keys sorted, as the file holds it."""
        return self._as_json(self.to_diff_dict() if use_diff else self.to_dict())

    @staticmethod
    def _as_json(content: Mapping[str, Any]) -> str:
        return json.dumps(plain(content), indent=2, sort_keys=True) + "\n"

    def _save(self, folder: str | os.PathLike[str], name: str, push: bool, options: dict[str, Any]) -> Path:
        """Write the file into a folder and, if wished, upload it."""
        folder = Path(folder)
        refuse_unknown(options, PUSH_KEYWORDS, f"{type(self).__name__}.save_pretrained")
        if folder.is_file():
            raise OSError(f"{folder} is a file; save_pretrained takes the name of a folder")
        self.to_json_file(folder / name)
        if push:
            push_saved(folder, options, files=[name])
        return folder / name

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ConfigFile) and type(other) is type(self) and self.to_dict() == other.to_dict()
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return twin
