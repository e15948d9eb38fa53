"""Texts that Python cuts into pieces, which a vocabulary then knows as they are, or cuts further."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from formers.core.extras import need
from formers.core.jsonfile import read_json_object
from formers.tokenization.reading import japanese_vocabulary, merges_of
from formers.tokenization.recipe import Recipe
from formers.tokenization.segmenting import FilesMethods
from formers.tokenization.vocabulary import Segmenter, Vocabulary

if TYPE_CHECKING:
    from tokenizers import NormalizedString, PreTokenizedString, Tokenizer

# First character, the one behind the last, and how the piece is spelt in the vocabulary.
Pieces: TypeAlias = Iterable[tuple[int, int, str]]
_NEAR = 500


@dataclass
class Cut:
    """What the `tokenizers` library calls to cut a text: `pieces_of` says how."""

    pieces_of: Callable[[str], Pieces]

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        """Cut each part of a text, special tokens left out."""
        text.split(self._split)

    def _split(self, _: int, text: NormalizedString) -> list[NormalizedString]:
        whole, found = str(text), []
        near, first, last = text, 0, 0  # a slice of a long text takes as long as the text is
        for start, end, piece in self.pieces_of(whole):
            if start < first or end > last:
                first, last = start, max(end, start + _NEAR)
                near = _slice(text, first, last)
            part = _slice(near, start - first, end - first)
            spelt = whole[start:end]
            if piece.startswith(spelt):
                part.append(piece[len(spelt) :])
            else:
                _spell(part, piece)
            found.append(part)
        return found


def _slice(text: NormalizedString, start: int, end: int) -> NormalizedString:
    found = text[start:end]
    assert found is not None
    return found


def _spell(part: NormalizedString, piece: str) -> None:
    """Write a part of a text otherwise, so that it still stands where its characters stood."""
    count = len(str(part))
    filled = piece if len(piece) >= count else piece[:-1] + "\0" * (count - len(piece)) + piece[-1:]
    signs = iter(filled)
    part.map(lambda _: next(signs))
    part.append(filled[count:])
    part.filter(lambda sign: sign != "\0")


@dataclass
class CutSegmenter(Segmenter):
    """A segmenter whose texts Python cuts. It is copied without its `cutter`, which is made anew."""

    pieces_of: Callable[[str], Pieces]

    @classmethod
    def of(cls, backend: Tokenizer, unknown: str, pieces_of: Callable[[str], Pieces]) -> CutSegmenter:
        """Make one that looks its pieces up in the vocabulary of a backend."""
        ids = backend.get_vocab(with_added_tokens=True)
        return cls(_cutting(backend.to_str(), pieces_of), ids, ids[unknown], pieces_of)

    def __getstate__(self) -> dict[str, Any]:
        from tokenizers import pre_tokenizers

        own = self.cutter.pre_tokenizer
        self.cutter.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # what Python cuts has no JSON
        text = self.cutter.to_str()
        self.cutter.pre_tokenizer = own
        return {**self.__dict__, "cutter": text}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.cutter = _cutting(state["cutter"], self.pieces_of)


def _cutting(text: str, pieces_of: Callable[[str], Pieces]) -> Tokenizer:
    from tokenizers import Tokenizer, pre_tokenizers

    made = Tokenizer.from_str(text)
    made.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Cut(pieces_of))
    return made


@dataclass
class WordPairs:
    """BPE of single words.

    Attributes:
        merges: pairs that become one, in the order of their rank; `</w>` stands for the end of a word.
    """

    merges: list[tuple[str, str]]

    @cached_property
    def _backend(self) -> Tokenizer:
        from tokenizers import Tokenizer, models

        texts = dict.fromkeys(text for pair in self.merges for text in (*pair, "".join(pair)))
        ids = {text: index for index, text in enumerate(["", *texts])}
        return Tokenizer(models.BPE(ids, self.merges, unk_token="", end_of_word_suffix="</w>"))

    def __getstate__(self) -> dict[str, Any]:
        return {"merges": self.merges}

    def spans(self, word: str) -> list[tuple[int, int]]:
        """First character, and the one behind the last, of each piece of a word."""
        return list(self._backend.encode(word).offsets)


@dataclass
class MarkedInside:
    """BPE of words, whose pieces are marked with `@@` where the word goes on.

    Attributes:
        pairs: the BPE.
        words: what a word is.
        instead: how some are written.
        lowers: whether words are in lower case.
    """

    pairs: WordPairs
    words: str
    instead: Mapping[str, str]
    lowers: bool

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The pieces of a text."""
        for found in re.finditer(self.words, text):
            word = self.instead.get(found[0], found[0])
            word = word.lower() if self.lowers else word
            first = found.start() if len(word) == len(found[0]) else None
            for start, end in self.pairs.spans(word):
                piece = word[start:end] + ("@@" if end < len(word) else "")
                yield *(found.span() if first is None else (first + start, first + end)), piece


