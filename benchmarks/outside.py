"""Test suites of packages of the ecosystem, on transformers and with formers in its place: what differs.

    python benchmarks/outside.py --env /tmp/ecosystem --reference /tmp/reference \
        --suite peft=/tmp/peft-0.21.2 --suite keybert=/tmp/keybert-0.9.0 --work /tmp/outside \
        --output benchmarks/outside.md

`--env` is the environment of `ecosystem.py` (no transformers in it), with pytest and pytest-timeout, and
with what suites import (parameterized, diffusers, attrs), which may lie in a folder apart (`--also`);
`--reference` is a folder that has transformers (`pip install --no-deps --target`). A suite is the package's
source. Models and data that suites ask a Hub for are tiny ones at a Hub on loopback (`outside_zoo.py`), made
by transformers. The files of a suite run in one process for `--limit` seconds; the next call goes on with the
tests that were not come to, for `--work` keeps the outcome of each (`--again` forgets them). A test counts
where it passes on transformers; one that is skipped with formers did not pass.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outside_sample import outcomes

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "tests")]
# files that need what is not here: accelerators, other formats, large models; or that use no transformers
LEFT_OUT = (
    r"gpu|stablediffusion|gptq|quantization|regression/|vision_models|torch_compile|openvino|onnx|backends|"
    r"multi_process|custom_models\.py|tpu|sagemaker|deepspeed|fsdp|megatron|multidevice|vision/|test_examples|test_launch"
)


@dataclass(frozen=True)
class Side:
    """Who answers to `transformers`: what stands on the path, and how Python begins."""

    name: str
    path: tuple[Path, ...]
    begin: tuple[str, ...]


def run(given: argparse.Namespace, side: Side, suite: Path, endpoint: str) -> dict[str, str]:
    """Run the tests of a suite that were not run before; the outcomes of all."""
    log = given.work / side.name / f"{suite.name}{given.part}.log"
    kept = log.with_suffix(".kept")
    if side.name not in given.sides:
        return outcomes(kept)
    log.parent.mkdir(parents=True, exist_ok=True)
    if given.again:
        kept.unlink(missing_ok=True)
    source = suite / "src" if (suite / "src").is_dir() else suite
    settings = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))},
        "PYTHONPATH": os.pathsep.join(map(str, (*side.path, *given.also, source, HERE))),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(given.work / "hub" / side.name),
        "OMP_NUM_THREADS": "1",
        "OUTSIDE_SAMPLE": str(given.sample),
        "OUTSIDE_KEPT": str(kept),
        "OUTSIDE_SECONDS": str(given.limit),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SCIKIT_LEARN_DATA": str(given.work / "zoo" / "datasets"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [str(given.env / "bin" / "python"), "-W", "ignore", *side.begin, "-m", "pytest"]
    command += [
        "-v",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-p",
        "outside_sample",
        "-o",
        "addopts=",
        "-o",
        "console_output_style=classic",
    ]
    command += ["--timeout", str(given.each), "-rfE", "--color=no"]
    command += ["-W", "ignore::FutureWarning"]  # suites make errors of them, and newer releases have more
    command += ["-k", given.keyword] if given.keyword else []
    command += map(str, files_of(suite, given.files))
    with log.open("a") as writes:
        try:
            subprocess.run(
                command,
                cwd=suite,
                env=settings,
                stdout=writes,
                stderr=subprocess.STDOUT,
                timeout=given.limit + 2 * given.each,
                check=False,
            )
        except subprocess.TimeoutExpired:
            writes.write(f"\nended after {given.limit} s\n")
    return outcomes(kept)


def files_of(suite: Path, only: str | None) -> Iterator[Path]:
    """The files of tests, by their paths in the suite."""
    for path in sorted((suite / "tests").rglob("test_*.py")):
        file = path.relative_to(suite)
        if not re.search(LEFT_OUT, str(file)) and (only is None or re.search(only, str(file))):
            yield file


def serve(given: argparse.Namespace) -> Any:
    """The Hub with models and data sets; the models are written where they are not yet."""
    from system.hub_server import HubServer

    zoo = given.work / "zoo"
    if not zoo.exists():
        settings = {**os.environ, "PYTHONPATH": str(given.reference), "OMP_NUM_THREADS": "1"}
        python = str(given.env / "bin" / "python")
        subprocess.run([python, str(HERE / "outside_zoo.py"), str(zoo)], env=settings, check=True)
    server = HubServer()
    for config in zoo.rglob("config.json"):
        folder = config.parent
        if re.match(r"\d_", folder.name):
            continue
        server.add(str(folder.relative_to(zoo)), _files(folder))
    for folder in (zoo / "datasets").glob("*/*"):
        server.add(str(folder.relative_to(zoo / "datasets")), _files(folder), kind="datasets")
    return server


def _files(folder: Path) -> dict[str, bytes | str]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def judged(given: argparse.Namespace) -> list[tuple[str, int, int, list[str]]]:
    """Suite, tests that pass on transformers, those of them that pass with formers, the others' names."""
    found = next(given.reference.glob("transformers-*.dist-info")).name
    claimed = found.removeprefix("transformers-").removesuffix(".dist-info")
    sides = (
        Side("reference", (given.reference,), ()),
        Side("formers", (ROOT / "src",), ("-m", "formers.dropin", "--version", claimed)),
    )
    rows = []
    with serve(given) as server:
        for name, folder in (one.split("=", 1) for one in given.suite):
            suite = Path(folder).resolve()
            there, here = (run(given, side, suite, server.url) for side in sides)
            good = {test for test, what in there.items() if what == "PASSED"}
            if not given.whole:
                good &= set(here)  # a run that was ended in time says nothing of the rest
            bad = sorted(good - {test for test, what in here.items() if what == "PASSED"})
            rows.append((name, len(good), len(good) - len(bad), bad))
    return rows


def main() -> None:
    """Run the suites, print the table and the tests that differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", type=Path, required=True, help="environment with the packages")
    parser.add_argument("--reference", type=Path, required=True, help="folder with transformers")
    parser.add_argument("--suite", action="append", required=True, help="name=folder of the source")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more folders for the path")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "outside", help="for logs")
    parser.add_argument("--files", help="regular expression for the files")
    parser.add_argument("--keyword", help="pytest's -k")
    parser.add_argument("--sample", type=int, default=1, help="run one test in so many")
    parser.add_argument("--sides", default="reference,formers", help="which to run")
    parser.add_argument("--each", type=int, default=60, help="seconds for one test")
    parser.add_argument("--limit", type=int, default=1200, help="seconds for one call and suite")
    parser.add_argument("--part", default="", help="ending of the logs of a part of a suite")
    parser.add_argument("--whole", action="store_true", help="count tests that a side did not come to")
    parser.add_argument("--again", action="store_true", help="forget what has been run")
    parser.add_argument("--lost", type=Path, help="file for the names of tests that differ")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    rows = judged(given)
    table = "| suite | passes on transformers | of those, with formers | |\n|---|---:|---:|---:|\n"
    for name, passing, kept, _ in rows:
        table += f"| {name} | {passing:,} | {kept:,} | {kept / max(passing, 1):.1%} |\n"
    print(table)
    if given.lost:
        given.lost.write_text("".join(f"{test}\n" for *_, lost in rows for test in lost))
    if given.output:
        given.output.write_text(table)


if __name__ == "__main__":
    main()
