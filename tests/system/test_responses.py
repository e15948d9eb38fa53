"""`/v1/responses`, as the official client of the OpenAI API asks it: whole, streamed, remembered, refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import torch
from openai.types.responses import Response

from formers import AutoTokenizer, LlamaForCausalLM
from formers.generation.engine.runner import Runner
from formers.serving import Settings, running
from formers.serving.writing.kept import Kept
from formers.serving.writing.values import BadField
from system.tiny_writer import write

GREEDY: dict[str, Any] = {"model": "tiny", "temperature": 0}
LOGGED = "message.output_text.logprobs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def url(folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "log"
    with running(str(folder), log_path=log, max_new_tokens=100, warm_up=False) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def wanted(folder: Any) -> Any:
    """Messages and a number of tokens -> the ids of the prompt, and what `generate` goes on with."""
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def written(messages: list[Any], count: int) -> tuple[list[int], str]:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        found = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
        return ids, tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True)

    return written


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


# -- answers ----------------------------------------------------------------------------------------------


def test_a_response_is_what_generate_writes_behind_instructions_and_input(
    client: openai.OpenAI, wanted: Any
) -> None:
    found = client.responses.create(
        input="Where is the pot?",
        instructions="Stop well.",
        max_output_tokens=12,
        metadata={"a": "b"},
        **GREEDY,
    )
    ids, text = wanted([said("system", "Stop well."), said("user", "Where is the pot?")], 12)
    assert found.output_text == text
    assert (found.status, found.incomplete_details and found.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (len(ids), 12)
    assert (found.metadata, found.temperature, found.max_output_tokens) == ({"a": "b"}, 0, 12)
    assert Response.model_validate(found.model_dump(), strict=True)


def test_the_end_token_completes_a_response(url: str, folder: Any, tmp_path: Any) -> None:
    model = LlamaForCausalLM.from_pretrained(folder)
    model.generation_config.sequence_bias = [[[0], 100.0]]
    model.save_pretrained(tmp_path / "tiny")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "tiny")
    with running(str(tmp_path / "tiny"), log_path=tmp_path / "log", warm_up=False) as ending:
        found = openai.OpenAI(base_url=f"{ending}/v1", api_key="x").responses.create(input="The", **GREEDY)
    assert (found.status, found.incomplete_details, found.output_text) == ("completed", None, "")
    assert found.output[0].status == "completed"  # type: ignore[union-attr]


def test_items_of_the_input_are_a_conversation(client: openai.OpenAI, wanted: Any) -> None:
    first = client.responses.create(input="The stop?", max_output_tokens=3, **GREEDY)
    items: list[Any] = [
        said("developer", "Stop."),
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The stop?"}]},
        *first.output,
        said("user", "And the pot?"),
    ]
    found = client.responses.create(input=items, max_output_tokens=6, **GREEDY)
    messages = [said("system", "Stop."), said("user", "The stop?"), said("assistant", first.output_text)]
    assert found.output_text == wanted([*messages, said("user", "And the pot?")], 6)[1]


def test_log_probabilities_are_told_where_they_are_included(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"input": "The pot", "max_output_tokens": 4, **GREEDY}
    whole = client.responses.create(include=[LOGGED], top_logprobs=2, **asked)
    part: Any = whole.output[0].content[0]  # type: ignore[union-attr]
    assert [len(one.top_logprobs) for one in part.logprobs] == [2] * 4
    assert all(one.logprob == one.top_logprobs[0].logprob for one in part.logprobs)
    events = client.responses.create(include=[LOGGED], top_logprobs=2, stream=True, **asked)
    told = [one for event in events if event.type == "response.output_text.delta" for one in event.logprobs]
    assert [one.logprob for one in told] == pytest.approx([one.logprob for one in part.logprobs], abs=1e-5)


def test_a_text_keeps_to_the_form_that_is_asked_for(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"pot": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["pot"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "name": "pot", "strict": True, "schema": schema}
    found = client.responses.create(
        input="Where?", text={"format": form}, max_output_tokens=40, model="tiny", extra_body={"seed": 1}
    )
    assert found.status == "completed"
    assert 0 <= json.loads(found.output_text)["pot"] <= 9
    assert found.text is not None
    assert found.text.format is not None
    assert found.text.format.type == "json_schema"


# -- streams ----------------------------------------------------------------------------------------------


def test_the_events_of_a_stream_come_in_their_order_and_say_what_the_whole_says(
    client: openai.OpenAI, url: str, wanted: Any
) -> None:
    events = list(client.responses.create(input="The stop", max_output_tokens=9, stream=True, **GREEDY))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert deltas
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", "incomplete"),
    ]
    text = wanted([said("user", "The stop")], 9)[1]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text
    last: Any = events[-1]
    assert (events[-4].text, last.response.output_text) == (text, text)  # type: ignore[union-attr]
    assert events[0].response.status == "in_progress"  # type: ignore[union-attr]
    assert len({getattr(event, "item_id", last.response.output[0].id) for event in events}) == 1
    assert client.responses.retrieve(last.response.id) == last.response
    body = {**GREEDY, "input": "The", "max_output_tokens": 2, "stream": True}
    lines = httpx.post(f"{url}/v1/responses", json=body).text.split("\n\n")
    assert all(one.startswith("event: response.") for one in lines[:-1])


def test_a_stream_that_fails_ends_with_the_failed_response(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Runner, "step", broken)
    *_, last = client.responses.create(input="The", max_output_tokens=5, stream=True, **GREEDY)
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert "RuntimeError" in last.response.error.message
    with pytest.raises(openai.InternalServerError, match="the model failed"):
        client.responses.create(input="The", max_output_tokens=5, **GREEDY)


def test_a_client_that_leaves_a_stream_frees_its_row_and_nothing_is_kept(folder: Any, tmp_path: Any) -> None:
    log = tmp_path / "log"
    body = {**GREEDY, "input": "The", "max_output_tokens": 200, "stream": True}
    with running(str(folder), log_path=log, max_new_tokens=200, warm_up=False) as url:
        with httpx.stream("POST", f"{url}/v1/responses", json=body) as answer:
            lines = answer.iter_lines()
            number = json.loads([next(lines) for _ in range(2)][1].removeprefix("data: "))["response"]["id"]
        assert httpx.post(
            f"{url}/v1/responses", json={**body, "stream": False, "max_output_tokens": 1}
        ).is_success
        until = time.monotonic() + 20
        while "formers_running_texts 0.0" not in httpx.get(f"{url}/metrics").text:
            assert time.monotonic() < until
        assert httpx.get(f"{url}/v1/responses/{number}").status_code == 404
    first = json.loads(log.read_text().splitlines()[0])
    assert (first["status"], first["completion_tokens"] < 200) == (499, True)


# -- what is kept -----------------------------------------------------------------------------------------


def test_a_response_goes_on_from_another_whose_prompt_is_not_read_again(
    client: openai.OpenAI, wanted: Any
) -> None:
    long = "the pot is here and there " * 3
    first = client.responses.create(input=long, instructions="Once.", max_output_tokens=3, **GREEDY)
    plain = client.responses.create(input=long, max_output_tokens=3, **GREEDY)
    found = client.responses.create(
        input="And?", previous_response_id=plain.id, max_output_tokens=5, **GREEDY
    )
    messages = [said("user", long), said("assistant", plain.output_text), said("user", "And?")]
    ids, text = wanted(messages, 5)
    assert (found.output_text, found.previous_response_id) == (text, plain.id)
    assert found.usage is not None
    cached = found.usage.input_tokens_details.cached_tokens
    assert (0 < cached < len(ids), cached % 32) == (True, 0)
    other = client.responses.create(
        input="And?", previous_response_id=first.id, max_output_tokens=5, **GREEDY
    )
    assert other.usage is not None
    messages[1] = said("assistant", first.output_text)  # the instructions were of the first alone
    assert other.usage.input_tokens == len(wanted(messages, 1)[0])


def test_a_response_is_fetched_and_forgotten(client: openai.OpenAI) -> None:
    found = client.responses.create(input="The", max_output_tokens=2, **GREEDY)
    assert client.responses.retrieve(found.id) == found
    client.responses.delete(found.id)
    secret = client.responses.create(input="The", max_output_tokens=2, store=False, **GREEDY)
    for number in (found.id, secret.id, "resp_none"):
        with pytest.raises(openai.NotFoundError, match="is no longer kept"):
            client.responses.retrieve(number)
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.create(input="The", previous_response_id=number, **GREEDY)
        assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(found.id)


def test_the_newest_responses_are_kept_within_bounds_of_number_bytes_and_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("formers.serving.writing.kept.time.monotonic", lambda: now[0])

    def left(kept: Kept) -> list[str]:
        found = []
        for number in "abcd":
            try:
                kept.answer(number)
            except BadField:
                continue
            found.append(number)
        return found

    for limits, wanted in (
        (Settings(max_kept_responses=2), ["c", "d"]),
        (Settings(max_kept_bytes=350), ["b", "c", "d"]),
        (Settings(max_kept_bytes=50), []),
        (Settings(keep_responses=2.5), ["b", "c", "d"]),
    ):
        kept = Kept(limits)
        for number in "abcd":
            kept.put(number, b"x" * 98, [])
            now[0] += 0.7
        assert left(kept) == wanted
        assert kept.bytes == 100 * len(wanted)
    now[0] += 3
    assert (left(kept), kept.bytes, len(kept)) == ([], 0, 0)


def test_a_server_may_keep_nothing(folder: Any, tmp_path: Any) -> None:
    with running(str(folder), log_path=tmp_path / "log", max_kept_responses=0, warm_up=False) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        found = client.responses.create(input="The", max_output_tokens=1, **GREEDY)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(found.id)
        with pytest.raises(openai.BadRequestError, match="keeps no responses"):
            client.responses.create(input="The", store=True, **GREEDY)


def test_what_is_kept_is_behind_the_key(folder: Any, tmp_path: Any) -> None:
    with running(str(folder), log_path=tmp_path / "log", api_key="secret", warm_up=False) as url:
        right = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
        wrong = openai.OpenAI(base_url=f"{url}/v1", api_key="guess", max_retries=0)
        number = right.responses.create(input="The", max_output_tokens=1, **GREEDY).id
        for ask in (
            lambda: wrong.responses.create(input="The", **GREEDY),
            lambda: wrong.responses.retrieve(number),
            lambda: wrong.responses.delete(number),
        ):
            with pytest.raises(openai.AuthenticationError):
                ask()
        assert right.responses.retrieve(number).id == number


# -- refusals ---------------------------------------------------------------------------------------------

BAD = [
    ({"input": 5}, "input"),
    ({"input": []}, "input"),
    ({"input": ["x"]}, "input[0]"),
    ({"input": [{"type": "web_search_call", "id": "a"}]}, "input[0].type"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [{"type": "reasoning", "content": ["x"]}]}, "input[0].content"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": "x", "nmae": "x"}]}, "input[0].nmae"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": ["x"]}]}]}, "input[0].content[0]"),
    ({"input": "word " * 300}, "input"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 5000}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"include": ["reasoning.encrypted_content"]}, "include"),
    ({"include": [[]]}, "include"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a": "x" * 513}}, "metadata"),
    ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
    ({"text": {"format": {"type": "json_schema", "shema": {}}}}, "text.format.shema"),
    ({"text": {"form": {}}}, "text.form"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"input": [{"type": "function_call", "call_id": "a", "name": 5}]}, "input[0].name"),
    ({"background": True}, "background"),
    ({"truncation": "auto"}, "truncation"),
    ({"stream": True, "stream_options": {"include_usage": True}}, "stream_options.include_usage"),
    ({"instruction": "x"}, "instruction"),
    ({"messages": []}, "messages"),
]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[json.dumps(change)[:40] for change, _ in BAD])
def test_a_bad_field_is_refused_by_its_name(
    client: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    body = {"input": "The", "model": "tiny", **change}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body=body, cast_to=object)
    assert caught.value.param == param


def test_fields_that_ask_for_nothing_are_taken(client: openai.OpenAI) -> None:
    nothing: dict[str, Any] = {
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "background": False,
    }
    found = client.responses.create(
        input="The", text={"format": {"type": "text"}}, max_output_tokens=1, **nothing, **GREEDY
    )
    assert found.status == "incomplete"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 5000, 400),
        (b'{"model": "tiny", "input": [' + b"{}," * 9000 + b"{}]}", 413),
        (b'{"model": "tiny", "input": "' + b"x" * 30_000 + b'"}', 413),
        (b'{"model": "tiny", "input": "\\ud800"}', 400),
        (b'{"model": "tiny", "input": "x", "input": "y"}', 400),
        (b'{"model": "tiny", "input": "x", "seed": 1' + b"0" * 200 + b"}", 400),
    ],
    ids=["nested", "items", "long", "surrogate", "twice", "number"],
)
def test_hostile_bodies_are_refused_and_quoted_a_little(url: str, body: bytes, status: int) -> None:
    answer = httpx.post(f"{url}/v1/responses", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert len(answer.content) < 1000


def test_a_query_that_would_be_ignored_is_refused(url: str, client: openai.OpenAI) -> None:
    body = {**GREEDY, "input": "The", "max_output_tokens": 1}
    answers = [
        httpx.post(f"{url}/v1/responses?stream=true", json=body),
        httpx.get(f"{url}/v1/responses/resp_none", params={"stream": "true"}),
        httpx.get(f"{url}/v1/models", params={"stream": "true"}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert all(answer.json()["error"]["param"] == "stream" for answer in answers)


def test_every_path_tells_its_methods(url: str) -> None:
    for path, allowed in (("", "POST, OPTIONS"), ("/resp_1", "GET, DELETE, HEAD, OPTIONS")):
        asked = httpx.options(f"{url}/v1/responses{path}")
        refused = httpx.put(f"{url}/v1/responses{path}")
        assert (asked.status_code, asked.headers["allow"]) == (204, allowed)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert httpx.head(f"{url}/v1/responses/resp_1").status_code == 404
