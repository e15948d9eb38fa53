"""Weights in fewer bits beside float32: size, tokens a second, and how far the answers move.

Random weights on a CPU. Each format decodes 64 new tokens after a prompt of 32, and reads 128 tokens at
once, in turn with float32 in one process; the medians of the ratios are given. all-MiniLM-L6-v2 encodes real
texts the same way, and the cosine of each pair of its vectors is taken.

    python benchmarks/quantized.py [--rounds 5] [--texts 300] [--record]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 2048,
    "vocab_size": 32000,
}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "float32": ("", {}),
    "int8, bitsandbytes": ("BitsAndBytesConfig", {"load_in_8bit": True}),
    "nf4": (
        "BitsAndBytesConfig",
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    ),
    "int8, dynamic": ("Int8DynamicConfig", {}),
    "int8, dynamic by token": ("Int8DynamicConfig", {"activations": "token"}),
    "int8, weights alone": ("QuantoConfig", {"weights": "int8"}),
    "int4 by 128": ("QuantoConfig", {"weights": "int4"}),
}


def seconds(work: Callable[[], Any]) -> float:
    """Of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """How many times as fast as float32 each is, the median of rounds taken in turn."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    whole = taken["float32"]
    return {
        name: statistics.median(a / b for a, b in zip(whole, each, strict=True))
        for name, each in taken.items()
    }


def load(auto: Any, folder: str, how: tuple[str, dict[str, Any]]) -> Any:
    """A checkpoint in a format."""
    import formers

    config = getattr(formers, how[0])(**how[1]) if how[0] else None
    return auto.from_pretrained(folder, quantization_config=config)


def decoders(folder: str, rounds: int) -> list[list[str]]:
    """Rows of the 110 M LLaMA."""
    import torch

    import formers

    torch.manual_seed(0)
    formers.AutoModelForCausalLM.from_config(formers.LlamaConfig(**SHAPE)).save_pretrained(folder)
    models = {name: load(formers.AutoModelForCausalLM, folder, how) for name, how in FORMATS.items()}
    prompt, page = torch.randint(5, 32000, (1, 32)), torch.randint(5, 32000, (1, 128))

    def decode(model: Any) -> Any:
        return model.generate(prompt, max_new_tokens=64, min_new_tokens=64, do_sample=False, pad_token_id=0)

    @torch.inference_mode()
    def read(model: Any) -> Any:
        return model.model(page).last_hidden_state

    decoding = ratios({name: lambda m=model: decode(m) for name, model in models.items()}, rounds)
    reading = ratios({name: lambda m=model: read(m) for name, model in models.items()}, rounds)
    whole = models["float32"].get_memory_footprint()
    exact = read(models["float32"])
    rows = []
    for name, model in models.items():
        off = float((read(model) - exact).norm() / exact.norm())
        size = f"{model.get_memory_footprint() / whole:.3f}"
        rows.append(
            ["LLaMA, 110 M", name, size, f"{decoding[name]:.2f}", f"{reading[name]:.2f}", f"states {off:.1%}"]
        )
    return rows


def encoders(folder: str, rounds: int, count: int) -> list[list[str]]:
    """Rows of MiniLM over real texts."""
    import torch

    import formers
    from encoder_speed import read_texts, write_checkpoint

    write_checkpoint(folder)
    texts = read_texts(count)
    tokenizer = formers.AutoTokenizer.from_pretrained(folder)
    models = {name: load(formers.AutoModel, folder, how) for name, how in FORMATS.items()}
    batches = [
        tokenizer(texts[i : i + 32], padding=True, truncation=True, max_length=128, return_tensors="pt")
        for i in range(0, len(texts), 32)
    ]

    @torch.inference_mode()
    def encode(model: Any, some: Any) -> Any:
        found = []
        for batch in some:
            mask = batch["attention_mask"][..., None]
            states = model(**batch).last_hidden_state
            found.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(found)

    one = [tokenizer(texts[0], return_tensors="pt")]
    many = ratios({name: lambda m=model: encode(m, batches) for name, model in models.items()}, rounds)
    alone = ratios({name: lambda m=model: encode(m, one) for name, model in models.items()}, 5 * rounds)
    exact = encode(models["float32"], batches)
    whole = models["float32"].get_memory_footprint()
    rows = []
    for name, model in models.items():
        least = float((encode(model, batches) * exact).sum(-1).min())
        size = f"{model.get_memory_footprint() / whole:.3f}"
        rows.append(
            ["MiniLM", name, size, f"{alone[name]:.2f}", f"{many[name]:.2f}", f"least cosine {least:.4f}"]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    from record import section, show

    table = [["model", "format", "bytes", "one at a time", "many at once", "how far from float32"]]
    with tempfile.TemporaryDirectory() as folder:
        table += encoders(folder + "/minilm", args.rounds, args.texts)
        table += decoders(folder + "/llama", args.rounds)
    show(table)
    if args.record:
        section(
            "Weights in fewer bits",
            table,
            command="python benchmarks/quantized.py --record",
            notes="Bytes are a share of those of float32, speeds times as fast as float32. One at a time: a "
            "text, or a token of 64 after a prompt of 32; many at once: batches of 32 texts, a page of 128 "
            "tokens. Tables of tokens and heads stay as they are.",
        )


if __name__ == "__main__":
    main()
