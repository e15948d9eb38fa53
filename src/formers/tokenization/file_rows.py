"""Classes of tokenizers whose vocabulary is a `tokenizer.json`, as data: a row for each."""

from __future__ import annotations

from typing import Any

BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
PLAIN_INPUTS = ("input_ids", "attention_mask")
MASK_EATS_SPACE = {"content": "<mask>", "lstrip": True, "normalized": False}
FAIRSEQ_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": MASK_EATS_SPACE,
}


def named(*tokens: str) -> dict[str, str]:
    """Special tokens in the order bos, eos, unk, sep, pad, cls, mask; an empty text stands for none."""
    names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    return {name: token for name, token in zip(names, tokens, strict=False) if token}


SENTENCES = named("[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]")
LETTERS = named("[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")
PIECES = named("<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>")
END = "<|endoftext|>"
TYPES_LAST = ("input_ids", "attention_mask", "token_type_ids")

# Special tokens, model types, inputs, side of the padding, positions (facts of transformers 5.23) of classes
# whose vocabulary is read from a tokenizer.json, and from what `recipes` says.
FILE_ROWS: dict[str, tuple[Any, ...]] = {
    "Albert": (SENTENCES, ("albert", "nystromformer", "yoso")),
    "Barthez": (FAIRSEQ_TOKENS, ("barthez",)),
    "BertGeneration": (named("<s>", "</s>", "<unk>", "<::::>", "<pad>"), ("bert-generation",)),
    "BigBird": (named("<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"), ("big_bird",)),
    "Blenderbot": (FAIRSEQ_TOKENS, ("blenderbot",)),
    "BlenderbotSmall": (named("__start__", "__end__", "__unk__", "", "__null__"), ("blenderbot-small",)),
    "CodeLlama": (named("<s>", "</s>", "<unk>"), ("code_llama",), PLAIN_INPUTS, "left"),
    "Cohere": (
        named("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>", "<MASK_TOKEN>"),
        ("aya_vision", "cohere", "cohere2"),
        PLAIN_INPUTS,
        "left",
    ),
    "Cpm": (PIECES, ("cpm",)),
    "Deberta": (LETTERS, ("deberta",), TYPES_LAST),
    "DebertaV2": (LETTERS, ("deberta-v2",), TYPES_LAST),
    "FNet": (SENTENCES, ("fnet",), ("input_ids", "token_type_ids")),
    "Funnel": (PIECES, ("funnel",)),
    "GPTNeoX": (
        named(END, END, END, "", "<|padding|>"),
        ("gpt_neox", "mamba", "mamba2", "falcon_mamba", "mpt", "olmo", "olmoe", "rwkv"),
    ),
    "Gemma": (
        named("<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"),
        (
            "gemma",
            "gemma2",
            "gemma3",
            "gemma3_text",
            "gemma3n",
            "recurrent_gemma",
            "shieldgemma2",
            "t5gemma",
            "vaultgemma",
        ),
        PLAIN_INPUTS,
        "left",
    ),
    "Herbert": (named("", "", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), ("herbert",)),
    "MPNet": (
        {**FAIRSEQ_TOKENS, "unk_token": "[UNK]"},
        ("mpnet",),
        PLAIN_INPUTS,
        "right",
        "after_padding",
    ),
    "MarkupLM": (FAIRSEQ_TOKENS, ("markuplm",), BERT_INPUTS),
    "Parakeet": ({}, ("parakeet_ctc", "parakeet_rnnt", "parakeet_tdt")),
    "Pegasus": (named("", "</s>", "<unk>", "", "<pad>", "", "<mask_2>"), ("pegasus",)),
    "Qwen3_5": (named("", END, END, "", END), ("qwen3_5", "qwen3_5_moe")),
    "Reformer": (named("", "</s>", "<unk>"), ("reformer",)),
    "RemBert": (SENTENCES, ("rembert",)),
    "RoFormer": (named("", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"), ("roformer",)),
    "Siglip2": (
        named("<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"),
        ("siglip2",),
        PLAIN_INPUTS,
        "left",
    ),
    "Splinter": (
        {**named("", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"), "question_token": "[QUESTION]"},
        ("splinter",),
    ),
    "Udop": (named("", "</s>", "<unk>", "</s>", "<pad>"), ("udop",)),
    "XLNet": (PIECES, ("xlnet",), PLAIN_INPUTS, "left", "relative"),
}
