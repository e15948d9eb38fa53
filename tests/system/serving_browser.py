"""A headless Chromium, driven through chromedriver's WebDriver protocol."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time

import httpx

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1000,1100 "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which the protocol passes an element


def missing():
    """Why there is no browser, or an empty string."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (Debian: chromium, chromium-driver)" if absent else ""


class Browser:
    """One session; a context manager."""

    def __init__(self, profile):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._driver = subprocess.Popen(
            [shutil.which("chromedriver"), f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        flags = [*FLAGS.split(), f"--user-data-dir={profile}"]
        options = {"binary": shutil.which("chromium"), "args": flags}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        for _ in range(100):
            try:
                if self._http.get("/status").json()["value"]["ready"]:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        session = self._call("POST", "/session", capabilities={"alwaysMatch": wanted})
        self._base = f"/session/{session['sessionId']}"

    def _call(self, method, path, **body):
        answer = self._http.request(method, path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise AssertionError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def open(self, url):
        self.complaints()  # forget those of the page before
        self._call("POST", f"{self._base}/url", url=url)

    def run(self, script, *arguments):
        """Run a script in the page and return what it returns."""
        return self._call("POST", f"{self._base}/execute/sync", script=script, args=list(arguments))

    def wait(self, script, *arguments, seconds=20):
        """Run a script until it returns something true, and return that."""
        until = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < until, (
                f"never came true: {script}\n{self.run('return document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def _element(self, css):
        found = self._call("POST", f"{self._base}/element", using="css selector", value=css)
        return f"{self._base}/element/{found[_ELEMENT]}"

    def click(self, css):
        self._call("POST", f"{self._element(css)}/click")

    def type(self, css, text):
        self._call("POST", f"{self._element(css)}/value", text=text)

    def text(self, css):
        return self._call("GET", f"{self._element(css)}/text")

    def complaints(self):
        """Errors that the page wrote to the console."""
        found = self._call("POST", f"{self._base}/se/log", type="browser")
        return [entry["message"] for entry in found if entry["level"] == "SEVERE"]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._base}/screenshot")))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", self._base)
        finally:
            self._http.close()
            self._driver.terminate()
            self._driver.wait(20)
