"""ONNX graphs beside the models that they were made of, and beside those that optimum writes.

A trained router (`make demo` writes one) is exported in float32 and in int8, and judged on its held-out
texts. all-MiniLM-L6-v2 encodes 64 real texts in torch, in our int8, and in ONNX Runtime on our exports and on
optimum's, by turns in one process: the medians of the ratios to torch are given. Optimum's exports are made
beforehand, in an environment that it installs into:

    optimum-cli export onnx --model MINILM --task feature-extraction FOLDER
    optimum-cli onnxruntime quantize --avx512_vnni --onnx_model FOLDER -o FOLDER/int8

    python benchmarks/graphs.py [--router FOLDER] [--optimum FOLDER] [--rounds 9] [--record]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import record

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"


def judged(router: Path, room: Path) -> list[list[str]]:
    """Macro-F1 of a router and its exports on the texts that were held out."""
    from formers.export.exporting import export_model
    from formers.jobs.judging import judge
    from formers.jobs.predictor import Predictor

    table, sides = [["router", "macro-F1", "beside float32", "MB"]], {"torch float32": router}
    for name, int8 in (("ONNX float32", False), ("ONNX int8", True)):
        sides[name] = room / name.replace(" ", "-")
        export_model(Predictor.load(str(router)).pipe.model, sides[name], int8=int8, beside=router)
    first = None
    for name, folder in sides.items():
        found = judge(str(folder), router / "held-out.csv").metrics["macro_f1"]
        first = found if first is None else first
        size = sum(one.stat().st_size for one in folder.iterdir() if one.suffix in (".onnx", ".safetensors"))
        table.append([name, f"{found:.4f}", f"{found - first:+.4f}", f"{size / 1e6:.0f}"])
    return table


def encoders(source: str, optimum: Path | None, room: Path) -> dict[str, Callable[[Any], Any]]:
    """What encodes a batch, by name: inputs -> last states [B, T, E]."""
    import formers
    from formers.export.exporting import export_model
    from formers.export.session import Session

    model = formers.AutoModel.from_pretrained(source).eval()
    ours = formers.AutoModel.from_pretrained(source, quantization_config=formers.Int8DynamicConfig()).eval()
    found: dict[str, Callable[[Any], Any]] = {
        "torch float32": lambda given: model(**given)[0],
        "torch int8, our own": lambda given: ours(**given)[0],
    }
    files = {}
    for name, int8 in (("our export float32", False), ("our export int8", True)):
        export_model(model, room / name, int8=int8)
        files[name] = room / name / "model.onnx"
    if optimum is not None:
        files["optimum's export float32"] = optimum / "model.onnx"
        files["optimum's export int8"] = next((optimum / "int8").glob("*.onnx"))
    for name, file in files.items():
        session = Session(file)
        state = next(one for one in session.outputs if one in ("last_hidden_state", "token_embeddings"))
        found[name] = lambda given, session=session, state=state: session.run(given)[state]
    return found


def encoded(optimum: Path | None, room: Path, rounds: int) -> list[list[str]]:
    """Texts a second and nearness of vectors, by what computes them."""
    import formers
    from minilm import minilm

    source = minilm()
    with gzip.open(TEXTS, "rt", newline="") as file:
        texts = [row["text"] for row, _ in zip(csv.DictReader(file), range(64), strict=False)]
    tokenizer = formers.AutoTokenizer.from_pretrained(source)
    given = dict(tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt"))
    sides = encoders(source, optimum, room)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    vectors = {}
    with torch.no_grad():
        for turn in range(rounds + 1):  # the first is the warm-up
            for name, encode in sides.items():
                at = time.perf_counter()
                states = encode(given)
                if turn:
                    taken[name].append(time.perf_counter() - at)
                vectors[name] = _pooled(states, given["attention_mask"])
    base = taken["torch float32"]
    table = [["MiniLM, 64 texts", "texts/s", "of torch float32", "least cosine"]]
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(base, seconds, strict=True))
        near = torch.cosine_similarity(vectors[name], vectors["torch float32"]).min()
        table.append(
            [name, f"{len(texts) / statistics.median(seconds):.0f}", f"{ratio:.2f}", f"{float(near):.4f}"]
        )
    return table


def _pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--router", type=Path, help="folder of a classifier with its held-out.csv")
    parser.add_argument("--optimum", type=Path, help="folder of optimum's exports")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / "examples")]
    with tempfile.TemporaryDirectory() as name:
        speeds = encoded(options.optimum, Path(name), options.rounds)
        record.show(speeds)
        router = judged(options.router, Path(name)) if options.router else None
        if router:
            record.show(router)
    if options.record:
        command = "python benchmarks/graphs.py --router FOLDER --optimum FOLDER --record"
        notes = record.markdown(router) if router else ""
        record.section("ONNX graphs", speeds, command=command, notes=notes)


if __name__ == "__main__":
    main()
