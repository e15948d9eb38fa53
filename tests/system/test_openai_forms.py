"""JSON schemas and tools of the chat endpoint, as the official client asks for them."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from typing import Annotated, Any

import openai
import pydantic
import pytest
import torch

from formers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from formers.serving import running
from formers.serving.writing import forms
from generation.small_tokenizers import pair

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
MARK = "<tool_call>"
HERMES = (
    "{% if tools %}{% for t in tools %}{{ t | tojson }}\n{% endfor %}<tool_call></tool_call>\n{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "{{ m.tool_call_id }}\n{% endfor %}assistant:"
)
MISTRAL = "{{ tools | tojson if tools }}[TOOL_CALLS]{% for m in messages %}{{ m.content }}{% endfor %}"
LLAMA = "{{ tools | tojson if tools }}<|python_tag|>{% for m in messages %}{{ m.content }}{% endfor %}"
THINKING = "{{ reasoning_effort }}{% if enable_thinking %}deeply {% endif %}" + PLAIN
TEMPLATES = {"thinking": THINKING, "plain": PLAIN, "hermes": HERMES, "mistral": MISTRAL, "llama": LLAMA}
ASKED: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "Where?"}],
    "seed": 3,
    "max_completion_tokens": 250,
}
SHORT = {**ASKED, "max_completion_tokens": 60}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Bern", "Köln"]}, "days": {"$ref": "#/$defs/days"}},
            "required": ["city", "days"],
            "additionalProperties": False,
            "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
STRICT = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}


class Kind(str, enum.Enum):
    bus = "bus"
    tram = "tram"


class Stop(pydantic.BaseModel):
    near: bool
    kind: Kind
    lines: list[Annotated[int, pydantic.Field(ge=0, le=9)]] = pydantic.Field(max_length=2)


def made(kind: str, folder: Any) -> Any:
    tokenizer = pair("byte-level")[0]
    tokenizer.chat_template = TEMPLATES[kind]
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if kind == "mistral":  # marks that no text holds
        tokenizer.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]"]})
        tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 5,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        initializer_range=0.4,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client for a model with each template, started when it is asked for."""
    running_now: dict[str, Any] = {}

    def of(kind: str) -> openai.OpenAI:
        if kind not in running_now:
            folder = made(kind, tmp_path_factory.mktemp(kind) / "tiny")
            server = running(str(folder), log_path=folder.parent / "log", max_new_tokens=600, warm_up=False)
            url = server.__enter__()
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            running_now[kind] = (server, client)
        return running_now[kind][1]

    yield of
    for server, client in running_now.values():
        client.close()
        server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client(clients: Any) -> Any:
    return clients("hermes")


# -- schemas ----------------------------------------------------------------------------------------------


def test_a_pydantic_model_is_parsed(client: openai.OpenAI) -> None:
    found = client.chat.completions.parse(response_format=Stop, n=2, **ASKED)
    assert all(isinstance(one.message.parsed, Stop) for one in found.choices)
    assert {one.finish_reason for one in found.choices} == {"stop"}


def test_a_stream_is_parsed_too(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(response_format=Stop, **ASKED) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Stop)


