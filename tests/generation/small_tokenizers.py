"""Small tokenizers of each kind, as this library's and as the reference's."""

from __future__ import annotations

import functools
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "The stop is near, stopper and stopping; the last stop.\n\nHuman: topple the pot!\n",
    "def f(x):\n    return 'a stop'  # don't stop abcdef\n",
    "Größe, naïve café, 中文字符和更多的字, emoji 😀 and 👩‍👩‍👧 too.",
]
KINDS = ("byte-level", "wordpiece", "metaspace", "byte-fallback")


def _backend(kind: str) -> Tokenizer:
    end = ["<end>"]
    if kind == "byte-level":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=end, initial_alphabet=alphabet)
    elif kind == "wordpiece":
        backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]", *end])
    elif kind == "metaspace":
        backend = Tokenizer(models.BPE(unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=["[UNK]", *end])
    else:
        backend = Tokenizer(models.BPE(byte_fallback=True))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        raw = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=[*end, *raw], limit_alphabet=40)
    backend.train_from_iterator(TEXTS * 3, trainer)
    return backend


@functools.cache
def pair(kind: str) -> tuple[Any, Any]:
    """This library's tokenizer and the reference's, on one backend."""
    from transformers import PreTrainedTokenizerFast as Theirs

    from formers import PreTrainedTokenizerFast as Ours

    state = _backend(kind).to_str()
    return (
        Ours(tokenizer_object=Tokenizer.from_str(state), eos_token="<end>"),
        Theirs(tokenizer_object=Tokenizer.from_str(state), eos_token="<end>"),
    )
