"""A JSON file in a model's folder: what `config.json` and `generation_config.json` have in common."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.jsonfile import JsonRecord
from formers.core.notices import refuse_unknown
from formers.hub import PUSH_KEYWORDS, Pushable, push_saved

if TYPE_CHECKING:
    from typing_extensions import Self


class ConfigFile(JsonRecord, Pushable):
    """A record of settings that is written with its keys sorted, and of which only what was chosen."""

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes to disk."""
        return self.to_dict()

    def to_json_string(self, use_diff: bool = True) -> str:
        """The JSON text, keys sorted, as the file holds it."""
        return self._as_json(self.to_diff_dict() if use_diff else self.to_dict())

    @staticmethod
    def _as_json(content: Mapping[str, Any]) -> str:
        return json.dumps(_json_ready(content), indent=2, sort_keys=True) + "\n"

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


def _json_ready(value: Any) -> Any:
    """Make keys strings, and dtypes their names, all the way down."""
    if isinstance(value, Mapping):
        if value and all(isinstance(key, tuple) for key in value):  # a bias of sequences of token ids
            return [[list(key), _json_ready(item)] for key, item in value.items()]
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    return value
