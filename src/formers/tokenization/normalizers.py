"""Texts as they are compared when speech recognition is judged (Radford et al. 2022, appendix C)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache

_PLAIN = "oe OE o O ae AE ss SS d D d D th th l L"
_LETTERS = dict(zip("œŒøØæÆßẞđĐðÐþÞłŁ", _PLAIN.split(), strict=True))
_UNSAID = ((r"[<\[][^>\]]*[>\]]", ""), (r"\(([^)]+?)\)", ""))  # what stands in brackets


def without_symbols(text: str) -> str:
    """Marks, symbols and punctuation as spaces."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(" " if unicodedata.category(one)[0] in "MSP" else one for one in plain)


def without_diacritics(text: str, keep: str = "") -> str:
    """Likewise, and letters without what stands above or in them; characters of `keep` stay."""

    def plain(one: str) -> str:
        if one in keep:
            return one
        kind = unicodedata.category(one)
        return _LETTERS.get(one, "" if kind == "Mn" else " " if kind[0] in "MSP" else one)

    return "".join(map(plain, unicodedata.normalize("NFKD", text)))


def _replaced(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, by in rules:
        text = re.sub(pattern, by, text)
    return text


class BasicTextNormalizer:
    """Lower case without symbols, for texts in any language.

    Args:
        remove_diacritics: write letters without accents.
        split_letters: a space between all letters, for languages that put none between words.
    """

    def __init__(self, remove_diacritics: bool = False, split_letters: bool = False) -> None:
        self.clean = without_diacritics if remove_diacritics else without_symbols
        self.split_letters = split_letters

    def __call__(self, s: str) -> str:
        """The text as it is compared."""
        text = self.clean(_replaced(s.lower(), _UNSAID)).lower()
        if self.split_letters:
            text = " ".join(_graphemes(text))
        return re.sub(r"\s+", " ", text)


def _graphemes(text: str) -> list[str]:
    """Letters with the marks that belong to them."""
    found: list[str] = []
    for one in text:
        if found and unicodedata.category(one)[0] == "M":
            found[-1] += one
        else:
            found.append(one)
    return found


_ONES = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_THOUSANDS = """
thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion
"""
_SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
_COINS = {"pound": "£", "euro": "€", "dollar": "$", "cent": "¢"}
_NUMBER = re.compile(r"\d+(\.\d+)?")
Words = dict[str, tuple[int, str]]


@cache
def _table() -> tuple[set[str], Words, Words, Words]:
    """Words of zero; of ones, of tens and of multipliers with their endings: (value, ending)."""
    ones: Words = {name: (i, "") for i, name in enumerate(_ONES.split(), 1)}
    ones |= {"sixes" if name == "six" else f"{name}s": (i, "s") for i, name in enumerate(_ONES.split(), 1)}
    ones |= {"zeroth": (0, "th"), "first": (1, "st"), "second": (2, "nd"), "third": (3, "rd")}
    ones |= {"fifth": (5, "th"), "twelfth": (12, "th")}
    ones |= {
        f"{name}{'h' if name.endswith('t') else 'th'}": (i, "th")
        for i, name in enumerate(_ONES.split(), 1)
        if i > 3 and i not in (5, 12)
    }
    tens: Words = {}
    for i, name in enumerate(_TENS.split(), 2):
        stem = name[:-1]
        tens |= {name: (10 * i, ""), f"{stem}ies": (10 * i, "s"), f"{stem}ieth": (10 * i, "th")}
    powers = {"hundred": 100, **{name: 1000**i for i, name in enumerate(_THOUSANDS.split(), 1)}}
    times: Words = {f"{name}{end}": (i, end) for name, i in powers.items() for end in ("", "s", "th")}
    return {"o", "oh", "zero"}, ones, tens, times


class _Numbers:
    """Writes the numbers among words in digits; see `numbers_written`."""

    def __init__(self) -> None:
        self.zeros, self.ones, self.tens, self.times = _table()
        self.coins = {f"{name}{end}": sign for name, sign in _COINS.items() for end in ("", "s")}
        plain = (name for words in (self.ones, self.tens) for name, (_, end) in words.items() if not end)
        self.decimals = {*plain, *self.zeros}
        self.words = {*self.zeros, *self.ones, *self.tens, *self.times, *_SIGNS, *self.coins}
        self.words |= {"per", "percent", "and", "double", "triple", "point"}
        self.sign, self.value = "", None  # type: str, int | str | None

    def out(self, text: int | str) -> str:
        """Write what was gathered."""
        written = f"{self.sign}{text}"
        self.sign, self.value = "", None
        return written

    def flush(self, *then: str) -> Iterator[str]:
        """The number so far, where there is one, and words behind it."""
        if self.value is not None:
            yield self.out(self.value)
        for word in then:
            yield self.out(word)

    def numeric(self, word: str | None) -> bool:
        """Whether a word is, or may belong to, a number."""
        return word is not None and (word in self.words or _NUMBER.fullmatch(word) is not None)

    def write(self, words: list[str]) -> Iterator[str]:
        """All words, numbers in digits."""
        skip = False
        for i, word in enumerate(words):
            before = words[i - 1] if i else None
            behind = words[i + 1] if i + 1 < len(words) else None
            if skip:
                skip = False
                continue
            bare = word[1:] if word[0] in "-+£€$¢" else word
            if _NUMBER.fullmatch(bare):
                yield from self.digits(word, bare)
            elif word not in self.words:
                yield from self.flush(word)
            elif word in self.zeros:
                self.value = f"{self.value or ''}0"
            elif word in self.ones or word in self.tens:
                yield from self.small(word, before)
            elif word in self.times:
                yield from self.multiplied(*self.times[word])
            elif word in _SIGNS:
                yield from self.flush(*(() if self.numeric(behind) else (word,)))
                self.sign = _SIGNS[word] if self.numeric(behind) else self.sign
            elif word in self.coins:
                if self.value is not None:
                    self.sign = self.coins[word]
                    yield self.out(self.value)
                else:
                    yield self.out(word)
            elif word in ("per", "percent"):
                skip = word == "per" and behind == "cent" and self.value is not None
                if self.value is not None and (skip or word == "percent"):
                    yield self.out(f"{self.value}%")
                else:
                    yield from self.flush(word)
            else:
                skip = word in ("double", "triple") and (behind in self.zeros or self.is_one(behind))
                yield from self.special(word, before, behind)
        yield from self.flush()

    def is_one(self, word: str | None) -> bool:
        """Whether a word is one of one to nineteen, without an ending."""
        return not self.ones.get(word or "", (0, "no"))[1]

    def digits(self, word: str, bare: str) -> Iterator[str]:
        """A number in digits already."""
        if isinstance(self.value, str) and self.value.endswith("."):
            self.value += word
            return
        yield from self.flush()
        self.sign = word[0] if bare != word else self.sign
        exact = Fraction(bare)
        self.value = exact.numerator if exact.denominator == 1 else bare

    def small(self, word: str, before: str | None) -> Iterator[str]:
        """A word of ones or tens."""
        (number, end), value = (self.ones.get(word) or self.tens[word]), self.value
        ends_in_tens = before is not None and not self.tens.get(before, (0, "no"))[1]
        if value is None:
            self.value = number
        elif isinstance(value, str) or (word in self.ones and self.is_one(before)):
            fills = word in self.ones and ends_in_tens and number < 10
            self.value = f"{str(value)[:-1] if fills else value}{number}"
        else:
            fits = value % (10 if word in self.ones and number < 10 else 100) == 0
            self.value = value + number if fits else f"{value}{number}"
        if end:
            yield self.out(f"{self.value}{end}")

    def multiplied(self, power: int, end: str) -> Iterator[str]:
        """Hundreds, thousands and so on."""
        value = self.value
        if value is None:
            self.value = power
        elif isinstance(value, str) or value == 0:
            try:
                exact = Fraction(value) * power
            except ValueError:
                exact = Fraction(1, 2)  # no number: it stands by itself
            if exact.denominator == 1:
                self.value = exact.numerator
            else:
                yield self.out(value)
                self.value = power
        else:
            self.value = value // 1000 * 1000 + value % 1000 * power
        if end:
            yield self.out(f"{self.value}{end}")

    def special(self, word: str, before: str | None, behind: str | None) -> Iterator[str]:
        """Words that count only where a number follows."""
        if not self.numeric(behind):
            yield from self.flush(word)
        elif word == "and":
            if self.times.get(before or "", (0, "no"))[1]:
                yield from self.flush(word)
        elif word == "point":
            if behind in self.decimals or _NUMBER.fullmatch(behind or ""):
                self.value = f"{self.value or ''}."
        elif behind in self.zeros or self.is_one(behind):
            digit = str(self.ones.get(behind or "", (0, ""))[0])
            self.value = f"{self.value or ''}{digit * (2 if word == 'double' else 3)}"
        else:
            yield from self.flush(word)


def numbers_written(text: str) -> str:
    """An English text with its spoken numbers in digits, also ordinals, amounts of money and percentages."""
    parts = re.split(r"\band\s+a\s+half\b", text)
    joined: list[str] = []
    tables = _Numbers()
    plain = {name for name, (_, end) in tables.times.items() if not end}
    for i, part in enumerate(parts):
        if not part.strip():
            continue
        joined.append(part)
        if i < len(parts) - 1:
            counts = part.rsplit(maxsplit=2)[-1] in tables.decimals | plain
            joined.append("point five" if counts else "and a half")
    edges = ((r"([a-z])([0-9])", r"\1 \2"), (r"([0-9])([a-z])", r"\1 \2"))
    text = _replaced(" ".join(joined), (*edges, (r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2")))
    text = " ".join(tables.write(text.split()))
    text = re.sub(
        r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b", lambda m: f"{m[1]}{m[2]}.{int(m[3]):02d}", text
    )
    text = re.sub(r"[€£$]0.([0-9]{1,2})\b", lambda m: f"¢{int(m[1])}", text)
    return re.sub(r"\b1(s?)\b", r"one\1", text)


# As they are spoken, at the edges of a word; titles leave a space behind.
_SPOKEN = """
won't|will not can't|can not let's|let us ain't|aint y'all|you all wanna|want to gotta|got to gonna|going to
i'ma|i am going to imma|i am going to woulda|would have coulda|could have shoulda|should have ma'am|madam
"""
_TITLES = """
mr mister mrs missus st saint dr doctor prof professor capt captain gov governor ald alderman gen general sen
senator rep representative pres president rev reverend hon honorable asst assistant assoc associate lt
lieutenant col colonel jr junior sr senior esq esquire
"""
_ENDINGS = (
    *(("'d been", "had been"), ("'s been", "has been"), ("'d gone", "had gone"), ("'s gone", "has gone")),
    *(("'d done", "had done"), ("'s got", "has got"), ("n't", "not"), ("'re", "are"), ("'s", "is")),
    *(("'d", "would"), ("'ll", "will"), ("'t", "not"), ("'ve", "have"), ("'m", "am")),
)


@cache
def _english() -> tuple[tuple[str, str], ...]:
    spoken = re.findall(r"(\S+)\|((?:[^|\s]+\s)+?)(?=\S+\||$)", _SPOKEN.strip() + "\n")
    titles = _TITLES.split()
    return (
        *_UNSAID,
        (r"\b(hmm|mm|mhm|mmm|uh|um)\b", ""),
        (r"\s+'", "'"),
        *((rf"\b{short}\b", long.strip()) for short, long in spoken),
        *((rf"\b{short}\b", f"{long} ") for short, long in zip(titles[::2], titles[1::2], strict=True)),
        *((rf"{short}\b", f" {long}") for short, long in _ENDINGS),
        (r"(\d),(\d)", r"\1\2"),
        (r"\.([^0-9]|$)", r" \1"),
    )


class EnglishTextNormalizer:
    """Lower case without symbols, contractions written out, numbers in digits, one spelling of each word.

    Args:
        english_spelling_mapping: British spellings -> American ones, as `normalizer.json` has them.
    """

    def __init__(self, english_spelling_mapping: Mapping[str, str] | None = None) -> None:
        self.spellings = english_spelling_mapping or {}

    def __call__(self, s: str) -> str:
        """The text as it is compared."""
        text = without_diacritics(_replaced(s.lower(), _english()), keep=".%$¢€£")
        text = numbers_written(text)
        text = " ".join(self.spellings.get(word, word) for word in text.split())
        lone = ((r"[.$¢€£]([^0-9])", r" \1"), (r"([^0-9])%", r"\1 "), (r"\s+", " "))
        return _replaced(text, lone)
