"""Tools that a chat may call: as clients name them, as models write calls, as answers tell them."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from formers.generation.structure import HEAD
from formers.serving.limits import is_unicode, quoted
from formers.serving.writing import values
from formers.serving.writing.forms import LONGEST_SCHEMA, Form, checked_schema
from formers.serving.writing.texts import begun
from formers.serving.writing.values import BadField, Body

MOST_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_JSON = json.JSONDecoder()
_HEADED = re.compile(r"\s*([a-zA-Z0-9_-]{1,64})\s*(?:\[CALL_ID\][^\[]*)?(?:\[ARGS\])?\s*(?=\{)")


@dataclass(frozen=True)
class Notation:
    """How a model writes its calls.

    Attributes:
        begin: what stands before calls; empty where a text that begins as JSON is one.
        end: what stands behind each.
        arguments: the key of the arguments.
        several: what stands before, between and behind several calls.
        headed: whether a call is a name before its arguments, not an object of both.
        around: what stands before such a name, behind it, and behind the arguments; empty for Mistral's.
    """

    begin: str = ""
    end: str = ""
    arguments: str = "arguments"
    several: tuple[str, str, str] = ("[", ", ", "]")
    headed: bool = False
    around: tuple[str, str, str] = ("", "", "")

    def call(self, text: str, at: int) -> tuple[str, Any, int] | None:
        """The headed call at a place of a text: its name, its arguments, where it ends; None without one."""
        before, behind, close = (re.escape(mark.strip()) for mark in self.around)
        head = _HEADED if not before else re.compile(rf"\s*{before}\s*({_NAME.pattern})\s*{behind}\s*(?=\{{)")
        named = head.match(text, at)
        if named is None:
            return None
        value, end = _JSON.raw_decode(text, named.end())
        closed = re.compile(rf"\s*{close}").match(text, end)
        return named[1], value, closed.end() if closed else end


def notation_of(template: str) -> Notation:
    """What a template teaches: Hermes' and Qwen's, Mistral's, Llama 3's, DeepSeek V3's, or plain JSON."""
    if "<tool_call>" in template:
        return Notation("<tool_call>", "</tool_call>", several=("", "\n", ""))
    if "[TOOL_CALLS]" in template:
        return Notation("[TOOL_CALLS]", headed="[ARGS]" in template)
    if "<｜tool▁calls▁begin｜>" in template:
        begin, between, end = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
        fenced = (f"{begin}function{between}", "\n```json\n", f"\n```{end}")  # V3 and R1; since V3.1 bare
        around, several = (fenced, "\n") if "```json" in template else ((begin, between, end), "")
        ends = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
        return Notation(*ends, several=("", several, ""), headed=True, around=around)
    if "<|python_tag|>" in template or '"parameters": dictionary' in template:
        return Notation(arguments="parameters", several=("", "; ", ""))
    return Notation()


@dataclass(frozen=True)
class Tools:
    """The tools of a request.

    Attributes:
        given: as the client sent them, for the template.
        names: what they are called.
        choice: "auto", "required", or the name of one.
        parallel: whether several may be called at once.
        notation: how the model writes calls.
    """

    given: list[dict[str, Any]]
    names: frozenset[str]
    choice: str
    parallel: bool
    notation: Notation

    @property
    def reason(self) -> str:
        """Why a text ended that calls a tool: one that was named is no decision of the model's."""
        return "tool_calls" if self.choice in ("auto", "required") else "stop"

    def identifier(self) -> str:
        """A new call's; Mistral's templates take nine letters and digits alone."""
        if self.notation.begin == "[TOOL_CALLS]":
            return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))
        return f"call_{secrets.token_hex(12)}"


