"""Answers in channels: thoughts, calls and what is said, told from text in pieces of any size."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from formers.generation.structure import compiled
from formers.serving.settings import Settings
from formers.serving.writing.asked import Asked
from formers.serving.writing.harmony import Channels, Thought, channels_form, thought_tokens
from formers.serving.writing.kept import Kept
from formers.serving.writing.responses import AskedResponse, ResponseShape
from formers.serving.writing.shapes import Shape
from formers.serving.writing.texts import Piece
from formers.serving.writing.tools import Call, Notation, Tools
from generation.small_tokenizers import pair

TOOLS = Tools([], frozenset({"weather", "time"}), "auto", True, Notation())
BERN = '{"city": "Bern"}'
THOUGHT = "<|channel|>analysis<|message|>They ask < me.<|end|><|start|>assistant"
CALL = f"<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{BERN}"
FINAL = "<|channel|>final<|message|>"
PREAMBLE = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"


def read(text: str, size: int, tools: Tools | None = TOOLS) -> tuple[str, str, list[tuple[str, Any]]]:
    """What is said, what is thought, and the calls."""
    parser = Channels(tools)
    found = [one for at in range(0, len(text), size) for one in parser.add(text[at : at + size])]
    found += parser.end()
    said = "".join(one for one in found if isinstance(one, str))
    thought = "".join(one.text for one in found if isinstance(one, Thought))
    return said, thought, [(one.name, json.loads(one.arguments)) for one in found if isinstance(one, Call)]


WEATHER = ("weather", {"city": "Bern"})
CASES: list[tuple[str, str, str, list[Any]]] = [
    (f"{THOUGHT}{FINAL}It is <b>fine</b>.", "It is <b>fine</b>.", "They ask < me.", []),
    (f"{THOUGHT}{FINAL}Fine.<|return|>", "Fine.", "They ask < me.", []),
    (THOUGHT + CALL, "", "They ask < me.", [WEATHER]),
    (f"{CALL}<|call|>", "", "", [WEATHER]),
    (f" to=functions.weather<|channel|>commentary json<|message|>{BERN}<|call|>", "", "", [WEATHER]),
    (f"{PREAMBLE}{CALL}", "I look.", "", [WEATHER]),
    (f"{THOUGHT}<|channel|>analysis to=functions.time<|message|>{{}}", "", "They ask < me.", [("time", {})]),
    (CALL.replace("weather", "rm"), BERN, "", []),
    (CALL[:-3], BERN[:-3], "", []),
    ("<|channel|>analysis<|message|>They", "", "They", []),
    ("<|channel|>analy", "", "", []),
    ("assist them", "assist them", "", []),
    ('{"a": 1}', '{"a": 1}', "", []),
]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "said", "thought", "calls"), CASES, ids=[one[0][-30:] for one in CASES])
def test_channels_are_told_apart(text: str, said: str, thought: str, calls: list[Any], size: int) -> None:
    assert read(text, size) == (said, thought, calls)


def test_what_is_said_is_told_as_it_comes() -> None:
    parser = Channels(None)
    assert [*parser.add(f"{FINAL}One ")] == ["One "]
    assert [*parser.add("more <|re"), *parser.add("d|>")] == ["more ", "<|red|>"]


def test_tokens_of_thoughts_are_counted() -> None:
    pieces = ["<|channel|>", "analysis", "<|message|>", "They", " ask", "<|end|>", "<|start|>", "assistant",
              "<|channel|>", "final", "<|message|>", "Fine", "."]  # fmt: skip
    assert thought_tokens(range(len(pieces)), lambda token: pieces[token].encode()) == 2


def asked(kind: type[Asked], **given: Any) -> Any:
    """A request for a chat in channels."""
    nothing: dict[str, Any] = dict.fromkeys(kind.__dataclass_fields__)
    given = {"prompts": [[1]], "copies": 1, "chat": True, "channels": True, "tools": TOOLS, **given}
    return kind(**{**nothing, **given})


def pieces(text: str) -> list[Piece]:
    """A text in pieces of seven characters."""
    ended: Any = type("Ended", (), {"prompt": [1], "tokens": [], "known": 0, "reason": "stop"})()
    cut = [Piece(0, text[at : at + 7]) for at in range(0, len(text), 7)]
    return [*cut, Piece(0, "", ended=ended)]


def test_a_chat_tells_thoughts_beside_its_answer_whole_and_streamed() -> None:
    made: Any = Shape(asked(Asked), "tiny", None)  # type: ignore[arg-type]
    (choice,) = made.whole(pieces(f"{THOUGHT}{FINAL}Fine."))["choices"]
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == (
        "Fine.",
        "They ask < me.",
    )
    made = Shape(asked(Asked), "tiny", None)  # type: ignore[arg-type]
    (choice,) = made.whole(pieces(THOUGHT + CALL))["choices"]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
    made = Shape(asked(Asked), "tiny", None)  # type: ignore[arg-type]
    deltas = [
        chunk["choices"][0]["delta"]
        for piece in pieces(f"{THOUGHT}{FINAL}Fine.")
        for chunk in made.chunks(piece)
    ]
    told = ["".join(one.get(key, "") for one in deltas) for key in ("reasoning_content", "content")]
    assert told == ["They ask < me.", "Fine."]


def test_thoughts_are_an_item_of_a_response_before_its_message_or_call() -> None:
    kept = Kept(Settings())
    for text, last in ((f"{THOUGHT}{FINAL}Fine.", "message"), (THOUGHT + CALL, "function_call")):
        shape = ResponseShape(asked(AskedResponse, said={"store": False}), "tiny", _Nothing(), kept)  # type: ignore[arg-type]
        thought, answer = shape.whole(pieces(text))["output"]
        assert (thought["type"], answer["type"]) == ("reasoning", last)
        assert thought["content"] == [{"type": "reasoning_text", "text": "They ask < me."}]
    shape = ResponseShape(asked(AskedResponse, said={"store": False}), "tiny", _Nothing(), kept)  # type: ignore[arg-type]
    events = b"".join(shape.events(piece) for piece in pieces(f"{THOUGHT}{FINAL}Fine.")).decode()
    kinds = [
        line.removeprefix("event: response.") for line in events.split("\n") if line.startswith("event: ")
    ]
    assert list(dict.fromkeys(kinds)) == [
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done"),
        *("content_part.done", "output_item.done", "output_text.delta", "output_text.done", "completed"),
    ]


class _Nothing:
    """Tokens that add nothing."""

    def of(self, token: int) -> bytes:
        return b""


PLACE = {"type": "object", "properties": {"city": {"enum": ["Bern"]}}, "required": ["city"],
         "additionalProperties": False}  # fmt: skip
STRICT = [
    {"type": "function", "function": {"name": "weather", "parameters": PLACE, "strict": True}},
    {"type": "function", "function": {"name": "time"}},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A tokenizer that knows the marks."""
    made = copy.deepcopy(pair("byte-level")[0])  # other tests read it
    marks = ("start", "channel", "message", "end", "constrain")
    made.add_special_tokens({"additional_special_tokens": [f"<|{one}|>" for one in marks]})
    return made


