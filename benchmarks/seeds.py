"""Every Python block of some documents, run as printed, with formers in the place of transformers.

    python benchmarks/seeds.py --documents ../documents --output seeds.json

Checkpoints and data sets that the blocks name are tiny ones, at a Hub on loopback. The blocks of a document
run in their order in one interpreter, as a reader would type them: each sees what earlier ones defined. None
is patched. A block that ends in an error is shown with that.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# names that the blocks use for a checkpoint -> the tiny one that stands for it
ALSO = {
    "distilbert-base-cased": "distilbert/distilbert-base-cased",
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": (
        "distilbert-base-uncased-finetuned-sst-2-english"
    ),
    "distilbert/distilbert-base-cased-distilled-squad": "distilbert-base-cased-distilled-squad",
    "distilgpt2": "gpt2",
    "model-name": "distilbert-base-uncased-finetuned-sst-2-english",
    "openai-community/gpt2": "gpt2",
    "username/my-model": "distilbert-base-uncased-finetuned-sst-2-english",
    "meta-llama/Llama-2-7b-hf": "meta-llama/Llama-2-7b-chat-hf",
    "meta-llama/Llama-2-13b-hf": "meta-llama/Llama-2-7b-chat-hf",
}
REVIEWS = [
    ("i love this product", 1),
    ("terrible experience", 0),
    ("great service !", 1),
    ("i hate this", 0),
] * 40
# revisions that tasks without a model ask for
DEFAULTS = ("564e9b5", "607a30d", "714eb0f")
SECONDS = 60  # for one block


def blocks(path: Path) -> list[tuple[int, str]]:
    """The Python blocks of a document, each with the line that it begins at."""
    found, start, held = [], 0, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if held is None and re.match(r"\s*```(python|py)\s*$", line):
            start, held = number + 1, []
        elif held is not None and line.strip().startswith("```"):
            found.append((start, "\n".join(held) + "\n"))
            held = None
        elif held is not None:
            held.append(line)
    return found


def run_document(path: str, only: str) -> None:
    """In a process of its own: run the blocks, and print what became of each."""
    import contextlib
    import io
    import signal
    import types

    import formers.dropin

    formers.dropin.install()

    def stop(*_: Any) -> None:
        raise TimeoutError(f"still running after {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    shown = os.fdopen(os.dup(1), "w")  # a block may close or replace standard output
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for line, code in blocks(Path(path)):
        if only and str(line) != only:
            continue
        said = ""
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(code, f"block at line {line}", "exec"), module.__dict__)
        except BaseException as error:  # noqa: BLE001 - a block may end in any way
            said = f"{type(error).__name__}: {error}".splitlines()[0]
        signal.alarm(0)
        row = {"document": Path(path).name, "line": line, "runs": not said, "says": said}
        print(json.dumps(row), file=shown, flush=True)


def repositories(folder: Path) -> dict[str, dict[str, bytes | str]]:
    """Hub name -> files, of the models that the blocks name."""
    import seed_checkpoints
    from system.seed_zoo import build

    build(folder)
    seed_checkpoints.build(folder)
    held: dict[str, dict[str, bytes | str]] = {}
    for config in folder.rglob("config.json"):
        files = {one.name: one.read_bytes() for one in config.parent.iterdir() if one.is_file()}
        held[str(config.parent.relative_to(folder))] = dict(files)
    return {**held, **{name: held[real] for name, real in ALSO.items()}}


def serve(folder: Path) -> Any:
    """The Hub with models and data sets."""
    import seed_checkpoints
    from system.hub_server import HubServer

    server = HubServer()
    for name, files in repositories(folder).items():
        for revision in ("main", *DEFAULTS):
            server.add(name, files, revision=revision)
    server.add("stanfordnlp/imdb", seed_checkpoints.review_rows(REVIEWS), kind="datasets")
    return server


def watched(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What becomes of each block, shown as soon as it is known."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith('{"document"'):
            continue
        row = json.loads(line)
        word = "runs" if row["runs"] else "fails"
        print(f"{row['document'][:3]}:{row['line']:<5} {word:<6} {row['says'][:150]}", flush=True)
        yield row
    process.wait()


def main() -> None:
    """Run the documents and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=Path, required=True, help="folder of documents with blocks")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the blocks")
    parser.add_argument("--only", default="", help="document:line of one block")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    if str(given.documents).startswith("run:"):
        run_document(str(given.documents)[4:], given.only)
        return
    found = []
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    import seed_checkpoints

    name, _, line = given.only.partition(":")
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "zoo") as server:
        settings = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "HF_ENDPOINT": server.url,
            "HF_HOME": f"{folder}/home",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        for document in sorted(given.documents.glob("*")):
            if not document.is_file() or name not in document.name or not blocks(document):
                continue
            work = Path(folder) / document.stem
            work.mkdir()
            seed_checkpoints.put_files(work, REVIEWS)
            command = [
                given.python,
                str(Path(__file__)),
                "--documents",
                f"run:{document.resolve()}",
                "--only",
                line,
            ]
            rows = list(
                watched(subprocess.Popen(command, cwd=work, env=settings, stdout=subprocess.PIPE, text=True))
            )
            if len(rows) < len(blocks(document)) and not line:
                print(f"{document.name}: ended after {len(rows)} of {len(blocks(document))} blocks")
            found += rows
    print(f"{sum(row['runs'] for row in found)} of {len(found)} blocks run")
    if given.output:
        given.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
