"""The named tokenizers, as a table: what makes each different, and nothing else.

This module imports neither torch nor `tokenizers`: the public names are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from formers.tokenization.file_rows import (
    BERT_INPUTS,
    END,
    FAIRSEQ_TOKENS,
    FILE_ROWS,
    PLAIN_INPUTS,
    TYPES_LAST,
    named,
)
from formers.tokenization.languages import CTRL_CODES, M2M_100, MBART, MBART_50, NLLB, PLBART, SEAMLESS
from formers.tokenization.recipe import Recipe
from formers.tokenization.sound_rows import SOUND_ROWS

_VOCAB_TXT = {"vocab_file": ("vocab.txt",)}
_VOCAB_MERGES = {"vocab_file": ("vocab.json",), "merges_file": ("merges.txt",)}
_FAIRSEQ_PIECES = {"vocab_file": ("sentencepiece.bpe.model", "spiece.model")}


def _eats(token: str) -> dict[str, Any]:
    """A special token that takes the spaces around it."""
    return {"content": token, "lstrip": True, "rstrip": True, "normalized": False}


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
    model_types=(
        *(
            "bark",
            "bert",
            "blip",
            "blip_text_model",
            "chinese_clip",
            "chinese_clip_text_model",
            "convbert",
            "dpr",
            "electra",
            "ernie",
            "flava",
            "git",
            "grounding-dino",
            "lxmert",
            "megatron-bert",
            "mobilebert",
        ),
        *("nomic_bert", "squeezebert", "vilt", "visual_bert"),
    ),
    aliases=(
        *("ConvBert", "DPRContextEncoder", "DPRQuestionEncoder", "Electra", "Lxmert"),
        *("MobileBert", "Realm", "RetriBert", "SqueezeBert"),
    ),
)
_ROBERTA = Recipe(
    kind="framed_byte_bpe",
    files=_VOCAB_MERGES,
    special=FAIRSEQ_TOKENS,
    options={"add_prefix_space": False, "trim_offsets": True, "errors": "replace"},
    model_types=(
        *("bridgetower", "roberta", "roberta-prelayernorm", "longformer", "data2vec-text", "ibert", "mra"),
        *("clap", "clap_text_model"),
    ),
    aliases=("Longformer",),
    positions="after_padding",
    sign='"<s>"',
)

_MBART = Recipe(
    kind="coded_fairseq",
    files=_FAIRSEQ_PIECES,
    special=FAIRSEQ_TOKENS,
    options={"src_lang": None, "tgt_lang": None},
    languages=MBART,
    model_types=("mbart",),
)


_PAGES = {
    **{"cls_token_box": (0, 0, 0, 0), "sep_token_box": (1000, 1000, 1000, 1000)},
    **{"pad_token_box": (0, 0, 0, 0), "pad_token_label": -100, "only_label_first_subword": True},
}


def _of_file(
    special: Mapping[str, Any],
    model_types: tuple[str, ...] = (),
    inputs: tuple[str, ...] = PLAIN_INPUTS,
    padding_side: str = "right",
    positions: str = "absolute",
) -> Recipe:
    """A row that is read from a `tokenizer.json` alone."""
    return Recipe("", {}, special, inputs, {}, padding_side, model_types=model_types, positions=positions)


_SPIECE = {"vocab_file": ("spiece.model",)}
_TOKENIZER_MODEL = {"vocab_file": ("tokenizer.model",)}
_BYTES = {"add_prefix_space": False, "errors": "replace"}
_LOWER = {"do_lower_case": True, "keep_accents": False, "add_prefix_space": True}
_PLAIN_LLAMA = {"legacy": True, "add_prefix_space": False, "add_bos_token": True, "add_eos_token": False}
# Builder, files and its settings.
_OLDER_FILES: dict[str, tuple[str, Mapping[str, tuple[str, ...]], Mapping[str, Any]]] = {
    "Albert": ("albert", _SPIECE, _LOWER),
    "BertGeneration": ("plain_pieces", _SPIECE, {}),
    "BigBird": ("bert_pieces", _SPIECE, {"add_prefix_space": True}),
    "Blenderbot": ("ended_byte_bpe", _VOCAB_MERGES, {"add_prefix_space": True}),
    "BlenderbotSmall": ("marked_lower", _VOCAB_MERGES, {}),
    "Cohere": ("cohere", _VOCAB_MERGES, _BYTES),
    "Deberta": ("deberta", _VOCAB_MERGES, _BYTES),
    "DebertaV2": (
        "bert_pieces",
        {"vocab_file": ("spm.model",)},
        {"do_lower_case": False, "split_by_punct": False, "add_prefix_space": True},
    ),
    "FNet": ("albert", _SPIECE, _LOWER),
    "Funnel": ("funnel", _VOCAB_TXT, _BERT.options),
    "GPTNeoX": ("composed_byte_bpe", _VOCAB_MERGES, {**_BYTES, "add_bos_token": False}),
    "Gemma": ("llama", _TOKENIZER_MODEL, _PLAIN_LLAMA),
    "MPNet": ("framed_wordpiece", _VOCAB_TXT, _BERT.options),
    "Parakeet": ("plain_pieces", _TOKENIZER_MODEL, {}),
    "Pegasus": ("pegasus", _SPIECE, {"offset": 103, "mask_token_sent": "<mask_1>"}),
    "RemBert": (
        "bert_pieces",
        {"vocab_file": ("sentencepiece.model",)},
        {"do_lower_case": False, "keep_accents": True, "add_prefix_space": True},
    ),
    "RoFormer": ("chinese", _VOCAB_TXT, {"do_lower_case": True, "strip_accents": None}),
    "Splinter": ("splinter", _VOCAB_TXT, _BERT.options),
    "XLNet": ("xlnet", _SPIECE, {"do_lower_case": False, "keep_accents": False}),
}
_ENTITY_MARKS = {**FAIRSEQ_TOKENS, "entity_1_token": "<ent>", "entity_2_token": "<ent2>"}
_ENTITIES = {
    **{"task": None, "max_entity_length": 32, "max_mention_length": 30, "entity_vocab": None},
    **{"entity_unk_token": "[UNK]", "entity_pad_token": "[PAD]"},
    **{"entity_mask_token": "[MASK]", "entity_mask2_token": "[MASK2]"},
}
_GROUPED = ("Parakeet",)
_UNNAMED = {
    "Pegasus": ("<mask_1>", *(f"<unk_{index}>" for index in range(2, 103))),
    "XLNet": ("<eop>", "<eod>"),
}

_XLM = Recipe(
    kind="moses",
    files=_VOCAB_MERGES,
    special=named("<s>", "", "<unk>", "</s>", "<pad>", "</s>", "<special1>"),
    options={"lang2id": None, "id2lang": None, "lang": "en", "do_lowercase_and_remove_accent": True},
    additional=tuple(f"<special{i}>" for i in range(10)),
    model_types=("xlm",),
)


def _with_older(name: str, row: Recipe) -> Recipe:
    kind, files, options = _OLDER_FILES.get(name, ("", {}, {}))
    made = replace(row, kind=kind, files=files, options=options, additional=_UNNAMED.get(name, ()))
    return replace(made, grouped=name in _GROUPED)


RECIPES: dict[str, Recipe] = {
    "Bert": _BERT,
    "DistilBert": replace(_BERT, inputs=PLAIN_INPUTS, model_types=("distilbert",), aliases=("DPRReader",)),
    "ProphetNet": replace(
        _BERT,
        kind="ended_wordpiece",
        files={"vocab_file": ("prophetnet.tokenizer",)},
        special={**named("", "", "[UNK]", "[SEP]", "[PAD]", "", "[MASK]"), "x_sep_token": "[X_SEP]"},
        inputs=PLAIN_INPUTS,
        model_types=("prophetnet",),
        aliases=(),
        attributes={"clean_up_tokenization_spaces": True},
    ),
    "Tapas": replace(
        _BERT,
        special={**_BERT.special, "empty_token": "[EMPTY]"},
        inputs=TYPES_LAST,
        options={
            **_BERT.options,
            **{"cell_trim_length": -1, "max_column_id": None, "max_row_id": None},
            **{"strip_column_names": False, "update_answer_coordinates": False},
            **{"min_question_length": None, "max_question_length": None},
        },
        model_types=("tapas",),
        aliases=(),
    ),
    "LayoutLM": replace(_BERT, model_types=("layoutlm",), aliases=()),  # packages ask whether it is one
    "LayoutLMv2": replace(
        _BERT,
        inputs=TYPES_LAST,
        options={**_BERT.options, **_PAGES},
        model_types=("layoutlmv2",),
        aliases=(),
    ),
    "LayoutXLM": Recipe(
        kind="xlm_roberta",
        files=_FAIRSEQ_PIECES,
        special=FAIRSEQ_TOKENS,
        options={"add_prefix_space": True, **_PAGES},
        model_types=("layoutxlm",),
        positions="after_padding",
    ),
    "Nougat": replace(
        _of_file(named("<s>", "</s>", "<unk>", "", "<pad>"), ("nougat",)),
        markdown=True,
    ),
    "Roberta": _ROBERTA,
    "LayoutLMv3": replace(
        _ROBERTA,
        inputs=(*PLAIN_INPUTS, "bbox"),
        options={**_ROBERTA.options, "add_prefix_space": True, **_PAGES, "sep_token_box": (0, 0, 0, 0)},
        model_types=("layoutlmv3",),
        aliases=(),
    ),
    "Luke": replace(
        _ROBERTA,
        files={**_VOCAB_MERGES, "entity_vocab_file": ("entity_vocab.json",)},
        special=_ENTITY_MARKS,
        options={**_BYTES, "trim_offsets": True, **_ENTITIES},
        model_types=("luke",),
        aliases=(),
        reads_all=True,
    ),
    "MLuke": Recipe(
        kind="xlm_roberta",
        files={**_FAIRSEQ_PIECES, "entity_vocab_file": ("entity_vocab.json",)},
        special=_ENTITY_MARKS,
        options={"add_prefix_space": True, **_ENTITIES},
        positions="after_padding",
        reads_all=True,
    ),
    "Bart": replace(
        _ROBERTA,
        model_types=("bart", "florence2", "led", "mvp"),
        aliases=("LED", "Mvp"),
        positions="absolute",
    ),
    "Tapex": replace(
        _ROBERTA,
        options={**_ROBERTA.options, "do_lower_case": True, "max_cell_length": 15},
        model_types=(),
        aliases=(),
        positions="absolute",
    ),
    "GPT2": Recipe(
        kind="byte_bpe",
        files=_VOCAB_MERGES,
        special=dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
        options={"add_prefix_space": False, "add_bos_token": False, "errors": "replace"},
        model_types=(
            *("blip-2", "gpt2", "gpt_neo", "gptj", "instructblip", "opt", "codegen", "dbrx", "phi"),
            "starcoder2",
        ),
        aliases=("CodeGen",),
    ),
    "OpenAIGPT": Recipe(
        kind="word_bpe",
        files=_VOCAB_MERGES,
        special=named("", "", "<unk>"),
        model_types=("openai-gpt",),
    ),
    "CTRL": Recipe(
        kind="marked_inside",
        files=_VOCAB_MERGES,
        special=named("", "", "<unk>"),
        model_types=("ctrl",),
        attributes={"control_codes": CTRL_CODES},
    ),
    "XLM": _XLM,
    "Flaubert": replace(
        _XLM,
        kind="french",
        options={"lang2id": None, "id2lang": None, "do_lowercase": False},
        model_types=("flaubert",),
    ),
    "FSMT": Recipe(
        kind="escaped_pair",
        files={
            "src_vocab_file": ("vocab-src.json",),
            "tgt_vocab_file": ("vocab-tgt.json",),
            "merges_file": ("merges.txt",),
        },
        special=named("<s>", "", "<unk>", "</s>", "<pad>"),
        options={"langs": None, "do_lower_case": False},
        order=("langs", "src_vocab_file", "tgt_vocab_file", "merges_file"),
        model_types=("fsmt",),
    ),
    "BioGpt": Recipe(
        kind="escaped",
        files=_VOCAB_MERGES,
        special=named("<s>", "</s>", "<unk>", "</s>", "<pad>"),
        model_types=("biogpt",),
    ),
    "GPTNeoXJapanese": Recipe(
        kind="japanese",
        files={"vocab_file": ("vocab.txt",), "emoji_file": ("emoji.json",)},
        special=named("<|startoftext|>", END, END, "", END),
        options={"do_clean_text": False},
        order=("vocab", "emoji_file"),
        model_types=("gpt_neox_japanese",),
    ),
    "XGLM": Recipe(
        kind="xglm",
        files=_FAIRSEQ_PIECES,
        special=named("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>"),
        options={"add_prefix_space": True},
        additional=tuple(f"<madeupword{i}>" for i in range(7)),
        model_types=("xglm",),
    ),
    "Esm": Recipe(
        kind="letters",
        files=_VOCAB_TXT,
        special=named("", "<eos>", "<unk>", "", "<pad>", "<cls>", "<mask>"),
        model_types=("esm",),
        positions="after_padding",
    ),
    "XLMRoberta": Recipe(
        kind="xlm_roberta",
        files=_FAIRSEQ_PIECES,
        special={**FAIRSEQ_TOKENS, "mask_token": "<mask>"},
        options={"add_prefix_space": True},
        model_types=(
            *("altclip", "kosmos-2", "xlm-roberta", "xlm-roberta-xl", "jina_embeddings_v3", "trocr", "xmod"),
        ),
        positions="after_padding",
    ),
    "Camembert": Recipe(
        kind="camembert",
        files=_FAIRSEQ_PIECES,
        special=FAIRSEQ_TOKENS,
        options={"add_prefix_space": True},
        additional=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
        model_types=("camembert",),
        positions="after_padding",
    ),
    "MBart": _MBART,
    "MBart50": replace(
        _MBART,
        special={name: token for name, token in FAIRSEQ_TOKENS.items() if name != "bos_token"},
        languages=MBART_50,
        model_types=("mbart50",),
    ),
    "Nllb": replace(
        _MBART,
        kind="nllb",
        languages=NLLB,
        options={"src_lang": None, "tgt_lang": None, "legacy_behaviour": False},
        model_types=("nllb", "nllb-moe"),
    ),
    "SeamlessM4T": Recipe(
        kind="seamless",
        files={"vocab_file": ("sentencepiece.bpe.model",)},
        special=named("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>"),
        options={"src_lang": None, "tgt_lang": None},
        languages=SEAMLESS,
        model_types=("seamless_m4t", "seamless_m4t_v2"),
    ),
    "M2M100": Recipe(
        kind="m2m",
        files={"vocab_file": ("vocab.json",), "spm_file": ("sentencepiece.bpe.model",)},
        special=named("<s>", "</s>", "<unk>", "</s>", "<pad>"),
        options={"src_lang": None, "tgt_lang": None, "language_codes": "m2m100"},
        languages=M2M_100,
        order=("vocab", "spm_file"),
        model_types=("m2m_100",),
    ),
    "Marian": Recipe(
        kind="words",
        files={
            "source_spm": ("source.spm",),
            "target_spm": ("target.spm",),
            "vocab_file": ("vocab.json",),
            "target_vocab_file": ("target_vocab.json",),
        },
        special=named("", "</s>", "<unk>", "", "<pad>"),
        options={"source_lang": None, "target_lang": None, "separate_vocabs": False},
        order=("source_spm", "target_spm", "vocab", "target_vocab_file"),
        model_types=("marian",),
    ),
    "PLBart": replace(
        _MBART,
        languages=PLBART,
        options={"src_lang": None, "tgt_lang": None, "language_codes": "base"},
        model_types=("plbart",),
    ),
    "T5": Recipe(
        kind="t5",
        files={"vocab_file": ("spiece.model",)},
        special={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"extra_ids": 100},
        model_types=("t5", "mt5", "longt5", "umt5", "switch_transformers", "musicgen"),
        aliases=("MT5",),
        positions="relative",
    ),
    "Siglip": Recipe(
        kind="bare_pieces",
        files=_SPIECE,
        special={"eos_token": _eats("</s>"), "unk_token": _eats("<unk>"), "pad_token": _eats("</s>")},
        options={"do_lower_case": True},
        model_types=("siglip",),
    ),
    "ByT5": Recipe(
        kind="utf8",
        files={},
        special={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"extra_ids": 125},
        positions="relative",
    ),
    "Canine": Recipe(
        kind="code_points",
        files={},
        special={
            **dict.fromkeys(("bos_token", "cls_token"), chr(0xE000)),
            **dict.fromkeys(("eos_token", "sep_token"), chr(0xE001)),
            "pad_token": chr(0),
            "mask_token": chr(0xE003),
        },
        inputs=("input_ids", "attention_mask", "token_type_ids"),
        options={"add_prefix_space": False},
        model_types=("canine",),
    ),
    "Llama": Recipe(
        kind="llama",
        files={"vocab_file": ("tokenizer.model",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        options={"legacy": True, "add_prefix_space": True, "add_bos_token": True, "add_eos_token": False},
        padding_side="left",
        model_types=(
            *("llama", "mistral", "mixtral", "deepseek_v2", "deepseek_v3", "phi3", "idefics", "idefics2"),
            *("llava", "vipllava", "persimmon", "fuyu"),
        ),
    ),
    "Qwen2": Recipe(
        kind="split_byte_bpe",
        files=_VOCAB_MERGES,
        special=dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
        options={"add_prefix_space": False, "errors": "replace"},
        model_types=(
            *("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen2_audio", "qwen3", "qwen3_moe"),
            *("qwen3_next", "qwen3_vl", "qwen3_vl_moe", "internvl", "colqwen2"),
        ),
        aliases=("Qwen3",),
    ),
    "CLIP": Recipe(
        kind="clip",
        files=_VOCAB_MERGES,
        special={
            "unk_token": "<|endoftext|>",
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
        options={"errors": "replace"},
        model_types=(
            *("clip", "clipseg", "groupvit", "oneformer", "owlv2", "owlvit", "xclip", "clip_text_model"),
        ),
    ),
    **SOUND_ROWS,
    **{name: _with_older(name, _of_file(*row)) for name, row in FILE_ROWS.items()},
}

# Public class name -> recipe. Both spellings are the same class: there is one kind of tokenizer here.
CLASSES: dict[str, str] = {
    f"{alias}Tokenizer{fast}": name
    for name, row in RECIPES.items()
    for alias in (name, *row.aliases)
    for fast in ("", "Fast")
}

# model_type of config.json -> recipe.
MODEL_TYPES: dict[str, str] = {kind: name for name, row in RECIPES.items() for kind in row.model_types}


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