def test_any_object_of_json(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(response_format={"type": "json_object"}, n=4, **SHORT)
    whole = [one.message.content or "" for one in found.choices if one.finish_reason == "stop"]
    assert whole
    assert all(isinstance(json.loads(text), dict) for text in whole)


def test_a_schema_that_is_not_strict_may_say_more_than_can_be_held_to(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
              "additionalProperties": False, "not": {"required": ["b"]}}  # fmt: skip
    asked: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    found = client.chat.completions.create(response_format=asked, **ASKED)
    assert json.loads(found.choices[0].message.content or "").keys() == {"a"}
    asked["json_schema"]["strict"] = True
    with pytest.raises(openai.BadRequestError, match="not"):
        client.chat.completions.create(response_format=asked, **ASKED)


def test_a_text_that_is_cut_ends_by_length(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(response_format=Stop, **{**ASKED, "max_completion_tokens": 3})


def hostile() -> dict[str, Any]:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        deep = {"type": "array", "items": deep}
    product = [{"type": "string", "pattern": f".*a.{{{i}}}"} for i in range(5, 20)]
    return {
        "nested": deep,
        "large": {"enum": [f"{i:0100}" for i in range(1000)]},
        "a product of automata": {"allOf": product},
        "numbers": {"type": "integer", "multipleOf": 999999937},
        "a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "elsewhere": {"$ref": "file:///etc/passwd"},
        "brackets": {"type": "string", "pattern": "(" * 500 + "a" + ")" * 500},
    }


@pytest.mark.parametrize("name", hostile())
def test_a_schema_made_to_hurt_is_refused(
    client: openai.OpenAI, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "_CPU_SECONDS", 1)
    asked: Any = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": hostile()[name], "strict": True},
    }
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(response_format=asked, **ASKED)
    assert caught.value.param == "response_format"


def test_others_are_answered_while_a_schema_is_compiled(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    begun, go = threading.Event(), threading.Event()
    before = forms.compiled

    def slow(*given: Any) -> Any:
        begun.set()
        go.wait(30)
        return before(*given)

    monkeypatch.setattr(forms, "compiled", slow)
    found: list[Any] = []
    asked: Any = {"response_format": {"type": "json_object"}, **ASKED, "max_completion_tokens": 2}
    thread = threading.Thread(target=lambda: found.append(client.chat.completions.create(**asked)))
    thread.start()
    assert begun.wait(30)
    assert client.chat.completions.create(**{**ASKED, "max_completion_tokens": 2}).choices
    assert not found
    go.set()
    thread.join(30)
    assert found


# -- tools ------------------------------------------------------------------------------------------------


def check(call: Any) -> None:
    arguments = json.loads(call.function.arguments)
    if call.function.name == "weather":
        assert arguments["city"] in ("Bern", "Köln")
        assert 1 <= arguments["days"] <= 9
    else:
        assert call.function.name == "now"
        assert isinstance(arguments, dict)


@pytest.mark.parametrize("kind", ["hermes", "mistral", "llama"])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_call_that_is_required_is_made(clients: Any, kind: str, parallel: bool) -> None:
    asked: Any = {**ASKED, "tools": [STRICT], "tool_choice": "required", "parallel_tool_calls": parallel}
    choice = clients(kind).chat.completions.create(**asked).choices[0]
    if choice.finish_reason == "length":  # calls without end
        assert parallel
        return
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert len(choice.message.tool_calls) >= 1 if parallel else len(choice.message.tool_calls) == 1
    for call in choice.message.tool_calls:
        check(call)


def test_a_tool_that_is_named_is_the_one_that_is_called(client: openai.OpenAI) -> None:
    chosen: Any = {"type": "function", "function": {"name": "weather"}}
    found = client.chat.completions.create(
        tools=[NOW, WEATHER],
        tool_choice=chosen,
        parallel_tool_calls=False,
        **ASKED,
    )
    (call,) = found.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "weather"
    check(call)
    assert found.choices[0].finish_reason == "stop"


def test_a_stream_of_calls_is_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    asked: Any = {**ASKED, "tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls or []
    with client.chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    streamed = final.message.tool_calls or []
    assert [one.function.arguments for one in streamed] == [one.function.arguments for one in whole]
    assert streamed[0].id.startswith("call_")


def test_a_model_that_may_call_calls_only_in_the_form_of_a_strict_tool(client: openai.OpenAI) -> None:
    """The weights are made to begin a call; what follows could be anything."""
    tokenizer = pair("byte-level")[0]
    ids = tokenizer(MARK + "\n", add_special_tokens=False)["input_ids"]
    asked: Any = {**SHORT, "messages": [{"role": "user", "content": MARK}], "tools": [STRICT]}
    biased = {str(token): 4 for token in ids}
    found = client.chat.completions.create(**asked, logit_bias=biased, n=4)
    for choice in found.choices:
        for call in choice.message.tool_calls or ():
            check(call)
        if choice.finish_reason == "stop":
            assert MARK not in (choice.message.content or "")


def test_tools_and_a_schema_together_give_one_of_both(client: openai.OpenAI) -> None:
    found = client.chat.completions.parse(
        tools=[STRICT], parallel_tool_calls=False, response_format=Stop, n=3, **ASKED
    )
    for choice in found.choices:
        assert bool(choice.message.tool_calls) != bool(choice.message.parsed)


def test_calls_and_their_results_are_read_by_the_template(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "MEZ"}'}}
    messages = [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    asked: Any = {**ASKED, "messages": messages, "max_completion_tokens": 1}
    tokenizer = pair("byte-level")[0]
    read = [messages[0], {**messages[1], "content": "", "tool_calls": [
        {**call, "function": {"name": "now", "arguments": {"zone": "MEZ"}}}]}, messages[2]]  # fmt: skip
    for tools in (None, [WEATHER]):
        wanted = tokenizer.apply_chat_template(
            read, tools=tools, chat_template=HERMES, add_generation_prompt=True, return_dict=False
        )
        found = client.chat.completions.create(**asked, **({"tools": tools} if tools else {}))
        assert found.usage is not None
        assert found.usage.prompt_tokens == len(wanted)


def test_tools_that_may_not_be_called_are_not_told(client: openai.OpenAI) -> None:
    asked: Any = {**ASKED, "max_completion_tokens": 1}
    plain = client.chat.completions.create(**asked).usage
    found = client.chat.completions.create(tools=[WEATHER], tool_choice="none", **asked).usage
    assert found == plain


def test_a_template_that_knows_no_tools_says_so(clients: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="knows no tools"):
        clients("plain").chat.completions.create(tools=[WEATHER], **ASKED)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "function"}]}, "tools[0]"),
    ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0]"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0]"),
    ({"tools": [NOW, NOW]}, "tools"),
    ({"tools": [NOW], "tool_choice": "always"}, "tool_choice"),
    ({"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "then"}}}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [NOW], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ({"messages": [{"role": "tool", "content": "noon"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0]"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format"),
    ({"response_format": {"type": "yaml"}}, "response_format"),
]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[json.dumps(change)[:50] for change, _ in BAD])
def test_a_bad_field_is_refused_by_its_name(client: openai.OpenAI, change: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={**ASKED, **change}, cast_to=object)
    assert caught.value.param == param


