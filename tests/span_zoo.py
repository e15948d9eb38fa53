"""Tiny checkpoints for tasks about spans: a tokenizer of each kind, weights that any library draws alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy
import torch

from parity.tokenization_samples import (
    AWKWARD,
    SENTENCES,
    WORDPIECE_SPECIAL,
    write_byte_bpe,
    write_unigram,
)

TEXTS = [
    *(SENTENCES[7], SENTENCES[12], SENTENCES[13], SENTENCES[14]),
    *AWKWARD.values(),
    "E\u0301cole de Gene\u0300ve, Zu\u0308rich!",
]
LONG = " ".join(SENTENCES)
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")
_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 130,
}
_ROBERTA = {**_SIZES, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
# kind of tokenizer -> the family that reads it, its config
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wordpiece": ("Bert", _SIZES),
    "byte bpe": ("Roberta", _ROBERTA),
    "sentencepiece": ("XLMRoberta", _ROBERTA),
}
LIMIT = 128


def write_tokenizer(kind: str, folder: Path) -> int:
    """Write the tokenizer of a kind; the size of its vocabulary."""
    import formers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if kind == "wordpiece":
        made = formers.BertTokenizer(vocab_file=_vocabulary(folder), do_lower_case=False)
    elif kind == "byte bpe":
        vocab, merges = write_byte_bpe(folder, special)
        made = formers.RobertaTokenizer(vocab_file=vocab, merges_file=merges)
    else:
        made = formers.XLMRobertaTokenizer(vocab_file=write_unigram(folder / "sentencepiece.bpe.model"))
    made.model_max_length = LIMIT
    made.save_pretrained(folder)
    return len(made)


def _vocabulary(folder: Path) -> Path:
    """Letters, and the words of the sentences whole or in two pieces; training may break ties otherwise."""
    words = sorted({word for line in SENTENCES for word in re.findall(r"\w+", line)})
    letters = sorted({letter for line in SENTENCES for letter in line if not letter.isspace()})
    pieces = [piece for word in words[::3] for piece in (word[:3], f"##{word[3:]}") if piece != "##"]
    whole = [word for i, word in enumerate(words) if i % 3]
    tokens = [*WORDPIECE_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *whole, *pieces]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(tokens)) + "\n", encoding="utf-8")
    return path


def write_checkpoint(kind: str, ending: str, folder: Path, **config: Any) -> Path:
    """Write a tiny checkpoint of a kind with the head of that ending."""
    import formers

    family, sizes = KINDS[kind]
    size = write_tokenizer(kind, folder)
    made = getattr(formers, f"{family}Config")(vocab_size=size, **{**sizes, **config})
    model = getattr(formers, f"{family}{ending}")(made)
    draw(model)
    model.save_pretrained(folder)
    return folder


def draw(model: torch.nn.Module, seed: int = 0) -> None:
    """Fill a model with values that depend on the names and shapes of its weights alone."""
    state = model.state_dict()
    for name in sorted(state):
        if state[name].is_floating_point():
            drawn = numpy.random.default_rng([seed, *name.encode()]).standard_normal(tuple(state[name].shape))
            around = 1.0 if "LayerNorm.weight" in name else 0.0
            state[name] = torch.as_tensor(around + drawn * 0.3).to(state[name].dtype)
    model.load_state_dict(state)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
