"""The endpoints under `/v1`, as the official client of the OpenAI API asks them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import torch

from formers import LlamaForCausalLM
from formers.generation.engine import Engine
from formers.serving import running
from system.tiny_writer import write

CHAT: list[Any] = [
    {"role": "system", "content": "Stop well."},
    {"role": "user", "content": "Where is the pot?"},
]
GREEDY: dict[str, Any] = {"model": "tiny", "temperature": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Any) -> Any:
    return LlamaForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Any) -> Any:
    from formers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def url(folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(str(folder), log_path=tmp_path_factory.mktemp("log") / "log", max_new_tokens=100) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def greedy(model: Any, tokenizer: Any, ids: list[int], count: int) -> str:
    """What `generate` goes on with."""
    found = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
    return str(tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True))


def chat_ids(tokenizer: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False))


# -- answers ----------------------------------------------------------------------------------------------


def test_the_served_model_is_listed(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "formers"
    with pytest.raises(openai.NotFoundError, match="'tiny' is served"):
        client.models.retrieve("large")


def test_a_greedy_chat_is_answered_as_generate_answers_it(
    client: openai.OpenAI, model: Any, tokenizer: Any
) -> None:
    found = client.chat.completions.create(messages=CHAT, max_completion_tokens=12, **GREEDY)
    ids = chat_ids(tokenizer)
    choice = found.choices[0]
    assert choice.message.content == greedy(model, tokenizer, ids, 12)
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (len(ids), 12)
    assert found.usage.total_tokens == len(ids) + 12


def test_a_stream_says_the_same_and_its_usage_at_the_end(
    client: openai.OpenAI, model: Any, tokenizer: Any
) -> None:
    chunks = list(
        client.chat.completions.create(
            messages=CHAT, max_tokens=12, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
    )
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == greedy(model, tokenizer, chat_ids(tokenizer), 12)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert len({one.id for one in chunks}) == 1


def test_a_stream_ends_with_done(url: str) -> None:
    body = {**GREEDY, "prompt": "The stop", "max_tokens": 3, "stream": True}
    with httpx.stream("POST", f"{url}/v1/completions", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] == "text_completion" for line in lines[:-1])


@pytest.mark.parametrize("stream", [False, True])
def test_texts_and_ids_are_gone_on_with(
    client: openai.OpenAI, model: Any, tokenizer: Any, stream: bool
) -> None:
    texts = ["The stop is", "def f(x):"]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    wanted = [greedy(model, tokenizer, one, 8) for one in ids]
    for prompt in (texts, ids):
        texts_of = ["", ""]
        if stream:
            for chunk in client.completions.create(prompt=prompt, max_tokens=8, stream=True, **GREEDY):
                texts_of[chunk.choices[0].index] += chunk.choices[0].text
        else:
            found = client.completions.create(prompt=prompt, max_tokens=8, **GREEDY)
            texts_of = [one.text for one in found.choices]
        assert texts_of == wanted


def test_a_text_may_begin_with_its_prompt(client: openai.OpenAI) -> None:
    plain = client.completions.create(prompt="The stop is", max_tokens=5, **GREEDY).choices[0].text
    echoed = client.completions.create(prompt="The stop is", max_tokens=5, echo=True, **GREEDY)
    assert echoed.choices[0].text == "The stop is" + plain


def test_characters_of_several_tokens_come_whole(client: openai.OpenAI, tokenizer: Any) -> None:
    bytes_of_face = tokenizer("😀", add_special_tokens=False)["input_ids"]
    assert len(bytes_of_face) > 1
    stream = client.completions.create(
        prompt="emoji",
        max_tokens=40,
        stream=True,
        logit_bias={str(token): 100 for token in bytes_of_face},
        extra_body={"top_k": len(bytes_of_face)},
        seed=1,
        model="tiny",
    )
    texts = [chunk.choices[0].text for chunk in stream]
    again = client.completions.create(
        prompt="emoji",
        max_tokens=40,
        logit_bias={str(token): 100 for token in bytes_of_face},
        extra_body={"top_k": len(bytes_of_face)},
        seed=1,
        model="tiny",
    )
    assert "".join(texts) == again.choices[0].text


def test_the_endpoints_are_documented(url: str) -> None:
    paths = {"/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/responses"}
    assert paths <= set(httpx.get(f"{url}/openapi.json").json()["paths"])


# -- how a text ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_over_several_tokens_ends_a_text_and_is_left_out(
    client: openai.OpenAI, stream: bool
) -> None:
    whole = client.completions.create(prompt="The last", max_tokens=30, **GREEDY).choices[0].text
    stop = whole[10:16]
    wanted = whole[: whole.index(stop)]
    asked: dict[str, Any] = {"prompt": "The last", "max_tokens": 30, "stop": ["never said", stop], **GREEDY}
    if stream:
        chunks = [chunk.choices[0] for chunk in client.completions.create(stream=True, **asked)]
        assert ("".join(one.text for one in chunks), chunks[-1].finish_reason) == (wanted, "stop")
    else:
        choice = client.completions.create(**asked).choices[0]
        assert (choice.text, choice.finish_reason) == (wanted, "stop")


def test_the_end_token_ends_a_text_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    found = client.completions.create(prompt="The", max_tokens=9, logit_bias={"0": 100}, **GREEDY)
    assert (found.choices[0].text, found.choices[0].finish_reason) == ("", "stop")


# -- sampling ---------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_texts_again_and_each_of_n_is_another(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": CHAT, "max_tokens": 8, "n": 3, "seed": 11}
    first, again = (client.chat.completions.create(**asked) for _ in range(2))
    texts = [one.message.content for one in first.choices]
    assert texts == [one.message.content for one in again.choices]
    assert len(set(texts)) == 3
    assert first.usage is not None
    assert first.usage.completion_tokens == 24


def test_penalties_keep_tokens_from_coming_again(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"prompt": "stop stop", "max_tokens": 30, "logprobs": 0, **GREEDY}
    plain = client.completions.create(**asked).choices[0].logprobs
    fresh = client.completions.create(presence_penalty=2, frequency_penalty=2, logit_bias={}, **asked)
    assert plain is not None
    assert plain.tokens is not None
    tokens = fresh.choices[0].logprobs
    assert tokens is not None
    assert tokens.tokens is not None
    assert len(set(tokens.tokens)) > len(set(plain.tokens))


def test_log_probabilities_are_those_of_the_model(client: openai.OpenAI, model: Any, tokenizer: Any) -> None:
    found = client.chat.completions.create(
        messages=CHAT, max_tokens=4, logprobs=True, top_logprobs=3, **GREEDY
    )
    ids = chat_ids(tokenizer)
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    assert found.choices[0].logprobs is not None
    content = found.choices[0].logprobs.content
    assert content is not None
    assert len(content) == 4
    assert content[0].logprob == pytest.approx(float(wanted.max()), abs=1e-4)
    assert [one.logprob for one in content[0].top_logprobs] == pytest.approx(
        wanted.topk(3).values.tolist(), abs=1e-4
    )
    said = b"".join(bytes(one.bytes or ()) for one in content).decode("utf-8", "replace")
    assert said == found.choices[0].message.content


def test_streamed_log_probabilities_are_those_of_the_whole_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"prompt": "The stop", "max_tokens": 10, "logprobs": 2, **GREEDY}
    whole = client.completions.create(**asked).choices[0].logprobs
    assert whole is not None
    assert whole.token_logprobs is not None
    values: list[Any] = []
    for chunk in client.completions.create(stream=True, **asked):
        if chunk.choices[0].logprobs is not None:
            values += chunk.choices[0].logprobs.token_logprobs or []
    assert values == pytest.approx(whole.token_logprobs)
    assert whole.top_logprobs is not None
    assert all(len(one) in (2, 3) for one in whole.top_logprobs)


def test_the_metrics_count_requests_and_tokens(client: openai.OpenAI, url: str) -> None:
    def counted(name: str) -> float:
        lines = httpx.get(f"{url}/metrics").text.splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)

    names = ('formers_requests_total{status="200"}', "formers_completion_tokens_total")
    before = [counted(name) for name in names]
    client.completions.create(prompt="The", max_tokens=7, logit_bias={"0": -100}, **GREEDY)
    assert [counted(name) - was for name, was in zip(names, before, strict=True)] == [1, 7]
    assert counted("formers_ready") == 1


# -- many at once -----------------------------------------------------------------------------------------


def test_twenty_streams_at_once_are_not_mixed(url: str, model: Any, tokenizer: Any) -> None:
    prompts = [f"{'stop ' * (i % 5)}the {i} pot" for i in range(20)]

    async def ask(client: openai.AsyncOpenAI, i: int) -> str:
        stream = await client.completions.create(
            prompt=prompts[i], max_tokens=5 + i % 7, stream=True, **GREEDY
        )
        return "".join([chunk.choices[0].text async for chunk in stream])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, i) for i in range(20)))

    wanted = [
        greedy(model, tokenizer, tokenizer(prompt)["input_ids"], 5 + i % 7)
        for i, prompt in enumerate(prompts)
    ]
    assert asyncio.run(all_of_them()) == wanted


def test_a_client_that_leaves_frees_its_row(folder: Any, tmp_path: Any) -> None:
    log = tmp_path / "log"
    with running(str(folder), log_path=log, max_new_tokens=200) as url:
        body = {
            **GREEDY,
            "prompt": "The",
            "max_tokens": 200,
            "stream": True,
            "n": 30,
            "logit_bias": {"0": -100},
        }
        for _ in range(2):
            with httpx.stream("POST", f"{url}/v1/completions", json=body) as answer:
                next(answer.iter_lines())
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            assert client.completions.create(prompt="The", max_tokens=2, **GREEDY).choices
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [499, 499, 200]
    assert all(line["completion_tokens"] < 30 * 200 for line in lines)


def test_past_capacity_clients_are_told_to_come_back(
    folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(str(folder), log_path=tmp_path / "log", max_queued_requests=1, warm_up=False) as url:
        body = {**GREEDY, "prompt": "The", "max_tokens": 5, "n": 50}
        answer = httpx.post(f"{url}/v1/completions", json=body)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "at capacity" in answer.json()["error"]["message"]
        assert httpx.post(f"{url}/v1/completions", json={**body, "n": 1}).status_code == 200


# -- refusals ---------------------------------------------------------------------------------------------

BAD = [
    ({"temperature": 3}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 0}, "n"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 1000}, "max_tokens"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": ""}, "stop"),
    ({"logit_bias": {"99999": 1}}, "logit_bias"),
    ({"logit_bias": {"7": 101}}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"tools": [{"type": "function"}]}, "tools[0]"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ({"temprature": 1}, "temprature"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": "word " * 300}]}, "messages"),
]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[json.dumps(change)[:40] for change, _ in BAD])
def test_a_bad_field_is_refused_by_its_name(
    client: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    body: dict[str, Any] = {"messages": CHAT, "model": "tiny", **change}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=CHAT)
    assert caught.value.code == "model_not_found"


def test_what_is_no_json_is_refused(url: str) -> None:
    answer = httpx.post(
        f"{url}/v1/chat/completions", content=b"[" * 5000, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]


def test_the_key_is_asked_for(folder: Any, tmp_path: Any) -> None:
    with running(str(folder), log_path=tmp_path / "log", api_key="secret", warm_up=False) as url:
        wrong = openai.OpenAI(base_url=f"{url}/v1", api_key="guess", max_retries=0)
        for ask in (wrong.models.list, lambda: wrong.completions.create(prompt="The", **GREEDY)):
            with pytest.raises(openai.AuthenticationError, match="the API key is wrong"):
                ask()
        right = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
        assert right.completions.create(prompt="The", max_tokens=1, **GREEDY).choices


# -- the process ------------------------------------------------------------------------------------------


def test_the_command_finishes_what_it_holds_before_it_stops(folder: Any, tmp_path: Any) -> None:
    command = [sys.executable, "-m", "formers", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--log", str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split(" on ")[1].split()[0]
        until = time.monotonic() + 60
        while httpx.get(f"{url}/health").status_code != 200 and time.monotonic() < until:
            time.sleep(0.02)
        body = {**GREEDY, "prompt": "The", "max_tokens": 200, "stream": True, "logit_bias": {"0": -100}}
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_an_engine_is_closed_with_its_server(folder: Any, tmp_path: Any) -> None:
    made: list[Engine] = []
    before = Engine.__init__

    def noted(self: Engine, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        before(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "__init__", noted)
        with running(str(folder), log_path=tmp_path / "log"):
            assert made[0].alive
    assert not made[0].alive
