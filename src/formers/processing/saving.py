"""Processors as folders, and their settings as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from formers.core.atomic import write_text
from formers.core.jsonfile import plain, read_json_object
from formers.core.notices import refuse_unknown
from formers.hub import Source, split_hub_keywords
from formers.hub.push import split_push_keywords
from formers.hub.pushable import Pushable, push_saved

FILE, NESTED_FILE = "preprocessor_config.json", "processor_config.json"


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


class Settings(Saving):
    """Settings by the names of `preprocessor_config.json`, which are attributes too."""

    part: ClassVar[str] = ""  # what the settings are called in the file of a processor of several parts
    also: ClassVar[tuple[str, ...]] = ()  # what else they may be called there
    _names: list[str]

    def __init__(self, **settings: Any) -> None:
        self._names = list(settings)
        for name, value in settings.items():
            setattr(self, name, value)

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names that a call of `from_pretrained` may give, whatever the file says."""
        return set()

    @classmethod
    def settings_of(cls, name: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings in the files of a checkpoint, and the keywords that are not the Hub's.

        Raises:
            OSError: when there are none.
        """
        hub, rest = split_hub_keywords(options)
        if isinstance(name, (str, Path)) and Path(name).is_file():
            return read_json_object(name), rest
        source = Source.of(name, **hub)
        nested = source.find(NESTED_FILE)
        said = read_json_object(nested) if nested is not None else {}
        for one in (cls.part, *cls.also):
            if isinstance(said.get(one), dict):
                return said[one], rest
        return read_json_object(source.get(FILE)), rest

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the settings of a folder, a file or a Hub id.

        Args:
            pretrained_model_name_or_path: folder, `preprocessor_config.json`, or `owner/name`.
            options: Hub keywords, and settings that win over the file. With `return_unused_kwargs=True` the
                answer is `(processor, unused)`.

        Raises:
            OSError: when there is no such file.
            TypeError: for a keyword that is neither.
        """
        values, rest = cls.settings_of(pretrained_model_name_or_path, **options)
        return cls.from_dict(values, **rest)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **options: Any) -> Any:
        """One with the settings of a file; see `from_pretrained`."""
        unused_too = bool(options.pop("return_unused_kwargs", False))
        known = {*cls.known_settings(), *values}
        unused = {name: value for name, value in options.items() if name not in known}
        if not unused_too:
            refuse_unknown(unused, known, f"{cls.__name__}.from_pretrained")
        made = cls(**{**values, **{k: v for k, v in options.items() if k in known}})
        return (made, unused) if unused_too else made

    def to_dict(self) -> dict[str, Any]:
        """The settings, and the name of the class."""
        names = dict.fromkeys((*self._names, *vars(self)))  # classes of one's own may set more
        values = {name: getattr(self, name) for name in names if not name.startswith("_")}
        kept = {
            name: plain(value, lambda one: one.tolist() if isinstance(one, np.ndarray) else one)
            for name, value in values.items()
            if value is not None or self._none_is_written(name)
        }
        return {**kept, f"{self.part}_type": type(self).__name__}

    def _none_is_written(self, name: str) -> bool:
        """Whether None is written, as it is not what the setting is without it."""
        return False

    def to_json_string(self) -> str:
        """`to_dict` as JSON, sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def written(self, folder: Path) -> list[str]:
        """Write `preprocessor_config.json`."""
        write_text(folder / FILE, self.to_json_string())
        return [str(folder / FILE)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"
