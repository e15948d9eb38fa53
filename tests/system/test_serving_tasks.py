"""The server of tasks: routes of text-embeddings-inference, forms of bodies, and clients that mean it ill."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from PIL import Image

import formers
from formers.serving import running, serve
from parity.pictures import colours
from system import task_zoo
from system.test_inference_client import TEXTS, png, wav

pytestmark = pytest.mark.filterwarnings("ignore")
LIMITS = {"max_media_bytes": 200_000, "max_pixels": 10_000, "max_seconds": 1.0, "api_key": "s3cret"}


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, headers={"authorization": "Bearer s3cret"})


def _served(task: str, folder: Path, **more: Any) -> Any:
    pipe = formers.pipeline(task, model=str(task_zoo.build(task, folder)), device="cpu")
    return pipe, running(pipe, task=task, log_path=folder / "log", **LIMITS, **more)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, httpx.Client]]:
    pipe, server = _served("image-classification", tmp_path_factory.mktemp("vit"))
    with server as url, _client(url) as client:
        yield pipe, client


def _bomb() -> bytes:
    """A PNG of 100,000 x 100,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _picture(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours(height, width)).save(file, "PNG")
    return file.getvalue()


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else 0


BAD = {
    "no picture": ({"content": b"\x00" * 50}, 422, "no picture in one of the formats"),
    "a program of PostScript": ({"content": b"%!PS-Adobe-3.0 EPSF-3.0\n"}, 422, "no picture in one of"),
    "a picture that breaks off": ({"content": png()[:300]}, 422, "cannot be read"),
    "nothing": ({"content": b""}, 422, "the body is empty"),
    "a bomb": ({"content": _bomb()}, 413, "far more than the 10000 pixels that are taken"),
    "too many pixels": ({"content": _picture(120, 120)}, 413, "120 x 120 pixels; at most 10000 are taken"),
    "too many bytes": ({"content": b"\x00" * 200_001}, 413, "200001 bytes; at most 200000 are taken"),
    "another type": (
        {"content": b"a", "headers": {"content-type": "text/plain"}},
        415,
        "must be application/json",
    ),
    "another origin": ({"content": png(), "headers": {"sec-fetch-site": "cross-site"}}, 415, "other origins"),
    "packed": ({"content": png(), "headers": {"content-encoding": "gzip"}}, 415, "without Content-Encoding"),
    "an address": ({"json": {"inputs": "http://127.0.0.1/x.png"}}, 422, "is not fetched here"),
    "a path": ({"json": {"inputs": "/etc/passwd"}}, 422, "inputs is n"),
    "no base64": ({"json": {"inputs": "%%%"}}, 422, "inputs is not base64"),
    "a data: URL": ({"json": {"inputs": "data:text/plain,abc"}}, 422, "a data: URL without base64"),
    "an unknown parameter": (
        {"json": {"inputs": "YQ==", "parameters": {"topk": 1}}},
        422,
        "unknown parameter 'topk'; did you mean 'top_k'?",
    ),
    "a wrong value": (
        {"json": {"inputs": "YQ==", "parameters": {"top_k": -1}}},
        422,
        "top_k must be a number",
    ),
    "an unknown key": ({"json": {"inputs": "YQ==", "input": "YQ=="}}, 422, "unknown key 'input'"),
    "no inputs": ({"json": {"parameters": {}}}, 422, "inputs is missing"),
    "no JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "is not JSON"),
    "a form without end": (
        {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        422,
        "no form of 1 to 32 fields",
    ),
    "a form of many fields": (
        {"files": [(f"a{i}", b"") for i in range(40)]},
        422,
        "no form of 1 to 32 fields",
    ),
    "a query": ({"content": png(), "params": {"top_k": 1}}, 400, "unknown parameter 'top_k' in the query"),
    "a boundary that is no ASCII": (
        {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary*=utf-8''%E2%82%AC"}},
        422,
        "needs a boundary of 1 to 70 characters",
    ),
    "JSON that is deep": (
        {"json": {"inputs": "YQ==", "parameters": {"function_to_apply": _deep(90)}}},
        422,
        "function_to_apply must be a value, or a list of values",
    ),
    "JSON that is deeper": (
        {"content": b"[" * 5000, "headers": {"content-type": "application/json"}},
        422,
        "is not JSON",
    ),
    "pictures that are large together": (
        {"json": {"inputs": [_packed(_picture(99, 99))] * 5}},
        413,
        "with inputs[4], the pictures have more than the 40000 pixels",
    ),
    "no key": ({"content": png(), "headers": {"authorization": ""}}, 401, "needs the API key"),
    "one bad of two": ({"json": {"inputs": [_packed(png()), "YQ=="]}}, 422, "inputs[1] is no picture"),
}


@pytest.mark.parametrize("bad", list(BAD))
def test_what_cannot_be_taken_is_refused_in_one_sentence(
    pictures: tuple[Any, httpx.Client], bad: str
) -> None:
    given, status, said = BAD[bad]
    answer = pictures[1].post("/", **given)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text


def test_a_picture_comes_in_every_form(pictures: tuple[Any, httpx.Client]) -> None:
    pipe, client = pictures
    name = client.get("/info").json()["model_id"]
    wanted = client.post("/", json={"inputs": _packed(png()), "parameters": {"top_k": 2}}).json()
    assert [one["label"] for one in wanted] == [
        one["label"] for one in pipe(Image.open(io.BytesIO(png())), top_k=2)
    ]
    asked = {"parameters": json.dumps({"top_k": 2})}
    assert client.post("/", files={"file": png()}, data=asked).json() == wanted
    url = f"data:image/png;base64,{_packed(png())}"
    same = [{**one, "score": pytest.approx(one["score"], abs=1e-5)} for one in wanted]
    assert client.post("/", json={"inputs": [url, url], "parameters": {"top_k": 2}}).json() == [same] * 2
    sent = client.post(f"/models/{name}", content=png(), headers={"content-type": "image/png"}).json()
    assert sent[:2] == wanted
    missing = client.post("/models/other", content=png())
    assert (missing.status_code, f"/models/{name}" in missing.json()["error"]) == (404, True)


def test_many_clients_get_their_own_answers_and_bad_pictures_fail_alone(
    pictures: tuple[Any, httpx.Client],
) -> None:
    pipe, client = pictures
    drawn = [np.roll(colours(20 + number, 30), number * 7, axis=1) for number in range(12)]
    expected = [pipe(Image.fromarray(one))[0] for one in drawn]

    def ask(number: int) -> tuple[int, Any]:
        if number % 5 == 4:
            return number, client.post("/", content=b"\x89PNG broken").status_code
        file = io.BytesIO()
        Image.fromarray(drawn[number % 12]).save(file, "PNG")
        return number, client.post("/", content=file.getvalue()).json()

    with ThreadPoolExecutor(8) as pool:
        for number, answer in pool.map(ask, range(60)):
            if number % 5 == 4:
                assert answer == 422
            else:
                best = expected[number % 12]
                assert answer[0] == {"label": best["label"], "score": pytest.approx(best["score"], abs=1e-5)}


def _wav(rate: int, samples: bytes, channels: int = 1, kind: int = 1) -> bytes:
    """A WAV file of 16 bits, or of floats where `kind` is 3."""
    width = 4 if kind == 3 else 2
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width * channels, width * channels, width * 8)
    size = struct.pack("<I", len(samples))
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + size + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


SOUNDS = {
    "long": (_wav(16000, bytes(90_000)), 413, "lasts longer than the 1 s that are taken"),
    "of one sample a second": (_wav(1, bytes(90_000)), 413, "lasts longer than the 1 s"),
    "not of numbers": (_wav(16000, b"\x00\x00\xc0\x7f" * 800, kind=3), 422, "no numbers, or infinite"),
    "of no channels": (_wav(16000, bytes(900), channels=0), 422, "the body"),
    "a list of addresses": (b"#EXTM3U\nfile:///etc/passwd\n", 422, "no sound in a format that is read"),
    "broken off": (b"RIFF", 422, "the body"),
}


def test_sounds_are_bounded_and_lists_of_addresses_are_none(tmp_path: Path) -> None:
    _, server = _served("audio-classification", tmp_path)
    half = _packed(_wav(16000, bytes(29_000)))
    with server as url, _client(url) as client:
        fine = client.post("/", content=wav(), headers={"content-type": "audio/wav"})
        answers = {name: client.post("/", content=sound) for name, (sound, _, _) in SOUNDS.items()}
        together = client.post("/", json={"inputs": [half] * 5})
        told = client.get("/health").json()
    assert (fine.status_code, len(fine.json())) == (200, 7)
    assert {name: one.status_code for name, one in answers.items()} == {
        name: status for name, (_, status, _) in SOUNDS.items()
    }
    for name, (_, _, said) in SOUNDS.items():
        assert said in answers[name].json()["error"], name
    assert (together.status_code, "with inputs[4], the sounds last" in together.text) == (413, True)
    assert told["ready"]


def test_films_are_classified_and_bounded(tmp_path: Path) -> None:
    from unit.test_films import pipe as films
    from unit.test_films import written

    film, pipe = Path(written(str(tmp_path / "film.mp4"))).read_bytes(), films(device="cpu")
    asked = {"inputs": _packed(film), "parameters": {"num_frames": 2, "frame_sampling_rate": 2}}
    with running(pipe, log_path=tmp_path / "log", max_pixels=500) as url, _client(url) as client:
        found = client.post("/", content=film, headers={"content-type": "video/mp4"})
        chosen = client.post("/", json=asked)
        bad = [client.post("/", content=one) for one in (b"#EXTM3U", film[:40], _wide_film())]
        far = client.post("/", json={**asked, "parameters": {"num_frames": 65}})
    assert labels(found.json()) == labels(pipe(film))
    assert labels(chosen.json()) == labels(pipe(film, num_frames=2, frame_sampling_rate=2))
    assert [one.status_code for one in bad] == [422, 422, 413]
    assert (far.status_code, "num_frames must be a number from 1 to 64" in far.text) == (422, True)


def _wide_film() -> bytes:
    file = io.BytesIO()
    drawn = [Image.fromarray(np.roll(colours(30, 30), one, axis=0)) for one in range(3)]
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:])
    return file.getvalue()


