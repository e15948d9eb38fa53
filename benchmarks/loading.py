"""Loading a checkpoint of 1.1 billion parameters: seconds and resident memory, formers and the reference.

The checkpoint has TinyLlama's shape in bfloat16, random weights, one safetensors file of 2.2 GB, and is made
once in `--folder`. `AutoModelForCausalLM.from_pretrained` runs in fresh processes, formers and the reference
in turn. Imports are timed apart, those that a load makes on its way included: a first process of each says
which they are. Since mapped weights cost nothing until they are read, the seconds up to the logits of a first
short prompt are given too, and the peak of resident memory both after loading and after every weight has been
read. Both must hold the same weights (hashes of their bytes) and give the same logits.

    python benchmarks/loading.py [--runs 5] [--folder DIR] [--cold] [--record]
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPE = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    **SHAPE,
}
HASHED = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.11.mlp.down_proj.weight",
    "model.layers.21.input_layernorm.weight",
    "model.norm.weight",
    "lm_head.weight",
)
PROMPT = [1, 15043, 3186, 29892, 920, 526, 366, 29973]
TOLERANCE = 0.05  # of the largest logit: bfloat16 has 8 bits, and 22 layers add up their rounding
PACKAGES = {"formers": "formers", "reference": "transformers"}


def shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the checkpoint."""
    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    keys = width // SHAPE["num_attention_heads"] * SHAPE["num_key_value_heads"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (SHAPE["vocab_size"], width)}
    for i in range(SHAPE["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        found |= {
            f"{layer}self_attn.q_proj.weight": (width, width),
            f"{layer}self_attn.k_proj.weight": (keys, width),
            f"{layer}self_attn.v_proj.weight": (keys, width),
            f"{layer}self_attn.o_proj.weight": (width, width),
            f"{layer}mlp.gate_proj.weight": (inner, width),
            f"{layer}mlp.up_proj.weight": (inner, width),
            f"{layer}mlp.down_proj.weight": (width, inner),
            f"{layer}input_layernorm.weight": (width,),
            f"{layer}post_attention_layernorm.weight": (width,),
        }
    return found | {"model.norm.weight": (width,), "lm_head.weight": (SHAPE["vocab_size"], width)}


def make_checkpoint(folder: Path) -> int:
    """Write the checkpoint where it is not there yet; the bytes of its weights."""
    import math

    size = sum(2 * math.prod(shape) for shape in shapes().values())
    file = folder / "model.safetensors"
    if not file.is_file() or file.stat().st_size < size:
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(0)
        tensors = {
            name: torch.ones(shape, dtype=torch.bfloat16)
            if len(shape) == 1
            else torch.empty(shape, dtype=torch.bfloat16).normal_(0.0, 0.02, generator=generator)
            for name, shape in shapes().items()
        }
        partial = file.with_suffix(".partial")
        save_file(tensors, partial, metadata={"format": "pt"})
        partial.replace(file)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    return size


def memory() -> dict[str, int]:
    """Resident bytes of this process: the peak, what is its own, and what is a file's."""
    fields = {"VmHWM": "peak", "RssAnon": "own", "RssFile": "mapped"}
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in fields:
            found[fields[key]] = int(value.split()[0]) * 1024
    return found


def child(package: str, folder: str, modules: list[str]) -> None:
    """Import, load, answer a prompt, read every weight; print the figures of each as JSON."""
    started = time.perf_counter()
    import importlib

    import torch

    kind: Any = importlib.import_module(PACKAGES[package]).AutoModelForCausalLM
    for module in modules:
        importlib.import_module(module)
    gc.collect()  # else the collector walks all that was imported at some moment of the load, or just after
    imported = time.perf_counter()
    before, known, cpu = memory(), set(sys.modules), time.process_time()
    model = kind.from_pretrained(folder, dtype="auto")
    loaded, cpu = time.perf_counter(), time.process_time() - cpu
    after, added = memory(), [name for name in sys.modules if name not in known]
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT])).logits
    answered = time.perf_counter()
    answering = memory()
    for value in model.parameters():
        value.detach().view(torch.int16).flatten()[::1024].sum().item()  # one number of every page
    touched = memory()
    table = model.state_dict()
    sums = {
        name: hashlib.sha256(table[name].contiguous().view(torch.uint8).numpy()).hexdigest()
        for name in HASHED
    }
    found = {
        "import_s": imported - started,
        "load_s": loaded - imported,
        "cpu_s": cpu,
        "answer_s": answered - imported,
        "before": before,
        "loaded": after,
        "answered": answering,
        "touched": touched,
        "dtypes": sorted({str(p.dtype) for p in model.parameters()}),
        "sums": sums,
        "logits": logits[0, -1].float().tolist(),
        "modules": [name for name in added if name.split(".")[0] in (PACKAGES[package], "safetensors")],
    }
    print(json.dumps(found))


