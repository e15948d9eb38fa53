"""Tokenizers of models that speak: letters or sounds, and a blank between them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formers.core.atomic import write_text
from formers.core.extras import installed, need
from formers.core.notices import notice
from formers.tokenization.cutting import CutMethods
from formers.tokenization.decoder import ids_of
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import EncodeOptions

_ROMANIAN = str.maketrans("ț", "ţ")  # as MMS spells it


@dataclass
class Letters:
    """Every character by itself, with a blank before, between and behind them, where there is one."""

    blank: str | None

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The pieces of a text."""
        for at, letter in enumerate(text):
            if self.blank is not None:
                yield at, at + 1, self.blank
            yield at, at + 1, letter
        if text and self.blank is not None:
            yield len(text) - 1, len(text), self.blank


class SoundingMethods(CutMethods):
    """What tokenizers of models that speak have. Texts are written as they are said; offsets are of that.

    Attributes:
        language: of the texts, an ISO 639-3 code; None where nothing depends on it.
        add_blank: whether token 0 stands between all others.
        normalize: whether texts become small letters, and what the vocabulary lacks is left out.
        phonemize: whether letters become phonemes.
        is_uroman: whether other scripts become Roman letters.
    """

    language: str | None
    add_blank: bool
    normalize: bool
    phonemize: bool
    is_uroman: bool

    def _begin(self: Any) -> None:
        if not {"vocab", "vocab_file"} & set(self._given):
            raise TypeError(
                f"{type(self).__name__} needs vocab_file= (vocab.json): no tokenizer.json says how it cuts"
            )
        options = {**self.recipe.options, **{k: v for k, v in self.init_kwargs.items() if v is not None}}
        for name in self.recipe.options:
            setattr(self, name, options[name])
        self._vocabulary.in_file = False
        super()._begin()

    def _pieces(self: Any) -> Callable[[str], Any]:
        return Letters(self._vocabulary.token_of(0) if self.add_blank else None)

    def _encode(self: Any, text: Any, pair: Any, options: EncodeOptions) -> BatchEncoding:
        found: BatchEncoding = super()._encode(self._said(text), self._said(pair), options)  # type: ignore[misc]  # of the class behind
        return found

    def _said(self, given: Any) -> Any:
        """A text, or each of several, as it is said; what is no text stays, for others to refuse."""
        if isinstance(given, str):
            return self.prepare_for_tokenization(given)[0]
        return [self._said(one) for one in given] if isinstance(given, (list, tuple)) else given

    def prepare_for_tokenization(
        self: Any,
        text: str,
        is_split_into_words: bool = False,
        normalize: bool | None = None,
        **kwargs: Any,
    ) -> tuple[str, Mapping[str, Any]]:
        """Write a text as it is said.

        Args:
            text: the text.
            is_split_into_words: nothing depends on it.
            normalize: as the attribute, where it is None.
            **kwargs: returned.

        Returns:
            The text, and `kwargs`.

        Raises:
            MissingExtra: where phonemes are wanted, and `phonemizer` is not installed.
        """
        tidy = self.normalize if normalize is None else normalize
        said = self.normalize_text(text) if tidy else text
        said = said.translate(_ROMANIAN) if self.language == "ron" else said
        if self.is_uroman and not said.isascii():
            said = _romanized(said)
        if self.phonemize:
            return _phonemes(said), kwargs
        if tidy:
            known = self._known()
            lost = {letter for letter in said if letter not in known and letter.isalnum()}
            if lost:
                notice(
                    f"this tokenizer's vocabulary has no {', '.join(sorted(lost)[:5])}: such letters are "
                    "left out, and not spoken. Spell the text with the letters of the model's language, and "
                    "numbers as words",
                    key="letters that are not spoken",
                )
            said = "".join(letter for letter in said if letter in known).strip()
        return said, kwargs

    def _known(self: Any) -> Mapping[str, int]:
        found: Mapping[str, int] = self._vocabulary.backend.get_vocab(with_added_tokens=False)
        return found

    def normalize_text(self: Any, input_string: str) -> str:
        """A text in small letters, but for what the vocabulary has as it is."""
        known = self._vocabulary.backend.get_vocab(with_added_tokens=True)
        longer = sorted((word for word in known if word), key=lambda word: known[word])
        pattern = re.compile("|".join(map(re.escape, longer)) or r"(?!)")
        parts, at = [], 0
        for found in pattern.finditer(input_string):
            parts += [_small(input_string[at : found.start()]), found[0]]
            at = found.end()
        return "".join([*parts, _small(input_string[at:])])

    def decode(
        self: Any,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Ids to a text, or several, without the blanks.

        Args:
            token_ids: an int, or [T]; [B, T] gives several.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; the setting where None.
            **kwargs: none are known.

        Returns:
            A string; a list of them for a batch.
        """
        if kwargs:
            raise TypeError(f"decode() takes no {', '.join(kwargs)}")
        ids = ids_of(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if ids and isinstance(ids[0], (list, tuple)):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        tokens = self.convert_ids_to_tokens(ids)
        tokens = tokens[1::2] if self.add_blank and len(tokens) > 1 else tokens
        out = set(self.all_special_tokens) if skip_special_tokens else set()
        text = "".join(token for token in tokens if token not in out)
        cleans = clean_up_tokenization_spaces
        cleans = self.clean_up_tokenization_spaces if cleans is None else cleans
        return self.clean_up_tokenization(text) if cleans else text

    def batch_decode(self: Any, sequences: Any, *args: Any, **options: Any) -> list[str]:
        """`decode` of several, [B, T]."""
        return [self.decode(row, *args, **options) for row in ids_of(sequences)]

    def save_vocabulary(
        self: Any, save_directory: Any, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write `vocab.json`."""
        text = json.dumps(self._known(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        name = f"{filename_prefix}-vocab.json" if filename_prefix else "vocab.json"
        return (str(write_text(Path(save_directory) / name, text)),)


def _small(text: str) -> str:
    return "".join(letter.lower() for letter in text)  # each by itself: a sigma ends no word


def _romanized(text: str) -> str:
    """A text in Roman letters, where `uroman` is there."""
    if not installed("uroman"):
        notice(
            "this language is spoken by its Roman letters, but `uroman` is not installed, and other letters "
            "are left out: pip install 'formers[speech]', or write the text in Roman letters",
            key="texts that are not romanized",
        )
        return text
    found: str = need("uroman", "speech").Uroman().romanize_string(text)
    return found


def _phonemes(text: str) -> str:
    """The phonemes of an English text."""
    tool = need("phonemizer", "speech", "the phonemes that this model speaks")
    options = {"strip": True, "preserve_punctuation": True, "with_stress": True}
    return re.sub(r"\s+", " ", tool.phonemize(text, language="en-us", backend="espeak", **options))
