"""Texts, awkward texts, and tiny vocabularies trained on them, for the tests of tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

SENTENCES = """
The parser now reports the line on which an unclosed bracket was opened.
Fix a crash when a generator is closed while it is being iterated in another thread.
Add a keyword argument to the constructor so that callers can choose the encoding of files.
Documentation: describe how the garbage collector treats objects with finalizers.
The test suite no longer leaves temporary directories behind after a failed run.
Update the bundled copy of the compression library to version 2.6.2.
Opening a socket with a timeout of zero raises an error on some platforms.
Harbor Support: my card was charged twice for the same invoice, please refund one payment.
I cannot log in since the update; the reset link in the email has expired.
Shipping took three weeks and the parcel arrived damaged, I want a replacement.
How do I change the address of an order that has not been shipped yet?
The weather in the harbor is fine today, and the boats are leaving before noon.
She didn't say that they'd arrive late, but we've been waiting since 9:30.
Numbers such as 1,234.56 and 0x7f, dates such as 2024-05-17, and paths such as /usr/lib/python3.
Le bateau est arrivé à l'heure, mais les passagers étaient déjà partis.
Der Zug fährt über die Brücke; die Straße ist gesperrt.
El niño comió una manzana en la estación mañana por la mañana.
Quick brown foxes jump over lazy dogs while the sphinx of black quartz judges their vow.
Improve the performance of dictionaries whose keys are all strings, by up to ten percent.
Deprecated functions of the module will be removed in the next release.
Raise a ValueError instead of silently returning an empty list when the pattern is invalid.
Windows: the installer now adds the launcher to the search path.
Release the lock before calling back into user code, which avoided a deadlock.
Strings that contain surrogates are escaped before they are written to the log.
The loop variable of a comprehension is no longer visible outside of it.
Use the monotonic clock to measure elapsed time in the scheduler.
A subclass of the tuple type may define its own method for pickling.
The interactive shell keeps its history between sessions and colours its prompt.
Reduce the size of compiled files by sharing constants between functions.
Merge two adjacent blocks when the second one starts where the first one ends.
""".strip().splitlines()

AWKWARD = {
    "plain": "The boats are leaving before noon, aren't they?",
    "one space": " ",
    "spaces around": "  leading and trailing  ",
    "runs of spaces": "a  b   c",
    "tabs and newlines": "tab\tnew\nline\r\nend",
    "emoji": "nice 👍🏽 family 👨‍👩‍👧 flag 🇩🇪",
    "combining accents": "e\u0301 a\u0308\u0323 o\u0302",
    "CJK": "日本語のテキスト 中文字符 한국어",
    "control characters": "ctrl \x01\x7f and zero\u200bwidth",
    "a very long word": "pneumono" * 60,
    "right to left": "שלום עולם مرحبا بالعالم",
    "compatibility forms": "ﬁne ① Ⅷ ｆｕｌｌ",
    "contractions": "I'll don't can't we've",
    "odd spaces": "no\u00a0break\u3000ideographic",
    "accents": "ÀÉÎ ß İstanbul garçon",
    "digits": "1,234.56 € at 09:30",
    "byte order mark": "\ufeffmarked",
    "punctuation": "...!!!???--()[]{}",
    "special tokens in the text": "Hi [MASK] there [SEP] <s>now</s> <mask> <unk> <pad> <|endoftext|> "
    "<extra_id_0>",
}

WORDPIECE_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FAIRSEQ_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_vocab_txt(folder: Path, lowercase: bool = True, special: list[str] = WORDPIECE_SPECIAL) -> Path:
    """Train WordPiece and write vocab.txt."""
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=lowercase)
    trained.train_from_iterator(
        SENTENCES * 2, vocab_size=600, min_frequency=2, special_tokens=special, show_progress=False
    )
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    return folder / "vocab.txt"


def write_byte_bpe(folder: Path, special: list[str]) -> tuple[Path, Path]:
    """Train byte-level BPE and write vocab.json and merges.txt."""
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        SENTENCES * 2, vocab_size=700, min_frequency=2, special_tokens=special, show_progress=False
    )
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    return folder / "vocab.json", folder / "merges.txt"


def write_word_bpe(folder: Path) -> None:
    """Train lower-case BPE whose tokens mark the end of a word, and write vocab.json and merges.txt."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(SENTENCES * 2, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.model.save(str(folder))


def write_sentencepiece(path: Path, **options: object) -> Path:
    """Train SentencePiece and write the model file."""
    import sentencepiece

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES * 2), model_writer=out, minloglevel=2, **options
        )
    return path


def write_unigram(path: Path) -> Path:
    """Train a unigram model with the usual ids (unk 0, bos 1, eos 2)."""
    return write_sentencepiece(path, vocab_size=260, model_type="unigram", character_coverage=1.0)


def write_t5(path: Path) -> Path:
    """Train a unigram model with T5's ids (pad 0, eos 1, unk 2)."""
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    return write_sentencepiece(path, vocab_size=260, model_type="unigram", character_coverage=1.0, **ids)


def write_llama(path: Path) -> Path:
    """Train BPE with byte fallback and no normalization, as LLaMA has it."""
    return write_sentencepiece(
        path,
        vocab_size=600,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )


def write_json(path: Path, value: object) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
