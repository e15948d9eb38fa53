"""What an installation brings with it: every file that the package reads, at versions written down."""

from __future__ import annotations

import fnmatch
import re

import tomllib

from budget.source import PACKAGE, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# the extras `quant`, `japanese`, `speech` and `thai` are in no environment that make builds
UNPINNED = {"bitsandbytes", "kytea", "phonemizer", "pythainlp", "uroman"}


def test_every_data_file_is_packaged():
    globs = PROJECT["tool"]["setuptools"]["package-data"]["formers"]
    files = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    left_out = [name for name in files if not any(fnmatch.fnmatch(name, glob) for glob in globs)]
    assert not left_out
    unused = [glob for glob in globs if not any(fnmatch.fnmatch(name, glob) for name in files)]
    assert not unused


def test_every_dependency_has_its_exact_version():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), (
        "a pin is name==version, without a local tag"
    )
    pinned = {normal(pin.split("==")[0]) for pin in pins}
    wanted = [*PROJECT["project"]["dependencies"]]
    for listed in PROJECT["project"]["optional-dependencies"].values():
        wanted += listed
    missing = {normal(re.split(r"[\s\[<>=!~;]", name)[0]) for name in wanted} - pinned - UNPINNED
    assert not missing


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
