"""The named tokenizers, as a table: what makes each different, and nothing else.

This module imports neither torch nor `tokenizers`: the public names are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
PLAIN_INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Recipe:
    """One family of tokenizers.

    Attributes:
        kind: the builder in `builders.py` that makes the backend when there is no `tokenizer.json`.
        files: for each file argument, the names it goes by in a checkpoint, the usual one first.
        special: the special tokens and their usual text; a dictionary states how it matches.
        inputs: what the models take.
        options: settings of the builder and their defaults.
        padding_side: where padding goes.
        additional: special tokens without a name.
    """

    kind: str
    files: Mapping[str, tuple[str, ...]]
    special: Mapping[str, Any]
    inputs: tuple[str, ...] = PLAIN_INPUTS
    options: Mapping[str, Any] = field(default_factory=dict)
    padding_side: str = "right"
    additional: tuple[str, ...] = ()


_VOCAB_TXT = {"vocab_file": ("vocab.txt",)}
_VOCAB_MERGES = {"vocab_file": ("vocab.json",), "merges_file": ("merges.txt",)}
_WORDPIECE_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_WORDPIECE_OPTIONS = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
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
_GPT_TOKENS = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
_ROBERTA = Recipe(
    kind="framed_byte_bpe",
    files=_VOCAB_MERGES,
    special=_FAIRSEQ_TOKENS,
    options={"add_prefix_space": False, "trim_offsets": True, "errors": "replace"},
)

RECIPES: dict[str, Recipe] = {
    "Bert": Recipe("wordpiece", _VOCAB_TXT, _WORDPIECE_TOKENS, BERT_INPUTS, _WORDPIECE_OPTIONS),
    "DistilBert": Recipe("wordpiece", _VOCAB_TXT, _WORDPIECE_TOKENS, PLAIN_INPUTS, _WORDPIECE_OPTIONS),
    "Roberta": _ROBERTA,
    "Bart": _ROBERTA,
    "GPT2": Recipe(
        kind="byte_bpe",
        files=_VOCAB_MERGES,
        special=_GPT_TOKENS,
        options={"add_prefix_space": False, "errors": "replace"},
    ),
    "XLMRoberta": Recipe(
        kind="xlm_roberta",
        files={"vocab_file": ("sentencepiece.bpe.model", "spiece.model")},
        special={**_FAIRSEQ_TOKENS, "mask_token": "<mask>"},
        options={"add_prefix_space": True},
    ),
    "Camembert": Recipe(
        kind="camembert",
        files={"vocab_file": ("sentencepiece.bpe.model", "spiece.model")},
        special=_FAIRSEQ_TOKENS,
        options={"add_prefix_space": True},
        additional=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    ),
    "T5": Recipe(
        kind="t5",
        files={"vocab_file": ("spiece.model",)},
        special={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"extra_ids": 100},
    ),
    "Llama": Recipe(
        kind="llama",
        files={"vocab_file": ("tokenizer.model",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        options={"legacy": True, "add_prefix_space": True, "add_bos_token": True, "add_eos_token": False},
        padding_side="left",
    ),
}

# Public class name -> recipe. Both spellings are the same class: there is one kind of tokenizer here.
CLASSES: dict[str, str] = {f"{recipe}Tokenizer{fast}": recipe for recipe in RECIPES for fast in ("", "Fast")}

# For checkpoints whose tokenizer_config.json names no class: model_type of config.json -> recipe.
MODEL_TYPES: dict[str, str] = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "camembert": "Camembert",
    "gpt2": "GPT2",
    "llama": "Llama",
    "t5": "T5",
    "bart": "Bart",
}

# Families whose tokenizer is one of these recipes under another name.
ALIASES: dict[str, str] = {
    "Electra": "Bert",
    "MobileBert": "Bert",
    "SqueezeBert": "Bert",
    "ConvBert": "Bert",
    "Lxmert": "Bert",
}
