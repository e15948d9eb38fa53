"""Calls that models write, in the notations in use, told from text in pieces of any size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from formers.serving.writing.tools import Call, Calls, Notation, Tools, notation_of

HERMES = notation_of("For each call: <tool_call>{...}</tool_call>")
MISTRAL = notation_of("[AVAILABLE_TOOLS] [TOOL_CALLS]")
NEWER_MISTRAL = notation_of("[TOOL_CALLS]name[ARGS]{}")
LLAMA = notation_of('{"name": function name, "parameters": dictionary of argument name and its value}')
PLAIN = notation_of("{{ tools }}")
FIRST = {"city": 'Zürich "}" </b>', "days": [1, 2]}
SECOND: dict[str, Any] = {}


def calls_of(notation: Notation) -> Calls:
    return Calls(Tools([], frozenset({"weather", "time"}), "auto", True, notation))


def read(notation: Notation, text: str, size: int) -> tuple[str, list[tuple[str, Any]]]:
    parser = calls_of(notation)
    found = [one for at in range(0, len(text), size) for one in parser.add(text[at : at + size])]
    found += parser.end()
    calls = [(one.name, json.loads(one.arguments)) for one in found if isinstance(one, Call)]
    return "".join(one for one in found if isinstance(one, str)), calls


def written(key: str = "arguments") -> tuple[str, str]:
    first = json.dumps({"name": "weather", key: FIRST}, ensure_ascii=False)
    return first, json.dumps({"name": "time", key: SECOND})


A, B = written()
TWO = [("weather", FIRST), ("time", SECOND)]
CASES: list[tuple[Notation, str, str, list[Any]]] = [
    (HERMES, f"<tool_call>\n{A}\n</tool_call>\n<tool_call>\n{B}\n</tool_call>", "", TWO),
    (HERMES, f"I look.\n\n<tool_call>{A}</tool_call>", "I look.", TWO[:1]),
    (HERMES, f"<tool_call>{A}</tool_call> So be it.", " So be it.", TWO[:1]),
    (HERMES, "No <tool call> at all, a < b ", "No <tool call> at all, a < b ", []),
    (HERMES, "<tool_call>{'no': json}</tool_call> x", "<tool_call>{'no': json}</tool_call> x", []),
    (HERMES, '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
     '<tool_call>{"name": "rm", "arguments": {}}</tool_call>', []),
    (HERMES, f"<tool_call>\n{A[:-3]}", f"<tool_call>\n{A[:-3]}", []),
    (MISTRAL, f"[TOOL_CALLS] [{A}, {B}]", "", TWO),
    (MISTRAL, f"[TOOL_CALLS][{B}]", "", TWO[1:]),
    (NEWER_MISTRAL, f"[TOOL_CALLS]weather[ARGS]{json.dumps(FIRST)}[TOOL_CALLS]time[ARGS]{{}}", "", TWO),
    (LLAMA, "; ".join(written("parameters")), "", TWO),
    (LLAMA, f"<|python_tag|>{written('parameters')[1]}", "", TWO[1:]),
    (LLAMA, "It is <b>fine</b>.", "It is <b>fine</b>.", []),
    (PLAIN, f"[{A}, {B}]", "", TWO),
    (PLAIN, f"\n{B}", "", TWO[1:]),
    (PLAIN, '{"temperature": 20}', '{"temperature": 20}', []),
    (PLAIN, "Plain {text}.", "Plain {text}.", []),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("notation", "text", "content", "calls"), CASES, ids=[one[1][:30] for one in CASES])
def test_calls_are_told_from_text(
    notation: Notation, text: str, content: str, calls: list[Any], size: int
) -> None:
    assert read(notation, text, size) == (content, calls)


def test_identifiers_are_such_as_templates_take() -> None:
    tools = calls_of(MISTRAL).tools
    assert len(tools.identifier()) == 9
    assert tools.identifier().isalnum()
    assert calls_of(HERMES).tools.identifier().startswith("call_")


def test_text_is_told_as_it_comes() -> None:
    parser = calls_of(HERMES)
    assert [*parser.add("Let me "), *parser.add("see <to"), *parser.add("ast")] == [
        "Let me",
        " see",
        " <toast",
    ]
