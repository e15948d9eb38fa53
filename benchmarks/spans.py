"""Texts per second of the pipelines about spans: formers and the reference, defaults against defaults.

all-MiniLM-L6-v2 with random heads over 1,000 entries of CPython's changelog. `ner`: entities of every entry,
grouped ("simple"). `question-answering`: one question about each entry. The reference's present release
answers no questions: `--older` names a folder that holds its release 4.57, whose pipeline is taken; without
it, its model in a loop over pairs, from ids to the best span. Contenders run in turn, in processes of their
own; medians are given, and the share of texts that both answer alike (spans, labels; scores within 1e-4).

    python benchmarks/spans.py [--texts 1000] [--rounds 5] [--threads N] [--older FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from encoder_speed import ROOT, Worker, read_texts

QUESTION = "What was changed?"
LABELS = ("O", "B-MOD", "I-MOD", "B-FUN", "I-FUN")
HEADS = {"ner": "TokenClassification", "question-answering": "QuestionAnswering"}


def write_checkpoint(task: str, folder: str) -> None:
    """MiniLM with a random head, large enough for answers that differ."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    import formers
    from minilm import minilm

    torch.manual_seed(0)
    names = dict(enumerate(LABELS))
    options = {"id2label": names, "label2id": {name: i for i, name in names.items()}} if task == "ner" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the head is new, which is meant
        kind = getattr(formers, f"AutoModelFor{HEADS[task]}")
        model = kind.from_pretrained(minilm(), **options)
    with torch.no_grad():
        (model.classifier if task == "ner" else model.qa_outputs).weight.normal_(std=0.5)
    model.save_pretrained(folder)
    formers.AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)


def asked(pipe: Any, task: str, texts: list[str]) -> Any:
    """The calls of a pipeline: those that are timed, and those that give the answers."""
    if task == "ner":
        call = partial(pipe, texts, aggregation_strategy="simple")
    else:
        call = partial(pipe, question=[QUESTION] * len(texts), context=texts)
    return call, call


def ours(folder: str, texts: list[str], task: str) -> Any:
    from formers import pipeline

    return asked(pipeline(task, model=folder, device="cpu"), task, texts)


def reference(folder: str, texts: list[str], task: str, older: str | None = None) -> Any:
    if older:
        import importlib.metadata as installed

        # it asks for packages of its own time, and runs with these
        found, then = installed.version, {"tokenizers": "0.22.1", "huggingface-hub": "0.36.0"}
        installed.version = lambda name: then.get(name.replace("_", "-")) or found(name)  # type: ignore[assignment]
        sys.path.insert(0, older)
    import transformers

    transformers.logging.set_verbosity_error()
    return asked(transformers.pipeline(task, model=folder, device="cpu"), task, texts)


def loop(folder: str, texts: list[str], task: str) -> Any:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()

    def answer(text: str) -> dict[str, Any]:
        given = tokenizer(
            QUESTION,
            text,
            truncation="only_second",
            max_length=384,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        spans = given.pop("offset_mapping")[0].tolist()
        inside = torch.tensor([one == 1 for one in given.sequence_ids(0)])
        with torch.no_grad():
            out = model(**given)
        start, end = (
            (row[0].masked_fill(~inside, -1e4).softmax(0) * inside)
            for row in (out.start_logits, out.end_logits)
        )
        scores = (start[:, None] * end).triu().tril(14)
        first, last = divmod(int(scores.argmax()), len(start))
        return {"start": spans[first][0], "end": spans[last][1], "score": float(scores.max())}

    def call() -> list[dict[str, Any]]:
        return [answer(text) for text in texts]

    return call, call


def alike(one: Any, other: Any) -> bool:
    """Whether two answers have the same spans, labels and scores."""
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    said = ("entity_group", "start", "end")
    return all(one.get(key) == other.get(key) for key in said) and abs(one["score"] - other["score"]) < 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of each contender (all cores)")
    parser.add_argument("--older", default=None, help="a folder with the package transformers 4.57")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    texts = read_texts(args.texts)
    table: list[tuple[str, ...]] = [("task", "formers, texts/s", "reference, texts/s", "ratio", "alike")]
    for task in HEADS:
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(task, folder)
            asks = task == "question-answering"
            theirs: Any = loop if asks and not args.older else reference
            options = {"older": str(Path(args.older).resolve())} if asks and args.older else {}
            workers = [
                Worker(threads, ours, folder, texts, task=task),
                Worker(threads, theirs, folder, texts, task=task, **options),
            ]
            rounds = []
            for turn in range(args.rounds):
                rounds.append([worker.ask("time") for worker in workers])
                print(f"{task}: round {turn + 1} of {args.rounds}", file=sys.stderr)
            answers = [worker.ask("answers") for worker in workers]
            for worker in workers:
                worker.ask(None)
        rates = [len(texts) / statistics.median(times) for times in zip(*rounds, strict=True)]
        ratio = statistics.median(slow / fast for fast, slow in rounds)
        share = sum(map(alike, *answers)) / len(texts)
        name = f"{task} (4.57)" if options else f"{task} (loop)" if asks else task
        table.append((name, *(f"{rate:,.0f}" for rate in rates), f"{ratio:.1f}", f"{share:.1%}"))
    from record import section, show

    show(table)
    if args.record:
        older = " --older FOLDER" if args.older else ""
        command = f"python benchmarks/spans.py --texts {args.texts} --rounds {args.rounds}{older} --record"
        section("Spans", table, command=command, notes=f"{threads} threads.")


if __name__ == "__main__":
    main()