def labels(found: Any) -> list[tuple[str, Any]]:
    return [(one["label"], pytest.approx(one["score"], abs=1e-5)) for one in found]


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_texts_and_chats_about_pictures(llava: Path, tmp_path: Path, task: str) -> None:
    pipe = formers.pipeline(task, model=str(llava), device="cpu")
    picture, few = Image.open(io.BytesIO(png())), {"max_new_tokens": 4}
    shown = {"text": "<image> what is it?", "images": _packed(png())}
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_packed(png())}"}}]
    chat = [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]
    read = [{"role": "user", "content": [{"type": "image", "image": picture}, chat[0]["content"][1]]}]
    bad = [{"role": "user", "content": [{"type": "image", "url": "http://127.0.0.1/a.png"}]}]
    with running(pipe, task=task, log_path=tmp_path / "log") as url, _client(url) as client:
        one = client.post("/", json={"inputs": shown, "parameters": few}).json()
        many = client.post("/", json={"inputs": [shown, {"text": "a cat"}], "parameters": few}).json()
        said = client.post("/", json={"messages": chat, "parameters": few}).json()
        refused = client.post("/", json={"messages": bad})
    given = {"text": shown["text"], "images": picture}
    settings = {**few, "return_full_text": False}
    expected = [
        [{"generated_text": row["generated_text"]} for row in pipe([each], **settings)[0]]
        for each in (given, {"text": "a cat"}, read)
    ]
    assert one == expected[0]
    assert many == expected[:2]
    assert said == expected[2]
    assert (refused.status_code, "is not fetched here" in refused.text) == (422, True)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from parity import test_talks

    return Path(test_talks.write(tmp_path_factory.mktemp("llava")))


