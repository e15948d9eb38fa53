"""Tokenizers of models that speak English letter by letter: numbers are written as they are said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import EncodeOptions
from formers.tokenization.segmenting import FilesMethods

_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen
"""
_MANY = "twenty thirty forty fifty sixty seventy eighty ninety"
_GROUPS = """
thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion
"""
_SMALL, _TENS, _LARGE = _WORDS.split(), _MANY.split(), ["", *_GROUPS.split()]
_COINS = {
    **{"$": "dollars", "€": "euros", "£": "pounds", "¢": "cents", "¥": "japanese yen", "﷼": "saudi riyal"},
    **{"₹": "indian rupees", "₽": "russian rubles", "฿": "thai baht", "₺": "turkish liras"},
    **{"₴": "ukrainian hryvnia", "₣": "swiss francs", "₡": "costa rican colon", "₱": "philippine peso"},
    **{"₪": "israeli shekels", "₮": "mongolian tögrög", "₩": "south korean won", "₦": "nigerian naira"},
    "₫": "vietnamese Đồng",
}
_NUMBER = re.compile(
    rf"(?<!\w)(?P<minus>-?)(?P<coin>[{''.join(map(re.escape, _COINS))}]?)"
    r"(?P<whole>\d+)(?:\.(?P<part>\d{1,2}))?(?P<share>%?)(?!\w)"
)


def _below_thousand(number: int) -> str:
    """From 1 to 999, in words."""
    hundreds, rest = divmod(number, 100)
    words = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    words += ["and"] if hundreds and rest else []
    tens, ones = divmod(rest, 10)
    if 0 < rest < 20:
        words.append(_SMALL[rest])
    elif rest:
        words += [_TENS[tens - 2], *([_SMALL[ones]] if ones else [])]
    return " ".join(words)


def _in_words(digits: str) -> str:
    """A whole number in words; nothing for zero, and digit by digit where it has no name."""
    number = int(digits)
    if number >= 1000 ** len(_LARGE):
        return " ".join(_SMALL[int(digit)] for digit in digits)
    words: list[str] = []
    for name in _LARGE:
        number, group = divmod(number, 1000)
        if group:
            words.insert(0, f"{_below_thousand(group)} {name}".strip())
    return " ".join(words)


def _said(found: re.Match[str]) -> str:
    part = found["part"]
    words = _in_words(found["whole"])
    if part is not None and part != "00":
        words += " point " + " ".join(_SMALL[int(digit)] for digit in part)
    words = f"minus {words}" if found["minus"] else words
    words = f"{words} percent" if found["share"] else words
    return f"{words} {_COINS[found['coin']]}" if found["coin"] else words


class EnglishNumberNormalizer:
    """Numbers, percentages and amounts of money as words. A zero before the point is not said."""

    def __call__(self, text: str) -> str:
        """The text as it is read out."""
        text = re.sub(r"\d+,\d+", lambda found: found[0].replace(",", ""), text)
        return re.sub(" +", " ", _NUMBER.sub(_said, text))


class SpokenPieceMethods(FilesMethods):
    """What SpeechT5's tokenizer has. Others read the file that it was read from, and no tokenizer.json.

    Attributes:
        normalize: whether numbers are written as words.
        normalizer: what does that.
    """

    init_kwargs: dict[str, Any]
    normalize: bool

    def _begin(self) -> None:
        self.normalize = bool(self.init_kwargs.get("normalize"))
        self.normalizer = EnglishNumberNormalizer()
        if "vocab_file" in self._given:
            self._keep_files()

    def prepare_for_tokenization(
        self, text: str, is_split_into_words: bool = False, **kwargs: Any
    ) -> tuple[str, Mapping[str, Any]]:
        """Write a text as it is said.

        Args:
            text: the text.
            is_split_into_words: it is a word of several, and a space stands before it.
            **kwargs: `normalize`, as the attribute; others are returned.

        Returns:
            The text, and `kwargs` without that.
        """
        wanted = kwargs.pop("normalize", self.normalize)
        text = f" {text}" if is_split_into_words else text
        return (self.normalizer(text) if wanted else text), kwargs

    def _encode(self, text: Any, pair: Any, options: EncodeOptions) -> BatchEncoding:
        found: BatchEncoding = super()._encode(self._spoken(text), self._spoken(pair), options)  # type: ignore[misc]  # of the class behind
        return found

    def _spoken(self, given: Any) -> Any:
        """A text, or each of several, as it is said; what is no text stays, for others to refuse."""
        if not self.normalize:
            return given
        if isinstance(given, str):
            return self.prepare_for_tokenization(given)[0]
        return [self._spoken(one) for one in given] if isinstance(given, (list, tuple)) else given
