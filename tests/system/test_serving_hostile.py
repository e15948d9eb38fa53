"""The server before clients that mean it ill: what is refused, in which order, and who does not notice."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import signal
import socket
import time

import httpx
import pytest

from formers.serving import create_app
from formers.serving.connection import MOST_CHUNKS, MOST_FIELDS, MOST_HEAD
from system.serving_fake import FakeClassifier, ServerProcess

JSON = {"Content-Type": "application/json"}
KEY = "s3cret"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = {"max_body_bytes": 1_000_000, "body_timeout": 1.0, "api_key": KEY}
    with ServerProcess(tmp_path_factory.mktemp("server"), **limits) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def opened(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def said(server, *parts, pause=0.0):
    """Send bytes as they are, and return all that comes back until the server closes."""
    with opened(server) as connection:
        found = b""
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                found += data
        return found


def head(path, *lines, method="POST"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


# --- what a body holds -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/classify", "/queue/1/resolve"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"texts": [' + b"[]," * 400 + b"[]]}",
        b'{"texts": [' + b"1," * 400 + b"1]}",
        b'{"texts": ["' + b'","' * 2000 + b'"]}',
    ],
    ids=["lists", "numbers", "texts"],
)
def test_a_body_of_more_values_than_a_request_needs_is_413(client, path, body):
    answer = client.post(path, content=body, headers={**JSON, "X-API-Key": KEY})
    assert answer.status_code == 413
    assert "the body holds more than" in answer.json()["detail"]


def test_a_packed_body_is_415_and_is_not_unpacked(client):
    packed = gzip.compress(json.dumps({"text": "a"}).encode())
    answer = client.post("/classify", content=packed, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.json()["detail"]


def test_answers_quote_a_little_of_what_was_sent(client):
    long = "x" * 3000
    decision = json.dumps({"label": "y" * 200_000, "by": "Ada"})
    answers = [
        client.get(f"/page/{long}"),
        client.get(f"/queue?status={long}", headers={"X-API-Key": KEY}),
        client.post("/classify", content=b"{}", headers={"Content-Type": long}),
        client.post("/classify", content=json.dumps({long * 10: 0}), headers=JSON),
        client.post("/queue/1/resolve", content=decision, headers={**JSON, "X-API-Key": KEY}),
    ]
    assert [answer.status_code for answer in answers] == [404, 422, 415, 422, 422]
    assert all(len(answer.content) < 1000 for answer in answers)


# --- heads, chunks, connections ----------------------------------------------------------------------


def test_a_head_beyond_all_measure_is_refused(server):
    fields = said(server, head("/health", *["a: b"] * (MOST_FIELDS + 1), method="GET"))
    assert fields.startswith(b"HTTP/1.1 400")
    large = said(server, head("/health", "a: " + "b" * 2 * MOST_HEAD, method="GET"))
    assert large.startswith(b"HTTP/1.1 431")
    endless = said(server, b"GET /health HTTP/1.1\r\na: ", *[b"b" * 20_000] * 5, pause=0.05)
    assert endless.startswith(b"HTTP/1.1 431")


def test_a_query_that_classify_would_ignore_is_422(client):
    answer = client.post("/classify?top_k=2&x=" + "y" * 3000, json={"text": "a"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "top_k"]


def test_a_long_query_is_414(client):
    assert client.get("/queue?" + "a=&" * 2000).status_code == 414


def test_a_head_that_does_not_come_is_given_up(server):
    assert said(server, b"GET /health HTTP/1.1\r\nHost:").startswith(b"HTTP/1.1 408")
    assert said(server) == b""


def test_a_kept_connection_that_begins_another_head_is_given_up_too(server):
    found = said(server, head("/health/live", method="GET"), b"GET /health", pause=0.2)
    assert found.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in found


def test_a_body_in_thousands_of_tiny_chunks_is_refused(server):
    lines = head("/classify", "Content-Type: application/json", "Transfer-Encoding: chunked")
    found = said(server, lines, b"1\r\n \r\n" * (MOST_CHUNKS + 1))
    assert found.startswith(b"HTTP/1.1 400")


def test_a_body_in_a_few_small_chunks_is_read(server):
    lines = head(
        "/classify", "Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close"
    )
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"text": "a"}')
    assert said(server, lines, chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/health", 405), ("/queue/1/resolve", 401), ("/page/app.js", 405)],
)
def test_a_body_that_nobody_asked_for_is_not_read_to_its_end(server, path, status):
    found = said(server, head(path, "Content-Length: 900000000"), b"x" * 1000)
    assert found.startswith(b"HTTP/1.1 %d" % status)
    assert b"connection: close" in found


def test_a_refused_request_that_is_whole_keeps_its_connection(server):
    request = head("/queue", method="GET")
    with_key = head("/queue", f"X-API-Key: {KEY}", "Connection: close", method="GET")
    found = said(server, request, with_key, pause=0.2)
    assert found.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in found


def test_a_key_of_other_letters_than_ascii_is_compared_by_its_bytes(tmp_path):
    with ServerProcess(tmp_path, api_key="clé") as server:
        for sent, status in (("clé", 200), ("cle", 401)):
            headers = {"X-API-Key": sent.encode()}
            assert httpx.get(f"{server.url}/queue", headers=headers).status_code == status


def test_idle_connections_make_room_for_new_ones(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, hard))  # the server inherits it
    try:
        server = ServerProcess(tmp_path, body_timeout=60.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server, contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(opened(server))
        answer = httpx.post(f"{server.url}/classify", json={"text": "a"}, timeout=20)
    assert answer.status_code == 200


def test_clients_that_leave_early_or_talk_nonsense_leave_no_line_in_the_errors(tmp_path):
    whole = head("/classify", "Content-Type: application/json", "Content-Length: 13") + b'{"text": "a"}'
    with ServerProcess(tmp_path) as server:
        for raw in (whole, whole[:-5], whole[:30], b"\x16\x03\x01 nonsense\r\n\r\n", b"GET\r\n\r\n"):
            for _ in range(20):
                with opened(server) as connection:
                    connection.sendall(raw)
        upgrade = head("/health", "Connection: Upgrade", "Upgrade: websocket", method="GET")
        with opened(server) as connection:  # which the server would keep
            connection.sendall(upgrade + b"\x00" * 100)
            assert connection.recv(65536)
        assert httpx.post(f"{server.url}/classify", json={"text": "a"}).status_code == 200
        server.signal(signal.SIGTERM)
        status, _, err = server.finish()
    assert (status, err) == (0, "")


def test_where_many_leave_before_their_answers_few_of_them_are_read_and_others_are_answered(tmp_path):
    whole = head("/classify", "Content-Type: application/json", "Content-Length: 13") + b'{"text": "a"}'
    with ServerProcess(tmp_path) as server, httpx.Client(base_url=server.url) as kept:
        assert kept.post("/classify", json={"text": "a"}).status_code == 200
        for _ in range(600):
            with opened(server) as connection:
                connection.sendall(whole)
        assert kept.post("/classify", json={"text": "a"}).status_code == 200
        assert httpx.post(f"{server.url}/classify", json={"text": "a"}, timeout=20).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.finish()[::2] == (0, "")
        assert len(server.log_path.read_text().splitlines()) < 500


def test_what_the_full_human_queue_cannot_keep_is_refused_and_the_rest_is_answered(tmp_path):
    with ServerProcess(tmp_path, max_queue_bytes=40_000) as server:
        doubtful = {"text": "unsure " + "x" * 5000}
        answers = [httpx.post(f"{server.url}/classify", json=doubtful) for _ in range(20)]
        sure = httpx.post(f"{server.url}/classify", json={"text": "a"})
    assert [answer.status_code for answer in answers[:2] + answers[-2:]] == [200, 200, 503, 503]
    assert answers[-1].json()["detail"] == "the human queue is full, and this needs a person"
    assert sure.status_code == 200


@pytest.mark.parametrize("path", ["/classify", "/health"])
def test_the_application_itself_bounds_heads_for_servers_that_do_not(tmp_path, path):
    async def status(lines):
        transport = httpx.ASGITransport(create_app(FakeClassifier(), queue_path=tmp_path / "q"))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return (await client.post(path, headers=lines, json={})).status_code

    many = [(f"a{number}", "b") for number in range(MOST_FIELDS)]
    long = [(f"a{number}", "b" * 2000) for number in range(MOST_HEAD // 2000 + 1)]
    assert [asyncio.run(status(lines)) for lines in (many, long)] == [431, 431]


def test_a_signal_during_a_slow_body_ends_the_server_when_its_time_is_over(tmp_path):
    with ServerProcess(tmp_path, body_timeout=1.5) as server:
        slow, late = opened(server), opened(server)
        lines = head("/classify", "Content-Type: application/json", "Content-Length: 100")
        slow.sendall(lines + b"{")
        late.sendall(b"POST /classify HT")
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        answer = slow.recv(65536)
        status, _, err = server.finish()
        slow.close()
        late.close()
    assert (status, err) == (0, "")
    assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 503"))


# --- methods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/classify", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/queue", "GET, HEAD, OPTIONS"),
        ("/queue/7", "GET, HEAD, OPTIONS"),
        ("/queue/7/resolve", "POST, OPTIONS"),
        ("/page/app.js", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
    ],
)
def test_every_path_tells_its_methods(client, path, allowed):
    asked = client.options(path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allowed, b"")
    refused = client.delete(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert "access-control-allow-origin" not in asked.headers


def test_options_of_no_page_is_404_and_of_the_server_is_told(server, client):
    assert client.options("/nothing").status_code == 404
    everything = said(server, head("*", "Connection: close", method="OPTIONS"))
    assert b"allow: GET, POST, HEAD, OPTIONS" in everything


@pytest.mark.parametrize("path", ["/queue/export", "/queue", "/openapi.json", "/page/app.js", "/redoc"])
def test_head_has_the_status_of_get_and_no_body(client, path):
    key = {"X-API-Key": KEY}
    got, bare = client.get(path, headers=key), client.head(path, headers=key)
    assert (bare.status_code, bare.content) == (got.status_code, b"")
    assert client.get("/health/live").status_code == 200  # on the same connection