@dataclass
class ChineseWords:
    """Words of a Chinese dictionary that the vocabulary knows; others fall into their characters."""

    known: frozenset[str]

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The pieces of a text.

        Raises:
            MissingExtra: where `rjieba` is not installed.
        """
        from tokenizers import normalizers

        apart = normalizers.BertNormalizer(
            clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
        )
        jieba = need("rjieba", "chinese", "words of Chinese, which RoFormer's vocabulary consists of")
        for word, start, _ in jieba.tokenize(text, hmm=False):
            for piece in [word] if word in self.known else apart.normalize_str(word).split():
                yield start, start + len(piece), piece
                start += len(piece)


# Japanese-BPEEncoder_V2 (tanreinama, MIT licence): what is written otherwise before a text is cut.
_WRITTEN = {
    r" |\u3000": "<SP>",
    r"\r\n|\n|\r": "<BR>",
    r"\t": "<TAB>",
    r"—|−": "ー",
}
_CLOCK = r"(\d{1,2}|:|\d{1,2}時|\d{1,2}分|\([日月火水木金土]\)|[㈰㈪㈫㈬㈭㈮㈯])*"
_UNITS = "|".join(f"{many}{unit}" for unit in ("円", "ドル", "ユーロ") for many in ("千", "万", "千万", ""))
_CLEANED = {
    r"(https?|ftp)(://[-_.!~*'()a-zA-Z0-9;/?:@&=+$,%#]+)": "<URL>",
    r"[A-Za-z0-9._+]*@[-_0-9A-Za-z]+(\.[A-Za-z]+)*": "<EMAIL>",
    r"\(?[0-9]{2,4}[)\-(]?[0-9]{2,4}[)\-]?[0-9]{3,4}": "<TEL>",
    r"([12]\d{3}[/\-年])*(0?[1-9]|1[0-2])[/\-月]((0?[1-9]|[12][0-9]|3[01])日?)*" + _CLOCK: "<DATE>",
    r"(明治|大正|昭和|平成|令和|[㍾㍽㍼㍻\u32ff])\d{1,2}年(0?[1-9]|1[0-2])月(0?[1-9]|[12][0-9]|3[01])日"
    + _CLOCK: "<DATE>",
    r"(?:\d,\d{3}|[\d億])*+(?:\d,\d{3}|[\d万])*+(?:\d,\d{3}|[\d千])*+"
    rf"(?:{_UNITS})+(?:\(税込\)|\(税抜\)|\+tax)*": "<PRICE>",
    r"[─-╿▀-▟]+": "<BLOCK>",
}


@dataclass
class JapaneseWords:
    """Pieces of Japanese: of those of up to three characters that fit, the one with the smallest id.

    Attributes:
        ids: word -> id; several spellings may share one.
        spelt: id -> how the piece is called.
        emoji: what stands for the ones with a token.
        cleans: whether addresses, numbers and dates are written as tokens.
    """

    ids: dict[str, int]
    spelt: list[str]
    emoji: dict[str, str]
    cleans: bool

    def _written(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """A text as it is cut, and the place of each of its characters in the text as it was."""
        places = [(at, at + 1) for at in range(len(text))]
        steps = dict(_WRITTEN)
        steps |= {re.escape(sign): token for sign, token in self.emoji.items() if sign in text}
        for pattern, token in (steps | (_CLEANED if self.cleans else {})).items():
            made, kept, at = [], [], 0
            for found in re.finditer(pattern, text):
                start, end = found.span()
                made += [text[at:start], token]
                kept += places[at:start] + [(places[start][0], places[end - 1][1])] * len(token)
                at = end
            text, places = "".join([*made, text[at:]]), kept + places[at:]
        return text, places

    def _fitting(self, text: str, at: int) -> str:
        """The piece that begins at a place; nothing where none does."""
        far = self._longest + 1 if text[at] == "<" else 3
        fitting = [text[at:end] for end in range(min(at + far, len(text)), at, -1)]
        fitting = [word for word in fitting if word in self.ids]
        tags = (word for word in fitting if word[0] == "<" and len(word) > 2)
        return next(tags, None) or min(fitting, key=self.ids.__getitem__, default="")

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.ids))

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The pieces of a text."""
        text, places = self._written(text)
        at = 0
        while at < len(text):
            word = self._fitting(text, at)
            pieces = [self.spelt[self.ids[word]]] if word else _without_piece(text[at])
            first, at = at, at + max(len(word), 1)
            for piece in pieces:
                yield places[first][0], places[at - 1][1], piece


