"""Chat templates: Jinja in a sandbox, with the words that checkpoints' templates use."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

# Where a message's reasoning stands, in the spellings that templates and servers use.
REASONING = ("reasoning_content", "thinking", "reasoning")
DEEPEST = 100  # lists and maps within each other
LONGEST = 2000  # characters of an error that are quoted
MOST_SOURCE = 1_000_000  # characters of a template
_TAG = "\ue000CONTINUE HERE\ue001 "


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A conversation as text, and the (start, end) characters of what the assistant said."""

    text: str
    spans: list[tuple[int, int]]


@lru_cache(maxsize=1)
def sandbox() -> Any:
    """Make the environment that templates run in."""
    from formers.tokenization.sandbox import Sandbox

    return Sandbox()


@lru_cache(maxsize=64)
def compiled(source: str) -> Any:
    """Compile a template.

    Raises:
        ValueError: when it is not valid Jinja, or too long or deep to be a template.
    """
    from jinja2 import TemplateSyntaxError

    from formers.tokenization.sandbox import budgeted

    if len(source) > MOST_SOURCE:
        raise ValueError(
            f"the chat template has {len(source):,} characters; at most {MOST_SOURCE:,} are taken"
        )
    try:
        with budgeted():
            return sandbox().from_string(source)
    except (RecursionError, MemoryError, SyntaxError) as error:  # of Python's own compiler
        raise ValueError(f"the chat template is nested too deep: {error}") from error
    except TemplateSyntaxError as error:
        raise ValueError(
            f"the chat template is not valid Jinja: {error.message} (line {error.lineno})"
        ) from error


@lru_cache(maxsize=64)
def variables_of(source: str) -> frozenset[str]:
    """Return the names of the variables that a template reads."""
    from jinja2.meta import find_undeclared_variables

    compiled(source)
    return frozenset(find_undeclared_variables(sandbox().parse(source)))


def plain(value: Any, depth: int = 0) -> Any:
    """Rebuild a value of plain JSON types, so that a template sees nothing with methods of its own.

    Anything else (images, arrays) becomes a placeholder with the name of its type.

    Raises:
        ValueError: when it is nested deeper than a conversation can be, or holds itself.
    """
    if depth > DEEPEST:
        raise ValueError(f"a message, tool, document or variable is nested more than {DEEPEST} deep")
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {
            plain(key) if key is None or isinstance(key, (str, int, float)) else str(key): plain(
                item, depth + 1
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name), depth + 1) for item in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return plain(value.model_dump(), depth + 1)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item(), depth + 1)
    return f"<{type(value).__name__}>"


def _messages(conversation: Any) -> list[dict[str, Any]]:
    """Read a conversation: messages as dictionaries, without the keys whose value is None."""
    found = []
    for place, message in enumerate(plain(list(getattr(conversation, "messages", conversation)))):
        if not isinstance(message, dict):
            raise TypeError(
                f"message {place} must be a dictionary such as {{'role': 'user', 'content': '...'}}, but "
                f"is {message!r:.200}"
            )
        message = {key: value for key, value in message.items() if value is not None}
        thought = next((message[key] for key in REASONING if key in message), None)
        if thought is not None:
            message = {"thinking": thought, **message, "reasoning_content": thought}
        found.append(message)
    if not found:
        raise ValueError("the conversation is empty: pass at least one message")
    return found


