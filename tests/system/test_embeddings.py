"""`/v1/embeddings`, as the official client of the OpenAI API asks it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

import formers
import tiny
from formers.pipelines.text.embedding import Recipe
from formers.serving import running
from formers.serving.adapt import task_of
from formers.serving.embedder import PipelineEmbedder

# a folder that declares no pooling is noticed once
pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")

TEXTS = ["my card was charged again", "late", "the parcel is lost please help"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of 32 numbers whose vectors are those of the first token, of length 1."""
    folder = Path(tiny.save_encoder(tmp_path_factory.mktemp("models") / "encoder"))
    Recipe(pools=("cls",), normalize=True, max_length=12).save(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return formers.pipeline("sentence-embeddings", model=str(folder))


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "log"
    with running(str(folder), log_path=log, max_texts=20, max_chars=500) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def vectors(answer: Any) -> Any:
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    return np.array([one.embedding for one in answer.data], np.float32)


def test_texts_get_the_vectors_that_their_folder_declares(client: openai.OpenAI, pipe: Any) -> None:
    wanted = pipe.encode(TEXTS)
    found = client.embeddings.create(model="encoder", input=TEXTS)
    np.testing.assert_allclose(vectors(found), wanted, atol=1e-6)
    listed = client.embeddings.create(model="encoder", input=TEXTS, encoding_format="float")
    np.testing.assert_allclose(vectors(listed), wanted, atol=1e-6)
    one = client.embeddings.create(model="encoder", input=TEXTS[1])
    np.testing.assert_allclose(vectors(one), wanted[1:2], atol=1e-6)
    tokens = sum(len(pipe.tokenizer(text)["input_ids"]) for text in TEXTS)
    assert (found.usage.prompt_tokens, found.usage.total_tokens, found.model) == (tokens, tokens, "encoder")


def test_what_the_client_asks_by_default_is_packed(url: str, pipe: Any) -> None:
    body = {"model": "encoder", "input": "late", "encoding_format": "base64"}
    packed = httpx.post(f"{url}/v1/embeddings", json=body).json()["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(packed), "<f4"), pipe("late"), atol=1e-6)


def test_token_ids_are_read_as_they_are(client: openai.OpenAI, pipe: Any) -> None:
    ids = [pipe.tokenizer(text)["input_ids"] for text in TEXTS]
    found = client.embeddings.create(model="encoder", input=ids)
    np.testing.assert_allclose(vectors(found), pipe.encode(TEXTS), atol=1e-6)
    one = client.embeddings.create(model="encoder", input=ids[0])
    np.testing.assert_allclose(vectors(one), pipe.encode(TEXTS[:1]), atol=1e-6)


def test_fewer_dimensions_are_cut_and_of_length_one_again(client: openai.OpenAI, pipe: Any) -> None:
    found = vectors(client.embeddings.create(model="encoder", input=TEXTS, dimensions=5))
    wanted = pipe.encode(TEXTS)[:, :5]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(openai.BadRequestError, match="from 1 to 32") as caught:
        client.embeddings.create(model="encoder", input=TEXTS, dimensions=33)
    assert caught.value.param == "dimensions"


def test_what_did_not_fit_of_a_text_is_told(url: str) -> None:
    body = {"model": "encoder", "input": ["late", "late " * 40]}
    short, long = httpx.post(f"{url}/v1/embeddings", json=body).json()["data"]
    assert "cut_tokens" not in short
    assert long["cut_tokens"] == 30


def test_many_numbers_are_written_beside_the_event_loop(
    client: openai.OpenAI, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formers.serving.embeddings._MANY", 20)
    found = client.embeddings.create(model="encoder", input=TEXTS, encoding_format="float")
    np.testing.assert_allclose(vectors(found), pipe.encode(TEXTS), atol=1e-6)


BAD = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["a", " "]}, "input[1]"),
    ({"input": ["a", 5]}, "input"),
    ({"input": [[1], [99999]]}, "input[1]"),
    ({"input": [3] * 13}, "input"),
    ({"input": ["a"] * 21}, "input"),
    ({"input": "\ud800"}, "input"),
    ({"encoding_format": "int8"}, "encoding_format"),
    ({"dimensions": 0}, "dimensions"),
    ({"user": 5}, "user"),
    ({"inputs": "x"}, "inputs"),
]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[json.dumps(change)[:40] for change, _ in BAD])
def test_a_bad_field_is_refused_by_its_name(url: str, change: dict[str, Any], param: str) -> None:
    answer = httpx.post(
        f"{url}/v1/embeddings",
        content=json.dumps({"model": "encoder", "input": "a", **change}),
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_bounds_of_bodies_are_those_of_the_server(url: str) -> None:
    def status(body: bytes, path: str = "") -> int:
        headers = {"content-type": "application/json"}
        return httpx.post(f"{url}/v1/embeddings{path}", content=body, headers=headers).status_code

    assert status(json.dumps({"model": "encoder", "input": "x" * 501}).encode()) == 413
    assert status(b'{"model": "encoder", "input": [' + b"[]," * 500 + b"[1]]}") == 413
    assert status(b'{"model": "gpt", "input": "a"}') == 404
    assert status(b"[" * 5000) == 413
    assert status(b'{"model": "encoder", "input": "a"') == 400
    assert status(b'{"model": "encoder", "input": "a"}', "?dimensions=5") == 400
    assert httpx.options(f"{url}/v1/embeddings").headers["allow"] == "POST, OPTIONS"


def test_the_model_tells_what_it_makes_and_its_page_is_that_of_the_docs(
    client: openai.OpenAI, url: str
) -> None:
    card: Any = client.models.retrieve("encoder")
    assert (card.dimensions, card.max_model_len) == (32, 12)
    assert "API" in httpx.get(url).text
    metrics = httpx.get(f"{url}/metrics").text
    assert 'formers_requests_total{status="200"}' in metrics


def test_a_client_that_asks_for_what_this_model_does_not_do_is_told_what_it_does(
    client: openai.OpenAI, url: str
) -> None:
    with pytest.raises(openai.NotFoundError, match="this server answers /, /models/encoder, /v1/embeddings"):
        client.completions.create(model="encoder", prompt="a")
    assert httpx.get(f"{url}/page/none").json()["error"]["message"] == "there is no page 'none'"


def test_a_model_that_fails_is_an_error_of_the_server(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PipelineEmbedder, "run", lambda self, prepared: [np.full(32, np.nan)] * len(prepared))
    with pytest.raises(openai.InternalServerError, match="not finite"):
        client.embeddings.create(model="encoder", input="a")


def test_past_its_time_or_capacity_a_request_is_refused(folder: Path, tmp_path: Path) -> None:
    options = {"log_path": tmp_path / "log", "timeout": 1e-4, "warm_up": False, "api_key": "secret"}
    body = {"model": "encoder", "input": "a"}
    with running(str(folder), **options) as url:
        assert httpx.post(f"{url}/v1/embeddings", json=body).status_code == 401
        answer = httpx.post(f"{url}/v1/embeddings", json=body, headers={"x-api-key": "secret"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "server_error")


def test_a_folder_that_declares_nothing_gives_means_of_length_one(tmp_path: Path) -> None:
    folder = tiny.save_encoder(tmp_path / "bare")
    plain = formers.pipeline("sentence-embeddings", model=str(folder))
    model = PipelineEmbedder(plain)
    found = model.run(model.prepare(TEXTS))
    wanted = plain.encode(TEXTS)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    own = PipelineEmbedder(
        formers.pipeline("sentence-embeddings", model=str(folder), normalize=False, dimensions=4)
    )
    np.testing.assert_allclose(own.run(own.prepare(TEXTS)), wanted[:, :4], atol=1e-6)
    assert own.width == 4


@pytest.mark.parametrize(
    ("architecture", "declared", "task"),
    [
        ("BertModel", False, "sentence-embeddings"),
        ("BertForSequenceClassification", True, "text-classification"),
        ("Qwen3ForCausalLM", True, "sentence-embeddings"),
        ("Qwen3ForCausalLM", False, "text-generation"),
    ],
)
def test_the_head_and_the_folder_decide_what_is_served(
    tmp_path: Path, architecture: str, declared: bool, task: str
) -> None:
    kind = "bert" if "Bert" in architecture else "qwen3"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "architectures": [architecture]}))
    if declared:
        (tmp_path / "modules.json").write_text("[]")
    assert task_of(str(tmp_path)) == task
