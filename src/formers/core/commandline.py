"""A command line from dataclasses: `HfArgumentParser`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def string_to_bool(value: str | bool) -> bool:
    """Read yes/no, true/false, t/f, y/n, 1/0 in any case.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    if isinstance(value, bool):
        return value
    word = value.lower()
    if word not in (*_TRUE, *_FALSE):
        raise argparse.ArgumentTypeError(
            f"{value!r} is neither true nor false: {', '.join((*_TRUE, *_FALSE))}"
        )
    return word in _TRUE


def HfArg(  # noqa: N802  (the ecosystem's name)
    *,
    aliases: str | list[str] | None = None,
    help: str | None = None,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    metadata: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """A field of a dataclass with other names for the command line (`aliases`) and a text for its help."""
    said = {"aliases": aliases, "help": help}
    about = {**(metadata or {}), **{name: value for name, value in said.items() if value is not None}}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(metadata=about, default_factory=default_factory, **kwargs)
    return dataclasses.field(metadata=about, default=default, **kwargs)


class HfArgumentParser(argparse.ArgumentParser):
    """Options of a command line for the fields of dataclasses, read back into those dataclasses.

    A field `max_length: int = 5` is the option `--max_length 5`, or `--max-length`. Its help is
    `metadata={"help": ...}`, other names are `metadata={"aliases": ["-m"]}`. A `bool` needs no value, and one
    that is true by itself has `--no_NAME`; an `Enum` and a `Literal` list their choices; a `list` takes
    several values; a `dict` takes JSON. Options may be added as to any `argparse.ArgumentParser`. A dataclass
    that takes older keywords too names them in `_older_options`, each with the field whose values it takes,
    or with None.

    Args:
        dataclass_types: one dataclass, or several; one with `_argument_group_name` is a group of the help.
        **kwargs: those of `argparse.ArgumentParser`.

    Raises:
        TypeError: for what is no dataclass, and for an annotation that cannot be resolved.
    """

    def __init__(self, dataclass_types: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(**kwargs)
        given = [dataclass_types] if dataclasses.is_dataclass(dataclass_types) else dataclass_types
        self.dataclass_types: list[Any] = list(given or ())
        for kind in self.dataclass_types:
            self._add_dataclass(kind)

    def _add_dataclass(self, kind: Any) -> None:
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise TypeError(f"HfArgumentParser takes dataclasses, not {kind!r}")
        try:
            hints = get_type_hints(kind)
        except (NameError, TypeError) as error:
            raise TypeError(
                f"the annotations of {kind.__name__} cannot be resolved ({error}): define the dataclass at "
                "the top of a module, and import the names in its annotations there"
            ) from error
        group = getattr(kind, "_argument_group_name", None)
        place = self if group is None else self.add_argument_group(group)
        for field in dataclasses.fields(kind):
            if field.init:
                _add_field(place, field, hints[field.name])
        for older, name in _older_options(kind).items():
            if older not in hints:
                _add_older(place, older, hints[name] if name else int | bool | str)

    def parse_args_into_dataclasses(
        self,
        args: Sequence[str] | None = None,
        return_remaining_strings: bool = False,
        look_for_args_file: bool = True,
        args_filename: str | None = None,
        args_file_flag: str | None = None,
    ) -> tuple[Any, ...]:
        """Read a command line.

        Args:
            args: the words; None takes those of this process.
            return_remaining_strings: whether the last entry lists words that no option took.
            look_for_args_file: first read the words of NAME.args beside the script NAME.py, if there is one.
            args_filename: read the words of this file first.
            args_file_flag: an option that names files whose words are read first; later ones win.

        Returns:
            One instance for each dataclass; then a namespace of the options that belong to none, where there
            are any; then, if asked for, the list of the remaining words.

        Raises:
            ValueError: for words that no option took.
        """
        words = list(sys.argv[1:] if args is None else args)
        files: list[Path] = []
        if args_filename or (look_for_args_file and sys.argv and sys.argv[0]):
            files.append(Path(args_filename) if args_filename else Path(sys.argv[0]).with_suffix(".args"))
        if args_file_flag:
            asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            asked.add_argument(args_file_flag, type=Path, action="append", dest="files")
            found, words = asked.parse_known_args(words)
            files += found.files or []
        for file in reversed(files):
            if file.is_file():
                words = file.read_text(encoding="utf-8").split() + words
        namespace, remaining = self.parse_known_args(words)
        said = self._said(words, namespace)
        made = []
        for kind in self.dataclass_types:
            names = [field.name for field in dataclasses.fields(kind) if field.init]
            names += [name for name in _older_options(kind) if hasattr(namespace, name)]
            values = {name: getattr(namespace, name) for name in names}
            made.append(kind(**_beside_defaults(kind, values, said)))
            for name in names:
                delattr(namespace, name)
        if vars(namespace):
            made.append(namespace)
        if return_remaining_strings:
            return (*made, remaining)
        if remaining:
            raise ValueError(
                f"these words belong to no option: {remaining}; --help lists the options, and "
                "return_remaining_strings=True returns such words"
            )
        return tuple(made)

    def _said(self, words: Sequence[str], read: argparse.Namespace) -> set[str]:
        """Which options a command line has: a default may follow another one, what was said does not."""
        unsaid = object()
        again, _ = self.parse_known_args(words, argparse.Namespace(**dict.fromkeys(vars(read), unsaid)))
        return {name for name, value in vars(again).items() if value is not unsaid}

    def parse_dict(self, args: Mapping[str, Any], allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """Make the dataclasses from a dictionary of their fields.

        Raises:
            ValueError: for keys that are fields of none, unless `allow_extra_keys`.
        """
        unused = set(args)
        made = []
        for kind in self.dataclass_types:
            names = {field.name for field in dataclasses.fields(kind) if field.init} | set(
                _older_options(kind)
            )
            unused -= names
            made.append(kind(**{name: value for name, value in args.items() if name in names}))
        if unused and not allow_extra_keys:
            raise ValueError(f"these keys are fields of none of the dataclasses: {sorted(unused)}")
        return tuple(made)

    def parse_json_file(self, json_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """Make the dataclasses from a file that holds one JSON object; see `parse_dict`."""
        from formers.core.jsonfile import read_json_object

        return self.parse_dict(read_json_object(Path(json_file)), allow_extra_keys)

    def parse_yaml_file(self, yaml_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """Make the dataclasses from a file that holds one YAML mapping; see `parse_dict`."""
        yaml = importlib.import_module("yaml")  # huggingface_hub brings it
        values = yaml.safe_load(Path(yaml_file).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(
                f"{yaml_file} must hold a mapping of fields, but holds a {type(values).__name__}"
            )
        return self.parse_dict(values, allow_extra_keys)


def _older_options(kind: Any) -> Mapping[str, str | None]:
    """Keywords of other releases that a dataclass takes beside its fields."""
    names: Mapping[str, str | None] = getattr(kind, "_older_options", {})
    return names


def _beside_defaults(kind: Any, values: Mapping[str, Any], said: set[str]) -> dict[str, Any]:
    """Values that were said, and others than the defaults of a dataclass, which it has without being told."""
    own = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            own[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            own[field.name] = field.default
    return {
        name: value for name, value in values.items() if name in said or name not in own or value != own[name]
    }


def _add_older(place: Any, older: str, hint: Any) -> None:
    """Add a keyword of other releases as an option, which the help leaves out and which has no default."""
    kinds = _members(hint)
    switch: dict[str, Any] = {"nargs": "?", "const": True} if bool in kinds else {}
    read = _reader(kinds, [choice for kind in kinds for choice in _choices(kind)], older)
    names = dict.fromkeys((f"--{older}", f"--{older.replace('_', '-')}"))
    place.add_argument(
        *names, dest=older, type=read, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **switch
    )


def _add_field(place: Any, field: dataclasses.Field[Any], hint: Any) -> None:
    """Add the option of one field."""
    about = dict(field.metadata)
    aliases = about.get("aliases") or []
    names = [f"--{field.name}", *([aliases] if isinstance(aliases, str) else aliases)]
    if "_" in field.name:
        names.insert(1, f"--{field.name.replace('_', '-')}")
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    missing = default is dataclasses.MISSING
    options: dict[str, Any] = {"help": about.get("help"), "required": missing}
    if not missing:
        options["default"] = default
    kinds = _members(hint)
    if kinds == [bool]:
        # true by itself and not only perhaps: it can be switched off by a word of its own
        options |= {"type": string_to_bool, "nargs": "?", "const": True, "required": False}
        options["default"] = False if missing else default
        place.add_argument(*names, dest=field.name, **options)
        if default is True and hint is bool:
            off = [f"--no_{field.name}", f"--no-{field.name.replace('_', '-')}"]
            place.add_argument(
                *dict.fromkeys(off), action="store_false", dest=field.name, help=argparse.SUPPRESS
            )
        return
    container = next((kind for kind in kinds if (get_origin(kind) or kind) in (list, tuple, set)), None)
    if container is not None:
        options |= {"nargs": "+", "action": _gathered_as(get_origin(container) or container)}
        inner = [one for one in get_args(container) if one is not Ellipsis]
        kinds = _members(inner[0]) if inner else [str]
    choices = [choice for kind in kinds for choice in _choices(kind)]
    if choices:
        options["choices"] = choices
    options["type"] = _reader(kinds, choices, field.name)
    place.add_argument(*names, dest=field.name, **options)


def _gathered_as(container: Callable[[Iterable[Any]], Any]) -> type[argparse.Action]:
    """An action that keeps the values of an option in a list, a tuple or a set."""

    class Gather(argparse.Action):
        def __call__(
            self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
        ) -> None:
            setattr(namespace, self.dest, container(values))

    return Gather


def _members(hint: Any) -> list[Any]:
    """The types of a union, None left out; a type that is no union by itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for one in get_args(hint) if one is not type(None) for kind in _members(one)]
    return [hint]


def _choices(kind: Any) -> Iterable[Any]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return ()


def _reader(kinds: Sequence[Any], choices: Sequence[Any], name: str) -> Callable[[str], Any]:
    """What turns a word into a value: a choice that is written so, else the first type that takes it."""
    known = {str(choice): choice for choice in choices}

    def read(word: str) -> Any:
        if word in known:
            return known[word]
        for kind in sorted(kinds, key=_exactness):
            plain = get_origin(kind) or kind
            try:
                if plain is bool:
                    return string_to_bool(word)
                if plain in (dict, Mapping):
                    value = json.loads(word)
                    if isinstance(value, dict):
                        return value
                elif plain is Any:
                    return word
                elif callable(plain) and not _choices(plain):
                    return plain(word)
            except (ValueError, TypeError, argparse.ArgumentTypeError):
                continue
        if choices:
            return word  # argparse lists the choices
        wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise argparse.ArgumentTypeError(f"{word!r} is no {wanted}")

    read.__name__ = name  # argparse names it in its errors
    return read


def _exactness(kind: Any) -> int:
    """The order in which the types of a union are tried: text takes everything, so it comes last."""
    order = (int, float, bool, dict)
    plain = get_origin(kind) or kind
    return order.index(plain) if plain in order else len(order) + (plain is str)
