"""Seconds of vision models beside the reference's: ViT-B/16, and its pipeline over photographs from files.

Random weights of the shape of google/vit-base-patch16-224, float32 on a CPU. Photographs are crops of
scikit-learn's two, as JPEG files; the pipelines run with their defaults. The two run in turn in one process,
and the median of the ratios is given. The share of the peak is the products' work in the time of a forward
pass, beside the fastest of a few large products in the same process, through oneDNN or plain.

    python benchmarks/vision.py [--only forward pipeline] [--photos 200] [--rounds 5] [--layers 12] [--record]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import record
from encoder_speed import matrix_peak
from pipelines import alternating


def checkpoint(folder: str, layers: int) -> str:
    """A ViT-B/16 of the reference with that many layers, and its processor."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(num_hidden_layers=layers, num_labels=1000)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil().save_pretrained(folder)
    return folder


def mkl_peak(size: int = 2048) -> float:
    """Operations per second of the plain product of two square matrices, the best of five."""
    import torch

    a, b, best = torch.randn(size, size), torch.randn(size, size), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def work(layers: int, batch: int) -> float:
    """Operations of all products of a forward pass: 197 tokens, width 768."""
    tokens, width, hidden = 197, 768, 3072
    layer = 2 * tokens * width * (4 * width + 2 * hidden) + 4 * tokens**2 * width
    return float(batch * (layers * layer + 2 * 196 * width * width))


def forward(folder: str, layers: int, batch: int, rounds: int) -> list[str]:
    """One row: a forward pass at that batch size."""
    import torch
    import transformers

    import formers

    pixels = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    models = [
        module.ViTForImageClassification.from_pretrained(folder).eval() for module in (transformers, formers)
    ]
    with torch.no_grad():
        calls = [functools.partial(model, pixels) for model in models]
        for call in calls:
            call()
        ratio, seconds, theirs, ours = alternating(*calls, rounds)
    apart = (theirs.logits - ours.logits).abs().max().item()
    share = work(layers, batch) / seconds / max(matrix_peak("float32"), mkl_peak())
    each = f"{seconds / batch * 1e3:.1f} ms a picture"
    return [f"forward, batch {batch}", f"{ratio:.2f}", each, f"{share:.0%}", f"{apart:.0e}"]


def photographs(folder: Path, count: int) -> list[str]:
    """Crops of two photographs as JPEG files, 480 x 360 each."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, found = np.random.default_rng(0), []
    sources = [Image.fromarray(one) for one in load_sample_images().images]
    for place in range(count):
        left, top = int(rng.integers(0, 160)), int(rng.integers(0, 67))
        sources[place % 2].crop((left, top, left + 480, top + 360)).save(folder / f"{place}.jpg", quality=90)
        found.append(str(folder / f"{place}.jpg"))
    return found


def pipeline(folder: str, count: int, rounds: int) -> list[str]:
    """One row: `image-classification` over photographs from files, defaults against defaults."""
    import transformers

    import formers

    files = photographs(Path(folder), count)
    pipes = [
        module.pipeline("image-classification", model=folder, device="cpu")
        for module in (transformers, formers)
    ]
    calls = [functools.partial(pipe, files) for pipe in pipes]
    ratio, seconds, theirs, ours = alternating(*calls, rounds)
    same = statistics.mean(a[0]["label"] == b[0]["label"] for a, b in zip(theirs, ours, strict=True))
    each = f"{seconds / count * 1e3:.1f} ms a picture"
    return [f"pipeline, {count} photographs", f"{ratio:.2f}", each, "", f"same labels {same:.0%}"]


def main() -> None:
    """Measure, show, and record where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=["forward", "pipeline"], choices=["forward", "pipeline"])
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table: list[Any] = [["", "times the reference's speed", "ours", "share of the peak", "apart"]]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint(folder, options.layers)
        if "forward" in options.only:
            table += [forward(folder, options.layers, batch, options.rounds) for batch in (1, 8)]
        if "pipeline" in options.only:
            table.append(pipeline(folder, options.photos, max(1, options.rounds // 2)))
    record.show(table)
    if options.record:
        record.section("Vision", table, command="python benchmarks/vision.py --record")


if __name__ == "__main__":
    main()
