"""What is in the repository holds nothing of the machine that it was written on."""

from __future__ import annotations

import functools
import re
import subprocess

import pytest

from budget.source import ROOT

TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".cfg", ".html", ".css", ".js", ".jinja", ""}
SKIPPED = {".git", ".venv", "__pycache__", "build", "dist"}
# Written so that this file does not match itself.
HOME_PATHS = re.compile(r"(?<![\w.:/-])/(?:work|root|home|opt|Users|mnt)/[\w.-]+")
# Loopback, and the addresses that documentation and sample texts use, name no machine.
ADDRESSES = re.compile(
    r"\b(?!127\.|0\.0\.0\.0|255\.|192\.168\.0\.1\b|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"
)
INDEXES = re.compile(
    r"(?:download\.pytorch\.org/whl|pypi\.[a-z]+/simple|trusted[-]host|extra-index-url[ =]\w+:)"
)


@functools.cache
def tracked():
    """Path -> text."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.parts)]
    paths = [path for path in paths if path.is_file() and path.suffix in TEXT]
    return {path: path.read_text(errors="replace") for path in paths}


@pytest.mark.parametrize("pattern", [HOME_PATHS, ADDRESSES, INDEXES], ids=["paths", "addresses", "indexes"])
def test_no_file_names_a_machine(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path, text in tracked().items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]
    assert not found, "\n".join(found)


def test_the_patterns_see_what_they_look_for():
    assert HOME_PATHS.search("cd /" + "home/someone/x")
    assert not HOME_PATHS.search("docs/" + "work/home.md")
    assert ADDRESSES.search("at 10." + "1.2.3:80")
    assert not ADDRESSES.search("at 127.0.0.1:80")
    assert INDEXES.search("--extra-index-url " + "https://somewhere")
