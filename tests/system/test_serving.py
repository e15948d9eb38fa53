"""The server as a process of its own, over real HTTP: every answer, every refusal, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from formers.core.extras import MissingExtra
from formers.serving import HumanQueue, Settings
from system.serving_fake import LABELS, FakeClassifier, ServerProcess, expected

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = {"max_chars": 500, "max_texts": 8, "max_body_bytes": 20_000, "body_timeout": 1.0, "timeout": 1.5}
    with ServerProcess(tmp_path_factory.mktemp("server"), **limits) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def lines_of(server, wanted, seconds=10):
    """The log's lines, once one of them satisfies `wanted`."""
    until = time.monotonic() + seconds
    while True:
        lines = [json.loads(line) for line in server.log_path.read_text().splitlines()]
        if any(wanted(line) for line in lines) or time.monotonic() > until:
            return lines
        time.sleep(0.05)


def exchange(server, head, *parts, pause=0.0):
    """Send bytes as they are and return all that comes back until the server closes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head)
        for part in parts:
            time.sleep(pause)
            connection.sendall(part)
        found = b""
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(65536):
                found += data
        return found


# --- answers ---------------------------------------------------------------------------------------


def test_one_text_gets_one_object(client):
    answer = client.post("/classify", json={"text": "card charged twice"})
    label, score = expected("card charged twice")
    assert answer.status_code == 200
    assert answer.json() == {
        "label": label,
        "confidence": score,
        "score": score,
        "needs_human": False,
        "revision": "fake-1",
        "tokens": 5,
    }


def test_several_texts_get_results_in_their_order(client):
    texts = ["one", "two words", "three words here", "one"]
    results = client.post("/classify", json={"texts": texts}).json()["results"]
    assert [(result["label"], result["score"]) for result in results] == [expected(text) for text in texts]


def test_inputs_is_the_same_under_another_name(client):
    assert client.post("/classify", json={"inputs": "a"}).json()["label"] == expected("a")[0]
    assert len(client.post("/classify", json={"inputs": ["a", "b"]}).json()["results"]) == 2


def test_scores_are_listed_when_asked_for(client):
    two = client.post("/classify", json={"text": "a", "top_k": 2}).json()["scores"]
    everything = client.post("/classify", json={"text": "a", "all_scores": True}).json()["scores"]
    assert two == everything[:2]
    assert sorted(score["label"] for score in everything) == sorted(LABELS)


def test_a_text_that_the_model_cannot_read_to_its_end_says_how_much_was_cut(client):
    answer = client.post("/classify", json={"text": "w " * 100}).json()
    assert (answer["tokens"], answer["cut_tokens"]) == (64, 38)


def test_the_request_id_is_echoed_or_made(client):
    given = client.post("/classify", json={"text": "a"}, headers={"X-Request-ID": "ticket-17"})
    assert given.headers["x-request-id"] == "ticket-17"
    made = {client.post("/classify", json={"text": "a"}).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


def test_hundreds_of_concurrent_requests_each_get_their_own_answer(server):
    async def ask(client, number):
        texts = [f"request {number} {'word ' * ((number * 13 + i) % 40)}" for i in range(number % 4 + 1)]
        body = {"texts": texts} if number % 2 else {"text": texts[0]}
        answer = await client.post("/classify", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()["results"] if number % 2 else [answer.json()]
        asked = texts if number % 2 else texts[:1]
        assert [(one["label"], one["score"]) for one in found] == [expected(text) for text in asked]

    async def everyone():
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            await asyncio.gather(*(ask(client, number) for number in range(300)))

    asyncio.run(everyone())


# --- refusals --------------------------------------------------------------------------------------


def test_malformed_bodies_are_422_with_the_fault(client):
    broken = client.post("/classify", content=b"{", headers=JSON)
    assert broken.status_code == 422
    assert "not JSON" in broken.json()["detail"][0]["msg"]
    wrong = client.post("/classify", json={"texts": ["a", 5]})
    assert wrong.status_code == 422
    assert wrong.json()["detail"][0]["loc"] == ["body", "texts", 1]
    assert client.post("/classify", json={"text": "  "}).status_code == 422


def test_another_content_type_is_415(client):
    answer = client.post("/classify", content=b'{"text": "a"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_other_methods_are_405_and_other_paths_404(client):
    assert client.get("/classify").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_long_texts_many_texts_and_large_bodies_are_413(client):
    assert client.post("/classify", json={"text": "x" * 501}).status_code == 413
    assert client.post("/classify", json={"texts": ["x"] * 9}).status_code == 413
    large = client.post("/classify", content=b'{"text": "' + b"x" * 3_000_000 + b'"}', headers=JSON)
    assert large.status_code == 413
    assert "20000" in large.json()["detail"]


def test_a_large_body_without_a_length_is_413_too(client):
    def parts():
        for _ in range(300):
            yield b"x" * 1000

    assert client.post("/classify", content=parts(), headers=JSON).status_code == 413


def test_a_body_that_never_comes_is_408(server):
    head = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    assert exchange(server, head, b"{").startswith(b"HTTP/1.1 408")


def test_a_slow_but_whole_body_is_answered(server):
    body = b'{"text": "in parts"}'
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    assert exchange(server, head, body[:5], body[5:], pause=0.1).startswith(b"HTTP/1.1 200")


def test_a_model_failure_is_500_for_that_request_alone(client):
    answers = {}

    def ask(text):
        answers[text] = client.post("/classify", json={"text": text}).status_code

    threads = [threading.Thread(target=ask, args=(text,)) for text in ("slow 0.2", "boom", "fine", "nan")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"slow 0.2": 200, "boom": 500, "fine": 200, "nan": 500}


def test_a_request_out_of_time_is_504(client):
    answer = client.post("/classify", json={"text": "slow 2.5"})
    assert answer.status_code == 504
    assert "1.5 s" in answer.json()["detail"]
    assert client.post("/classify", json={"text": "after"}).status_code in (200, 504)


def test_work_of_a_client_that_hung_up_is_given_up(server, client):
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{server.url}/classify",
            json={"text": "slow 1.0"},
            timeout=0.2,
            headers={"X-Request-ID": "impatient"},
        )
    lines = lines_of(server, lambda line: line["request_id"] == "impatient")
    assert [line["status"] for line in lines if line["request_id"] == "impatient"] == [499]


# --- state, metrics, log, pages ---------------------------------------------------------------------


def test_health_model_and_metrics(client):
    assert client.get("/health").json() == {"status": "ready", "live": True, "ready": True, "problem": None}
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200
    model = client.get("/model").json()
    assert (model["labels"], model["thresholds"]["other"], model["max_chars"]) == (LABELS, 0.75, 500)
    client.post("/classify", json={"text": "counted"})
    page = client.get("/metrics").text
    for name in (
        'formers_requests_total{status="200"}',
        'formers_requests_total{status="413"}',
        "formers_request_seconds_bucket",
        "formers_batch_tokens_bucket",
        "formers_human_queue_open",
        "formers_waiting_tokens 0.0",
        "formers_ready 1.0",
        'formers_model_info{revision="fake-1"} 1.0',
    ):
        assert name in page, name


def test_the_log_has_a_line_for_each_request_and_never_the_text(server, client):
    client.post("/classify", json={"text": "very private words"}, headers={"X-Request-ID": "one"})
    client.post(
        "/classify", json={"texts": ["private too", "unsure privacy"]}, headers={"X-Request-ID": "two"}
    )
    client.post("/classify", json={"text": ""}, headers={"X-Request-ID": "three"})
    lines = lines_of(server, lambda line: line["request_id"] == "three")
    found = {line["request_id"]: line for line in lines}
    label, score = expected("very private words")
    one = found["one"]
    assert (one["status"], one["revision"], one["tokens"], one["label"]) == (200, "fake-1", 5, label)
    assert one["score"] == pytest.approx(score, abs=1e-6)
    assert one["latency_ms"] > 0
    assert (found["two"]["texts"], found["two"]["needs_human"]) == (2, 1)
    assert found["three"]["status"] == 422
    assert "priva" not in server.log_path.read_text()


def test_openapi_describes_every_path_and_the_pages_need_no_other_host(client):
    schema = client.get("/openapi.json").json()
    assert {"/classify", "/health", "/model", "/queue", "/queue/{number}/resolve", "/queue/export"} <= set(
        schema["paths"]
    )
    assert {"200", "202", "401", "413", "422", "503", "504"} <= set(
        schema["paths"]["/classify"]["post"]["responses"]
    )
    for path in ("/", "/docs", "/page/app.js", "/page/docs.js", "/page/style.css", "/page/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", ""), path
    assert client.get("/page/app.py").status_code == 404


# --- the human queue --------------------------------------------------------------------------------


def test_an_unsure_answer_is_flagged_kept_and_decided(client):
    answer = client.post("/classify", json={"texts": ["sure", "unsure of this"]}).json()["results"]
    assert [one["needs_human"] for one in answer] == [False, True]
    number = answer[1]["queue_id"]
    item = client.get(f"/queue/{number}").json()
    assert (item["text"], item["status"], item["score"], item["threshold"]) == (
        "unsure of this",
        "open",
        0.4,
        0.75,
    )
    assert [score["label"] for score in item["scores"]][0] == item["label"]

    decided = client.post(f"/queue/{number}/resolve", json={"label": "other", "by": "Ada", "note": "seen"})
    assert decided.status_code == 200
    assert (decided.json()["status"], decided.json()["resolved_label"]) == ("resolved", "other")
    again = {"label": "other", "by": "Ada", "note": "seen"}
    assert client.post(f"/queue/{number}/resolve", json=again).status_code == 200
    conflict = client.post(f"/queue/{number}/resolve", json={"label": "billing", "by": "Ben"})
    assert conflict.status_code == 409
    assert "Ada" in conflict.json()["detail"]


def test_the_queue_is_listed_in_pages_and_by_status(client):
    numbers = [client.post("/classify", json={"text": f"unsure {i}"}).json()["queue_id"] for i in range(3)]
    first = client.get("/queue", params={"limit": 1, "after": numbers[0] - 1}).json()
    assert [item["id"] for item in first["items"]] == [numbers[0]]
    rest = client.get("/queue", params={"after": first["next"]}).json()
    assert [item["id"] for item in rest["items"]][:2] == numbers[1:]
    assert rest["next"] is None
    exact = client.get("/queue", params={"after": first["next"], "limit": len(rest["items"])}).json()
    assert (exact["items"], exact["next"]) == (rest["items"], None)
    client.post(f"/queue/{numbers[0]}/resolve", json={"label": "other", "by": "Ada"})
    assert numbers[0] in [item["id"] for item in client.get("/queue?status=resolved").json()["items"]]
    assert numbers[0] not in [item["id"] for item in client.get("/queue?status=open").json()["items"]]
    assert client.get("/queue?status=all").json()["open"] >= 2


def test_refused_decisions_say_why(client):
    number = client.post("/classify", json={"text": "unsure again"}).json()["queue_id"]
    unknown = client.post(f"/queue/{number}/resolve", json={"label": "refunds", "by": "Ada"})
    assert unknown.status_code == 422
    assert "billing, technical, other" in unknown.json()["detail"][0]["msg"]
    assert client.post(f"/queue/{number}/resolve", json={"label": "other"}).status_code == 422
    assert client.post("/queue/999999/resolve", json={"label": "other", "by": "Ada"}).status_code == 404
    assert client.get("/queue/999999").status_code == 404
    assert client.get("/queue?limit=0").status_code == 422
    assert client.get("/queue?status=lost").status_code == 422


@pytest.mark.parametrize("path", ["/queue?staus=resolved", "/queue/export?fromat=jsonl", "/queue/1?full=1"])
def test_a_parameter_that_nobody_reads_is_refused_by_name(client, path):
    answer = client.get(path)
    assert answer.status_code == 422
    name = path.partition("?")[2].partition("=")[0]
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["query"]
    assert f"unknown parameter '{name}'" in fault["msg"]
    assert ("did you mean" in fault["msg"]) == (name != "full")


def test_numbers_that_no_item_can_have_are_refused_and_disturb_nobody(client):
    decision = {"label": "other", "by": "Ada"}
    kept, bad = [], []

    def ask():
        kept.extend(client.post("/classify", json={"text": f"unsure {i}"}).status_code for i in range(40))

    def disturb():
        bad.extend(client.post(f"/queue/{'9' * 20}/resolve", json=decision).status_code for _ in range(40))

    threads = [threading.Thread(target=work) for work in (ask, ask, disturb, disturb)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (set(kept), set(bad)) == ({200}, {404})
    assert client.get(f"/queue/{'9' * 20}").status_code == 404
    assert client.get("/queue/-1").status_code == 404
    assert client.get(f"/queue?after={'9' * 20}").status_code == 422


def test_half_a_surrogate_pair_is_422_wherever_it_stands(server, client):
    odd = {**JSON, "X-Request-ID": "odd"}
    key = client.post("/classify", content=b'{"\\ud800": 1, "text": "a"}', headers=odd)
    assert key.status_code == 422
    assert "unknown key" in key.json()["detail"][0]["msg"]
    assert lines_of(server, lambda line: line["request_id"] == "odd")[-1]["status"] == 422
    number = client.post("/classify", json={"text": "unsure too"}).json()["queue_id"]
    for body in (
        b'{"label": "other", "by": "\\ud800"}',
        b'{"label": "other", "by": "Ada", "note": "\\ud800"}',
        b'{"label": "\\ud800", "by": "Ada"}',
        b'{"label": "other", "by": "Ada", "\\ud800": 1}',
    ):
        answer = client.post(f"/queue/{number}/resolve", content=body, headers=JSON)
        assert answer.status_code == 422, body
        assert {"loc", "msg", "type"} == set(answer.json()["detail"][0])
    assert client.get(f"/queue/{number}").json()["status"] == "open"


def test_a_decision_needs_a_name_and_the_same_note_to_be_the_same(client):
    number = client.post("/classify", json={"text": "unsure also"}).json()["queue_id"]
    place = f"/queue/{number}/resolve"
    assert client.post(place, json={"label": "other", "by": " \t"}).status_code == 422
    said = {"label": "other", "by": " Ada ", "note": "seen"}
    assert client.post(place, json=said).json()["resolved_by"] == "Ada"
    assert client.post(place, json=said).status_code == 200
    assert client.post(place, json={**said, "note": "another"}).status_code == 409


def test_decisions_are_exported_as_rows_to_train_on(client):
    number = client.post("/classify", json={"text": 'unsure, with "quotes"\nand lines'}).json()["queue_id"]
    client.post(f"/queue/{number}/resolve", json={"label": "technical", "by": "Ada"})
    rows = list(csv.DictReader(io.StringIO(client.get("/queue/export").text)))
    assert list(rows[0])[:2] == ["text", "label"]
    (row,) = [row for row in rows if row["id"] == str(number)]
    assert (row["text"], row["label"]) == ('unsure, with "quotes"\nand lines', "technical")
    lines = [json.loads(line) for line in client.get("/queue/export?format=jsonl").text.splitlines()]
    assert [line["id"] for line in lines] == [int(row["id"]) for row in rows]


def test_the_key_guards_the_queue_and_if_wanted_classify(tmp_path):
    with ServerProcess(tmp_path, api_key="s3cret", protect_classify=True) as server:
        assert httpx.get(f"{server.url}/queue").status_code == 401
        assert httpx.get(f"{server.url}/queue", headers={"X-API-Key": "wrong"}).status_code == 401
        assert httpx.get(f"{server.url}/queue", headers={"X-API-Key": "s3cret"}).status_code == 200
        refused = httpx.post(f"{server.url}/classify", json={"text": "a"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        bearer = {"Authorization": "Bearer s3cret"}
        assert httpx.post(f"{server.url}/classify", json={"text": "a"}, headers=bearer).status_code == 200
        assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.parametrize("path", ["/classify", "/queue/1/resolve"])
def test_every_body_is_checked_in_one_order_key_type_size_time(tmp_path, path):
    limits = {"max_body_bytes": 1000, "body_timeout": 0.5}
    with ServerProcess(tmp_path, api_key="s3cret", protect_classify=True, **limits) as server:
        large = {"content": b"x" * 5_000_000}
        refused = httpx.post(f"{server.url}{path}", headers=JSON, **large)
        assert (refused.status_code, refused.headers["connection"]) == (401, "close")
        key = {"X-API-Key": "s3cret"}
        assert httpx.post(f"{server.url}{path}", headers=key, **large).status_code == 415
        assert httpx.post(f"{server.url}{path}", headers={**key, **JSON}, **large).status_code == 413
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        late = exchange(server, head.encode() + b"X-API-Key: s3cret\r\n\r\n", b"{")
        assert late.startswith(b"HTTP/1.1 408")
        nobody = exchange(server, head.encode() + b"\r\n")  # without the key the body is not waited for
        assert nobody.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/", "/docs", "/metrics", "/model", "/queue"])
def test_head_is_answered_as_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_is_refused_where_get_is(client):
    assert client.head("/classify").status_code == client.get("/classify").status_code == 405
    assert client.head("/nothing").status_code == 404


def test_the_docs_describe_the_bodies_that_are_read(client):
    paths = client.get("/openapi.json").json()["paths"]
    bodies = {path: paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
              for path in ("/classify", "/queue/{number}/resolve")}  # fmt: skip
    assert bodies["/classify"]["$ref"].endswith("/ClassifyRequest")
    assert set(bodies["/queue/{number}/resolve"]["properties"]) == {"label", "by", "note"}


def test_what_the_model_does_not_answer_falls_to_a_person_if_wanted(tmp_path):
    with ServerProcess(tmp_path, timeout=0.3, fallback="human") as server:
        late = httpx.post(f"{server.url}/classify", json={"text": "slow 0.8"})
        assert late.status_code == 202
        assert (late.json()["label"], late.json()["needs_human"], late.json()["reason"]) == (
            None,
            True,
            "timeout",
        )
        time.sleep(0.6)
        broken = httpx.post(f"{server.url}/classify", json={"texts": ["boom", "x"]})
        assert broken.status_code == 202
        assert [one["reason"] for one in broken.json()["results"]] == ["error", "error"]
        odd = httpx.post(f"{server.url}/classify", json={"text": "nan"}, headers={"X-Request-ID": "odd"})
        assert (odd.status_code, odd.json()["reason"]) == (202, "error")
        items = httpx.get(f"{server.url}/queue").json()["items"]
        assert [(item["text"], item["reason"]) for item in items] == [
            ("slow 0.8", "timeout"),
            ("boom", "error"),
            ("x", "error"),
            ("nan", "error"),
        ]
        assert lines_of(server, lambda line: line["request_id"] == "odd")[-1]["status"] == 202
    assert "NaN" not in server.log_path.read_text()


# --- capacity, crashes, stopping ---------------------------------------------------------------------


def test_past_its_capacity_it_answers_503_with_a_time_and_recovers(tmp_path):
    with ServerProcess(tmp_path, max_queued_requests=4, max_batch_items=1) as server:

        async def flood():
            limits = httpx.Limits(max_connections=40)
            async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
                asked = [client.post("/classify", json={"text": f"slow 0.1 {i}"}) for i in range(30)]
                return await asyncio.gather(*asked)

        answers = asyncio.run(flood())
        refused = [answer for answer in answers if answer.status_code == 503]
        served = [answer for answer in answers if answer.status_code == 200]
        assert len(refused) + len(served) == 30
        assert len(served) >= 4
        assert refused
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert httpx.post(f"{server.url}/classify", json={"text": "calm again"}).status_code == 200


def test_nothing_that_was_answered_is_lost_from_the_queue_by_a_sigkill(tmp_path):
    answered = []
    with ServerProcess(tmp_path) as server:

        def ask(worker):
            with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=server.url) as client:
                for number in range(10_000):
                    texts = [f"unsure {worker} {number} {i}" for i in range(3)]
                    for one, text in zip(
                        client.post("/classify", json={"texts": texts}).json()["results"], texts, strict=True
                    ):
                        answered.append((one["queue_id"], text))

        threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 300:
            time.sleep(0.005)
        server.signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        server.finish()
    queue = HumanQueue(server.queue_path)
    kept = {item.id: item.text for item in queue.items(None, limit=1_000_000)}
    queue.close()
    assert len(answered) >= 300
    assert [(number, text) for number, text in answered if kept.get(number) != text] == []


def turned_away(url):
    """Whether new requests come to be refused (503, or no connection at all) within ten seconds."""
    for _ in range(200):
        try:
            if httpx.post(f"{url}/classify", json={"text": "late"}, timeout=30).status_code == 503:
                return True
        except httpx.TransportError:
            return True
        time.sleep(0.05)
    return False


def test_a_stopping_server_answers_503_to_new_connections_until_what_it_holds_is_done(tmp_path):
    with ServerProcess(tmp_path, timeout=20) as server:
        held = []

        def ask():
            held.append(httpx.post(f"{server.url}/classify", json={"text": "slow 3"}, timeout=30).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        while "formers_waiting_requests 0.0" in httpx.get(f"{server.url}/metrics").text:
            time.sleep(0.01)
        server.signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/health").json()["status"] == "ready":
            time.sleep(0.01)
        time.sleep(0.5)  # the server has long begun to shut down
        late = httpx.post(f"{server.url}/classify", json={"text": "late"})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert "stopping" in late.json()["detail"]
        thread.join()
        status, _, err = server.finish()
    assert (status, held) == (0, [200]), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_held_refuses_the_rest_and_ends_with_0(tmp_path, number):
    with ServerProcess(tmp_path, timeout=20) as server:
        held = []

        def ask(text):
            held.append(httpx.post(f"{server.url}/classify", json={"text": text}, timeout=30).status_code)

        threads = [
            threading.Thread(target=ask, args=(f"{text} {i}",))
            for i in range(3)
            for text in ("slow 0.3", "unsure")
        ]
        open_connection = httpx.Client(base_url=server.url, timeout=30)
        assert open_connection.get("/health").status_code == 200
        for thread in threads:
            thread.start()
        while "formers_waiting_requests 0.0" in open_connection.get("/metrics").text:
            time.sleep(0.01)
        time.sleep(0.2)
        server.signal(number)
        assert turned_away(server.url)
        for thread in threads:
            thread.join()
        status, out, err = server.finish()
    assert (status, held) == (0, [200] * 6), err
    assert "stopped" in out
    assert "Traceback" not in err
    logged = [json.loads(line)["status"] for line in server.log_path.read_text().splitlines()]
    assert logged.count(200) == 6
    queue = HumanQueue(server.queue_path)
    assert queue.counts()["open"] == 3
    queue.close()


def test_while_it_warms_up_it_is_alive_but_not_ready(tmp_path):
    class Slow(FakeClassifier):
        def run(self, prepared):
            gate.wait(20)
            return super().run(prepared)

    from formers.serving import create_app

    gate = threading.Event()

    async def test():
        app = create_app(Slow(), queue_path=tmp_path / "queue.sqlite3", log_path=tmp_path / "log")
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                assert (await client.get("/health/live")).status_code == 200
                assert (await client.get("/health")).status_code == 503
                early = await client.post("/classify", json={"text": "a"})
                assert early.status_code == 503
                assert early.headers["retry-after"] == "1"
                gate.set()
                for _ in range(500):
                    if (await client.get("/health")).status_code == 200:
                        break
                    await asyncio.sleep(0.01)
                assert (await client.post("/classify", json={"text": "a"})).status_code == 200

    asyncio.run(test())


def test_an_engine_that_dies_is_told_by_the_health_page_and_stops_the_server(tmp_path):
    from formers.serving.adapt import service_of
    from formers.serving.app import app_of

    class Dies(FakeClassifier):
        def prepare(self, texts):
            return [object() for _ in texts]  # no length: a defect that no request can be blamed for

    async def test():
        settings = Settings(queue_path=tmp_path / "q", log_path=tmp_path / "log", warm_up=False)
        service = service_of(Dies(), settings)
        stops = []
        service.on_failure = lambda: stops.append(True)
        app = app_of(service)
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                assert (await client.get("/health/live")).status_code == 200
                assert (await client.post("/classify", json={"text": "a"})).status_code == 503
                health = await client.get("/health/live")
        assert (health.status_code, health.json()["status"], stops) == (503, "failed", [True])
        assert "engine failed" in health.json()["problem"]

    asyncio.run(test())


def test_texts_are_logged_only_when_asked_for(tmp_path):
    with ServerProcess(tmp_path, log_texts=True) as server:
        httpx.post(f"{server.url}/classify", json={"text": "wanted in the log"})
        lines = lines_of(server, lambda line: "text" in line)
    assert [line["text"] for line in lines if "text" in line] == [["wanted in the log"]]


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_package_is_named_with_what_to_type(tmp_path, monkeypatch, package):
    from formers.serving import serve

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"`{package}` is needed .*pip install 'formers\[serve\]'"):
        serve(FakeClassifier(), port=0, queue_path=tmp_path / "q")


def test_a_model_that_fails_its_warm_up_ends_the_server_with_2(tmp_path, capsys):
    from formers.serving import serve

    class Broken(FakeClassifier):
        def run(self, prepared):
            raise RuntimeError("weights of another shape")

    assert serve(Broken(), port=0, queue_path=tmp_path / "q", log_path=tmp_path / "log") == 2
    assert "weights of another shape" in capsys.readouterr().err


@pytest.mark.parametrize("score", [float("nan"), 4.5])
def test_a_model_whose_answers_are_no_probabilities_never_gets_ready(tmp_path, capsys, score):
    from formers.serving import serve

    class Odd(FakeClassifier):
        def run(self, prepared):
            return [[(label, score) for label in LABELS] for _ in prepared]

    assert serve(Odd(), port=0, queue_path=tmp_path / "q", log_path=tmp_path / "log") == 2
    said = f"the warm-up failed: the model gave {score} as the confidence of 'billing'; it must lie between"
    assert said in capsys.readouterr().err


def test_running_serves_for_the_time_of_a_block(tmp_path):
    from formers.serving import running

    with running(FakeClassifier(), queue_path=tmp_path / "q", log_path=tmp_path / "log", threshold=0) as url:
        assert httpx.post(f"{url}/classify", json={"text": "unsure"}).json()["needs_human"] is False
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_a_reader_of_the_first_line_that_goes_away_stops_no_server_and_no_traceback_is_written(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.process.stdout.close()
        assert httpx.post(f"{server.url}/classify", json={"text": "a"}).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert server.process.stderr.read() == ""


def test_a_port_in_use_is_one_line_and_status_2(server, tmp_path):
    port = int(server.url.rsplit(":", 1)[1])
    with ServerProcess(tmp_path, wait=False, port=port) as second:
        status, _, err = second.finish()
    assert status == 2
    assert err.splitlines() == [f"formers serve: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_a_queue_that_cannot_be_opened_is_one_line_and_status_2(tmp_path):
    with ServerProcess(tmp_path, wait=False, queue_path=str(tmp_path / "no" / "q.sqlite3")) as server:
        status, _, err = server.finish()
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "cannot open the human queue" in err


def test_a_model_that_is_not_there_is_one_line_and_status_2(tmp_path):
    code = (
        f"from formers.serving import serve; raise SystemExit(serve({str(tmp_path / 'no-model')!r}, port=0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no-model" in done.stderr