def _without_piece(sign: str) -> list[str]:
    """The tokens of a character that no piece has: one for signs of a kind, or those of its bytes."""
    data = sign.encode()
    code = int.from_bytes(data, "big")
    signs = ((0xC2A1, 0xC2BF), (0xC780, 0xC783), (0xCAB9, 0xCBBF), (0xCC80, 0xCDA2))
    if len(data) == 2 and any(first <= code <= last for first, last in signs):
        return ["<KIGOU>"]
    if len(data) == 3 and 0xE28080 <= code <= 0xE2B07F:
        return ["<U2000U2BFF>"]
    return [f"<|byte{byte}|>" for byte in data]


def _merges(given: Mapping[str, Any], words: str, instead: Mapping[str, str], lowers: bool) -> MarkedInside:
    pairs = WordPairs(merges_of(given, "a tokenizer of marked pieces"))
    return MarkedInside(pairs, words, instead, lowers)


def _chinese(vocabulary: Vocabulary) -> ChineseWords:
    need("rjieba", "chinese", "words of Chinese, which RoFormer's vocabulary consists of")
    return ChineseWords(frozenset(vocabulary.backend.get_vocab(with_added_tokens=False)))


def _japanese(given: Mapping[str, Any], settings: Mapping[str, Any]) -> JapaneseWords:
    ids, spelt = japanese_vocabulary(Path(given["vocab_file"]))
    emoji = read_json_object(Path(given["emoji_file"]))["emoji"]
    return JapaneseWords(ids, spelt, emoji, bool(settings.get("do_clean_text")))


# A line end belongs to the word before it; in Blenderbot a sign begins a word, and an apostrophe is one.
_WORDS = r"\S+\n?"
_SIGNED_WORDS = r"'|[.,!?()]?[^\s.,!?()']+|[.,!?()]|(?<=\S)\n"
# Kind of a row -> what cuts its texts.
CUTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], Vocabulary], Callable[[str], Pieces]]] = {
    "marked_inside": lambda given, settings, vocabulary: _merges(given, _WORDS, {}, False),
    "marked_lower": lambda given, settings, vocabulary: _merges(
        given, _SIGNED_WORDS, {"\n": "__newln__"}, True
    ),
    "chinese": lambda given, settings, vocabulary: _chinese(vocabulary),
    "japanese": lambda given, settings, vocabulary: _japanese(given, settings),
}


class CutMethods:
    """What a tokenizer has whose texts Python cuts."""

    recipe: ClassVar[Recipe | None]
    init_kwargs: dict[str, Any]
    _vocabulary: Vocabulary
    _given: Mapping[str, Any]
    unk_token: Any

    def _pieces(self) -> Callable[[str], Pieces]:
        """What cuts texts."""
        assert self.recipe is not None
        return CUTS[self.recipe.kind](self._given, self.init_kwargs, self._vocabulary)

    def _begin(self) -> None:
        self._cut_by(self._pieces())

    def _cut_by(self, pieces_of: Callable[[str], Pieces]) -> None:
        vocabulary = self._vocabulary
        segmenter = CutSegmenter.of(vocabulary.backend, str(self.unk_token), pieces_of)
        vocabulary.segmenter, vocabulary.segmenters = segmenter, (segmenter,)


class CutFilesMethods(CutMethods, FilesMethods):
    """Likewise, where no tokenizer.json can say how."""

    def _begin(self) -> None:
        missing = [
            f"{name}= ({file})" for name, file in self.vocab_files_names.items() if name not in self._given
        ]
        if missing:
            raise TypeError(f"{type(self).__name__} needs its files; missing: {', '.join(missing)}")
        self._keep_files()
        super()._begin()
