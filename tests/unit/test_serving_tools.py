"""Calls that models write, in the notations in use, told from text in pieces of any size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from formers.generation.structure import compiled
from formers.serving.writing.tools import Call, Calls, Notation, Tools, form_of, notation_of
from generation.small_tokenizers import pair

HERMES = notation_of("For each call: <tool_call>{...}</tool_call>")
MISTRAL = notation_of("[AVAILABLE_TOOLS] [TOOL_CALLS]")
NEWER_MISTRAL = notation_of("[TOOL_CALLS]name[ARGS]{}")
LLAMA = notation_of('{"name": function name, "parameters": dictionary of argument name and its value}')
DEEPSEEK_3 = notation_of("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜> ```json")
DEEPSEEK_31 = notation_of(
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{{ name }}<｜tool▁sep｜>{{ arguments }}"
)
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


def deepseek(*calls: str) -> str:
    return f"<｜tool▁calls▁begin｜>{chr(10).join(calls)}<｜tool▁calls▁end｜>"


def fenced(name: str, arguments: Any) -> str:
    told = json.dumps(arguments, ensure_ascii=False)
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{told}\n```<｜tool▁call▁end｜>"


def bare(name: str, arguments: Any) -> str:
    told = json.dumps(arguments, ensure_ascii=False)
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{told}<｜tool▁call▁end｜>"


CASES: list[tuple[Notation, str, str, list[Any]]] = [
    (DEEPSEEK_3, "I look. " + deepseek(fenced("weather", FIRST), fenced("time", {})), "I look.", TWO),
    (DEEPSEEK_3, deepseek(fenced("rm", {})) + "x", deepseek(fenced("rm", {})) + "x", []),
    (DEEPSEEK_31, deepseek(bare("weather", FIRST)) + " Done.", " Done.", TWO[:1]),
    (DEEPSEEK_31, deepseek(bare("weather", FIRST), bare("time", {})), "", TWO),
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


def admitted(text: str, notation: Notation, choice: str, parallel: bool = True) -> bool:
    """Whether a text is one that may be written, as a whole."""
    place = {"type": "object", "properties": {"city": {"enum": ["Bern"]}}, "required": ["city"],
             "additionalProperties": False}  # fmt: skip
    given = [{"type": "function", "function": {"name": "weather", "parameters": place, "strict": True}},
             {"type": "function", "function": {"name": "time"}}]  # fmt: skip
    tokenizer = pair("byte-level")[0]
    tools = Tools(given, frozenset({"weather", "time"}), choice, parallel, notation)
    form = form_of(tools, None, tokenizer)
    assert form is not None
    state = compiled(tokenizer, form.param, form.source).begin()
    return bool(state.consume_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])) and bool(
        state.is_accepting()
    )


BERN = '{"name": "weather", "arguments": {"city": "Bern"}}'
TAGGED = f"<tool_call>\n{BERN}\n</tool_call>"
LLAMAS = BERN.replace("arguments", "parameters")


@pytest.mark.parametrize(
    ("text", "notation", "choice", "parallel", "may"),
    [
        ("Fine.", HERMES, "auto", True, True),
        (deepseek(*[fenced("weather", {"city": "Bern"})] * 2), DEEPSEEK_3, "required", True, True),
        (deepseek(*[fenced("weather", {"city": "Bern"})] * 2), DEEPSEEK_3, "required", False, False),
        ("I look. " + deepseek(bare("weather", {"city": "Bern"})), DEEPSEEK_31, "auto", True, True),
        (deepseek(bare("weather", {"city": "Rom"})), DEEPSEEK_31, "auto", True, False),
        (f"I look. {TAGGED}", HERMES, "auto", True, True),
        (TAGGED.replace("Bern", "Rom"), HERMES, "auto", True, False),
        (f"{TAGGED}\n{TAGGED}", HERMES, "auto", True, True),
        (f"{TAGGED}\n{TAGGED}", HERMES, "auto", False, False),
        ("Fine.", HERMES, "required", True, False),
        (TAGGED, HERMES, "required", True, True),
        (TAGGED, HERMES, "time", True, False),
        (f"[TOOL_CALLS] [{BERN}, {BERN}]", MISTRAL, "required", True, True),
        (f"[TOOL_CALLS] [{BERN}, {BERN}]", MISTRAL, "required", False, False),
        ('[TOOL_CALLS]weather[ARGS]{"city": "Bern"}', NEWER_MISTRAL, "required", True, True),
        (LLAMAS, LLAMA, "auto", True, True),
        (LLAMAS.replace("Bern", "Rom"), LLAMA, "auto", True, False),
        (f"{LLAMAS}; {LLAMAS}", LLAMA, "required", True, True),
        (f"[{BERN}, {BERN}]", PLAIN, "required", True, True),
        ("Fine {so}.", PLAIN, "auto", True, True),
    ],
)
def test_calls_that_are_bound_have_the_form_of_their_tool(
    text: str, notation: Notation, choice: str, parallel: bool, may: bool
) -> None:
    assert admitted(text, notation, choice, parallel) is may
