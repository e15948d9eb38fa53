"""Texts per second of a text-classification pipeline: formers, the reference, and ONNX Runtime.

all-MiniLM-L6-v2 with a head of 11 labels classifies 1,000 entries of CPython's changelog, from strings to
labels and scores: formers with default arguments; the reference's pipeline with batch sizes 1, 8 and 32;
ONNX Runtime on batches sorted by length (the best of three batch sizes), tokenizing and softmax included.
Each contender has a process of its own, and they run in turn; medians are given. The share of the matrix
peak is the arithmetic on real tokens over the seconds, against the fastest oneDNN product of the model's own
shapes or a square one, timed in the same rounds.

    python benchmarks/encoder_speed.py [--texts 1000] [--rounds 5] [--threads N] [--record]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
LABELS = 11
BATCH_SIZES = (1, 8, 32)
SORTED_SIZES = (4, 8, 32)

Contender = Callable[[str, list[str]], tuple[Callable[[], Any], Callable[[], Any]]]


def read_texts(count: int) -> list[str]:
    """`count` texts drawn from all components and releases, always the same ones."""
    with gzip.open(TEXTS, "rt", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return random.Random(0).sample(texts, count)


def write_checkpoint(folder: str) -> None:
    """MiniLM with a random head, large enough for scores that differ."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    from formers import AutoModelForSequenceClassification, AutoTokenizer
    from minilm import minilm

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the head is new, which is meant
        model = AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=LABELS)
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)


# -- contenders: each returns what is timed, and what gives the logits -----------------------------


def formers_pipeline(folder: str, texts: list[str], dtype: str = "float32") -> Any:
    from formers import pipeline

    pipe = pipeline("text-classification", model=folder, device="cpu", dtype=dtype)
    return lambda: pipe(texts), lambda: pipe.logits(texts)


def reference_pipeline(folder: str, texts: list[str], dtype: str = "float32", batch_size: int = 1) -> Any:
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pipe = transformers.pipeline(
        "text-classification", model=folder, device="cpu", dtype=getattr(torch, dtype)
    )

    def logits() -> Any:
        with torch.no_grad():
            rows = (
                pipe.model(**pipe.tokenizer(text, return_tensors="pt", truncation=True)) for text in texts
            )
            return np.concatenate([row.logits.float().numpy() for row in rows])

    return lambda: pipe(texts, batch_size=batch_size, truncation=True), logits


