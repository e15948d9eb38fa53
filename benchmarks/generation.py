"""Tokens a second of `generate`, of beams and of many requests at once, beside the reference.

Random weights, float32 on a CPU, prompts of 32 tokens and 64 new ones; no row ends early. The two run in
turn in one process on the same weights, and the median of the ratios is given. Greedy tokens must be
equal, or the run says so. One row is the engine beside itself: what it wins by keeping blocks of a prompt
that many share. The bytes of the weights that a second of decoding reads stand beside what this
machine reads at most.

    python benchmarks/generation.py [--only NAME ...] [--rounds 5] [--record]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PROMPT, NEW = 32, 64
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "distilGPT-2, 82 M": ("gpt2", {"n_layer": 6}),
    "LLaMA, 15 M": (
        "llama",
        {
            "hidden_size": 288,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "intermediate_size": 768,
            "vocab_size": 32000,
            "tie_word_embeddings": True,
        },
    ),
    "LLaMA, 110 M": (
        "llama",
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 2048,
            "vocab_size": 32000,
            "tie_word_embeddings": True,
        },
    ),
    "Marian, 6 + 6 layers, 512 wide": (
        "marian",
        {
            "d_model": 512,
            "encoder_ffn_dim": 2048,
            "decoder_ffn_dim": 2048,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 8,
            "decoder_attention_heads": 8,
            "vocab_size": 32000,
            "pad_token_id": 0,
            "decoder_start_token_id": 0,
            "max_position_embeddings": 512,
        },
    ),
}
WORK: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("distilGPT-2, 82 M", "greedy", 1, {}),
    ("distilGPT-2, 82 M", "greedy", 8, {}),
    ("distilGPT-2, 82 M", "beam 5", 1, {"num_beams": 5}),
    ("LLaMA, 15 M", "greedy", 1, {}),
    ("LLaMA, 15 M", "sampling", 8, {"do_sample": True, "top_k": 50, "top_p": 0.9}),
    ("LLaMA, 110 M", "greedy", 1, {}),
    ("LLaMA, 110 M", "greedy", 8, {}),
    ("Marian, 6 + 6 layers, 512 wide", "beam 4, mixed lengths", 32, {"num_beams": 4, "max_new_tokens": 32}),
)


def models(name: str) -> tuple[Any, Any]:
    """The reference's model and ours, on the same random weights."""
    import torch
    import transformers

    import formers

    model_type, fields = SHAPES[name]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **fields)
    pair = config.is_encoder_decoder
    kind = "AutoModelForSeq2SeqLM" if pair else "AutoModelForCausalLM"
    theirs = getattr(transformers, kind).from_config(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = getattr(formers, kind).from_pretrained(folder).eval()
    for model in (theirs, ours):
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    return theirs, ours


def prompts(name: str, rows: int) -> dict[str, Any]:
    """Random ids; those of a translator have different lengths."""
    import torch

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 30000, (rows, PROMPT), generator=generator)
    mask = torch.ones_like(ids)
    if "Marian" in name:
        for row, real in enumerate(torch.randint(8, PROMPT + 1, (rows,), generator=generator).tolist()):
            mask[row, real:], ids[row, real:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def alternating(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The median ratio of seconds, and the other's median seconds."""
    pairs = []
    for _ in range(rounds):
        taken = []
        for work in (one, other):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        pairs.append(taken)
    return statistics.median(a / b for a, b in pairs), statistics.median(b for _, b in pairs)


def bandwidth() -> float:
    """Gigabytes a second that all threads read at most."""
    import torch

    block = torch.ones(1 << 27)  # half a gibibyte
    best = 0.0
    for _ in range(6):
        start = time.perf_counter()
        block.sum()
        best = max(best, block.nbytes / (time.perf_counter() - start) / 1e9)
    return best


def rows_of(only: tuple[str, ...], rounds: int) -> Iterator[list[str]]:
    """The table's rows."""
    most, held = bandwidth(), ""
    theirs: Any = None
    ours: Any = None
    for name, what, rows, settings in WORK:
        if only and not any(one in f"{name} {what}" for one in only):
            continue
        if name != held:
            (theirs, ours), held = models(name), name
        given = {**prompts(name, rows), "max_new_tokens": NEW, **settings}
        if settings.get("do_sample"):
            given["min_new_tokens"] = NEW
        same = "drawn" if settings.get("do_sample") else _same(theirs, ours, given)
        ratio, seconds = alternating(
            partial(theirs.generate, **given), partial(ours.generate, **given), rounds
        )
        count = rows * given["max_new_tokens"]
        weights = sum(p.nbytes for p in ours.parameters())
        read = weights * given["max_new_tokens"] / seconds / 1e9
        share = f"{read:.1f} of {most:.1f}" if rows == 1 and "beam" not in what else ""
        yield [f"{name}: {what}, {rows} rows", f"{ratio:.2f}", f"{count / seconds:.0f}", share, same]
    if not only or "many" in only:
        yield from _many(rounds)


def _same(theirs: Any, ours: Any, given: dict[str, Any]) -> str:
    found = theirs.generate(**given), ours.generate(**given)
    return "equal" if found[0].tolist() == found[1].tolist() else "NOT EQUAL"


def _many(rounds: int) -> Iterator[list[str]]:
    """64 requests of mixed lengths: the engine against the reference's padded `generate` in batches of 16."""
    import torch

    import formers
    from formers.generation.engine import Engine, Request

    theirs, ours = models("LLaMA, 15 M")
    drawn = random.Random(0)
    lengths = [(drawn.randrange(16, 257), drawn.randrange(16, 257)) for _ in range(64)]
    texts = [[drawn.randrange(10, 30000) for _ in range(length)] for length, _ in lengths]
    first: list[float] = []

    def engine() -> None:
        made = Engine(ours, rows=32, prefix_bytes=0)
        requests = [
            Request(text, formers.GenerationConfig(max_new_tokens=new))
            for text, (_, new) in zip(texts, lengths, strict=True)
        ]
        for request in requests:
            made.submit(request)
        made.run()
        first[:] = [request.first_at - request.arrived for request in requests if request.first_at]

    def padded() -> None:
        order = sorted(range(64), key=lambda i: lengths[i][1])  # those that end together share a batch
        for start in range(0, 64, 16):
            chosen = order[start : start + 16]
            longest = max(len(texts[i]) for i in chosen)
            ids = torch.zeros(16, longest, dtype=torch.int64)
            for row, i in enumerate(chosen):
                ids[row, longest - len(texts[i]) :] = torch.tensor(texts[i])
            theirs.generate(
                ids, attention_mask=(ids != 0).long(), max_new_tokens=max(lengths[i][1] for i in chosen)
            )

    ratio, seconds = alternating(padded, engine, max(1, rounds // 2))
    count = sum(new for _, new in lengths)
    note = f"first token after {statistics.median(first):.1f} s (median)"
    yield ["LLaMA, 15 M: 64 requests of mixed lengths", f"{ratio:.2f}", f"{count / seconds:.0f}", note, ""]


def _shared(rounds: int) -> list[str]:
    """Time to the first token behind a system prompt of 1,000 tokens: read anew, and found in blocks."""
    import formers
    from formers.generation.engine import Engine, Request

    _, ours = models("LLaMA, 15 M")
    drawn = random.Random(1)
    system, *asked = ([drawn.randrange(10, 30000) for _ in range(size)] for size in (1000, *[24] * rounds))
    config = formers.GenerationConfig(max_new_tokens=8)
    engines = [Engine(ours, rows=4, prefix_bytes=0), Engine(ours, rows=4)]
    found: list[list[list[int]]] = [[], []]
    waits: list[list[float]] = [[], []]
    for text in ([0] * 24, *asked):  # the first one fills the blocks
        for engine, tokens, waited in zip(engines, found, waits, strict=True):
            request = Request([*system, *text], config)
            engine.submit(request)
            engine.run()
            tokens.append(request.tokens)
            waited.append((request.first_at or 0.0) - request.arrived)
    anew, kept = (statistics.median(waited[1:]) for waited in waits)
    same = "equal" if found[0] == found[1] else "NOT EQUAL"
    times = (f"{waited * 1000:.0f} ms" for waited in (anew, kept))
    return ["LLaMA, 15 M: 1,000 tokens before 24", *times, f"{anew / kept:.1f}", same]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="*",
        default=(),
        help="words of the rows' names; 'many' for the requests, 'shared' for the prompt",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    import transformers

    import record

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    table = [["reference / formers", "ratio", "tokens/s", "GB/s of weights", "greedy tokens"]]
    for row in rows_of(tuple(given.only), given.rounds):
        table.append(row)
        print(*row, sep="  ", flush=True)
    sections = {"Generation": (table, "Ratios are times as fast as the reference's `generate`, two threads.")}
    if not given.only or "shared" in given.only:
        head = ["to the first token", "nothing kept", "blocks kept", "ratio", "greedy tokens"]
        note = (
            "Our engine beside itself: prompts that begin with the same system prompt, one after the other."
        )
        sections["Shared prompt"] = [head, _shared(given.rounds)], note
    for name, (rows, note) in sections.items():
        if len(rows) > 1:
            record.show(rows)
            if given.record:
                command = "python benchmarks/generation.py --record"
                record.section(name, rows, command=command, notes=note)


if __name__ == "__main__":
    main()
