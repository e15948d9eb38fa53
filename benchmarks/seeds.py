"""Every Python block of some documents, run as printed, with formers in the place of transformers.

    python benchmarks/seeds.py --documents ../documents --output seeds.json

Checkpoints and data sets that the blocks name are tiny ones, at a Hub on loopback. The blocks of a document
run in their order in one interpreter, as a reader would type them: each sees what earlier ones defined. None
is patched. A block that ends in an error is shown with that. One that still runs after a minute is
interrupted as from a keyboard: a server that then ends well has run.

Some blocks use a name that no block before them defined (`text`, `torch`, `dataloader`): they are run once
more with what a reader would have put there, and say so.

`--reference` runs them on transformers itself, and `--table` writes what became of each block as Markdown.
"""

from __future__ import annotations

import argparse
import ast
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
TOKEN = "hf_reader"  # of the reader, who is logged in
SECONDS = 60  # for one block
# names that blocks use before anything defined them -> what a reader has there
_ROWS = "[{'input_ids': [1, 2, 3], 'attention_mask': [1, 1, 1], 'labels': i % 4} for i in range(16)]"
PRESUMED = {
    "attention_mask": "attention_mask = tokens['attention_mask']",
    "compute_f1": "def compute_f1(given): return {'f1': float((given[0].argmax(-1) == given[1]).mean())}",
    "dataloader": (
        "dataloader = [{**tokenizer(['a', 'b'], return_tensors='pt', padding=True),"
        " 'labels': __import__('torch').tensor([0, 1])}]"
    ),
    "device": "device = 'cpu'",
    "DistilBertForSequenceClassification": "from transformers import DistilBertForSequenceClassification",
    "gpt2_tokenizer": (
        "from transformers import AutoTokenizer; gpt2_tokenizer = AutoTokenizer.from_pretrained('distilgpt2')"
    ),
    "input_ids": (
        "tokens = tokenizer('Hello, how are you?', return_tensors='pt'); input_ids = tokens['input_ids']"
    ),
    "labels": "labels = __import__('torch').tensor([0])",
    "loss": "loss = 0",
    "np": "import numpy as np",
    "text": "text = 'Hello, how are you?'",
    "tokenized_train": f"tokenized_train = {_ROWS}",
    "tokenized_val": f"tokenized_val = {_ROWS}",
    "torch": "import torch",
}


def blocks(path: Path) -> list[tuple[int, str]]:
    """The Python blocks of a document, each with the line that it begins at.

    A document without fences was pasted as text: its blocks begin where something is imported.
    """
    found, start, held = [], 0, None
    lines = path.read_text().splitlines()
    if not any(line.strip().startswith("```") for line in lines):
        return list(pasted_blocks(lines))
    for number, line in enumerate(lines, 1):
        if held is None and re.match(r"\s*```(python|py)\s*$", line):
            start, held = number + 1, []
        elif held is not None and line.strip().startswith("```"):
            found.append((start, "\n".join(held) + "\n"))
            held = None
        elif held is not None:
            held.append(line)
    return found


def pasted_blocks(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The longest runs of lines that are Python, each from an import on."""
    number = 0
    while number < len(lines):
        if not re.match(r"(from|import) \w", lines[number]):
            number += 1
            continue
        ends = [end for end in range(number + 1, len(lines) + 1) if is_code("\n".join(lines[number:end]))]
        if ends:
            yield number + 1, "\n".join(lines[number : ends[-1]]) + "\n"
        number = ends[-1] if ends else number + 1


def is_code(text: str) -> bool:
    """Whether a text is Python, and no headline of one word."""
    try:
        return not any(
            isinstance(one, ast.Expr) and isinstance(one.value, ast.Name) for one in ast.parse(text).body
        )
    except SyntaxError:
        return False


def run_document(path: str, only: str) -> None:
    """In a process of its own: run the blocks, and print what became of each."""
    import contextlib
    import io
    import signal
    import types

    if "SEEDS_REFERENCE" not in os.environ:
        import formers.dropin

        formers.dropin.install()
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    shown = os.fdopen(os.dup(1), "w")  # a block may close or replace standard output
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for line, code in blocks(Path(path)):
        if only and str(line) != only:
            continue
        given: list[str] = []
        signal.alarm(SECONDS)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            said = run_block(code, f"block at line {line}", module.__dict__, given)
        signal.alarm(0)
        row = {
            "document": Path(path).name,
            **{"line": line, "runs": not said, "given": given, "says": said},
        }
        print(json.dumps(row), file=shown, flush=True)


def run_block(code: str, name: str, namespace: dict[str, Any], given: list[str]) -> str:
    """Run one block; what it ended with, empty where it ran. Names that it presumes are put into `given`."""
    try:
        exec(compile(code, name, "exec"), namespace)
    except KeyboardInterrupt:
        return f"it still runs after {SECONDS} s"
    except NameError as error:
        if error.name not in PRESUMED or error.name in given:
            return f"NameError: {error}"
        given.append(error.name)
        exec(PRESUMED[error.name], namespace)
        return run_block(code, name, namespace, given)
    except BaseException as error:  # noqa: BLE001 - a block may end in any way
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


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
    from formers.pipelines.table import TASKS
    from system.hub_server import HubServer

    defaults = {task.default[1] for task in TASKS if task.default and task.default[1]}
    server = HubServer({TOKEN: "username"})
    for name, files in repositories(folder).items():
        for revision in ("main", *sorted(defaults)):
            server.add(name, files, revision=revision)
    server.add("stanfordnlp/imdb", seed_checkpoints.review_rows(REVIEWS), kind="datasets")
    return server


def outcome(row: dict[str, Any]) -> str:
    """What became of a block, in words."""
    if not row["runs"]:
        return "ends in an error"
    return f"runs, given {', '.join(row['given'])}" if row["given"] else "runs"


def table(rows: list[dict[str, Any]]) -> str:
    """What became of each block, as Markdown."""
    lines = ["| document | line | outcome | reason |", "|---|---|---|---|"]
    for row in rows:
        said = row["says"].replace("|", "\\|")
        lines.append(f"| {row['document'][:3]} | {row['line']} | {outcome(row)} | {said} |")
    return "\n".join(lines) + "\n"


def watched(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What becomes of each block, shown as soon as it is known."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith('{"document"'):
            continue
        row = json.loads(line)
        print(f"{row['document'][:3]}:{row['line']:<5} {outcome(row):<30} {row['says'][:150]}", flush=True)
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
    parser.add_argument("--reference", action="store_true", help="run the blocks on transformers itself")
    parser.add_argument("--table", type=Path, help="Markdown file for the outcomes")
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
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # the Hub on loopback keeps files as they are
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONWARNINGS": "ignore",
            **({"SEEDS_REFERENCE": "1"} if given.reference else {}),
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
    alone = sum(row["runs"] and not row["given"] for row in found)
    print(f"{sum(row['runs'] for row in found)} of {len(found)} blocks run, {alone} as printed alone")
    if given.table:
        given.table.write_text(table(found))
    if given.output:
        given.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
