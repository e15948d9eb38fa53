"""A Python function as the JSON schema of a tool that a model may call."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_SIMPLE: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


class TypeHintParsingException(TypeError):  # noqa: N818 - the ecosystem's name
    """A tool whose arguments cannot be described by their annotations."""


class DocstringParsingException(TypeError):  # noqa: N818 - the ecosystem's name
    """A tool whose docstring lacks what a model is told."""


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """Describe a function by its name, type hints and Google-style docstring.

    An argument's description may end with `(choices: ["a", "b"])`.

    Raises:
        TypeError: when the docstring, a type hint or an argument's description is missing.
    """
    name = getattr(function, "__name__", type(function).__name__)
    text = inspect.getdoc(function)
    if not text:
        raise DocstringParsingException(
            f"the tool {name} needs a docstring: its first lines tell the model what it is for"
        )
    description, arguments, returned = _sections(text)
    hints = get_type_hints(function)
    properties: dict[str, Any] = {}
    required = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.name not in hints:
            raise TypeHintParsingException(
                f"the tool {name} needs a type hint for its argument {parameter.name!r}"
            )
        if parameter.name not in arguments:
            raise DocstringParsingException(
                f"the docstring of the tool {name} needs a line for {parameter.name!r} under 'Args:'"
            )
        entry = _type(hints[parameter.name])
        told = arguments[parameter.name]
        choices = re.search(r"\(choices:\s*(\[.*?\])\)\s*$", told, re.DOTALL | re.IGNORECASE)
        if choices:
            import json

            entry["enum"] = [str(choice).strip() for choice in json.loads(choices.group(1))]
            told = told[: choices.start()].strip()
        properties[parameter.name] = {**entry, "description": told}
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    made: dict[str, Any] = {"name": name, "description": description, "parameters": parameters}
    if "return" in hints:
        made["return"] = _type(hints["return"])
        if returned:
            made["return"]["description"] = returned
    return {"type": "function", "function": made}


def _sections(text: str) -> tuple[str, dict[str, str], str]:
    parts = re.split(
        r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?):[ \t]*$", text, flags=re.MULTILINE
    )
    named = {parts[at]: parts[at + 1] for at in range(1, len(parts) - 1, 2)}
    body = next((named[key] for key in ("Args", "Arguments", "Parameters") if key in named), "")
    arguments: dict[str, str] = {}
    current = None
    for line in inspect.cleandoc(body).splitlines():
        found = re.match(r"(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)", line)
        if found and not line.startswith(" "):
            current = found.group(1)
            arguments[current] = found.group(2).strip()
        elif current and line.strip():
            arguments[current] += " " + line.strip()
    return parts[0].strip(), arguments, " ".join(inspect.cleandoc(named.get("Returns", "")).split())


def _type(hint: Any) -> dict[str, Any]:
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Union or origin is types.UnionType:
        return _union(inner)
    if origin is Literal:
        kinds = list(dict.fromkeys(_SIMPLE[type(choice)]["type"] for choice in inner))
        return {"type": kinds if len(kinds) > 1 else kinds[0], "enum": list(inner)}
    if hint is list or origin is list or (origin is tuple and inner[1:] == (...,)):
        return {"type": "array", "items": _type(inner[0])} if inner else {"type": "array"}
    if hint is tuple or origin is tuple:
        return (
            {"type": "array", "prefixItems": [_type(item) for item in inner]} if inner else {"type": "array"}
        )
    if hint is dict or origin is dict:
        made: dict[str, Any] = {"type": "object"}
        return {**made, "additionalProperties": _type(inner[1])} if len(inner) == 2 else made
    raise TypeHintParsingException(
        f"a tool's argument cannot be described: {typing.cast(Any, hint)!r} has no JSON type"
    )


def _union(inner: tuple[Any, ...]) -> dict[str, Any]:
    kinds = [_type(item) for item in inner if item is not type(None)]
    if len(kinds) == 1:
        made = kinds[0]
    elif all(set(kind) == {"type"} for kind in kinds):
        made = {"type": sorted(kind["type"] for kind in kinds)}
    else:
        made = {"anyOf": kinds}
    return {**made, "nullable": True} if type(None) in inner else made


get_json_schema = function_schema  # the ecosystem's name
