"""What a text of a given form costs a token, in processor time: the library's mask, the whole processor."""

from __future__ import annotations

import json
import random
import statistics
import time

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from formers import PreTrainedTokenizerFast
from formers.generation import StructuredOutputLogitsProcessor, structure_of

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TEXT = json.dumps({"name": "some body else", "age": 31, "tags": ["a b c", "the second one", "x"] * 4})


def tokenizer_of(size: int) -> PreTrainedTokenizerFast:
    """A byte-level vocabulary of words that look like those of a real one."""
    draw, words = random.Random(0), dict.fromkeys(pre_tokenizers.ByteLevel.alphabet())
    while len(words) < size - 1:
        letters = "".join(draw.choices("etaoinshrdlucmfwypvbgkqjxz", k=draw.randint(2, 9)))
        words[
            ("Ġ" if draw.random() < 0.6 else "") + letters + draw.choice(["", "", "", '":', ",", "}", "'s"])
        ] = None
    vocabulary = {word: i for i, word in enumerate(["<end>", *words])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


def main() -> None:
    """Print a line for each size."""
    torch.set_num_threads(1)
    for size in (50_000, 256_000):
        tokenizer = tokenizer_of(size)
        begun = time.thread_time()
        structure_of(tokenizer, regex="a")
        vocabulary = time.thread_time() - begun
        begun = time.thread_time()
        structure = structure_of(tokenizer, json_schema=SCHEMA)
        compiling = time.thread_time() - begun
        ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        masks, calls = [], []
        scores, allowed = torch.zeros(1, size), np.empty(size, np.uint8)
        state = structure.begin()
        processor = StructuredOutputLogitsProcessor(structure, prompt_length=0)
        for place, token in enumerate(ids):
            begun = time.thread_time()
            structure.follows(state, False, allowed)
            masks.append(time.thread_time() - begun)
            state.consume_token(token)
            row = torch.tensor([ids[:place]], dtype=torch.int64)
            begun = time.thread_time()
            processor(row, scores)
            calls.append(time.thread_time() - begun)
        told = [f"{name} {1e6 * statistics.median(values):.0f} us (mean {1e6 * statistics.fmean(values):.0f})"
                for name, values in (("mask", masks), ("processor", calls))]  # fmt: skip
        once = f"vocabulary {vocabulary:.2f} s, schema {1e3 * compiling:.1f} ms"
        print(f"{size} tokens: {once}, {', '.join(told)}")


if __name__ == "__main__":
    main()
