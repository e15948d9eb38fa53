"""What a request may be, which settings are possible, and the lines that the log writes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from formers.serving import Settings, limits
from formers.serving.adapt import service_of
from formers.serving.limits import MOST_FAULTS, Faults, Refusal, parse, parsed, read_body, read_object
from formers.serving.logs import RequestLog
from formers.serving.schemas import Resolution
from formers.serving.service import thresholds_of
from formers.serving.telemetry import Metrics
from formers.serving.work import Answer
from system.serving_fake import LABELS

SETTINGS = Settings(max_chars=100, max_texts=3)


def asked(body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(data, SETTINGS)


@pytest.mark.parametrize(
    ("body", "texts", "single"),
    [
        ({"text": "a"}, ["a"], True),
        ({"texts": ["a", "b"]}, ["a", "b"], False),
        ({"texts": ["a"]}, ["a"], False),
        ({"inputs": "a"}, ["a"], True),
        ({"inputs": ["a", "b"]}, ["a", "b"], False),
        ({"text": "Grüße 🎉"}, ["Grüße 🎉"], True),
    ],
)
def test_one_text_or_several_in_either_spelling(body, texts, single):
    question = asked(body)
    assert (question.texts, question.single, question.top_k) == (texts, single, 0)


@pytest.mark.parametrize(
    ("options", "top_k"),
    [
        ({"top_k": 2}, 2),
        ({"top_k": None}, -1),
        ({"all_scores": True}, -1),
        ({"return_all_scores": True}, -1),
        ({"all_scores": False}, 0),
        ({"parameters": {"top_k": 3}}, 3),
    ],
)
def test_scores_are_listed_as_asked(options, top_k):
    assert asked({"text": "a", **options}).top_k == top_k


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        (b"", ["body"], "not JSON"),
        (b"{", ["body"], "not JSON"),
        (b'"text"', ["body"], "got a string"),
        (b'{"text": "\xff"}', ["body"], "not JSON"),
        ({}, ["body"], "none of them"),
        ({"text": "a", "texts": ["a"]}, ["body"], "found text and texts"),
        ({"text": 5}, ["body", "text"], "got a number"),
        ({"text": None}, ["body", "text"], "got null"),
        ({"text": ["a"]}, ["body", "text"], "got a list"),
        ({"texts": "a"}, ["body", "texts"], "expected a list"),
        ({"texts": []}, ["body", "texts"], "at least one"),
        ({"texts": ["a", 1]}, ["body", "texts", 1], "got a number"),
        ({"text": ""}, ["body", "text"], "empty"),
        ({"texts": ["a", " \n"]}, ["body", "texts", 1], "empty"),
        (b'{"text": "\\ud800"}', ["body", "text"], "surrogate"),
        (b'{"\\ud800": 1, "text": "a"}', ["body", "\ud800"], "unknown key"),
        ({"text": "a", "topk": 1}, ["body", "topk"], "did you mean 'top_k'"),
        ({"text": "a", "top_k": 0}, ["body", "top_k"], "above 0"),
        ({"text": "a", "top_k": True}, ["body", "top_k"], "above 0"),
        ({"text": "a", "all_scores": 1}, ["body", "all_scores"], "true or false"),
        ({"text": "a", "parameters": 1}, ["body", "parameters"], "an object"),
        ({"text": "a", "parameters": {"k": 1}}, ["body", "parameters", "k"], "unknown parameter"),
        (b'{"text": "a", "top_k": NaN}', ["body"], "NaN is no number"),
        (b'{"text": "a", "top_k": -Infinity}', ["body"], "-Infinity is no number"),
        (b'{"text": "a", "top_k": 1e999}', ["body", "top_k"], "above 0"),
        (b'{"text": "a", "top_k": ' + b"9" * 101 + b"}", ["body"], "more than 100 characters"),
        (b'{"text": "a", "text": "b"}', ["body"], "'text' stands there twice"),
        (b'{"text": "a", "parameters": {"top_k": 1, "top_k": 2}}', ["body"], "'top_k' stands there twice"),
        ('{"text": "a"}'.encode("utf-16"), ["body"], "not JSON"),
    ],
)
def test_a_malformed_body_is_422_with_the_place_of_the_fault(body, place, words):
    with pytest.raises(Refusal) as refused:
        asked(body)
    assert refused.value.status == 422
    (fault,) = refused.value.detail
    assert fault["loc"] == place
    assert words in fault["msg"]


def test_all_faults_are_listed_at_once():
    with pytest.raises(Refusal) as refused:
        asked({"texts": ["", 1, "fine"]})
    assert [fault["loc"][-1] for fault in refused.value.detail] == [0, 1]


@pytest.mark.parametrize(
    "body",
    [
        {f"k{i}": 0 for i in range(60)},
        {f"txet{i}": 0 for i in range(60)},
        {"text": "a", "parameters": {f"top_{i}": 0 for i in range(60)}},
        {"texts": [1, 2, 3], "t" * 3_000_000: 0, **{f"k{i}": 0 for i in range(20)}},
    ],
    ids=["unknown keys", "misspelt keys", "unknown parameters", "a long key"],
)
def test_a_body_full_of_faults_is_refused_after_the_first_few(body):
    with pytest.raises(Refusal) as refused:
        asked(body)
    assert len(refused.value.detail) == MOST_FAULTS
    assert len(json.dumps(refused.value.detail)) < 4000


def test_a_decision_is_refused_after_its_first_few_faults_too():
    with pytest.raises(Refusal) as refused:
        parsed(json.dumps({f"lable{i}": 0 for i in range(60)}).encode(), Resolution)
    assert len(refused.value.detail) == MOST_FAULTS
    with pytest.raises(Refusal) as refused:
        parsed(b'{"label": "other"}', Resolution)
    assert [fault["loc"] for fault in refused.value.detail] == [["body", "by"]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 100_000, "lists and objects"),
        (b'{"texts": [' + b"{}," * 101 + b"{}]}", "lists and objects"),
        (b'{"texts": [' + b"1," * 200 + b"1]}", "values"),
        (b"{" + b",".join(b'"%d": 0' % i for i in range(200 + 1)) + b"}", "values"),
        (b'{"text": "a"' + b', "text": "a"' * 200 + b"}", "values"),
        (b'{"texts": ["' + b'\\"", "' * 2 * 200 + b'"]}', "values"),
    ],
)
def test_more_values_than_a_request_needs_are_refused_before_they_are_read(monkeypatch, body, words):
    monkeypatch.setattr(limits, "_JSON", SimpleNamespace(decode=lambda text: pytest.fail("it was read")))
    with pytest.raises(Refusal, match=rf"the body holds more than \d+ {words}") as refused:
        parse(body, SETTINGS)
    assert refused.value.status == 413


@pytest.mark.parametrize("text", ['",,[[{{' * 9, "\\" * 50, '\\"' * 30, "[" * 100, "1" * 100])
def test_what_stands_within_a_text_is_no_value(text):
    assert asked({"text": text}).texts == [text]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_texts_and_escapes_go_on_from_piece_to_piece(monkeypatch, piece):
    monkeypatch.setattr(limits, "PIECE", piece)
    for text in ('",' * 120, "\\,[" * 120, '\\",{' * 120, ",[\\\\" * 120):
        body = json.dumps({"inputs": [text, text]}).encode()
        assert read_object(body, Faults()) == {"inputs": [text, text]}
        for many, words in ((b"[],", "values"), (b'"a",', "values"), (b"[", "lists and objects")):
            with pytest.raises(Refusal, match=f"more than 100 {words}"):
                read_object(body[:-2] + b"," + many * 120, Faults())


def test_never_is_the_whole_of_a_large_body_looked_through_for_escapes():
    class Whole(str):
        def replace(self, *_):
            pytest.fail("all of it in one go: nobody else is answered meanwhile")

    limits._bound(Whole('{"text": "' + '\\",' * 100_000 + '"}'), 100, 100)


def test_turns_are_given_in_order_and_a_short_burst_does_not_wait(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: clock[0])
    pace, second = limits.Pace(), limits.BYTES_PER_SECOND
    assert pace.charge(second // 8) == 0
    waits = [pace.charge(second) for _ in range(3)]
    assert waits == sorted(waits)
    assert waits[2] - waits[1] == pytest.approx(1.0)
    assert max(pace.charge(second) for _ in range(1000)) == 10  # an attack is forgotten soon after its end
    clock[0] += 11
    assert pace.charge(second // 8) == 0


def test_a_body_is_read_no_further_than_its_limit():
    read = []

    async def receive():
        read.append(1000)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": len(read) < 50}

    with pytest.raises(Refusal, match="larger than the 5000 bytes") as refused:
        asyncio.run(read_body(receive, {}, Settings(max_body_bytes=5000)))
    assert refused.value.status == 413


@pytest.mark.parametrize("length", [b"-1", b"1e9", b"\xb2", b"9" * 5000])
def test_an_announced_length_that_is_no_number_of_bytes_is_400_and_nothing_is_read(length):
    async def receive():
        pytest.fail("it was read")

    with pytest.raises(Refusal, match="Content-Length must be a number") as refused:
        asyncio.run(read_body(receive, {b"content-length": length}, Settings()))
    assert refused.value.status == 400
    assert len(refused.value.detail) < 300


def test_a_label_of_any_length_can_be_decided_for():
    body = json.dumps({"label": "c" * 500, "by": "Ada"}).encode()
    assert parsed(body, Resolution).label == "c" * 500


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": "x" * 101}, "101 characters; at most 100"),
        ({"texts": ["a"] * 4}, "4 texts in one request; at most 3"),
    ],
)
def test_too_long_and_too_many_are_413_with_the_limit(body, words):
    with pytest.raises(Refusal, match=words) as refused:
        asked(body)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"threshold": {"a": -1}}, "'a' has -1"),
        ({"max_chars": 0}, "max_chars must be a whole number"),
        ({"max_chars": True}, "max_chars must be a whole number"),
        ({"max_chars": None}, "max_chars must be a whole number"),
        ({"max_batch_tokens": 0}, "max_batch_tokens"),
        ({"timeout": 0}, "timeout must be"),
        ({"max_delay": -1}, "max_delay"),
        ({"fallback": "robot"}, "'error' or 'human'"),
        ({"protect_classify": True}, "needs an api_key"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Settings(**change)


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'max_chars'"):
        Settings.of(None, max_char=5)


def test_the_key_is_not_shown_with_the_settings():
    assert "secret" not in repr(Settings(api_key="secret"))


def test_thresholds_come_from_the_settings_then_the_file_then_the_default(tmp_path):
    def chosen(given, folder=None):
        threshold = thresholds_of(Settings(threshold=given), LABELS, folder)
        return [threshold.of(label) for label in LABELS]

    assert chosen(None) == [0.75] * 3
    assert chosen(0.5) == [0.5] * 3
    assert chosen({"other": 0.9}) == [0.75, 0.75, 0.9]
    (tmp_path / "thresholds.json").write_text(
        json.dumps({"labels": {"billing": 0.6, "technical": None}, "default": 0.8})
    )
    assert chosen(None, tmp_path) == [0.6, None, 0.8]
    assert chosen(0.1, tmp_path) == [0.1] * 3
    with pytest.raises(ValueError, match=r"\['nothing'\]"):
        chosen({"nothing": 0.5})


def test_what_cannot_classify_is_refused_in_words():
    with pytest.raises(TypeError, match="cannot serve SimpleNamespace: it has no prepare, run"):
        service_of(SimpleNamespace(), Settings())
    with pytest.raises(TypeError, match="whose model reads once"):
        service_of(SimpleNamespace(), Settings(torch_compile=True))


def test_metrics_count_every_text_of_a_request_in_the_buckets_of_the_reference():
    from prometheus_client import CollectorRegistry, Histogram, generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    scores, tokens = [0.1, 0.35, 0.75, 0.99, 0.999, 1.0], [1, 8, 9, 512, 16384, 20000]
    answers = [Answer([(LABELS[i % 2], scores[i])], tokens[i], cut=3 * (i == 5)) for i in range(6)]
    metrics = Metrics("one", LABELS)
    metrics.answers(answers[:4])
    metrics.answers(answers[4:])
    registry = CollectorRegistry()
    theirs = {
        "formers_top_score": Histogram(
            "formers_top_score", "x", buckets=metrics._scores._bounds, registry=registry
        ),
        "formers_text_tokens": Histogram(
            "formers_text_tokens", "x", buckets=metrics._tokens._bounds, registry=registry
        ),
    }
    for score, count in zip(scores, tokens, strict=True):
        theirs["formers_top_score"].observe(score)
        theirs["formers_text_tokens"].observe(count)

    def samples(page):
        return {
            (sample.name, sample.labels.get("le")): sample.value
            for family in text_string_to_metric_families(page.decode())
            for sample in family.samples
            if family.name in theirs
        }

    page, _ = metrics.render()
    assert samples(page) == pytest.approx(samples(generate_latest(registry)))
    for line in (
        'formers_answers_total{label="billing"} 3.0',
        'formers_answers_total{label="technical"} 3.0',
        "formers_cut_texts_total 1.0",
    ):
        assert line in page.decode()


def test_the_log_writes_one_json_line_for_each_record_and_loses_none():
    stream = io.StringIO()
    log = RequestLog(stream=stream, interval=0.01)
    for number in range(60):
        log.write(1_700_000_000.5, {"request_id": f"r{number}", "label": "Grüße"})
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == [f"r{number}" for number in range(60)]
    assert lines[0]["time"] == "2023-11-14T22:13:20.500Z"
    assert lines[0]["label"] == "Grüße"


def test_what_ends_a_line_or_steers_a_terminal_is_escaped_in_the_log():
    stream = io.StringIO()
    log = RequestLog(stream=stream, interval=0.01)
    text = "a\nb\r\x1b[2J\x7f\x85\x9b\u2028\u2029c"
    log.write(1_700_000_000.5, {"text": [text]})
    log.close()
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert json.loads(line)["text"] == [text]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_torch_is_told_to_share_the_cores_unless_somebody_decided(monkeypatch, given, wanted):
    from formers.serving import run

    environment = dict(given)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "environ", environment)
    run._share_the_cores()
    assert environment.get("GOMP_SPINCOUNT") == wanted


def test_importing_the_package_loads_neither_the_server_nor_torch():
    code = "import sys, formers.serving; formers.serving.Settings(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "fastapi", "starlette", "uvicorn", "pydantic", "prometheus_client"} & set(loaded)