@pytest.mark.parametrize(
    ("text", "choice", "content", "may"),
    [
        (THOUGHT + CALL, "required", None, True),
        (CALL, "weather", None, True),
        (CALL, "time", None, False),
        (CALL.replace("Bern", "Rom"), "auto", None, False),
        (f"{THOUGHT}{FINAL}Fine.", "auto", None, True),
        (f"{THOUGHT}{FINAL}Fine.", "required", None, False),
        (f"{THOUGHT}{FINAL}{BERN}", None, json.dumps(PLACE), True),
        (f"{THOUGHT}{FINAL}Fine.", None, json.dumps(PLACE), False),
        (f"{THOUGHT}{CALL}", "auto", json.dumps(PLACE), True),
        (f"{PREAMBLE}{FINAL}Fine.", "auto", None, True),
        (f"{PREAMBLE}{FINAL}{BERN}", None, json.dumps(PLACE), False),  # it would be said before the JSON
    ],
)
def test_answers_that_are_bound_have_thoughts_and_then_the_form(
    text: str, choice: str | None, content: str | None, may: bool, tokenizer: Any
) -> None:
    names = frozenset({"weather", "time"})
    tools = None if choice is None else Tools(STRICT, names, choice, True, Notation())
    form = channels_form(tools, content, tokenizer)
    assert form is not None
    state = compiled(tokenizer, form.param, form.source).begin()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert (bool(state.consume_tokens(ids)) and bool(state.is_accepting())) is may


def test_an_answer_that_may_be_anything_is_not_bound(tokenizer: Any) -> None:
    assert channels_form(None, None, tokenizer) is None
    assert channels_form(TOOLS, None, tokenizer) is None
