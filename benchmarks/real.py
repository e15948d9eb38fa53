"""Real weights and real tokenizers beside the reference, from folders that a person names.

`--model`: a decoder's folder. The largest difference of the logits of a page of English in float32, the
distance of both from float64, the perplexity of both, the seconds of a pass and of loading.
`--generate`: a decoder's folder. Greedy text of 200 tokens behind five prompts, float32: whether its ids are
the reference's, and the tokens per second of both.
`--tokenizers`: a folder of tokenizer folders. For each, 2,000 texts (changelog entries, each second one with
accents, emoji, code, runs of spaces and other scripts put in): ids, offsets and decoding against the
`tokenizers` library on the same tokenizer.json and against the reference, and the chat template.

    python benchmarks/real.py [--model FOLDER] [--generate FOLDER] [--tokenizers FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
ODD = [
    *(
        "naïve café – “quoted” …",
        "日本語のテキスト。",
        "Привет, мир!",
        "مرحبا بالعالم",
        "👩‍👩‍👧 🇫🇷 👍🏽",
        "ﬁn ½ Ⅷ",
    ),
    *("def f(x):\n\treturn x  +  1\n", "a" * 70, "    four   and   more     ", "\r\n\r\n", "e\u0301 \u00e9"),
    *("<b>&amp;</b>", "</s> <pad> [MASK]", "1234567.89e-10", "हिन्दी में", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\u200b\u00a0\u3000", ""),
]
EXACT = 200  # tokens whose logits are computed in float64 too
CHAT = [
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "  And  three?\n"},
]


def texts(count: int) -> list[str]:
    """`count` texts, the same ones always."""
    drawn = random.Random(0)
    with gzip.open(TEXTS, "rt", encoding="utf-8", newline="") as file:
        found = drawn.sample([row["text"] for row in csv.DictReader(file)], count)
    for i in range(0, count, 2):
        cut = drawn.randrange(len(found[i]) + 1)
        found[i] = found[i][:cut] + drawn.choice(ODD) + found[i][cut:]
    return found


def model(folder: str) -> list[list[str]]:
    """One real decoder: distance, perplexities, times."""
    import torch
    import transformers

    import formers

    page = " ".join(text for text in texts(400)[1::2] if text.isascii())[:3000]
    ids = formers.AutoTokenizer.from_pretrained(folder)(page, return_tensors="pt")["input_ids"]
    found, took = [], []
    for package in (transformers, formers):
        start = time.perf_counter()
        loaded = package.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        took.append(time.perf_counter() - start)
        found.append(loaded)
    with torch.no_grad():
        theirs, ours = (one(input_ids=ids, labels=ids) for one in found)
        rounds = [[_seconds(one, ids) for one in found] for _ in range(7)]
        exact = found[1].double()(input_ids=ids[:, :EXACT]).logits
    far = [float((one.logits[:, :EXACT] - exact).abs().max()) for one in (theirs, ours)]
    scaled = float(((theirs.logits - ours.logits).abs() / (1 + theirs.logits.abs())).max())
    apart = float((theirs.logits - ours.logits).abs().max())
    ratio = statistics.median(one / other for one, other in rounds)
    return [
        ["real decoder", "reference", "formers"],
        ["tokens", *[str(ids.shape[1])] * 2],
        [
            "largest difference of logits",
            "",
            f"{apart:.1e} (logits to {float(theirs.logits.abs().max()):.0f})",
        ],
        ["the same over one plus the reference's", "", f"{scaled:.1e}"],
        [f"of the first {EXACT} tokens, from float64", *(f"{one:.1e}" for one in far)],
        ["perplexity", *(f"{float(one.loss.exp()):.4f}" for one in (theirs, ours))],
        ["seconds of a pass, ratio", "", f"{ratio:.2f} times as fast"],
        ["seconds to load", *(f"{one:.2f}" for one in took)],
    ]


def _seconds(model: Any, ids: Any) -> float:
    start = time.perf_counter()
    model(input_ids=ids)
    return time.perf_counter() - start


PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village between two rivers,",
    "def fibonacci(n):\n    ",
    "Die wichtigsten Erfindungen des 19. Jahrhunderts waren",
    "Q: Why is the sky blue?\nA:",
]


def generate(folder: str, count: int = 200) -> list[list[str]]:
    """Greedy text of one real decoder: the same ids or where they part, and the speed."""
    import torch
    import transformers

    import formers

    tokenize = formers.AutoTokenizer.from_pretrained(folder)
    both = [
        package.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        for package in (transformers, formers)
    ]
    table = [["prompt", "new tokens", "same as the reference", "reference, tokens/s", "formers, tokens/s"]]
    for prompt in PROMPTS:
        inputs = tokenize(prompt, return_tensors="pt")
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        found: list[list[int]] = []
        speeds: list[str] = []
        for one in both:
            start = time.perf_counter()
            out = one.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=count)
            found.append(out[0, ids.shape[1] :].tolist())
            speeds.append(f"{len(found[-1]) / (time.perf_counter() - start):.1f}")
        theirs, ours = found
        parted = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), None)
        same = "all" if theirs == ours else f"the first {len(ours) if parted is None else parted}"
        table.append([repr(prompt), str(len(ours)), same, *speeds])
        print(*table[-1], flush=True)
    return table


def tokenizer(folder: Path, several: list[str]) -> list[str]:
    """How many texts are the same in every respect."""
    import tokenizers
    import transformers

    import formers

    ours = formers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_padding(), library.no_truncation()
    counts = dict.fromkeys(
        ("file ids", "file offsets", "file decoding", "reference ids", "reference decoding"), 0
    )
    for text in several:
        mine, plain = ours(text, return_offsets_mapping=True), library.encode(text)
        ids = mine["input_ids"]
        counts["file ids"] += ids == plain.ids
        counts["file offsets"] += [tuple(one) for one in mine["offset_mapping"]] == plain.offsets
        counts["file decoding"] += ours.decode(ids, clean_up_tokenization_spaces=False) == library.decode(
            ids, skip_special_tokens=False
        )
        counts["reference ids"] += ids == theirs(text)["input_ids"]
        counts["reference decoding"] += ours.decode(ids) == theirs.decode(ids)
    chat = "none"
    if theirs.chat_template:
        made = [
            [
                one.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=more)
                for more in (False, True)
            ]
            for one in (theirs, ours)
        ]
        chat = "same" if made[0] == made[1] else "DIFFERS"
    return [folder.name, *map(str, counts.values()), chat]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder of a decoder")
    parser.add_argument("--generate", help="folder of a decoder that goes on with prompts")
    parser.add_argument("--tokenizers", type=Path, help="folder of folders with a tokenizer.json")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--record", action="store_true", help="write the tables into RESULTS.md")
    given = parser.parse_args()
    import transformers

    import record

    transformers.logging.set_verbosity_error()
    if given.model:
        table = model(given.model)
        record.show(table)
        if given.record:
            record.section("Real decoder", table, command="python benchmarks/real.py --model FOLDER --record",
                           notes=f"{Path(given.model).name}, float32.")  # fmt: skip
    if given.generate:
        table = generate(given.generate)
        record.show(table)
        if given.record:
            record.section("Real decoder, greedy text", table,
                           command="python benchmarks/real.py --generate FOLDER --record",
                           notes=f"{Path(given.generate).name}, float32.")  # fmt: skip
    if given.tokenizers:
        several = texts(given.texts)
        head = ["same of " + str(given.texts), "file ids", "file offsets", "file decoding", "reference ids",
                "reference decoding", "chat template"]  # fmt: skip
        table = [head]
        for one in sorted(given.tokenizers.iterdir()):
            table.append(tokenizer(one, several))
            print(*table[-1], flush=True)
        record.show(table)
        if given.record:
            command = "python benchmarks/real.py --tokenizers FOLDER --record"
            notes = (
                "Where texts differ from the reference alone, it makes the tokenizer anew by the class that "
                "the folder names (for gpt4o with GPT-2's way of cutting words, for llama2 with another "
                "space behind special tokens) and leaves the file; here the file is what counts."
            )
            record.section("Real tokenizers", table, command=command, notes=notes)


if __name__ == "__main__":
    main()
