"""Seconds of vision models beside the reference's and ONNX Runtime's, and of the pipeline over photographs.

Random weights in published shapes on a CPU; the two run in turn in one process, and the median of the ratios
is given. Photographs are crops of scikit-learn's two, as JPEG files; the pipelines run with their defaults.
The share of the peak is the work of all products and convolutions in the time of a forward pass, beside the
fastest of a few large products in the same process, through oneDNN or plain.

    python benchmarks/vision.py [--only NAME ...] [--photos 200] [--rounds 5] [--layers 12] [--record]
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import record
from encoder_speed import matrix_peak
from pipelines import alternating

# class, its config's fields, shape of what it reads, dtype, times the reference's speed that are wanted
Case = tuple[str, dict[str, Any], tuple[int, ...], str, float]
_VIT, _FILM = "ViTForImageClassification", (1, 8, 3, 224, 224)
_SWIN2SR: dict[str, Any] = {
    "embed_dim": 60,
    "depths": [6] * 4,
    "num_heads": [6] * 4,
    "upsampler": "pixelshuffledirect",
}
CASES: dict[str, Case] = {
    "ViT-B/16, batch 1": (_VIT, {"num_labels": 1000}, (1, 3, 224, 224), "float32", 2.0),
    "ViT-B/16, batch 8": (_VIT, {"num_labels": 1000}, (8, 3, 224, 224), "float32", 2.0),
    "ViT-B/16, batch 1, bf16": (_VIT, {"num_labels": 1000}, (1, 3, 224, 224), "bfloat16", 1.4),
    "ViT-B/16, batch 8, bf16": (_VIT, {"num_labels": 1000}, (8, 3, 224, 224), "bfloat16", 1.4),
    "ResNet-50, batch 1": ("ResNetForImageClassification", {}, (1, 3, 224, 224), "float32", 1.2),
    "ResNet-50, batch 8": ("ResNetForImageClassification", {}, (8, 3, 224, 224), "float32", 1.2),
    "Swin-T, batch 1": ("SwinForImageClassification", {}, (1, 3, 224, 224), "float32", 1.2),
    "Swin-T, batch 8": ("SwinForImageClassification", {}, (8, 3, 224, 224), "float32", 1.2),
    "DETR, 800 x 1066": ("DetrForObjectDetection", {}, (1, 3, 800, 1066), "float32", 1.2),
    "SAM encoder, 1024 x 1024": ("SamVisionModel", {"depth": 12}, (1, 3, 1024, 1024), "float32", 1.2),
    "TimeSformer, 8 frames": ("TimesformerModel", {}, _FILM, "float32", 1.0),
    "Swin2SR, 128 x 128": ("Swin2SRForImageSuperResolution", _SWIN2SR, (1, 3, 128, 128), "float32", 1.0),
}


def config_name(kind: str) -> str:
    """The config class of a model class."""
    return (
        "SamVisionConfig"
        if kind == "SamVisionModel"
        else f"{kind.split('For')[0].removesuffix('Model')}Config"
    )


def pair(case: Case, folder: str) -> tuple[Any, Any]:
    """The reference's model and ours with the same weights."""
    import torch
    import transformers

    import formers

    kind, fields, _, dtype, _ = case
    torch.manual_seed(0)
    config = getattr(transformers, config_name(kind))(**fields)
    theirs = getattr(transformers, kind)(config).eval()
    theirs.save_pretrained(folder)
    ours = getattr(formers, kind).from_pretrained(folder).eval()
    return theirs.to(getattr(torch, dtype)), ours.to(getattr(torch, dtype))


def mkl_peak(size: int = 2048) -> float:
    """Operations per second of the plain product of two square matrices, the best of five."""
    import torch

    a, b, best = torch.randn(size, size), torch.randn(size, size), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


@functools.cache
def peak(dtype: str) -> float:
    """Operations per second of the fastest product."""
    return max(matrix_peak(dtype), mkl_peak() if dtype == "float32" else 0.0)


