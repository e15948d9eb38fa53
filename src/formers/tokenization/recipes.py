"""The named tokenizers, as a table: what makes each different, and nothing else.

This module imports neither torch nor `tokenizers`: the public names are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
PLAIN_INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Recipe:
    """One row: a class of tokenizers.

    Attributes:
        kind: the builder in `builders.py` that makes the backend when there is no `tokenizer.json`.
        files: for each file argument, the names it goes by in a checkpoint, the usual one first.
        special: the special tokens and their usual text; a dictionary states how it matches.
        inputs: what the models take.
        options: settings of the builder and their defaults.
        padding_side: where padding goes.
        additional: special tokens without a name.
        model_types: the families whose checkpoints have it, for those that name no class.
        aliases: families whose tokenizer class is this one under another name.
        positions: how its models number tokens, which says how many they take: "absolute", or "after_padding"
            (from `pad_token_id + 1`, so that many of the table are not for use), or "relative" (no limit).
        sign: what its vocabulary file contains and that of another class with the same file names does not.
    """

    kind: str
    files: Mapping[str, tuple[str, ...]]
    special: Mapping[str, Any]
    inputs: tuple[str, ...] = PLAIN_INPUTS
    options: Mapping[str, Any] = field(default_factory=dict)
    padding_side: str = "right"
    additional: tuple[str, ...] = ()
    # Two rows are equal when they read a vocabulary alike: the rest says whose they are.
    model_types: tuple[str, ...] = field(default=(), compare=False)
    aliases: tuple[str, ...] = field(default=(), compare=False)
    positions: str = field(default="absolute", compare=False)
    sign: str = field(default="", compare=False)


_VOCAB_TXT = {"vocab_file": ("vocab.txt",)}
_VOCAB_MERGES = {"vocab_file": ("vocab.json",), "merges_file": ("merges.txt",)}
_FAIRSEQ_PIECES = {"vocab_file": ("sentencepiece.bpe.model", "spiece.model")}
_MASK_EATS_SPACE = {"content": "<mask>", "lstrip": True, "normalized": False}
_FAIRSEQ_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": _MASK_EATS_SPACE,
}
_BERT = Recipe(
    kind="wordpiece",
    files=_VOCAB_TXT,
    special={
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    inputs=BERT_INPUTS,
    options={"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True},
    model_types=("bert",),
    aliases=("Electra", "MobileBert", "SqueezeBert", "ConvBert", "Lxmert"),
)
_ROBERTA = Recipe(
    kind="framed_byte_bpe",
    files=_VOCAB_MERGES,
    special=_FAIRSEQ_TOKENS,
    options={"add_prefix_space": False, "trim_offsets": True, "errors": "replace"},
    model_types=("roberta", "roberta-prelayernorm"),
    positions="after_padding",
    sign='"<s>"',
)

RECIPES: dict[str, Recipe] = {
    "Bert": _BERT,
    "DistilBert": replace(_BERT, inputs=PLAIN_INPUTS, model_types=("distilbert",), aliases=()),
    "Roberta": _ROBERTA,
    "Bart": replace(_ROBERTA, model_types=("bart",), positions="absolute"),
    "GPT2": Recipe(
        kind="byte_bpe",
        files=_VOCAB_MERGES,
        special=dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
        options={"add_prefix_space": False, "errors": "replace"},
        model_types=("gpt2",),
    ),
    "XLMRoberta": Recipe(
        kind="xlm_roberta",
        files=_FAIRSEQ_PIECES,
        special={**_FAIRSEQ_TOKENS, "mask_token": "<mask>"},
        options={"add_prefix_space": True},
        model_types=("xlm-roberta", "xlm-roberta-xl"),
        positions="after_padding",
    ),
    "Camembert": Recipe(
        kind="camembert",
        files=_FAIRSEQ_PIECES,
        special=_FAIRSEQ_TOKENS,
        options={"add_prefix_space": True},
        additional=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
        model_types=("camembert",),
        positions="after_padding",
    ),
    "T5": Recipe(
        kind="t5",
        files={"vocab_file": ("spiece.model",)},
        special={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"extra_ids": 100},
        model_types=("t5", "mt5", "longt5", "umt5"),
        positions="relative",
    ),
    "Llama": Recipe(
        kind="llama",
        files={"vocab_file": ("tokenizer.model",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        options={"legacy": True, "add_prefix_space": True, "add_bos_token": True, "add_eos_token": False},
        padding_side="left",
        model_types=("llama",),
    ),
}

# Public class name -> recipe. Both spellings are the same class: there is one kind of tokenizer here.
CLASSES: dict[str, str] = {f"{recipe}Tokenizer{fast}": recipe for recipe in RECIPES for fast in ("", "Fast")}

# model_type of config.json -> recipe, and other families' names -> recipe.
MODEL_TYPES: dict[str, str] = {kind: name for name, row in RECIPES.items() for kind in row.model_types}
ALIASES: dict[str, str] = {alias: name for name, row in RECIPES.items() for alias in row.aliases}


def limit_of(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model of a config.json takes at most, None where it has no such limit."""
    row = RECIPES.get(MODEL_TYPES.get(str(config.get("model_type")), ""))
    positions = "absolute" if row is None else row.positions
    if positions == "relative":
        return None
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        limit = config.get(name)
        if isinstance(limit, int) and limit > 0:
            return limit - (int(config.get("pad_token_id", 1)) + 1 if positions == "after_padding" else 0)
    return None