def test_conversations_go_on_in_both_spellings(tmp_path: Path) -> None:
    folder = task_zoo.build("text-generation", tmp_path / "model")
    pipe = formers.pipeline("conversational", model=str(folder), device="cpu")
    older = {"past_user_inputs": ["a"], "generated_responses": ["b"], "text": "c"}
    chat = [
        {"role": role, "content": text}
        for role, text in zip(("user", "assistant", "user"), "abc", strict=True)
    ]
    with running(pipe, log_path=tmp_path / "log") as url, _client(url) as client:
        one = client.post("/", json={"inputs": older, "parameters": {"max_new_tokens": 3}}).json()
        two = client.post("/", json={"messages": chat, "parameters": {"max_new_tokens": 3}}).json()
        first = client.post(
            "/", json={"inputs": {**older, "past_user_inputs": [], "generated_responses": []}}
        )
    answer = pipe(chat, max_new_tokens=3).messages[-1]["content"]
    assert one == two
    assert one["generated_text"] == answer
    assert one["conversation"] == {"past_user_inputs": ["a", "c"], "generated_responses": ["b", answer]}
    assert first.status_code == 200


def test_labels_and_templates_are_bounded(tmp_path: Path) -> None:
    pipe, server = _served("zero-shot-classification", tmp_path, max_texts=8)
    many = {"candidate_labels": ",".join(["w1"] * 9)}
    wide = {"candidate_labels": ["w1", "w2"], "hypothesis_template": "{:>999999999}"}
    twice = {"candidate_labels": ["w1", "w2"], "hypothesis_template": "{} {}"}
    with server as url, _client(url) as client:
        answers = [client.post("/", json={"inputs": "w1", "parameters": one}) for one in (many, wide, twice)]
        fine = client.post("/", json={"inputs": "w1", "parameters": {"candidate_labels": "w1, w2"}})
    assert [one.status_code for one in (*answers, fine)] == [413, 422, 422, 200]