def render(
    source: str,
    conversation: Any,
    *,
    continue_final: bool | str,
    mark: bool,
    variables: Mapping[str, Any],
) -> Rendered:
    """Write one conversation.

    Args:
        source: the template.
        conversation: messages, or an object with `messages`.
        continue_final: leave the last message open; a string names the key of it that goes on.
        mark: whether to find what the assistant said (`{% generation %}` blocks).
        variables: everything else that the template sees, already plain.

    Raises:
        ValueError: when the last message does not appear as it is, so that it cannot go on.
    """
    from formers.tokenization.sandbox import MARKS, budgeted

    template = compiled(source)
    messages = _messages(conversation)
    final = _leave_open(messages[-1], continue_final, source) if continue_final else ""
    # Characters of a private area that neither the messages nor the template contain stand for the borders.
    marks = _unused_pair(source + json.dumps(messages, ensure_ascii=False)) if mark else None
    try:
        with budgeted():
            text = template.render(messages=messages, **{**variables, MARKS: marks})
    except Exception as error:  # a template is a program of somebody else's, and raises what it likes
        said = str(error)[:LONGEST] or type(error).__name__
        raise _refusal()(f"the chat template refused this conversation: {said}") from error
    spans: list[tuple[int, int]] = []
    if marks is not None:
        text, spans = _take_marks(text, marks)
    if continue_final:
        text = _cut_after(text, final)
    return Rendered(text, spans)


@lru_cache(maxsize=1)
def _refusal() -> type[Exception]:
    """Return an error that is a ValueError and what code written for Jinja catches."""
    from jinja2 import TemplateError

    return type("ChatTemplateError", (TemplateError, ValueError), {"__module__": __name__})


def marks_generation(source: str) -> bool:
    """Whether a template says where the assistant speaks."""
    return re.search(r"\{%-?\s*generation\b", source) is not None


def _leave_open(message: dict[str, Any], which: bool | str, source: str) -> str:
    key = which if isinstance(which, str) else "content"
    value = message.get(key)
    if value is None:
        raise ValueError(f"continue_final_message: the last message has no {key!r} to go on with")
    if isinstance(value, list):
        for block in reversed(value):
            if isinstance(block, dict) and "text" in block:
                final = str(block["text"])
                block["text"] = final + _TAG
                return final
        raise ValueError("continue_final_message: the last message holds no text to go on with")
    keys = [name for name in REASONING if message.get(name) == value] if key in REASONING else [key]
    if not any(name in source for name in keys):
        raise ValueError(f"continue_final_message: this chat template never writes {key!r}")
    for name in keys:
        message[name] = value + _TAG
    return str(value)


def _cut_after(text: str, final: str) -> str:
    at = text.rfind(_TAG.strip())
    if at < 0 or final.strip() not in text:
        raise ValueError(
            "continue_final_message: the chat template does not write the last message as it is, so it "
            f"cannot go on. The message: {final.strip()[:LONGEST]!r}. What was written: {text[:LONGEST]!r}"
        )
    # Where the template strips messages, the space before the border goes too.
    return text[:at] if text[at : at + len(_TAG)] == _TAG else text[:at].rstrip()


def _unused_pair(text: str) -> tuple[str, str]:
    used = set(text)
    free = [chr(code) for code in range(0xE100, 0xF8FF) if chr(code) not in used]
    if len(free) < 2:
        raise ValueError(
            "return_assistant_tokens_mask: the messages hold every character of the private area"
        )
    return free[0], free[1]


def _take_marks(text: str, marks: tuple[str, str]) -> tuple[str, list[tuple[int, int]]]:
    out: list[str] = []
    spans: list[tuple[int, int]] = []
    length, start = 0, 0
    for character in text:
        if character == marks[0]:
            start = length
        elif character == marks[1]:
            spans.append((start, length))
        else:
            out.append(character)
            length += 1
    return "".join(out), spans


def schema(tool: Any) -> dict[str, Any]:
    """Describe a tool: a JSON schema as it is, or a function with type hints and a Google-style docstring.

    Raises:
        TypeError: for anything else, or a function whose hints or docstring are missing.
    """
    if isinstance(tool, Mapping):
        return dict(plain(tool))
    if callable(tool):
        from formers.tokenization.tools import function_schema

        return function_schema(tool)
    raise TypeError(f"a tool must be a JSON schema or a function, but is a {type(tool).__name__}")


def check_documents(documents: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    """Read documents for retrieval: dictionaries with `title` and `text`."""
    if documents is None:
        return None
    found = plain(list(documents))
    for place, document in enumerate(found):
        if not isinstance(document, dict):
            raise TypeError(
                f"document {place} must be a dictionary with 'title' and 'text', but is {document!r:.200}"
            )
    return list(found)