def read_tools(body: Body, template: str | None, knows: bool) -> Tools | None:
    """The tools that may be called; None where there are none.

    Args:
        body: the request.
        template: the chat template.
        knows: whether it reads tools.

    Raises:
        BadField: they are none, or the template knows none.
    """
    given, choice = body.get("tools"), body.get("tool_choice")
    parallel = body.get("parallel_tool_calls") is None or values.flag(body, "parallel_tool_calls")
    if given is None or given == []:
        if choice not in (None, "none"):
            raise BadField("tool_choice", "tool_choice chooses among tools, and there are none")
        return None
    if not isinstance(given, list) or len(given) > MOST_TOOLS:
        raise BadField("tools", f"tools is a list of at most {MOST_TOOLS} functions")
    names = [_name_of(tool, f"tools[{place}]") for place, tool in enumerate(given)]
    if len(set(names)) < len(names):
        raise BadField("tools", "two of the tools have the same name")
    if choice is None or choice in ("auto", "none", "required"):
        wanted = str(choice or "auto")
    else:
        function = choice.get("function") if isinstance(choice, dict) else None
        found = function.get("name") if isinstance(function, dict) else None
        if not isinstance(found, str) or found not in names:
            said = (
                '"none", "auto", "required" or {"type": "function", "function": {"name": one of the tools}}'
            )
            raise BadField("tool_choice", f"tool_choice is {said}, not {quoted(choice)}")
        wanted = found
    if wanted == "none":
        return None
    if not knows:
        said = "the model's chat template knows no tools: it was not trained to call any"
        raise BadField("tools", said, "unsupported")
    return Tools(given, frozenset(names), wanted, parallel, notation_of(template or ""))


def _name_of(tool: Any, place: str) -> str:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise BadField(place, f'{place} is {{"type": "function", ...}}: no other tools are known')
    if not isinstance(tool.get("function"), dict):
        raise BadField(place, f"{place}.function is an object with a name and parameters")
    values.check_known(tool, ("type", "function"), {})
    function = tool["function"]
    values.check_known(function, ("name", "description", "parameters", "strict"), {})
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadField(
            place, f"{place}.function.name is up to 64 letters, digits, _ and -, not {quoted(name)}"
        )
    description, parameters = function.get("description"), function.get("parameters")
    if not isinstance(description, str | None) or not isinstance(parameters, dict | None):
        raise BadField(place, f"{place}.function: the description is a string, parameters a JSON schema")
    values.flag(function, "strict")
    return name


# -- messages ---------------------------------------------------------------------------------------------