def test_servers_without_a_task_have_the_hubs_routes_too(tmp_path: Path) -> None:
    classifies = formers.pipeline(
        "text-classification", model=str(task_zoo.build("text-classification", tmp_path / "a"))
    )
    embeds = formers.pipeline(
        "sentence-embeddings", model=str(task_zoo.build("sentence-similarity", tmp_path / "b"))
    )
    places = {"log_path": tmp_path / "log", "queue_path": tmp_path / "queue", "api_key": "s3cret"}
    with running(classifies, **places) as url, _client(url) as client:
        hub = InferenceClient(f"{url}", token="s3cret")
        best = hub.text_classification("w1 w2", top_k=1)
        both = client.post("/models/a", json={"inputs": ["w1 w2", "w3"]}).json()
        wrong = client.post("/", json={"inputs": "w1", "parameters": {"topk": 1}})
        closed = client.post("/", json={"inputs": "w1"}, headers={"authorization": ""})
    assert [one.label for one in best] == [
        classifies("w1 w2")["label"]
        if isinstance(classifies("w1 w2"), dict)
        else classifies("w1 w2")[0]["label"]
    ]
    assert [labels(one) for one in both] == [labels(one) for one in classifies(["w1 w2", "w3"], top_k=None)]
    assert (wrong.status_code, "did you mean 'top_k'" in wrong.json()["error"], closed.status_code) == (
        422,
        True,
        401,
    )
    with running(embeds, **places) as url, _client(url) as client:
        hub = InferenceClient(f"{url}", token="s3cret")
        vector, alike = hub.feature_extraction("w1 w2"), hub.sentence_similarity(TEXTS[0], TEXTS[1:])
        named = client.post("/models/b", json={"inputs": TEXTS, "dimensions": 4}).json()
    expected = np.asarray(embeds(TEXTS, normalize=True))
    assert np.allclose(vector, embeds("w1 w2", normalize=True), atol=1e-5)
    assert np.allclose(alike, expected[1:] @ expected[0], atol=1e-5)
    assert np.asarray(named).shape == (3, 4)


