"""Texts per second of a text-classification pipeline over a decoder: formers and the reference.

A LLaMA of 110 M parameters (12 layers, 768 wide, random weights) with a head of 11 labels classifies 1,000
entries of CPython's changelog: formers with default arguments, the reference's pipeline with batch sizes 1,
8 and 32. Each contender has a process of its own, and they run in turn; medians are given.

    python benchmarks/decoder_classification.py [--texts 1000] [--rounds 3] [--threads N] [--record]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile

from encoder_speed import (
    BATCH_SIZES,
    LABELS,
    ROOT,
    Worker,
    arithmetic,
    formers_pipeline,
    matrix_peak,
    read_texts,
    reference_pipeline,
)

OURS, THEIRS = "formers", "reference, batch {}"


def write_checkpoint(folder: str) -> None:
    """The decoder, and MiniLM's tokenizer beside it."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    from formers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification
    from minilm import minilm

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=LABELS,
    )
    model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        model.score.weight.normal_(std=0.5)
    model.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="threads of each contender (all cores)")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    texts = read_texts(args.texts)
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder)
        workers = {OURS: Worker(threads, formers_pipeline, folder, texts)}
        for size in BATCH_SIZES:
            name = THEIRS.format(size)
            workers[name] = Worker(threads, reference_pipeline, folder, texts, batch_size=size)
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        peak, operations = 0.0, arithmetic(folder, texts, inner_products=3)[1]
        for turn in range(args.rounds):
            peak = max(peak, matrix_peak("float32"))
            for name, worker in workers.items():
                seconds[name].append(worker.ask("time"))
            print(f"round {turn + 1} of {args.rounds}", file=sys.stderr)
        asked = (OURS, THEIRS.format(1))
        ours, theirs = (workers[name].ask("logits") for name in asked)
        for worker in workers.values():
            worker.ask(None)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    best = min(taken for name, taken in median.items() if name != OURS)
    table = [("contender", "texts/s", "GFLOP/s", "share of matrix peak")]
    for name, taken in median.items():
        speed = operations / taken
        table.append((name, f"{len(texts) / taken:,.1f}", f"{speed / 1e9:,.0f}", f"{speed / peak:.0%}"))
    notes = (
        f"{best / median[OURS]:.2f} times the reference's best batch size, "
        f"{median[THEIRS.format(1)] / median[OURS]:.2f} times its default. Logits differ by at most "
        f"{float(abs(ours - theirs).max()):.1e}. Matrix peak {peak / 1e9:,.0f} GFLOP/s. "
        f"{len(texts):,} texts, {args.rounds} rounds, {threads} threads."
    )
    from record import section, show

    show(table)
    print(notes)
    if args.record:
        command = "python benchmarks/decoder_classification.py --record"
        section("Decoder classification", table, command=command, notes=notes)


if __name__ == "__main__":
    main()
