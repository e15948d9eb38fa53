"""Tokenizers of models that spell speech, moment by moment: letters, and a blank between them (CTC)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json_object
from formers.tokenization.decoder import check_ids, ids_of
from formers.tokenization.pieces import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Offsets = list[dict[str, Any]]
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def spelling(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Every character is a token, and words end with one of their own (vocab.json)."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers

    vocab = _read(given, where)
    nested = any(isinstance(value, Mapping) for value in vocab.values())
    if nested and every["target_lang"] not in vocab:
        raise ValueError(f"{where}: target_lang= chooses one of the languages {', '.join(vocab)}")
    own_vocab = vocab[every["target_lang"]] if nested else vocab
    vocab = {str(token): int(index) for token, index in own_vocab.items()}
    backend = Tokenizer(models.BPE(vocab, [], unk_token=every["unk_token"]))
    steps: list[Any] = [normalizers.Replace(" ", every["word_delimiter_token"])]
    if every["do_lower_case"]:  # the letters of the vocabulary are large
        large = [t for t in vocab if len(t) == 1 and len(t.lower()) == 1 and t.lower() != t]
        steps += [normalizers.Replace(letter.lower(), letter) for letter in large]
    backend.normalizer = normalizers.Sequence(steps)
    own = {every[name] for name in SPECIAL}
    for token in sorted(vocab.keys() | own, key=lambda token: vocab.get(token, len(vocab))):
        if len(token) > 1:
            added = AddedToken(token, lstrip=True, rstrip=True, normalized=False, special=token in own)
            (backend.add_special_tokens if token in own else backend.add_tokens)([added])
    return backend


def _read(given: dict[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] | None = given.get("vocab")
    if found is None:
        if "vocab_file" not in given:
            raise TypeError(f"{where}() needs vocab_file= (vocab.json) or vocab=")
        found = read_json_object(Path(given["vocab_file"]))
    return found


def sounding(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Every character is a token, of models that speak (vocab.json)."""
    from tokenizers import AddedToken, Tokenizer, models

    ids = {str(token): int(index) for token, index in _read(given, where).items()}
    unknown, pad = str(every["unk_token"]), str(every["pad_token"])
    for token in (unknown, pad):
        ids.setdefault(token, len(ids))
    backend = Tokenizer(models.WordLevel(ids, unk_token=unknown))
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (pad, unknown)])
    return backend


