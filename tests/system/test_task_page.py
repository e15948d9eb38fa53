"""The page of a task as a person uses it: spans, boxes on the picture, a recorder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import formers
from formers.desk.registry import Registry
from formers.serving import running
from parity.pictures import colours
from system import task_zoo
from system.serving_browser import Browser, missing

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


WRITTEN_AS = {"conversational": "text-generation"}  # task -> that whose model it has


@contextmanager
def page(browser: Browser, task: str, folder: Path) -> Iterator[Any]:
    """The page of a task's server, open; gives the pipeline."""
    model = str(task_zoo.build(WRITTEN_AS.get(task, task), folder / "model"))
    pipe = formers.pipeline(task, model=model, device="cpu")
    with running(pipe, task=task, log_path=folder / "log", timeout=60) as url:
        browser.open(f"{url}/")
        browser.wait("return document.querySelector('#state').textContent === 'ready'")
        yield pipe
        assert browser.complaints() == []


def ask_about_a_picture(browser: Browser, folder: Path, parameters: dict[str, Any]) -> Path:
    """Choose a picture of 50 by 40 and send it; gives its file."""
    file = folder / "picture.png"
    Image.fromarray(colours(40, 50)).save(file)
    browser.type("#field-inputs", str(file))
    browser.wait("return document.querySelector('.preview canvas')")
    browser.run("document.querySelector('#parameters').value = arguments[0]", json.dumps(parameters))
    browser.click("#send")
    return file


def test_places_in_a_text_are_marked_where_they_are(browser: Browser, tmp_path: Path) -> None:
    text = "😀 w1 w2 <b>w3</b> w4"  # two units of UTF-16 that are one character
    with page(browser, "token-classification", tmp_path) as pipe:
        browser.run("document.querySelector('#field-inputs').value = arguments[0]", text)
        browser.click("#send")
        marks = browser.wait(
            "return [...document.querySelectorAll('#answer mark')]"
            ".map((one) => [one.firstChild.data, one.querySelector('.label').textContent])"
        )
        found = pipe(text, aggregation_strategy="simple")
    assert marks == [[text[one["start"] : one["end"]], one["entity_group"]] for one in found]


def test_boxes_are_drawn_on_the_picture(browser: Browser, tmp_path: Path) -> None:
    with page(browser, "object-detection", tmp_path) as pipe:
        file = ask_about_a_picture(browser, tmp_path, {"threshold": 0.01})
        size = browser.wait(
            "const one = document.querySelector('#answer canvas'); return one && [one.width, one.height]"
        )
        told = browser.run(
            "return [...document.querySelectorAll('#answer .legend li')].map((one) => one.textContent)"
        )
        changed = browser.run(
            "const data = (css) => document.querySelector(css).toDataURL();"
            "return data('#answer canvas') !== data('.preview canvas')"
        )
        found = pipe(Image.open(file), threshold=0.01)
    assert (size, changed) == ([50, 40], True)
    assert [one.rsplit(" ", 2)[0] for one in told] == [one["label"] for one in found]


def test_masks_are_laid_over_the_picture(browser: Browser, tmp_path: Path) -> None:
    asked = {"subtask": "semantic", "threshold": 0.0}
    with page(browser, "image-segmentation", tmp_path) as pipe:
        file = ask_about_a_picture(browser, tmp_path, asked)
        told, changed = browser.wait(
            "const pixels = (css) => { const one = document.querySelector(css);"
            " return one && one.getContext('2d').getImageData(0, 0, one.width, one.height).data; };"
            "const after = pixels('#answer canvas'), before = pixels('.preview canvas');"
            "const told = [...document.querySelectorAll('#answer .legend li')].map((one) => one.textContent);"
            "return after && [told,"
            " before.filter((value, place) => place % 4 === 0 && value !== after[place]).length]"
        )
        found = pipe(Image.open(file), **asked)
    assert [one.rsplit(" ", 2)[0] for one in told] == [one["label"] for one in found]
    assert found
    covered = np.any([np.asarray(one["mask"]) > 127 for one in found], axis=0).sum()
    assert 0 < changed <= covered


def test_an_answer_is_marked_in_its_context(browser: Browser, tmp_path: Path) -> None:
    asked = {"question": "w1 w2", "context": "😀 w3 <i>w4</i> w5 w6"}
    with page(browser, "question-answering", tmp_path) as pipe:
        for name, text in asked.items():
            browser.run(f"document.querySelector('#field-{name}').value = arguments[0]", text)
        browser.click("#send")
        said, marked, around = browser.wait(
            "const mark = document.querySelector('#answer mark');"
            "return mark && [document.querySelector('#answer .said').textContent, mark.firstChild.data,"
            " mark.parentNode.firstChild.textContent]"
        )
        found = pipe(asked)
    assert (said, marked) == (found["answer"], found["answer"])
    assert around == asked["context"][: found["start"]] or found["start"] == 0


def test_a_conversation_goes_on_turn_by_turn(browser: Browser, tmp_path: Path) -> None:
    shown = "return [...document.querySelectorAll('#messages .said')].map((one) => one.textContent)"
    with page(browser, "conversational", tmp_path) as pipe:
        browser.run("document.querySelector('#parameters').value = '{\"max_new_tokens\": 3}'")
        for turn, text in enumerate(("the pot", "is <b>here</b>")):
            browser.run("document.querySelector('#field-messages').value = arguments[0]", text)
            browser.click("#send")
            browser.wait(f"return document.querySelectorAll('#messages .said').length === {2 * turn + 2}")
        said = browser.run(shown)
    talk = formers.Conversation("the pot")
    first = pipe(talk, max_new_tokens=3)
    first.add_user_input("is <b>here</b>")
    assert said == [one["content"] for one in pipe(first, max_new_tokens=3).messages]


def test_a_sound_is_recorded_played_and_classified(browser: Browser, tmp_path: Path) -> None:
    with page(browser, "audio-classification", tmp_path):
        browser.click(".record")
        browser.wait("return document.querySelector('.record').textContent === 'Stop'")
        time.sleep(0.5)  # of sound
        browser.click(".record")
        browser.wait("return document.querySelector('.preview audio')?.src.startsWith('blob:')")
        browser.click("#send")
        browser.wait("return document.querySelectorAll('#answer progress').length === 7")


def test_versions_of_a_registry_are_shown_with_their_shares(browser: Browser, tmp_path: Path) -> None:
    folder = task_zoo.build("text-classification", tmp_path / "model")
    registry = Registry(tmp_path / "router")
    registry.add(folder)
    (folder / "README.md").write_text("another version")
    registry.add(folder, note="told apart")
    registry.promote("v1")
    registry.promote("v2", 0.2)
    places = {"queue_path": tmp_path / "queue", "log_path": tmp_path / "log"}
    with running(str(registry.path), **places) as url:
        browser.open(f"{url}/rollout")
        browser.wait("return document.querySelectorAll('#versions tr').length === 2")
        rows = browser.run(
            "return [...document.querySelectorAll('#versions tr')]"
            ".map((row) => row.innerText.split('\\t').slice(0, 3))"
        )
        assert rows == [["v1", "current", "80.0 %"], ["v2", "candidate", "20.0 %"]]
        assert "gave v2 a share of 0.2" in browser.text("#history")
        assert browser.complaints() == []