# -- responses --------------------------------------------------------------------------------------------


def test_a_response_calls_a_tool_and_goes_on_from_its_result(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", **STRICT["function"]}
    asked: Any = {
        "model": "tiny",
        "temperature": 0,
        "input": "Where?",
        "tools": [tool],
        "max_output_tokens": 250,
    }
    forced: Any = {"tool_choice": {"type": "function", "name": "weather"}, "parallel_tool_calls": False}
    events = list(client.responses.create(stream=True, **asked, **forced))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds == [
        *("created", "in_progress", "output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    response: Any = events[-1].response  # type: ignore[union-attr]
    (call,) = response.output
    assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
    arguments = json.loads(call.arguments)
    assert arguments["city"] in ("Bern", "Köln")
    assert (response.tool_choice.name, response.tools[0].name) == ("weather", "weather")
    assert client.responses.retrieve(response.id) == response
    whole = client.responses.create(**asked, **forced).output[0]
    assert (whole.type, whole.arguments) == ("function_call", call.arguments)  # type: ignore[union-attr]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    short: Any = {**asked, "max_output_tokens": 2, "tool_choice": "auto"}
    after = client.responses.create(**{**short, "input": [result]}, previous_response_id=response.id)
    said: Any = {
        "type": "function_call",
        "call_id": call.call_id,
        "name": "weather",
        "arguments": call.arguments,
    }
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": []}
    items: Any = [{"role": "user", "content": "Where?"}, thought, said, result]
    told = client.responses.create(**{**short, "input": items})
    assert after.output[0].type == "message"
    read = [one.usage.input_tokens for one in (after, told) if one.usage is not None]
    assert (read[0], after.output_text) == (read[1], told.output_text)


def test_text_and_calls_are_items_of_a_response_in_their_order() -> None:
    from formers.serving.settings import Settings
    from formers.serving.writing.kept import Kept
    from formers.serving.writing.responses import AskedResponse, ResponseShape
    from formers.serving.writing.texts import Piece
    from formers.serving.writing.tools import Tools, notation_of

    tools = Tools([], frozenset({"now"}), "auto", True, notation_of(HERMES))
    fields: dict[str, Any] = dict.fromkeys(AskedResponse.__dataclass_fields__)
    said = {"store": False}
    asked = AskedResponse(
        **{**fields, "prompts": [[1]], "copies": 1, "chat": True, "tools": tools, "said": said}
    )
    shape = ResponseShape(asked, "tiny", None, Kept(Settings()))  # type: ignore[arg-type]
    call = MARK + '{"name": "now", "arguments": {}}</tool_call>'
    request: Any = type("Ended", (), {"prompt": [1], "tokens": [2], "known": 0, "reason": "stop"})()
    pieces = [Piece(0, one) for one in ("I lo", "ok. ", call[:9], call[9:] + call, " Do")]
    found = shape.whole([*pieces, Piece(0, "ne.", ended=request)])
    kinds = [
        one["content"][0]["text"] if one["type"] == "message" else one["name"] for one in found["output"]
    ]
    assert kinds == ["I look.", "now", "now", " Done."]


# -- what a template reads besides --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({}, ""),
        ({"reasoning_effort": "low"}, "low"),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, "deeply "),
    ],
    ids=["nothing", "effort", "a variable"],
)
def test_a_template_reads_the_effort_and_variables_of_its_own(told: Any, text: str, clients: Any) -> None:
    tokenizer = pair("byte-level")[0]
    found = clients("thinking").chat.completions.create(**{**SHORT, "max_completion_tokens": 1}, **told)
    assert found.usage.prompt_tokens == len(tokenizer(f"{text}user: Where?\nassistant:")["input_ids"])


def test_a_response_says_which_effort_it_was_asked_for(clients: Any) -> None:
    found = clients("thinking").responses.create(
        model="tiny", input="Where?", max_output_tokens=1, reasoning={"effort": "high"}
    )
    assert found.reasoning.effort == "high"


@pytest.mark.parametrize(
    ("kind", "told", "said"),
    [
        ("plain", {"reasoning_effort": "low"}, "the model's chat template knows no effort"),
        ("thinking", {"reasoning_effort": "lots"}, "reasoning_effort is one of none, minimal"),
        ("thinking", {"extra_body": {"chat_template_kwargs": {"enable_thinkin": 1}}}, "enable_thinking"),
        ("thinking", {"extra_body": {"chat_template_kwargs": {"messages": 1}}}, "reads no variable"),
        ("thinking", {"extra_body": {"chat_template_kwargs": {"enable_thinking": []}}}, "is text, a number"),
        ("thinking", {"extra_body": {"chat_template_kwargs": 3}}, "chat_template_kwargs is an object"),
    ],
)
def test_what_no_template_reads_is_refused(kind: str, told: Any, said: str, clients: Any) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        clients(kind).chat.completions.create(**SHORT, **told)
