"""Steps per second and peak memory of training tasks on texts: formers' Trainer and the reference's.

Entries of CPython's changelog, of unequal lengths as texts are, in batches that a collator pads; both
trainers get the same weights, ids, order, collator, optimizer and schedule, no dropout, float32.

- `causal`: a decoder of GPT-2's width and vocabulary with four layers goes on with an entry. The first
  token of one has no label: the reference would count it, and divide the loss by more than it summed up.
- `seq2seq`: a T5 of the small size's width with three layers a side writes the first words and the section.
- `tokens`: all-MiniLM-L6-v2 with a new head labels what is code in an entry.

Each run is a process of its own; contenders take turns. The first step is left out of the time. Memory is the
peak resident size of the process.

    python benchmarks/training_tasks.py [--task causal] [--steps 4] [--batch 16] [--rounds 3] [--record]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trainers
from trainers import LIBRARIES

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
WARM_UP = 1
TASKS = ("causal", "seq2seq", "tokens")
LENGTH = 128


def entries() -> list[dict[str, str]]:
    """The changelog in a mixed order."""
    with gzip.open(TEXTS, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    return rows


def tokenizer_of(rows: list[dict[str, str]]) -> Any:
    """A byte-level BPE over these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from formers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=32000, special_tokens=["<pad>", "</s>"], show_progress=False)
    backend.train_from_iterator((row["text"] for row in rows[:4000]), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


def examples(task: str, rows: list[dict[str, str]], tokenizer: Any) -> Iterator[dict[str, list[int]]]:
    """Rows as a model of that task takes them."""
    for row in rows:
        whole = tokenizer(row["text"], truncation=True, max_length=LENGTH - 1)["input_ids"]
        if task == "causal":
            yield {"input_ids": [*whole, tokenizer.eos_token_id]}
        elif task == "seq2seq":
            aim = tokenizer(f"{' '.join(row['text'].split()[:12])}: {row['label']}")["input_ids"]
            yield {
                "input_ids": [*whole, tokenizer.eos_token_id],
                "labels": [*aim[:63], tokenizer.eos_token_id],
            }
        else:
            words = row["text"].split()
            cut = tokenizer(words, is_split_into_words=True, truncation=True, max_length=LENGTH)
            code = [int(any(sign in word for sign in "()_.[]")) for word in words]
            yield {
                "input_ids": cut["input_ids"],
                "labels": [-100 if i is None else code[i] for i in cut.word_ids()],
            }


def prepare(task: str, folder: Path, count: int) -> int:
    """Write the checkpoint and the tokenized examples; returns their mean length in tokens."""
    sys.path.insert(0, str(ROOT / "examples"))
    import torch

    import formers
    from minilm import minilm

    torch.manual_seed(0)
    rows = entries()
    if task == "tokens":
        tokenizer = formers.AutoTokenizer.from_pretrained(minilm())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the head is new, which is meant
            model = formers.AutoModelForTokenClassification.from_pretrained(minilm(), num_labels=2)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    elif task == "causal":
        tokenizer = tokenizer_of(rows)
        model = formers.GPT2LMHeadModel(
            formers.GPT2Config(n_layer=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        )
    else:
        tokenizer = tokenizer_of(rows)
        model = formers.T5ForConditionalGeneration(
            formers.T5Config(num_layers=3, dropout_rate=0.0, decoder_start_token_id=0)
        )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    data = list(examples(task, rows[:count], tokenizer))
    (folder / "data.json").write_text(json.dumps(data))
    return round(statistics.mean(len(row["input_ids"]) for row in data))


def parts(task: str, library: Any, folder: str) -> tuple[Any, Any]:
    """The model, and the collator."""
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    kinds = {
        "causal": (library.AutoModelForCausalLM, library.DataCollatorForLanguageModeling, {"mlm": False}),
        "seq2seq": (library.AutoModelForSeq2SeqLM, library.DataCollatorForSeq2Seq, {}),
        "tokens": (
            library.AutoModelForTokenClassification,
            library.DataCollatorForTokenClassification,
            {},
        ),
    }
    auto, kind, options = kinds[task]
    collate = kind(tokenizer, **options)

    def collated(rows: list[Any]) -> dict[str, Any]:
        batch: dict[str, Any] = collate(rows)
        if task == "causal":
            batch["labels"][:, 0] = -100
        return batch

    return auto.from_pretrained(folder, dtype="float32"), collated


def child(options: argparse.Namespace) -> None:
    """Train once and print what was measured."""
    library = trainers.library_of(options)
    model, collator = parts(options.task, library, str(Path(options.folder) / "model"))
    trainers.fit(options, library, model, collator, WARM_UP)


def report(
    runs: dict[tuple[str, str], list[Any]], options: argparse.Namespace
) -> tuple[list[tuple[str, ...]], str]:
    """The table, and the ratios in words."""
    table: list[tuple[str, ...]] = [("task and trainer", "steps/s", "peak memory, MiB", "last loss")]
    for (task, library), taken in runs.items():
        rate, peak = trainers.medians(taken, options.steps)
        last = f"{taken[0]['losses'][-1]:.4f}"
        table.append((f"{task}, {library}", f"{rate:.3f}", f"{peak / 2**20:.0f}", last))
    notes = [
        trainers.compared(task, *(runs[task, library] for library in LIBRARIES), options.steps)
        for task in dict.fromkeys(task for task, _ in runs)
    ]
    return table, "; ".join(notes) + "."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=TASKS, help="one task alone")
    parser.add_argument("--steps", type=int, default=4, help="steps that are timed")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--child", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    runs: dict[tuple[str, str], list[Any]] = {}
    lengths = []
    for task in TASKS if options.task is None else (options.task,):
        with tempfile.TemporaryDirectory() as name:
            tokens = prepare(task, Path(name), (options.steps + WARM_UP) * options.batch)
            lengths.append(f"{tokens} ({task})")
            for _ in range(options.rounds):
                for library in LIBRARIES:
                    found = trainers.run(__file__, library, ("task", task), Path(name), options)
                    runs.setdefault((task, library), []).append(found)
    from record import section, show

    table, notes = report(runs, options)
    notes += f" Batches of {options.batch} texts, {', '.join(lengths)} tokens on average"
    notes += f"; threads: {options.threads}."
    show(table)
    print(notes)
    if options.record:
        chosen = " ".join(f"--{name} {getattr(options, name)}" for name in ("steps", "batch", "rounds"))
        command = f"python benchmarks/training_tasks.py {chosen} --record"
        section("Training of language models and taggers", table, command=command, notes=notes)


if __name__ == "__main__":
    main()