class SpellingMethods:
    """What tokenizers of letters have.

    Attributes:
        word_delimiter_token: what ends a word; `replace_word_delimiter_char` is written for it.
        do_lower_case: texts are written small.
    """

    word_delimiter_token: str
    replace_word_delimiter_char: str
    do_lower_case: bool

    def _begin(self: Any) -> None:
        options = {**self.recipe.options, **{k: v for k, v in self.init_kwargs.items() if v is not None}}
        for name in ("word_delimiter_token", "replace_word_delimiter_char", "do_lower_case", "target_lang"):
            setattr(self, name, options[name])
        file = self._given.get("vocab_file")
        held = self._given.get("vocab") or (read_json_object(Path(file)) if file else {})
        nested = any(isinstance(value, Mapping) for value in held.values())
        self._languages: dict[str, Any] = dict(held) if nested else {}

    def set_target_lang(self: Any, target_lang: str) -> None:
        """Read and write by the letters of another language, where `vocab.json` has those of several (MMS).

        Raises:
            ValueError: for a vocabulary of one language, or a language that is not there.
        """
        if target_lang not in self._languages:
            known = ", ".join(self._languages) or "those of one language alone"
            raise ValueError(f"there are no letters of {target_lang!r} in the vocabulary, which has {known}")
        own = {name: str(getattr(self, name)) for name in SPECIAL}
        every = {**self.recipe.options, **self.init_kwargs, **own, "target_lang": target_lang}
        backend = spelling({"vocab": self._languages}, every, type(self).__name__)
        with self._vocabulary.lock:
            self._vocabulary.backend = backend
        self.target_lang = self.init_kwargs["target_lang"] = target_lang

    @property
    def word_delimiter_token_id(self: Any) -> int:
        """Its id."""
        return int(self.convert_tokens_to_ids(self.word_delimiter_token))

    def decode(
        self: Any,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_char_offsets: bool = False,
        output_word_offsets: bool = False,
        group_tokens: bool = True,
        spaces_between_special_tokens: bool = False,
    ) -> Any:
        """Ids of moments to a text: what repeats is one letter, and blanks (`pad_token`) are left out.

        Args:
            token_ids: an int, or [T]; [B, T] gives several.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; the setting where None.
            output_char_offsets: tell from which moment to which every letter lasts.
            output_word_offsets: likewise of words.
            group_tokens: whether what repeats is one letter.
            spaces_between_special_tokens: put a space between all letters.

        Returns:
            A string, or with offsets a record of `text`, `char_offsets` and `word_offsets`; lists of a batch.
        """
        ids = ids_of(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        options = (skip_special_tokens, group_tokens, spaces_between_special_tokens)
        batched = bool(ids) and isinstance(ids[0], (list, tuple))
        found = [self._spelled(row, *options) for row in (ids if batched else [ids])]
        usual = self.clean_up_tokenization_spaces
        cleans = usual if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        texts = [self.clean_up_tokenization(text) if cleans else text for text, _ in found]
        if not (output_char_offsets or output_word_offsets):
            return texts if batched else texts[0]
        from formers.core.sound_outputs import SpelledOutput

        letters = [row if output_char_offsets else None for _, row in found]
        end = self.replace_word_delimiter_char
        words = [_words(row, end) if output_word_offsets else None for _, row in found]
        parts = (texts, letters if output_char_offsets else None, words if output_word_offsets else None)
        return SpelledOutput(*(part if batched or part is None else part[0] for part in parts))

    def batch_decode(self: Any, sequences: Any, *args: Any, **options: Any) -> Any:
        """`decode` of several, [B, T]."""
        rows = ids_of(sequences)
        each = [[row] if isinstance(row, int) else row for row in rows]
        return self.decode(each, *args, **options) if each else []

    def _spelled(self: Any, row: Any, skip: bool, groups: bool, spaced: bool) -> tuple[str, Offsets]:
        check_ids(row)
        tokens = self.convert_ids_to_tokens(row)
        if skip:
            out = set(self.all_special_tokens) - {self.word_delimiter_token}
            tokens = [token for token in tokens if token not in out]
        runs = [(token, len(list(run))) for token, run in groupby(tokens)]
        runs = runs if groups else [(token, 1) for token in tokens]
        offsets, at = [], 0
        for token, length in runs:
            if token != self.pad_token:
                end = token == self.word_delimiter_token
                char = self.replace_word_delimiter_char if end else token
                offsets.append({"char": char, "start_offset": at, "end_offset": at + length})
            at += length
        text = (" " if spaced else "").join(one["char"] for one in offsets).strip()
        return (text.lower() if self.do_lower_case else text), offsets

    def save_vocabulary(
        self: Any, save_directory: Any, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write `vocab.json`."""
        vocab = self.backend_tokenizer.get_vocab(with_added_tokens=False)
        name = f"{filename_prefix}-vocab.json" if filename_prefix else "vocab.json"
        held = self._languages or ({self.target_lang: vocab} if self.target_lang else vocab)
        text = json.dumps(held, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return (str(write_text(Path(save_directory) / name, text)),)


def _words(offsets: Offsets, end: str) -> Offsets:
    """Letters and their moments as words and theirs."""
    found: Offsets = []
    for is_end, run in groupby(offsets, lambda one: one["char"] == end):
        part = list(run)
        if not is_end:
            word = "".join(one["char"] for one in part)
            found.append(
                {
                    "word": word,
                    "start_offset": part[0]["start_offset"],
                    "end_offset": part[-1]["end_offset"],
                }
            )
    return found
