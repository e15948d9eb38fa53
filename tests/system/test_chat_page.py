"""The page of a model that writes, as a person uses it: ask, read, stop, begin anew."""

from __future__ import annotations

import httpx
import pytest

from formers.generation.engine.runner import Runner
from formers.serving import running
from system.serving_browser import Browser, missing
from system.tiny_writer import write

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(missing()), reason=missing())]

LAST = "[...document.querySelectorAll('.message.assistant')].at(-1)"
META = "document.querySelector('.message:last-child.assistant .meta')?.textContent"
IDLE = f"return document.querySelector('#stop').hidden && !!{META}"
ENTER, ESCAPE = "\ue007", "\ue00c"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def url(folder, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "log"
    with running(str(folder), log_path=log, max_new_tokens=200, warm_up=False) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def opened(browser, url):
    browser.open(f"{url}/")
    browser.wait("return document.querySelector('#name').textContent === 'tiny'")


def set_to(browser, field, value):
    browser.run("document.querySelector(arguments[0]).value = arguments[1]", field, value)


def answer_of(url, messages, tokens):
    body = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": tokens}
    return httpx.post(f"{url}/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]


def said(role, text):
    return {"role": role, "content": text}


def test_a_chat_goes_on_with_its_system_prompt_and_what_was_said(url, browser):
    opened(browser, url)
    set_to(browser, "#temperature", "0")
    set_to(browser, "#most", "9")
    set_to(browser, "#system", "Stop well.")
    browser.type("#text", f"where is <b>the</b> pot?{ENTER}")
    browser.wait(IDLE)
    messages = [said("system", "Stop well."), said("user", "where is <b>the</b> pot?")]
    first = answer_of(url, messages, 9)
    assert browser.run(f"return {LAST}.querySelector('.said').textContent") == first
    assert (
        browser.run("return document.querySelector('.message.user .said').textContent")
        == messages[1]["content"]
    )
    assert browser.run("return document.querySelectorAll('.message b').length") == 0
    meta = browser.run(f"return {LAST}.querySelector('.meta').textContent")
    assert meta.startswith("9 tokens · ")
    assert "tokens/s" in meta
    assert browser.run("return document.activeElement.id") == "text"

    browser.type("#text", "and the")
    browser.click("#send")
    browser.wait("return document.querySelectorAll('.message').length === 4")
    browser.wait(IDLE)
    again = [*messages, said("assistant", first), said("user", "and the")]
    assert browser.run(f"return {LAST}.querySelector('.said').textContent") == answer_of(url, again, 9)

    browser.click("#new")
    assert browser.run("return document.querySelectorAll('.message').length") == 0
    browser.type("#text", f"where is <b>the</b> pot?{ENTER}")
    browser.wait(IDLE)
    assert browser.run(f"return {LAST}.querySelector('.said').textContent") == first
    assert browser.complaints() == []


@pytest.mark.parametrize("how", ["button", "key"])
def test_an_answer_is_stopped_and_what_came_of_it_stays(url, browser, how, monkeypatch):
    step = Runner.step
    monkeypatch.setattr(
        Runner, "step", lambda self, tokens: __import__("time").sleep(0.03) or step(self, tokens)
    )
    opened(browser, url)
    set_to(browser, "#temperature", "0")
    browser.type("#text", f"the{ENTER}")
    browser.wait(f"return {LAST}?.querySelector('.said').textContent.length > 3")
    browser.click("#stop") if how == "button" else browser.type("#text", ESCAPE)
    browser.wait("return document.querySelector('#status').textContent === 'Stopped.'")
    assert browser.run(f"return {LAST}.querySelector('.meta').textContent.includes('stopped')")
    assert browser.run(f"return {LAST}.querySelector('.said').textContent.length > 3")
    assert browser.run("return !document.querySelector('#send').disabled")


def test_a_refusal_is_said_and_the_message_stays_to_be_sent_again(url, browser):
    opened(browser, url)
    browser.run("document.querySelector('#text').value = 'word '.repeat(400)")
    browser.click("#send")
    assert "shorten it" in browser.wait("return document.querySelector('#problem').textContent")
    assert browser.run("return document.querySelector('#text').value.length") == 2000
    assert browser.run("return document.querySelectorAll('.message').length") == 0


def test_the_key_is_asked_for_once(folder, tmp_path, browser):
    with running(str(folder), log_path=tmp_path / "log", api_key="s3cret", warm_up=False) as url:
        browser.open(f"{url}/")
        assert "API key" in browser.wait("return document.querySelector('#problem').textContent")
        browser.type("#key", "s3cret")
        browser.click("#key-form button")
        browser.wait("return document.querySelector('#name').textContent === 'tiny'")
        assert browser.run("return document.querySelector('#key-form').hidden")
        set_to(browser, "#most", "2")
        browser.type("#text", f"the{ENTER}")
        browser.wait(IDLE)


def test_a_model_without_a_chat_template_goes_on_with_a_text(tmp_path, browser):
    folder = write(tmp_path / "tiny", template=None)
    with running(str(folder), log_path=tmp_path / "log", warm_up=False) as url:
        opened(browser, url)
        assert browser.run("return document.querySelector('#system-field').hidden")
        set_to(browser, "#temperature", "0")
        set_to(browser, "#most", "5")
        browser.type("#text", f"the stop{ENTER}")
        browser.wait(IDLE)
        body = {"model": "tiny", "prompt": "the stop", "temperature": 0, "max_tokens": 5}
        wanted = httpx.post(f"{url}/v1/completions", json=body).json()["choices"][0]["text"]
        assert browser.run(f"return {LAST}.querySelector('.said').textContent") == wanted


def test_every_control_has_a_name_and_nothing_comes_from_elsewhere(url, browser):
    opened(browser, url)
    unnamed = browser.run(
        "return [...document.querySelectorAll('input, select, textarea, button')]"
        ".filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))"
        ".map((one) => one.outerHTML)"
    )
    assert unnamed == []
    assert browser.run("return document.querySelectorAll('h1').length") == 1
    hosts = browser.run(
        "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)"
    )
    assert set(hosts) == {url.removeprefix("http://")}
    assert "default-src 'self'" in httpx.get(f"{url}/").headers["content-security-policy"]
    assert browser.complaints() == []
