"""The web page as a person uses it: classify a text, see it in the queue, decide it."""

from __future__ import annotations

import httpx
import pytest

from system.serving_browser import Browser, missing
from system.serving_fake import LABELS, ServerProcess, expected

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def ready(browser):
    browser.wait("return document.querySelector('#state').textContent === 'ready'")


def test_a_text_is_classified_queued_and_decided(server, browser):
    browser.open(f"{server.url}/")
    ready(browser)
    browser.wait("return document.querySelector('#revision').textContent === 'fake-1'")

    browser.type("#text", "card charged twice")
    browser.click("#send")
    label, score = expected("card charged twice")
    assert browser.wait("return document.querySelector('#answer .label')?.textContent") == label
    assert f"{100 * score:.1f} %" in browser.text("#answer")
    assert "sure enough" in browser.text("#answer")
    assert browser.run("return document.querySelectorAll('#answer progress').length") == len(LABELS)

    browser.run("document.querySelector('#text').value = ''")
    browser.type("#text", "unsure <b>about</b> this one")
    browser.click("#send")
    browser.wait("return document.querySelector('#answer').textContent.includes('a person decides')")
    text = browser.wait("return document.querySelector('#items .item .text')?.textContent")
    assert text == "unsure <b>about</b> this one"
    assert browser.text("#open-count") == "1 open"

    browser.click("#items .item button")
    browser.wait("return !document.querySelector('#items .item .problem').hidden")
    browser.type("#by", "Ada")
    browser.run("document.querySelector('#items .item select').value = 'technical'")
    browser.type("#items .item .note", "seen before")
    browser.click("#items .item button")
    browser.wait("return document.querySelectorAll('#items .item').length === 0")
    assert browser.text("#open-count") == "0 open"

    (item,) = httpx.get(f"{server.url}/queue?status=resolved").json()["items"]
    assert (item["resolved_label"], item["resolved_by"], item["resolved_note"]) == (
        "technical",
        "Ada",
        "seen before",
    )
    browser.click("[data-status=resolved]")
    browser.wait("return document.querySelector('#items .decision')?.textContent.includes('decided by Ada')")
    assert browser.complaints() == []


def test_a_long_queue_is_shown_to_its_end(tmp_path, browser):
    with ServerProcess(tmp_path) as server:
        for start in range(0, 520, 130):
            texts = [f"unsure {number}" for number in range(start, start + 130)]
            httpx.post(f"{server.url}/classify", json={"texts": texts}).raise_for_status()
        browser.open(f"{server.url}/")
        browser.wait("return !document.querySelector('#more').hidden")
        browser.run("for (let i = 0; i < 25; i++) document.querySelector('#more').click()")
        browser.wait("return document.querySelectorAll('#items .item').length === 520")
        assert browser.run("return document.querySelector('#queue-problem').hidden")
        assert browser.run("return document.querySelector('#more').hidden")
        assert browser.run(
            "return [...document.querySelectorAll('#items .text')].map((one) => one.textContent)"
        ) == [f"unsure {number}" for number in range(520)]


def test_a_refusal_is_shown_in_words(server, browser):
    browser.open(f"{server.url}/")
    ready(browser)
    browser.run("document.querySelector('#text').value = 'x'.repeat(20001)")
    browser.click("#send")
    assert "20001 characters" in browser.wait(
        "return document.querySelector('#answer .problem')?.textContent"
    )


def test_the_page_works_with_a_key(tmp_path, browser):
    with ServerProcess(tmp_path, api_key="s3cret") as server:
        httpx.post(f"{server.url}/classify", json={"text": "unsure"})
        browser.open(f"{server.url}/")
        assert "API key" in browser.wait("return document.querySelector('#queue-problem').textContent")
        browser.wait("return !document.querySelector('#key-form').hidden")
        browser.type("#key", "s3cret")
        browser.click("#key-form button")
        browser.wait("return document.querySelectorAll('#items .item').length === 1")


def test_the_api_page_is_drawn_without_any_other_host(server, browser):
    browser.open(f"{server.url}/docs")
    drawn = browser.wait(
        "return [...document.querySelectorAll('.operation summary')].map((one) => one.textContent)"
    )
    assert any("/classify" in one for one in drawn)
    assert any("/queue/{number}/resolve" in one for one in drawn)
    assert "needs_human" in browser.text(".operation[open]")
    hosts = browser.run(
        "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)"
    )
    assert set(hosts) == {server.url.removeprefix("http://")}
    assert browser.complaints() == []


def test_every_control_has_a_name(server, browser):
    httpx.post(f"{server.url}/classify", json={"text": "unsure once more"})
    browser.open(f"{server.url}/")
    ready(browser)
    browser.wait("return document.querySelectorAll('#items .item').length === 1")
    unnamed = browser.run(
        "return [...document.querySelectorAll('input, select, textarea, button')]"
        ".filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))"
        ".map((one) => one.outerHTML)"
    )
    assert unnamed == []
    assert browser.run("return document.documentElement.lang") == "en"
    assert browser.run("return document.querySelectorAll('h1').length") == 1
