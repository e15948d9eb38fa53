"""A small file of examples, from CPython's changelog, for every task of `formers train`, and the training.

python examples/recipes.py token-classification [--model FOLDER] [--output recipe-output] [--rows 400]

Encoders start from all-MiniLM-L6-v2; for text-generation, summarization and translation name a model, such as
openai-community/gpt2 or google-t5/t5-small. The command that does the same is printed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formers.jobs.table import JOBS, job_of
from minilm import minilm

DATA = Path(__file__).parent / "data" / "cpython-changelog.csv.gz"
CODE = re.compile(r"[\w.]+\(\)")
Entries = list[dict[str, str]]


def tagged(entries: Entries) -> list[dict[str, Any]]:
    """Words, of which calls such as open() are entities."""
    words = [entry["text"].split() for entry in entries]
    return [
        {"tokens": row, "tags": ["B-CODE" if CODE.search(word) else "O" for word in row]} for row in words
    ]


def asked(entries: Entries) -> list[dict[str, Any]]:
    """Which function an entry speaks of; half of them speak of none."""
    rows = []
    for entry in entries:
        found = CODE.search(entry["text"])
        texts, starts = ([found.group()], [found.start()]) if found else ([], [])
        answers = {"text": texts, "answer_start": starts}
        rows.append({"question": "Which function is it about?", "context": entry["text"], "answers": answers})
    return rows


def shortened(entries: Entries) -> list[dict[str, Any]]:
    """Entries and their first sentences."""
    return [{"document": entry["text"], "summary": entry["text"].split(". ")[0]} for entry in entries]


def translated(entries: Entries) -> list[dict[str, Any]]:
    """English, and the same with its words in reverse."""
    return [
        {"source": entry["text"], "target": " ".join(reversed(entry["text"].split()))} for entry in entries
    ]


def paired(entries: Entries) -> list[dict[str, Any]]:
    """Entries about one component."""
    known: dict[str, list[str]] = {}
    for entry in entries:
        known.setdefault(entry["label"], []).append(entry["text"])
    return [
        {"anchor": one, "positive": other}
        for texts in known.values()
        for one, other in zip(texts[::2], texts[1::2], strict=False)
    ]


def choices(entries: Entries) -> list[dict[str, Any]]:
    """Entries, and four components of which one is theirs."""
    names = sorted({entry["label"] for entry in entries})
    rows = []
    for number, entry in enumerate(entries):
        others = [name for name in names[number % 7 :] + names if name != entry["label"]][:3]
        rows.append({"context": entry["text"], "choices": [entry["label"], *others], "label": 0})
    return rows


def several(entries: Entries) -> list[dict[str, Any]]:
    """Entries with their component, and "code" where they name a call."""
    return [
        {"text": entry["text"], "label": [entry["label"], *(["code"] if CODE.search(entry["text"]) else [])]}
        for entry in entries
    ]


def beside(entries: Entries) -> list[dict[str, Any]]:
    """Two entries, and whether they are about one component."""
    return [
        {
            "text": one["text"],
            "text_pair": other["text"],
            "label": "same" if one["label"] == other["label"] else "other",
        }
        for one, other in zip(entries, entries[1:], strict=False)
    ]


def measured(entries: Entries) -> list[dict[str, Any]]:
    """Entries, and a tenth of their number of words."""
    return [{"text": entry["text"], "label": len(entry["text"].split()) / 10} for entry in entries]


def plain(entries: Entries) -> list[dict[str, Any]]:
    """The entries as they are."""
    return list(entries)


MADE: dict[str, Callable[[Entries], list[dict[str, Any]]]] = {
    "text-classification": plain,
    "token-classification": tagged,
    "question-answering": asked,
    "text-generation": plain,
    "fill-mask": plain,
    "summarization": shortened,
    "translation": translated,
    "sentence-embeddings": paired,
    "multiple-choice": choices,
    "multi-label-classification": several,
    "pair-classification": beside,
    "regression": measured,
}
NAMED = ("text-generation", "summarization", "translation")


def main() -> None:
    options = arguments()
    if options.model is None and options.task in NAMED:
        raise SystemExit(
            f"--task {options.task} needs --model: the encoder of the other tasks writes nothing"
        )
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as stream:
        entries = list(csv.DictReader(stream))
    options.output.mkdir(parents=True, exist_ok=True)
    data = options.output / f"{options.task}.jsonl"
    # every so many, so that all components are there
    rows = MADE[options.task](entries[:: max(1, len(entries) // options.rows)])
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model, folder = options.model or minilm(), options.output / options.task
    print(f"formers train --task {options.task} --data {data} --model {model} --output {folder}")
    job_class = job_of(options.task)
    settings = {"epochs": options.epochs, "max_length": 128, "overwrite": True}
    outcome = job_class(job_class.plan_class(data, model, folder, **settings)).run()
    if outcome.report is not None:
        print(outcome.report.text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=JOBS)
    parser.add_argument("--model", help="folder or Hub id")
    parser.add_argument("--output", type=Path, default=Path("recipe-output"))
    parser.add_argument("--rows", type=int, default=400, help="about how many examples")
    parser.add_argument("--epochs", type=float, default=2.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
