"""The server of a registry: shares, keys, a shadow, changes under load, versions that cannot be loaded."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from formers.desk.registry import Registry
from formers.serving import StartupError, running
from system import task_zoo, tiny_writer

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classifiers with the same weights and labels that tell them apart; the last cannot be loaded."""
    root = tmp_path_factory.mktemp("models")
    task_zoo.build("text-classification", root / "v1")
    config = json.loads((root / "v1" / "config.json").read_text())
    count = len(config["id2label"])
    for name in ("v1", "v2", "v3"):
        if name != "v1":
            shutil.copytree(root / "v1", root / name)
        labels = {str(number): f"{name}-{number}" for number in range(count)}
        told = {**config, "id2label": labels, "label2id": {label: int(key) for key, label in labels.items()}}
        (root / name / "config.json").write_text(json.dumps(told))
    shutil.copytree(root / "v1", root / "v4")
    (root / "v4" / "model.safetensors").write_bytes(b"no weights")
    return root


@pytest.fixture
def registry(models: Path, tmp_path: Path) -> Registry:
    found = Registry(tmp_path / "router")
    for name in ("v1", "v2", "v3", "v4"):
        found.add(models / name)
    found.promote("v1")
    return found


@pytest.fixture
def client(registry: Registry, tmp_path: Path) -> Iterator[httpx.Client]:
    places = {"queue_path": tmp_path / "queue.sqlite3", "log_path": tmp_path / "log"}
    with running(str(registry.path), threshold=0.0, **places) as url, httpx.Client(base_url=url) as client:
        yield client


def ask(client: httpx.Client, key: str | None = None) -> str:
    """The version that answered; its label says the same as the head."""
    head = {} if key is None else {"X-Rollout-Key": key}
    answer = client.post("/classify", json={"text": "w1 w2 w3"}, headers=head)
    assert answer.status_code == 200, answer.text
    version = answer.headers["x-model-version"]
    assert answer.json()["label"].startswith(version)
    return version


def until(client: httpx.Client, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """What the page shows, once it is as wanted."""
    end = time.monotonic() + 30
    while not wanted(told := client.get("/rollout/state").json()):
        assert time.monotonic() < end, told
        time.sleep(0.05)
    return dict(told)


def stages(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], one["stage"]) for one in told["versions"] if one["stage"] != "past"]


def test_a_candidate_gets_its_share_and_a_key_keeps_its_version(
    registry: Registry, client: httpx.Client
) -> None:
    registry.promote("v2", 0.25)
    until(client, lambda told: stages(told) == [("v1", "current"), ("v2", "candidate")])
    assert Counter(ask(client) for _ in range(40)) == {"v1": 30, "v2": 10}
    keys = [f"user-{number}" for number in range(60)]
    first = {key: ask(client, key) for key in keys}
    assert {key: ask(client, key) for key in keys} == first
    assert set(first.values()) == {"v1", "v2"}
    registry.promote("v2", 0.6)
    told = until(client, lambda told: told["versions"][1]["share"] == 0.6)
    after = {key: ask(client, key) for key in keys}
    assert all(after[key] == "v2" for key in keys if first[key] == "v2")
    assert Counter(after.values())["v2"] > Counter(first.values())["v2"]
    assert told["versions"][0]["requests"] + told["versions"][1]["requests"] == 160
    page = client.get("/metrics").text
    assert 'formers_rollout_share{version="v2"} 0.6' in page
    assert 'formers_requests_total{status="200",version="v1"}' in page


def test_a_shadow_is_asked_and_compared_and_its_answers_are_not_sent(
    registry: Registry, client: httpx.Client
) -> None:
    registry.promote("v2", shadow=True)
    until(client, lambda told: stages(told) == [("v1", "current"), ("v2", "shadow")])
    assert {ask(client) for _ in range(8)} == {"v1"}
    report = until(client, lambda told: told["shadow"]["compared"] == 8)["shadow"]
    assert (report["differ"], report["alike"], report["failed"]) == (8, 0, 0)
    (move,) = report["moved"]
    assert (move["from"][:2], move["to"][:2], move["count"]) == ("v1", "v2", 8)
    assert report["largest_difference"] < 1e-5  # the weights are the same
    registry.end_shadow()
    until(client, lambda told: stages(told) == [("v1", "current")])
    (kept,) = (registry.path / "reports").iterdir()
    assert json.loads(kept.read_text())["compared"] == 8


def test_versions_change_under_load_without_a_request_lost(registry: Registry, client: httpx.Client) -> None:
    stop, found, problems = threading.Event(), Counter[str](), []

    def work() -> None:
        with httpx.Client(base_url=client.base_url) as own:
            while not stop.is_set():
                try:
                    found[ask(own)] += 1
                except Exception as error:  # gathered, and told below
                    problems.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for change, current in ((lambda: registry.promote("v2"), "v2"), (registry.rollback, "v1")):
            change()
            until(client, lambda told: stages(told) == [(current, "current")])  # noqa: B023 - called here
            before = found[current]
            until(client, lambda told: found[current] > before)  # noqa: B023 - likewise
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (problems, set(found)) == ([], {"v1", "v2"})


def test_a_version_that_cannot_be_loaded_gets_no_request_and_is_told(
    registry: Registry, client: httpx.Client
) -> None:
    registry.promote("v4")
    told = until(client, lambda told: told["problems"])
    assert "cannot be loaded" in told["problems"]["v4"]
    assert ask(client) == "v1"
    registry.rollback()
    until(client, lambda told: not told["problems"])
    assert ask(client) == "v1"


def test_whoever_goes_on_from_a_response_asks_the_version_that_keeps_it(tmp_path: Path) -> None:
    registry, model = Registry(tmp_path / "writer"), tiny_writer.write(tmp_path / "model")
    for name in ("v1", "v2"):
        registry.add(model, name)
        (model / "generation_config.json").write_text('{"max_length": 99}')  # versions differ
    registry.promote("v1")

    def tell(before: str | None = None) -> tuple[str, str]:
        asked = {"model": "writer", "input": "hi", "max_output_tokens": 1, "previous_response_id": before}
        answer = client.post("/v1/responses", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-model-version"], answer.json()["id"]

    with (
        running(str(registry.path), log_path=tmp_path / "log", warm_up=False) as url,
        httpx.Client(base_url=url) as client,
    ):
        registry.promote("v2", 0.5)
        until(client, lambda told: stages(told) == [("v1", "current"), ("v2", "candidate")])
        for version, number in dict(tell() for _ in range(4)).items():
            assert [tell(number)[0] for _ in range(4)] == [version] * 4
            assert client.get(f"/v1/responses/{number}").headers["x-model-version"] == version
        assert {version, *(tell()[0] for _ in range(2))} == {"v1", "v2"}
        old = next(number for version, number in (tell(), tell()) if version == "v1")
        registry.promote("v2")
        until(client, lambda told: stages(told) == [("v2", "current")])
        until(client, lambda told: client.get(f"/v1/responses/{old}").status_code == 200)
        assert tell(old)[0] == "v2"  # which has what the version that left had kept


def test_a_registry_without_a_sound_current_version_is_not_served(models: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "router")
    registry.add(models / "v1")
    with pytest.raises(StartupError, match="no version of"), running(str(registry.path)):
        pass
    registry.promote("v1")
    file = registry.folder("v1") / "config.json"
    file.chmod(0o644)
    file.write_text(file.read_text() + "\n")
    said = "v1 is not what was added: config.json changed"
    with pytest.raises(StartupError, match=said), running(str(registry.path)):
        pass
