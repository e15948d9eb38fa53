"""The two halves of BERT's tokenizer alone, as scripts of the first years call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers


class BasicTokenizer:
    """Cuts a text into words and signs of punctuation.

    Args:
        do_lower_case: make letters small, and take accents away unless `strip_accents` says otherwise.
        never_split: words that stay as they are.
        tokenize_chinese_chars: each Chinese character is a word.
        strip_accents: take accents away; None as `do_lower_case` says.
        do_split_on_punc: signs of punctuation are words.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        self.do_lower_case, self.strip_accents = do_lower_case, strip_accents
        self.tokenize_chinese_chars, self.do_split_on_punc = tokenize_chinese_chars, do_split_on_punc
        self.never_split = set(never_split or ())
        clean = normalizers.BertNormalizer(True, tokenize_chinese_chars, False, False)
        self._clean = normalizers.Sequence([clean, normalizers.NFC()])
        small: list[normalizers.Normalizer] = [normalizers.Lowercase()] if do_lower_case else []
        if strip_accents or (do_lower_case and strip_accents is None):
            small += [normalizers.NFD(), normalizers.Replace(Regex(r"\p{Mn}"), "")]
        self._small = normalizers.Sequence(small)
        self._cut = (
            pre_tokenizers.BertPreTokenizer() if do_split_on_punc else pre_tokenizers.WhitespaceSplit()
        )

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """The words of a text; those of `never_split` too stay as they are."""
        kept, found = self.never_split | set(never_split or ()), []
        for word in self._clean.normalize_str(text).split():
            if word in kept:
                found.append(word)
                continue
            small = self._small.normalize_str(word)
            found += [piece for piece, _ in self._cut.pre_tokenize_str(small)]
        return found


class WordpieceTokenizer:
    """Cuts words into the longest pieces of a vocabulary, from the left; pieces within a word begin with ##.

    Args:
        vocab: piece -> id, or the pieces.
        unk_token: what a word is that cannot be cut so.
        max_input_chars_per_word: longer words are that too.
    """

    def __init__(
        self,
        vocab: Mapping[str, int] | Iterable[str],
        unk_token: str = "[UNK]",
        max_input_chars_per_word: int = 100,
    ) -> None:
        self.vocab, self.unk_token = vocab, str(unk_token)
        self.max_input_chars_per_word = max_input_chars_per_word
        held = {token: i for i, token in enumerate(dict.fromkeys(vocab))}
        held.setdefault(self.unk_token, len(held))
        model = models.WordPiece(
            vocab=held, unk_token=self.unk_token, max_input_chars_per_word=max_input_chars_per_word
        )
        self._backend = Tokenizer(model)
        self._backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text whose words stand between spaces."""
        return list(self._backend.encode(text, add_special_tokens=False).tokens)


def convert_slow_tokenizer(transformer_tokenizer: Any, from_tiktoken: bool = False) -> Tokenizer:
    """The `tokenizers.Tokenizer` of a tokenizer, a copy: all of them run on that library here.

    Args:
        transformer_tokenizer: one of this package.
        from_tiktoken: changes nothing: such files are read as all others.
    """
    return Tokenizer.from_str(transformer_tokenizer.backend_tokenizer.to_str())