def onnx_runtime(folder: str, texts: list[str], batch_size: int = 8, cores: int = 1) -> Any:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(
        os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.no_padding()

    def logits() -> Any:
        rows = [np.array(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        found = np.empty((len(rows), LABELS), dtype=np.float32)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            ids = np.zeros((len(places), len(rows[places[0]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, : len(rows[place])] = rows[place]
                mask[row, : len(rows[place])] = 1
            found[places] = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
        return found

    def answers() -> Any:
        found = logits()
        scores = np.exp(found - found.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return [{"label": f"LABEL_{i}", "score": float(row[i])} for i, row in zip(best, scores, strict=True)]

    return answers, logits


def write_onnx(folder: str) -> None:
    """Export the reference's model with free batch size and length."""
    import logging

    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    example = torch.ones(2, 8, dtype=torch.long)
    mask = example.clone()
    mask[1, 6:] = 0  # with no padding in the example, the export would leave the mask out
    batch, length = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("length", min=2, max=512)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            kwargs={"input_ids": example, "attention_mask": mask},
            f=os.path.join(folder, "model.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={name: {0: batch, 1: length} for name in ("input_ids", "attention_mask")},
            dynamo=True,
            verbose=False,
        )


# -- the machine's matrix peak and the model's arithmetic ------------------------------------------


def matrix_peak(dtype: str) -> float:
    """FLOP/s of the fastest of a few products through oneDNN, the model's own shapes among them."""
    import torch

    kind = getattr(torch, dtype)
    best = 0.0
    for rows, width, out in ((4096, 384, 1536), (4096, 1536, 384), (2048, 2048, 2048)):
        x, weight = torch.randn(rows, width, dtype=kind), torch.randn(out, width, dtype=kind)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        for _ in range(12):
            start = time.perf_counter()
            torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
            best = max(best, 2 * rows * width * out / (time.perf_counter() - start))
    return best


def arithmetic(folder: str, texts: list[str], inner_products: int = 2) -> tuple[int, float]:
    """Real tokens of `texts`, and the floating-point operations of the matrix products on them.

    `inner_products` is how many a feed-forward has: 3 where it is gated.
    """
    from formers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    lengths = tokenizer.encode_ragged(texts, max_length=512).lengths
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    products = sum(lengths) * layers * 2 * (4 * width * width + inner_products * width * inner)
    attention = sum(length * length for length in lengths) * layers * 4 * width
    head = len(lengths) * 2 * (width * width + width * config.num_labels)
    return sum(lengths), float(products + attention + head)


# -- one process for each contender ----------------------------------------------------------------


def serve(connection: Connection, threads: int, make: Contender, folder: str, texts: list[str]) -> None:
    """Build a contender, then time it whenever asked."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    import torch

    torch.set_num_threads(threads)
    timed, logits = make(folder, texts)
    timed()  # warm
    connection.send("ready")
    while (request := connection.recv()) is not None:
        start = time.perf_counter()
        if request == "time":
            timed()
            connection.send(time.perf_counter() - start)
        else:
            connection.send(logits())


class Worker:
    """A contender in its own process."""

    def __init__(self, threads: int, make: Contender, folder: str, texts: list[str], **options: Any) -> None:
        from functools import partial

        self.connection, other = multiprocessing.Pipe()
        made = partial(make, **options)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(other, threads, made, folder, texts), daemon=True)
        self.process.start()
        other.close()
        self.connection.recv()

    def ask(self, request: str | None) -> Any:
        """Seconds of a run for "time", the logits for "logits"; None ends the process."""
        self.connection.send(request)
        return self.connection.recv() if request is not None else self.process.join()


def contenders(threads: int) -> dict[str, tuple[Contender, dict[str, Any]]]:
    """Name -> (maker, options)."""
    found: dict[str, tuple[Contender, dict[str, Any]]] = {}
    for dtype in ("float32", "bfloat16"):
        found[f"formers {dtype}"] = (formers_pipeline, {"dtype": dtype})
        for size in BATCH_SIZES:
            found[f"reference {dtype}, batch {size}"] = (
                reference_pipeline,
                {"dtype": dtype, "batch_size": size},
            )
    for size in SORTED_SIZES:
        found[f"ONNX Runtime float32, sorted, batch {size}"] = (
            onnx_runtime,
            {"batch_size": size, "cores": threads},
        )
    return found


def measure(
    folder: str, texts: list[str], rounds: int, threads: int
) -> tuple[dict[str, float], dict[str, Any], dict]:
    """Median seconds and logits of each contender, and the matrix peaks."""
    import torch

    torch.set_num_threads(threads)
    workers = {
        name: Worker(threads, make, folder, texts, **options)
        for name, (make, options) in contenders(threads).items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    peaks = {"float32": 0.0, "bfloat16": 0.0}
    for turn in range(rounds):
        for dtype in peaks:
            peaks[dtype] = max(peaks[dtype], matrix_peak(dtype))
        for name, worker in workers.items():
            seconds[name].append(worker.ask("time"))
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    asked = (
        "formers float32",
        "reference float32, batch 1",
        "formers bfloat16",
        "reference bfloat16, batch 1",
    )
    asked = (*asked, f"ONNX Runtime float32, sorted, batch {SORTED_SIZES[0]}")
    logits = {name: workers[name].ask("logits") for name in asked}
    for worker in workers.values():
        worker.ask(None)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, logits, peaks


def report(
    median: dict[str, float], logits: dict[str, Any], peaks: dict[str, float], work: Any
) -> tuple[list, str]:
    """The table, and the ratios in words."""
    texts, tokens, operations = work
    table: list[tuple[str, ...]] = [("contender", "texts/s", "tokens/s", "share of matrix peak")]
    for name, taken in median.items():
        peak = peaks["bfloat16" if "bfloat16" in name else "float32"]
        table.append(
            (name, f"{texts / taken:,.0f}", f"{tokens / taken:,.0f}", f"{operations / taken / peak:.1%}")
        )

    def best(start: str) -> float:
        return min(taken for name, taken in median.items() if name.startswith(start))

    def apart(one: str, other: str) -> float:
        return float(abs(logits[one] - logits[other]).max())

    runtime = next(name for name in logits if name.startswith("ONNX"))
    ours, theirs = "formers float32", "reference float32, batch 1"
    notes = (
        f"float32: {best('reference float32') / median[ours]:.2f} times the reference's best batch size, "
        f"{best('ONNX') / median[ours]:.2f} times ONNX Runtime's best; bf16: "
        f"{best('reference bfloat16') / median['formers bfloat16']:.2f} times the reference's best in bf16. "
        f"Logits, largest difference: {apart(ours, theirs):.1e} from the reference, "
        f"{apart(ours, runtime):.1e} from ONNX Runtime; in bf16 {apart('formers bfloat16', theirs):.1e} from "
        f"float32, where the reference's bf16 is {apart('reference bfloat16, batch 1', theirs):.1e} from it. "
        f"Matrix peak in GFLOP/s: {peaks['float32'] / 1e9:,.0f} in float32, "
        f"{peaks['bfloat16'] / 1e9:,.0f} in bf16. "
        f"{texts:,} texts, {tokens:,} tokens."
    )
    return table, notes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of each contender (all cores)")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    texts = read_texts(args.texts)
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder)
        exporting = multiprocessing.get_context("spawn").Process(target=write_onnx, args=(folder,))
        exporting.start()
        exporting.join()
        if exporting.exitcode:
            raise SystemExit("the export to ONNX failed")
        median, logits, peaks = measure(folder, texts, args.rounds, threads)
        table, notes = report(median, logits, peaks, (len(texts), *arithmetic(folder, texts)))
    from record import section, show

    show(table)
    print(notes)
    if args.record:
        command = f"python benchmarks/encoder_speed.py --texts {args.texts} --rounds {args.rounds} --record"
        section("Encoder speed", table, command=command, notes=f"{notes} {threads} threads.")


if __name__ == "__main__":
    main()