def test_embed_and_similarity_and_info(tmp_path: Path) -> None:
    pipe, server = _served("sentence-similarity", tmp_path)
    with server as url, _client(url) as client:
        found = client.post("/embed", json={"inputs": TEXTS}).json()
        raw = client.post("/embed", json={"inputs": TEXTS[0], "normalize": False}).json()
        wrong = client.post("/embed", json={"inputs": TEXTS[0], "normalise": False})
        info, health = client.get("/info").json(), client.get("/health")
    assert np.allclose(found, pipe(TEXTS, normalize=True), atol=1e-5)
    assert np.allclose(raw, [pipe(TEXTS[0], normalize=False)], atol=1e-5)
    assert (wrong.status_code, "did you mean 'normalize'" in wrong.json()["error"]) == (422, True)
    assert (info["model_type"], info["model_sha"]) == ({"embedding": {"pooling": "model"}}, pipe.revision)
    assert health.status_code == 200


def test_rerank(tmp_path: Path) -> None:
    pipe, server = _served("text-ranking", tmp_path)
    asked = {"query": "w9", "texts": TEXTS}
    with server as url, _client(url) as client:
        found = client.post("/rerank", json=asked).json()
        raw = client.post("/rerank", json={**asked, "raw_scores": True, "return_text": True}).json()
    expected = pipe("w9", TEXTS)
    assert [(one["index"], one["score"]) for one in found] == [
        (one["index"], pytest.approx(one["score"], abs=1e-5)) for one in expected
    ]
    assert [one["text"] for one in raw] == [TEXTS[one["index"]] for one in found]


def test_predict_texts_and_pairs(tmp_path: Path) -> None:
    pipe, server = _served("text-classification", tmp_path)
    with server as url, _client(url) as client:
        one = client.post("/predict", json={"inputs": "w1 w2"}).json()
        many = client.post("/predict", json={"inputs": [["w1 w2"], ["w1", "w3"]]}).json()
        odd = client.post("/predict", json={"inputs": ["a", "b", "c"]})
    assert many[0] == [{**row, "score": pytest.approx(row["score"], abs=1e-5)} for row in one]
    expected = pipe({"text": "w1", "text_pair": "w3"}, top_k=None)
    assert [row["label"] for row in many[1]] == [row["label"] for row in expected]
    assert (odd.status_code, "a list of two" in odd.json()["error"]) == (422, True)


def test_several_texts_have_an_answer_each_and_settings_are_bounded(tmp_path: Path) -> None:
    pipe, server = _served("summarization", tmp_path, max_new_tokens=8)
    asked = {"inputs": TEXTS[:2], "parameters": {"max_new_tokens": 4}}
    wrong = [
        {"max_new_tokens": 9},
        {"num_beams": 1000},
        {"temperature": "x"},
        {"generate_parameters": {"foo": 1}},
    ]
    with server as url, _client(url) as client:
        found = client.post("/", json=asked).json()
        refused = [client.post("/", json={**asked, "parameters": one}) for one in wrong]
    assert found == [[one] for one in pipe(TEXTS[:2], max_new_tokens=4)]
    for answer, one in zip(refused, wrong, strict=True):
        name = "foo" if "generate_parameters" in one else next(iter(one))
        assert (answer.status_code, name in answer.json()["error"]) == (422, True)


def test_a_depth_is_a_picture_as_large_as_its_own(tmp_path: Path) -> None:
    pipe, server = _served("depth-estimation", tmp_path)
    with server as url, _client(url) as client:
        found = Image.open(io.BytesIO(base64.b64decode(client.post("/", content=png()).json()["depth"])))
    expected = np.asarray(pipe(Image.open(io.BytesIO(png())))["depth"]).astype(int)
    assert np.abs(np.asarray(found).astype(int) - expected).max() <= 1


def test_a_task_that_is_not_there_is_said_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert serve("nowhere", port=0, task="object-detecting") == 2
    assert "unknown task 'object-detecting'" in capsys.readouterr().err


def test_a_pipeline_is_not_served_for_another_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(task_zoo.build("image-classification", tmp_path))
    pipe = formers.pipeline("image-classification", model=folder, device="cpu")
    assert serve(pipe, port=0, task="object-detection") == 2
    assert "'image-classification' cannot be served for 'object-detection'" in capsys.readouterr().err
