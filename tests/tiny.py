"""A classifier that is small enough for tests and big enough to learn: words in, one of three labels out."""

from __future__ import annotations

import json
from pathlib import Path

LABELS = ("billing", "shipping", "technical")
WORDS = {
    "billing": ("invoice", "refund", "charged", "card", "payment"),
    "shipping": ("parcel", "late", "address", "courier", "lost"),
    "technical": ("crash", "error", "login", "screen", "update"),
}
FILLERS = ("my", "the", "is", "was", "please", "help", "again", "with", "since", "today")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tickets(each: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) of `each` tickets for every label, in a mixed order; the words tell the label."""
    import random

    draw = random.Random(seed)
    rows = []
    for label, words in WORDS.items():
        for _ in range(each):
            chosen = draw.sample(words, 2) + draw.sample(FILLERS, draw.randint(1, 6))
            draw.shuffle(chosen)
            rows.append((" ".join(chosen), label))
    draw.shuffle(rows)
    return rows


def save_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Save a two-layer BERT without a head, and its tokenizer."""
    import torch

    from formers import BertConfig, BertModel

    torch.manual_seed(seed)
    model = BertModel(_config(BertConfig))
    model.save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def save_classifier(folder: Path, *, seed: int = 0) -> Path:
    """Save a two-layer BERT classifier over `LABELS` (random weights), and its tokenizer."""
    import torch

    from formers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    names = dict(enumerate(LABELS))
    model = BertForSequenceClassification(
        _config(
            BertConfig,
            id2label=names,
            label2id={label: i for i, label in names.items()},
            initializer_range=0.4,  # large, so that the answers of random weights differ
        )
    )
    model.save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def _vocabulary() -> list[str]:
    return [*SPECIAL, *FILLERS, *(word for words in WORDS.values() for word in words)]


def _config(config_class, **more):
    return config_class(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        **more,
    )


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing

    number = {word: i for i, word in enumerate(_vocabulary())}
    made = Tokenizer(WordPiece(number, unk_token="[UNK]"))
    made.normalizer = BertNormalizer(lowercase=True)
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = BertProcessing(("[SEP]", number["[SEP]"]), ("[CLS]", number["[CLS]"]))
    made.add_special_tokens(list(SPECIAL))
    made.save(str(folder / "tokenizer.json"))
    special = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    )
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 32, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