def run(package: str, folder: Path, modules: list[str], cold: bool = False) -> dict[str, Any]:
    """One fresh process that imports `modules` first; `cold` drops the file from the page cache before."""
    if cold:
        with open(folder / "model.safetensors", "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, __file__, "--child", package, "--folder", str(folder)]
    command += ["--modules", *modules]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Refuse different weights or logits; say how close they are."""
    for key in ("sums", "dtypes"):
        if ours[key] != theirs[key]:
            raise SystemExit(
                f"formers and the reference hold different weights: {ours[key]} and {theirs[key]}"
            )
    scale = max(abs(value) for value in theirs["logits"])
    apart = max(abs(a - b) for a, b in zip(ours["logits"], theirs["logits"], strict=True))
    if apart > TOLERANCE * scale:
        raise SystemExit(f"the logits are {apart:.3f} apart, of at most {scale:.3f}")
    return (
        f"the same bytes in {len(HASHED)} tensors; logits of the same prompt at most {apart:.3f} apart "
        f"(largest {scale:.2f}; bfloat16)"
    )


def table(taken: dict[str, list[dict[str, Any]]], size: int) -> tuple[list[list[str]], float, float]:
    """The rows, the share of the reference's time, and the peak of formers over the weights."""

    def middle(package: str, *path: str) -> float:
        values = []
        for one in taken[package]:
            value: Any = one
            for key in path:
                value = value[key]
            values.append(float(value))
        return statistics.median(values)

    rows = [["", "formers", "reference", "ratio"]]
    for name, key in (
        ("import, s", "import_s"),
        ("load, s", "load_s"),
        ("load, s of processor time", "cpu_s"),
        ("load and first logits, s", "answer_s"),
    ):
        a, b = middle("formers", key), middle("reference", key)
        rows.append([name, f"{a:.3f}", f"{b:.3f}", f"{a / b:.3f}"])
    for name, *path in (
        ("resident before loading, of the weights", "before", "peak"),
        ("peak resident after loading", "loaded", "peak"),
        ("the process's own after loading", "loaded", "own"),
        ("peak resident after the first logits", "answered", "peak"),
        ("peak resident, every weight read", "touched", "peak"),
    ):
        a, b = middle("formers", *path), middle("reference", *path)
        rows.append([name, f"{a / size:.3f}", f"{b / size:.3f}", f"{a / b:.3f}"])
    own = [middle(p, "touched", "peak") - middle(p, "before", "peak") for p in PACKAGES]
    cells = [f"{own[0] / size:.3f}", f"{own[1] / size:.3f}", f"{own[0] / own[1]:.3f}"]
    rows.append(["the same, less what was resident before", *cells])
    share = middle("formers", "load_s") / middle("reference", "load_s")
    return rows, share, middle("formers", "touched", "peak") / size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "formers-loading",
        help="of the checkpoint",
    )
    parser.add_argument(
        "--cold", action="store_true", help="drop the file from the page cache before each run"
    )
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    parser.add_argument("--child", choices=PACKAGES, help=argparse.SUPPRESS)
    parser.add_argument("--modules", nargs="*", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, str(given.folder), given.modules)
        return
    size = make_checkpoint(given.folder)
    first = {package: run(package, given.folder, []) for package in PACKAGES}  # fills the page cache too
    said = compare(first["formers"], first["reference"])
    taken: dict[str, list[dict[str, Any]]] = {package: [] for package in PACKAGES}
    for _ in range(given.runs):
        for package in PACKAGES:
            taken[package].append(run(package, given.folder, first[package]["modules"], given.cold))
    rows, share, peak = table(taken, size)
    import record

    record.show(rows)
    note = (
        f"{size / 1e9:.2f} GB of weights, {'not in' if given.cold else 'in'} the page cache, median of "
        f"{given.runs}; memory as a multiple of the weights. Loading takes {share:.3f} of the reference's "
        f"time; the peak is {peak:.2f} times the weights, Python and torch included. Both map the file and "
        f"read weights when they are used. Checked: {said}."
    )
    print(note)
    if given.record:
        cold = " --cold" if given.cold else ""
        name = "Loading 1.1 billion parameters" + (", cold" if given.cold else "")
        command = f"python benchmarks/loading.py --runs {given.runs}{cold} --record"
        record.section(name, rows, command=command, notes=note)


if __name__ == "__main__":
    main()