def read_calls(given: Any, place: str, most: int) -> list[dict[str, Any]]:
    """The calls of an earlier answer, their arguments as the template reads them: objects.

    Raises:
        BadField: they are none.
    """
    if not isinstance(given, list):
        raise BadField(place, f"{place} is a list")
    found = []
    for number, call in enumerate(given):
        where = f"{place}[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict) or call.get("type") != "function":
            raise BadField(where, f'{where} is {{"id": ..., "type": "function", "function": ...}}')
        read = {key: values.text(function.get(key), f"{where}.function.{key}", most)
                for key in ("name", "arguments")}  # fmt: skip
        try:
            arguments = json.loads(read["arguments"] or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise BadField(where, f"{where}.function.arguments is a JSON object, as a string")
        identifier = values.text(call.get("id"), f"{where}.id", most)
        told = {"name": read["name"], "arguments": arguments}
        found.append({"id": identifier, "type": "function", "function": told})
    return found


# -- what may be written ----------------------------------------------------------------------------------


def form_of(tools: Tools, content: str | None, tokenizer: Any) -> Form | None:
    """What a text may be that calls the tools, or has `content` (a schema); None where it may be anything.

    A text that may call a tool is bound where a call or its number is: by a schema that is strict, by
    `parallel_tool_calls: false`, by a schema for what else it may be.

    Raises:
        BadField: the schemas are too large.
    """
    forced = tools.choice != "auto"
    strict = any(tool["function"].get("strict") for tool in tools.given)
    if not forced and not strict and tools.parallel and content is None:
        return None
    wanted = [one for one in tools.given if tools.choice in ("auto", "required", one["function"]["name"])]
    rules = [f"call_{i}: {_call(tools, tool['function'], tokenizer)}" for i, tool in enumerate(wanted)]
    rules.append("call: " + " | ".join(f"call_{i}" for i in range(len(wanted))))
    rules += _calls(tools, tokenizer)
    if forced:
        start = "calls"
    elif content is not None:
        start, rules = "calls | content", [*rules, f"content: %json {content}"]
    else:
        start, rules = _in_text(tools, tokenizer, rules)
    return bounded(tools, [f"start: {start}", *rules])


def bounded(tools: Tools, rules: Sequence[str]) -> Form:
    """The form that those rules are.

    Raises:
        BadField: they are too large.
    """
    source = "\n".join(rules)
    if len(source) > 2 * LONGEST_SCHEMA:
        raise BadField("tools", f"the schemas of all tools have at most {2 * LONGEST_SCHEMA} characters")
    return Form("tools" if tools.choice in ("auto", "required") else "tool_choice", HEAD + source)


def _call(tools: Tools, function: dict[str, Any], tokenizer: Any) -> str:
    """The rule of a call."""
    body = arguments_rule(function)
    notation, name = tools.notation, function["name"]
    if notation.headed:
        before, behind, close = (_marked(mark, tokenizer) for mark in notation.around)
        behind = behind or mark_in_grammar("[ARGS]", tokenizer)
        return f"{before} {_quoted(name)} {behind} {body} {close}".strip()
    begun = f'{{"name": "{name}", "{notation.arguments}": '
    return f"{_quoted(begun)} {body} {_quoted('}')}"


def arguments_rule(function: dict[str, Any]) -> str:
    """The rule of a function's arguments."""
    schema = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
    return "%json " + checked_schema("tools", schema, strict=bool(function.get("strict")))


def _calls(tools: Tools, tokenizer: Any) -> list[str]:
    """The rules of `calls`, one or several, and of `body`, which is that without its first mark."""
    notation, parallel = tools.notation, tools.parallel
    before, between, behind = map(_quoted, notation.several)
    begin = mark_in_grammar(notation.begin, tokenizer)
    if notation.headed:
        again, end = (between, mark_in_grammar(notation.end, tokenizer)) if notation.end else (begin, "")
        more = f"({again} call)*" if parallel else ""
        return [f"calls: {begin} body", f"body: call {more} {end}"]
    if notation.end:
        end = _quoted("\n") + " " + mark_in_grammar(notation.end, tokenizer)
        one = f"{_quoted(chr(10))} call {end}"
        more = f"({between} {begin} {one})*" if parallel else ""
        return [f"calls: {begin} body", f"body: {one} {more}"]
    if notation.begin:  # a list, also of one
        more = f"({between} call)*" if parallel else ""
        return [f"calls: {begin} body", f'body: " "? {before} call {more} {behind}']
    several = f"{before} call ({between} call)* {behind}"
    return [f"calls: call | {several}" if parallel else "calls: call"]


def _in_text(tools: Tools, tokenizer: Any, rules: list[str]) -> tuple[str, list[str]]:
    """The start and the rules of a text that may call tools in it."""
    begin = tools.notation.begin
    if not begin:
        return "calls | OTHER", [*rules, r"OTHER: /(\s*[^\s{\[](.|\n)*)?/"]
    mark = mark_in_grammar(begin, tokenizer)
    if mark.startswith("<["):
        rules = [*rules, f"tagged: TEXT {mark} body"]
    else:
        rules = [*rules, f"trigger[lazy]: TEXT {mark}", "tagged: trigger body"]
    return "tagged | rest", [*rules, "rest: TEXT", r"TEXT: /(.|\n)*/"]


def _quoted(text: str) -> str:
    return json.dumps(text) if text else ""


def _marked(text: str, tokenizer: Any) -> str:
    """Text with DeepSeek's marks in it, in a grammar."""
    return " ".join(mark_in_grammar(part, tokenizer) for part in re.split("(<｜[^｜]*｜>)", text) if part)


def mark_in_grammar(text: str, tokenizer: Any) -> str:
    """A mark in a grammar: a special token by its number, other text as it is."""
    token = tokenizer.get_vocab().get(text)
    added = getattr(tokenizer, "added_tokens_decoder", {}).get(token)
    return f"<[{token}]>" if added is not None and added.special else _quoted(text)


# -- what was written -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """The `index`-th call that a text makes; its arguments as JSON."""

    index: int
    identifier: str
    name: str
    arguments: str

    def told(self) -> dict[str, Any]:
        """As a whole answer tells it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.identifier, "type": "function", "function": function}

    def deltas(self) -> Sequence[dict[str, Any]]:
        """As a stream tells it: its name, then its arguments."""
        begun = {**self.told(), "function": {"name": self.name, "arguments": ""}}
        return [
            {"index": self.index, **begun},
            {"index": self.index, "function": {"arguments": self.arguments}},
        ]


class Calls:
    """Tells calls from text, in the pieces of one answer.

    A call is told when it is whole; what only looks like one, or calls what is no tool, is text.
    """

    def __init__(self, tools: Tools) -> None:
        self.tools, self.notation = tools, tools.notation
        self.reason = tools.reason
        self.found = 0
        self._held = ""
        self._state: Literal["text", "calls", "no calls"] = "text" if tools.notation.begin else "calls"

    def add(self, text: str) -> Iterator[str | Call]:
        """What is certain now."""
        self._held += text
        while self._state == "text" and self._held:
            at = self._held.find(self.notation.begin)
            if at < 0:
                # spaces before a call are no text, and a mark may be split over pieces
                certain = len(self._held) - begun(self._held, self.notation.begin)
                certain = len(self._held[:certain].rstrip())
                yield from self._text(certain)
                return
            yield from self._text(len(self._held[:at].rstrip()))
            self._held = self._held.lstrip()
            self._state = "calls"
            yield from self._calls()
        if self._state == "calls" and (
            not set("}]>").isdisjoint(text) or self._held.lstrip()[:1] not in ("", "{", "[", "<")
        ):
            yield from self._calls()
        if self._state == "no calls":
            yield from self._text(len(self._held))

    def end(self) -> Iterator[str | Call]:
        """What was held back."""
        if self._state == "calls" and self._held.strip():
            yield from self._calls(ended=True)
        if self._held and not (self.found and not self._held.strip()):
            yield from self._text(len(self._held))

    def _text(self, count: int) -> Iterator[str]:
        if count:
            text, self._held = self._held[:count], self._held[count:]
            yield text

    def _calls(self, ended: bool = False) -> Iterator[str | Call]:
        """Whole calls at the beginning of what is held, which begins with the mark where there is one."""
        begin, end = self.notation.begin, self.notation.end
        rest = self._held.removeprefix(begin) if begin else self._held.lstrip().removeprefix("<|python_tag|>")
        if begin and ("{" not in rest or (end and end not in rest)) and not ended:
            return
        if not begin and self.found:  # between calls
            rest = rest.lstrip(" \n;,")
        read = self._read(rest)
        if read is None:
            if begin and end and end in rest:  # no call stands there
                self._state, at = "text", self._held.index(end) + len(end)
                text, self._held = self._held[:at], self._held[at:]
                yield text
            elif not begin and rest.strip() and rest.lstrip()[0] not in "{[" and not self._may_begin():
                self._state = "no calls"
            return
        calls, length = read
        rest = rest[length:]
        if end:
            rest = rest.lstrip().removeprefix(end)
        self._held = rest
        self.found += len(calls)
        yield from calls
        if begin:
            self._state = "text"
        elif rest.strip():
            yield from self._calls(ended)

    def _may_begin(self) -> bool:
        return "<|python_tag|>".startswith(self._held.strip())

    def _read(self, text: str) -> tuple[list[Call], int] | None:
        """The calls at the beginning of a text, and how long they are; None where there are none yet."""
        values: list[Any] = []
        end = len(text) - len(text.lstrip())
        try:
            while self.notation.begin and (named := self.notation.call(text, end)):  # all before the end mark
                values.append({"name": named[0], "arguments": named[1]})
                end = named[2]
                if not self.notation.end:
                    break
            if not values:
                value, end = _JSON.raw_decode(text, end)
                values = value if isinstance(value, list) else [value]
        except (ValueError, RecursionError):
            return None
        calls = [self._call(one, self.found + i) for i, one in enumerate(values)]
        whole = [call for call in calls if call is not None]
        return (whole, end) if whole and len(whole) == len(calls) else None

    def _call(self, value: Any, index: int) -> Call | None:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or name not in self.tools.names:
            return None
        arguments = value.get("arguments", value.get("parameters"))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                return None
        if not isinstance(arguments, dict | None):
            return None
        text = json.dumps(arguments or {}, ensure_ascii=False)
        text = text if is_unicode(text) else json.dumps(arguments)
        return Call(index, self.tools.identifier(), name, text)