def work(model: Any, pixels: Any) -> float:
    """Operations of all products and convolutions of a forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    model.config._attn_implementation = "eager"  # whose products are counted
    with FlopCounterMode(display=False) as counted:
        model(pixels)
    model.config._attn_implementation = "sdpa"
    return float(counted.get_total_flops())


def on_onnx_runtime(model: Any, pixels: Any, folder: str) -> Callable[[], Any]:
    """A forward pass of the reference's graph there."""
    import onnxruntime
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, pixel_values: Any) -> Any:
            return self.inner(pixel_values).logits

    file = os.path.join(folder, "graph.onnx")
    logging.disable(logging.WARNING)
    torch.onnx.export(Logits(), (pixels,), file, input_names=["pixel_values"], dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"pixel_values": pixels.numpy()})


def forward(name: str, folder: str, rounds: int) -> list[str]:
    """One row: a forward pass."""
    import torch

    kind, _, shape, dtype, wanted = case = CASES[name]
    theirs, ours = pair(case, folder)
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
    with torch.no_grad():
        operations = work(theirs, pixels)
        calls = [functools.partial(model, pixels) for model in (theirs, ours)]
        for call in calls:
            start = time.perf_counter()
            call()
            rounds = rounds if time.perf_counter() - start < 1 else min(rounds, 3)
        ratio, seconds, one, other = alternating(*calls, rounds)
        onnx = ""
        if kind == _VIT and dtype == "float32":
            graph = on_onnx_runtime(theirs, pixels, folder)
            graph()
            onnx = f"{alternating(graph, calls[1], rounds)[0]:.2f}"
    apart = (one[0].float() - other[0].float()).abs().max().item()
    share = operations / seconds / peak(dtype)
    each = f"{seconds / shape[0] * 1e3:.1f} ms"
    return [name, f"{ratio:.2f}", f"{wanted:.1f}", onnx, each, f"{share:.0%}", f"{apart:.0e}"]


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


def pipeline(folder: str, layers: int, count: int, rounds: int) -> list[str]:
    """One row: `image-classification` over photographs from files, defaults against defaults."""
    import torch
    import transformers

    import formers

    torch.manual_seed(0)
    config = transformers.ViTConfig(num_hidden_layers=layers, num_labels=1000)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil().save_pretrained(folder)
    files = photographs(Path(folder), count)
    pipes = [
        module.pipeline("image-classification", model=folder, device="cpu")
        for module in (transformers, formers)
    ]
    calls = [functools.partial(pipe, files) for pipe in pipes]
    ratio, seconds, theirs, ours = alternating(*calls, rounds)
    same = statistics.mean(a[0]["label"] == b[0]["label"] for a, b in zip(theirs, ours, strict=True))
    each = f"{seconds / count * 1e3:.1f} ms"
    return [f"pipeline, {count} photographs", f"{ratio:.2f}", "2.5", "", each, "", f"same labels {same:.0%}"]


def main() -> None:
    """Measure, show, and record where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="beginnings of the rows' names; pipeline")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    starts = tuple(options.only or ("",))
    table: list[Any] = [
        ["", "times the reference", "wanted", "times ONNX Runtime", "ours, a picture", "of the peak", "apart"]
    ]
    for name in (name for name in CASES if name.startswith(starts)):
        with tempfile.TemporaryDirectory() as folder:
            table.append(forward(name, folder, options.rounds))
            print(*table[-1], sep=" | ", flush=True)
    if "pipeline".startswith(starts):
        with tempfile.TemporaryDirectory() as folder:
            table.append(pipeline(folder, options.layers, options.photos, max(1, options.rounds // 2)))
    record.show(table)
    if options.record:
        record.section("Vision", table, command="python benchmarks/vision.py --record")


if __name__ == "__main__":
    main()
