"""Answers in channels, as gpt-oss writes them: thoughts, calls, what is said.

The harmony format: messages of a header and a body, `<|channel|>analysis<|message|>..<|end|>` and so
on; a call names whom it is for in its header (`to=functions.NAME`), and its body is the arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from formers.generation.structure import HEAD
from formers.serving.writing.forms import Form
from formers.serving.writing.texts import begun
from formers.serving.writing.tools import Call, Tools, arguments_rule, bounded, mark_in_grammar

START, CHANNEL, MESSAGE, END = "<|start|>", "<|channel|>", "<|message|>", "<|end|>"
_ENDS = (END, "<|call|>", "<|return|>", START)
_FOR = re.compile(r"to=functions\.([a-zA-Z0-9_-]{1,64})")
_NAME = re.compile(re.escape(CHANNEL) + r"\s*([a-z]+)")


def is_harmony(template: str) -> bool:
    """Whether a chat template teaches channels."""
    return CHANNEL in template and MESSAGE in template


@dataclass(frozen=True)
class Thought:
    """A piece of what is no answer."""

    text: str


class Channels:
    """Tells calls, thoughts and text from one answer in pieces.

    A text without a header is said. A call is told when it is whole; one of no tool is said, too.

    Args:
        tools: that may be called; None for none.
    """

    def __init__(self, tools: Tools | None) -> None:
        self.tools, self.found = tools, 0
        self.reason = "stop" if tools is None else tools.reason
        self._held = ""
        self._inside: Callable[[str], str | Thought] | None = (
            None  # a body whose pieces are told as they come
        )
        self._called: str | None = None  # whose arguments the body is

    def add(self, text: str) -> Iterator[str | Call | Thought]:
        """What is certain now."""
        self._held += text
        while self._held:
            if self._inside is None and self._called is None and not self._header():
                return
            at = min((at for at in map(self._held.find, _ENDS) if at >= 0), default=-1)
            if at < 0:
                if self._inside is not None:
                    yield from self._told(len(self._held) - max(begun(self._held, one) for one in _ENDS))
                return
            yield from self._body(at)
            mark = next(one for one in _ENDS if self._held.startswith(one))
            self._held = self._held.removeprefix(mark)

    def end(self) -> Iterator[str | Call | Thought]:
        """What was held back."""
        if self._inside is not None or self._called is not None:
            yield from self._body(len(self._held))
        elif self._held and CHANNEL not in self._held:
            yield self._held
        self._held = ""

    def _header(self) -> bool:
        """Read what stands before a body; whether there is one."""
        at = self._held.find(MESSAGE)
        if at < 0:
            opens = self._held.lstrip().removeprefix(START).removeprefix("assistant").lstrip()
            marks = (START, CHANNEL, "assistant", "to=")
            if any(opens.startswith(one) or one.startswith(opens) for one in marks):
                return False
            self._inside = str
            return True
        header, self._held = self._held[:at], self._held[at + len(MESSAGE) :]
        named, channel = _FOR.search(header), _NAME.search(header)
        if named is not None and self.tools is not None and named[1] in self.tools.names:
            self._called = named[1]
        else:
            self._inside = Thought if channel is not None and channel[1] == "analysis" else str
        return True

    def _body(self, at: int) -> Iterator[str | Call | Thought]:
        """The rest of a body, which ends there."""
        if self._called is None:
            yield from self._told(at)
        else:
            text, self._held = self._held[:at], self._held[at:]
            yield self._call(self._called, text)
        self._inside = self._called = None

    def _told(self, count: int) -> Iterator[str | Thought]:
        assert self._inside is not None
        text, self._held = self._held[:count], self._held[count:]
        if text:
            yield self._inside(text)

    def _call(self, name: str, text: str) -> Call | str:
        try:
            arguments = json.loads(text or "{}")
        except (ValueError, RecursionError):
            return text
        if self.tools is None or not isinstance(arguments, dict):
            return text
        self.found += 1
        told = json.dumps(arguments, ensure_ascii=False)
        return Call(self.found - 1, self.tools.identifier(), name, told)


def channels_form(tools: Tools | None, content: str | None, tokenizer: Any) -> Form | None:
    """What an answer may be: thoughts, then one call or `content` (a schema); None where it may be anything.

    Raises:
        BadField: the schemas are too large.
    """
    given = [] if tools is None else [one["function"] for one in tools.given]
    forced = tools is not None and tools.choice != "auto"
    if content is None and not forced and not any(one.get("strict") for one in given):
        return None
    start, channel, message, end, json_kind = (
        mark_in_grammar(one, tokenizer) for one in (START, CHANNEL, MESSAGE, END, "<|constrain|>")
    )
    # commentary is said, and what is said is to be the schema's
    silent = '"analysis" | "commentary"' if content is None else '"analysis"'
    rules = [r"TEXT: /(.|\n)*/", f"silent: {silent}"]
    rules.append(f'thought: {channel} silent {message} TEXT {end} {start} "assistant"')
    last = []
    for i, function in enumerate(given):
        if tools is not None and tools.choice in ("auto", "required", function["name"]):
            head = f"{channel} {json.dumps('commentary to=functions.' + function['name'] + ' ')}"
            last.append(f"call_{i}")
            rules.append(f'call_{i}: {head} {json_kind} "json" {message} {arguments_rule(function)}')
    if not forced:
        said = "TEXT" if content is None else f"%json {content}"
        last.append("final")
        rules.append(f'final: {channel} "final" {message} {said}')
    rules.insert(0, f"start: thought* ({' | '.join(last)})")
    return Form("response_format", HEAD + "\n".join(rules)) if tools is None else bounded(tools, rules)


def thought_tokens(tokens: Iterable[int], text_of: Callable[[int], bytes]) -> int:
    """How many tokens of an answer are thoughts."""
    parser = Channels(None)
    parts = (parser.add(text_of(token).decode(errors="replace")) for token in tokens)
    return sum(any(isinstance(one, Thought) for one in found) for found in parts)
