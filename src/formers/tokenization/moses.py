"""Texts cut into words as the Moses scripts did, and those into pieces by BPE."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from formers.core.extras import need
from formers.core.notices import did_you_mean
from formers.tokenization.cutting import CutFilesMethods, CutSegmenter, WordPairs
from formers.tokenization.decoder import Decoder
from formers.tokenization.reading import merges_of
from formers.tokenization.segmenting import TwoFilesMethods
from formers.tokenization.vocabulary import Vocabulary

# A text -> its words.
Finder: TypeAlias = Callable[[str], Iterable[str]]
# What stands for one character of a text where dashes are cut out and signs escaped.
_ESCAPED = re.compile(r"&#?\w+;|@-@|[\s\S]")
# How many characters behind the last word one may stand: so many may have been left out between them.
_SLACK = 3
# So many words are remembered with their pieces.
_KEPT = 20_000
# Romanian as xlm-mlm-enro-1024 reads it (Sennrich's WMT16 scripts): without its own letters.
_ROMANIAN = str.maketrans("ŞşŢţȘșȚțĂăÂâÎî", "SsTtSsTtAaAaIi")


class Manner(NamedTuple):
    """How a class finds words.

    Attributes:
        lang: the language, where a class has one alone.
        normalises: whether punctuation is written in one way, and signs that do not print are left out.
        composes: whether accents are composed before, and doubled quotes are written as one.
        escapes: whether dashes inside words are cut out, and signs of XML escaped; decoding turns it back.
        several: whether some languages have ways of their own; words lose case and accents where a setting
            says so.
        lowers: the setting that says whether texts are in lower case before.
    """

    lang: str | None = None
    normalises: bool = True
    composes: bool = False
    escapes: bool = False
    several: bool = False
    lowers: str = ""


# Kind of a row -> its manner.
MANNERS = {
    "moses": Manner(several=True),
    "french": Manner("fr", composes=True, lowers="do_lowercase"),
    "escaped": Manner("en", normalises=False, escapes=True),
    "escaped_pair": Manner(escapes=True, lowers="do_lower_case"),
}


def _moses(part: str, lang: str, **options: Any) -> Any:
    found = need("sacremoses", "moses", "words as the Moses scripts find them, which this vocabulary has")
    return getattr(found, f"Moses{part}")(lang=lang, **options)


def _plain(part: str) -> str:
    return "-" if part == "@-@" else html.unescape(part)


def _bare(text: str) -> str:
    if text.isascii():
        return text.lower()
    signs = unicodedata.normalize("NFD", text.lower())
    return "".join(sign for sign in signs if unicodedata.category(sign) != "Mn").lower()


def _thai() -> Finder:
    return need("pythainlp.tokenize", "thai", "words of Thai").word_tokenize  # type: ignore[no-any-return]  # a module's


def _japanese() -> Finder:
    kytea = need("Mykytea", "japanese", "words of Japanese")
    model = Path.home() / "local/share/kytea/model.bin"
    if not model.is_file():
        raise FileNotFoundError(f"KyTea's model is needed for words of Japanese: put it under {model}")
    return kytea.Mykytea(f"-model {model}").getWS  # type: ignore[no-any-return]  # a module's


def _chinese() -> Finder:
    return need("rjieba", "chinese", "words of Chinese").cut  # type: ignore[no-any-return]  # a module's


# What finds the words of a language in a way of its own.
_WAYS = {"th": _thai, "ja": _japanese, "zh": _chinese}


@dataclass
class MosesWords:
    """BPE of words, the last piece of each marked with `</w>`.

    Attributes:
        pairs: the BPE.
        lang: the language.
        manner: how words are found.
        lowers: whether texts are in lower case before.
        bares: whether words are in lower case and without accents after.
    """

    pairs: WordPairs
    lang: str
    manner: Manner
    lowers: bool
    bares: bool

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    @cached_property
    def _normaliser(self) -> Any:
        return _moses("PunctNormalizer", self.lang)

    @cached_property
    def _finder(self) -> Finder:
        if self.manner.several and self.lang in _WAYS:
            return _WAYS[self.lang]()
        options = {"aggressive_dash_splits": self.manner.escapes, "escape": self.manner.escapes}
        return partial(_moses("Tokenizer", self.lang).tokenize, return_str=False, **options)

    def check(self) -> None:
        """See that all is installed that finds words.

        Raises:
            MissingExtra: naming what is not.
        """
        _ = self._normaliser, self._finder

    @cached_property
    def _folds(self) -> dict[str, str]:
        return {}

    @cached_property
    def _pieces(self) -> dict[str, list[tuple[int, int, str]]]:
        return {}

    def _normal(self, text: str) -> str:
        if self.manner.normalises:
            text = text if text.isascii() else self._normaliser.replace_unicode_punct(text)
            text = self._normaliser.normalize(text)
        if text.isprintable():
            return text
        return "".join(sign for sign in text if unicodedata.category(sign)[0] != "C")

    def words(self, text: str) -> list[str]:
        """The words of a text, as they are written in the vocabulary."""
        if self.manner.composes:
            text = unicodedata.normalize("NFC", text.replace("``", '"').replace("''", '"'))
        words = self._found(text.lower() if self.lowers else text)
        if self.bares:
            words = _bare(" ".join(words)).split(" ")
        return [word for word in words if word]

    def _found(self, text: str) -> list[str]:
        if self.manner.several and self.lang == "zh":
            return self._normal(" ".join(self._finder(text))).split()
        if self.manner.normalises:
            text = self._normal(text)
        if self.manner.several and self.lang == "ro":
            text = text.translate(_ROMANIAN)
        return list(self._finder(text))

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The pieces of a text; those of a word that is written otherwise stand where all of it does."""
        words = self.words(text)
        places: Iterable[Any] = self._literally(text, words) or self._spans(text, words)
        for word, place in zip(words, places, strict=True):
            for first, last, piece in self._cut(word):
                if isinstance(place, int):
                    yield place + first, place + last, piece
                else:
                    yield place[first][0], place[last - 1][1], piece

    def _cut(self, word: str) -> list[tuple[int, int, str]]:
        """First character, the one behind the last, and spelling of each piece of a word."""
        found = self._pieces.get(word)
        if found is None:
            spans = self.pairs.spans(word)
            found = [(at, to, word[at:to] + ("</w>" if to == len(word) else "")) for at, to in spans]
            if len(self._pieces) >= _KEPT:
                self._pieces.clear()
            self._pieces[word] = found
        return found

    def _literally(self, text: str, words: list[str]) -> list[Any]:
        """Where words begin in a text that has nothing else but spaces and case; nothing for other texts.

        Words that are escaped say where each of their characters stands.
        """
        lower = text.lower() if self.lowers or self.bares else text
        if len(lower) != len(text):
            return []
        at, places = 0, list[Any]()
        for word in words:
            while lower[at : at + 1].isspace():
                at += 1
            places.append(at)
            if self.manner.escapes and ("&" in word or word == "@-@"):
                parts = _ESCAPED.findall(word)
                word = "".join(map(_plain, parts))
                places[-1] = [(at + k, at + k + 1) for k, part in enumerate(parts) for _ in part]
            if not lower.startswith(word, at):
                return []
            at += len(word)
        return places

    def _folded(self, text: str) -> tuple[str, list[int]]:
        """A text without case, accents, spaces and kinds of quotes, and where each character came from."""
        signs: list[str] = []
        for sign in text:
            if sign not in self._folds:
                bare = _bare(self._normal(sign))
                self._folds[sign] = "".join(one for one in bare if unicodedata.category(one)[0] not in "MZC")
            signs.append(self._folds[sign])
        return "".join(signs), [at for at, sign in enumerate(signs) for _ in sign]

    def _spans(self, text: str, words: list[str]) -> Iterator[list[tuple[int, int]]]:
        """For each word, where its characters stand in the text.

        Words are looked for one after another; what lies between those that are found is shared out to those
        that are not.
        """
        signs, owners = self._folded(text)
        at, passed, places = 0, 0, []
        for word in words:
            parts = [found.span() for found in _ESCAPED.finditer(word)] if self.manner.escapes else None
            plain = word if parts is None else "".join(_plain(word[first:last]) for first, last in parts)
            folded, own = self._folded(plain)
            start = signs.find(folded, at, at + passed + len(folded) + _SLACK) if folded else -1
            places.append((start, own, parts or [(index, index + 1) for index in range(len(word))]))
            at, passed = (at, passed + len(folded)) if start < 0 else (start + len(folded), 0)
        begin, index = 0, 0
        for (start, own, parts), run in zip(places, _runs(places), strict=True):
            if start >= 0:
                begin, index = start + len(own), 0
                spans = _each(owners[start:begin], own, len(parts))
            else:
                count, end = run
                end = len(signs) if end < 0 else end
                first, last = (begin + (end - begin) * (index + one) // count for one in (0, 1))
                covered = owners[first:last] or owners[max(first - 1, 0) : first + 1] or [0, len(text) - 1]
                spans, index = [(covered[0], covered[-1] + 1)] * len(parts), index + 1
            yield [span for (first, last), span in zip(parts, spans, strict=True) for _ in range(first, last)]


def _runs(places: list[tuple[int, list[int], Any]]) -> Iterator[tuple[int, int]]:
    """For each word, how many there are in its run of words not found, and where the next one is."""
    for missing, group in groupby(range(len(places)), lambda index: places[index][0] < 0):
        run = list(group)
        after = places[run[-1] + 1][0] if missing and run[-1] + 1 < len(places) else -1
        yield from repeat((len(run), after), len(run))


def _each(places: list[int], own: list[int], length: int) -> list[tuple[int, int]]:
    """Where each character of a word stands, given that of those that have not been folded away."""
    known: dict[int, tuple[int, int]] = {}
    for place, index in zip(places, own, strict=True):
        known[index] = (known.get(index, (place,))[0], place + 1)
    found, last = [], (places[0], places[0] + 1)
    for index in range(length):
        last = known.get(index, last)
        found.append(last)
    return found


@dataclass
class Detokenizer:
    """Joins words to a text of a language."""

    lang: str

    @cached_property
    def _joins(self) -> Any:
        return _moses("Detokenizer", self.lang).detokenize

    def __getstate__(self) -> dict[str, Any]:
        return {"lang": self.lang}

    def __call__(self, text: str) -> str:
        """The text of words between which spaces stand."""
        return str(self._joins(text.split()))


class MosesMethods(CutFilesMethods):
    """What a tokenizer has whose texts are cut as the Moses scripts did.

    Attributes:
        lang: the language of texts; can be set where the class has several.
        lang2id: language -> its number, as the model takes it; `id2lang` the other way.
    """

    _decoder: Decoder
    _lang: str
    _pairs: WordPairs | None
    lang2id: Mapping[str, int] | None
    id2lang: Mapping[Any, str] | None

    @property
    def _manner(self) -> Manner:
        assert self.recipe is not None
        return MANNERS[self.recipe.kind]

    @property
    def lang(self) -> str:
        """The language of texts."""
        return self._lang

    @lang.setter
    def lang(self, value: str) -> None:
        self._check(value)
        self._cut_by(self._words_of(value))
        self._lang = self.init_kwargs["lang"] = value

    def _check(self, lang: str) -> None:
        if not self._manner.several and lang != self._usual_lang():
            raise ValueError(f"{type(self).__name__} reads texts of {self._lang!r} alone, not of {lang!r}")
        if self.lang2id and lang not in self.lang2id:
            raise ValueError(
                f"{lang!r} is no language of this tokenizer{did_you_mean(lang, self.lang2id)}; it knows "
                f"{', '.join(self.lang2id)}"
            )

    def _begin(self) -> None:
        settings = self.init_kwargs
        self.lang2id, self.id2lang = settings.get("lang2id"), settings.get("id2lang")
        if self.lang2id and self.id2lang and len(self.lang2id) != len(self.id2lang):
            raise ValueError(
                f"lang2id has {len(self.lang2id)} languages, id2lang {len(self.id2lang)}: each must have the "
                "languages of the other"
            )
        self._lang = self._usual_lang()
        if self._manner.several and settings.get("lang"):
            self._check(settings["lang"])
            self._lang = settings["lang"]
        self._pairs = None
        super()._begin()
        if self._manner.escapes:
            self._decoder = Decoder(self._vocabulary, Detokenizer(self._lang))

    def _usual_lang(self) -> str:
        return self._manner.lang or "en"

    def _pieces(self) -> MosesWords:
        return self._words_of(self._lang)

    def _words_of(self, lang: str) -> MosesWords:
        if self._pairs is None:
            self._pairs = WordPairs(merges_of(self._given, type(self).__name__))
        manner, settings = self._manner, self.init_kwargs
        lowers = bool(manner.lowers and settings.get(manner.lowers))
        bares = bool(manner.several and settings.get("do_lowercase_and_remove_accent", True))
        words = MosesWords(self._pairs, lang, manner, lowers, bares)
        words.check()
        return words


class TwoVocabulariesMethods(MosesMethods, TwoFilesMethods):
    """Likewise of a translator whose texts and targets have ids of their own.

    Attributes:
        langs: the languages of texts and of targets, also as `src_lang` and `tgt_lang`.
    """

    langs: tuple[str, str]

    @property
    def src_lang(self) -> str:
        """The language of texts."""
        return self.langs[0]

    @property
    def tgt_lang(self) -> str:
        """The language of targets."""
        return self.langs[1]

    def _usual_lang(self) -> str:
        return self.src_lang

    def _begin(self) -> None:
        langs = self.init_kwargs.get("langs")
        if not isinstance(langs, (list, tuple)) or len(langs) != 2:
            raise ValueError(
                f"langs says from which language into which is translated, as in ['en', 'ru'], not {langs!r}"
            )
        self.langs = (str(langs[0]), str(langs[1]))
        super()._begin()
        from formers.tokenization import builders

        assert self.recipe is not None
        named = {"src_vocab_file": self._given["tgt_vocab_file"]}
        targets = builders.build(self.recipe, named, self.init_kwargs, type(self).__name__)
        targets.add_special_tokens([token.content for token in self._vocabulary.added().values()])
        words = self._words_of(self.tgt_lang)
        segmenter = CutSegmenter.of(targets, str(self.unk_token), words)
        self._vocabulary.segmenters += (segmenter,)
        self._target_decoder = Decoder(Vocabulary(targets), Detokenizer(self.tgt_lang))

    @property
    def src_vocab_size(self) -> int:
        """Size of the vocabulary of texts, without added tokens."""
        return int(self._vocabulary.backend.get_vocab_size(with_added_tokens=False))

    @property
    def tgt_vocab_size(self) -> int:
        """Likewise of targets."""
        return int(self._target_decoder.vocabulary.backend.get_vocab_size(with_added_tokens=False))

    def get_src_vocab(self) -> dict[str, int]:
        """Every token of texts, added ones included, with its id."""
        return dict(self._vocabulary.backend.get_vocab(with_added_tokens=True))

    def get_tgt_vocab(self) -> dict[str, int]:
        """Likewise of targets."""
        return dict(self._target_decoder.vocabulary.backend.get_vocab(with_added_tokens=True))

    def _written(self) -> Vocabulary:
        return self._target_decoder.vocabulary
