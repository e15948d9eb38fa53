"""Tokenizers of translators: each text is marked with its language, or with the one it is to be put into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from formers.core.notices import did_you_mean
from formers.tokenization import components
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.languages import Languages
from formers.tokenization.recipe import Recipe
from formers.tokenization.special import SpecialTokens
from formers.tokenization.vocabulary import Vocabulary


class TranslatorMethods:
    """What a tokenizer has where a row of the table says that its texts are marked with languages.

    Attributes:
        tgt_lang: the language of `text_target`; None for that of the texts.
        lang_code_to_id: code -> id of its token; `id_to_lang_code` the other way.
        cur_lang_code: id of the mark in use; also under `cur_lang_code_id` and `cur_lang_id`.
        prefix_tokens: ids before a text; `suffix_tokens` behind it.
    """

    recipe: ClassVar[Recipe | None]
    _vocabulary: Vocabulary
    _special: SpecialTokens
    init_kwargs: dict[str, Any]
    eos_token: Any

    def _begin(self) -> None:
        """Take over the languages of the settings, and count their tokens among the special ones."""
        languages, settings, id_of = self._languages(), self.init_kwargs, self._vocabulary.id_of
        which = languages.chosen(settings.get("language_codes"))
        if languages.found:
            added = self._vocabulary.backend.get_added_tokens_decoder().values()
            tokens = [one.content for one in added if re.fullmatch(languages.found, one.content)]
            spelt = zip(tokens, tokens, strict=True)
        else:
            spelt = zip(languages.codes[which], languages.tokens(which), strict=True)
        self.lang_code_to_id = {code: i for code, token in spelt if (i := id_of(token)) is not None}
        self.id_to_lang_code = {index: code for code, index in self.lang_code_to_id.items()}
        known = set(map(str, self._special.additional))
        marks = map(self.get_lang_token, self.lang_code_to_id)
        self._special.additional += [token for token in marks if token not in known]
        usual = languages.usual[which]
        self._src_lang = self._code(settings.get("src_lang"))
        if self._src_lang is None and usual in self.lang_code_to_id:
            self._src_lang = usual
        self.tgt_lang = self._code(settings.get("tgt_lang"))
        if self.tgt_lang is None and languages.target in self.lang_code_to_id:
            self.tgt_lang = languages.target
        self._mark(self._src_lang)

    def _languages(self) -> Languages:
        found = None if self.recipe is None else self.recipe.languages
        assert found is not None
        return found

    def _code(self, given: str | None) -> str | None:
        """The code of a language, also of one that is given as its token; `python` is `__python__`.

        Raises:
            ValueError: for a language that this vocabulary has no token for.
        """
        if given is None or given in self.lang_code_to_id:
            return given
        for other in (f"__{given}__", given.strip("_")):
            if other in self.lang_code_to_id:
                return other
        index = self._vocabulary.id_of(given)
        if index is None:
            known = self.lang_code_to_id
            raise ValueError(
                f"{given!r} is no language of this tokenizer{did_you_mean(given, known)}; it knows "
                f"{', '.join(known) or 'none: its vocabulary has no tokens of languages'}"
            )
        self.lang_code_to_id[given], self.id_to_lang_code[index] = index, given  # somebody added it
        return given

    @property
    def src_lang(self) -> str | None:
        """The language of texts; can be set."""
        return self._src_lang

    @src_lang.setter
    def src_lang(self, value: str | None) -> None:
        self._src_lang = self._code(value)
        self.set_src_lang_special_tokens(self._src_lang)

    def set_src_lang_special_tokens(self, src_lang: str | None) -> None:
        """Mark what is encoded from here on as texts of that language."""
        self._mark(self._code(src_lang))

    def set_tgt_lang_special_tokens(self, lang: str | None) -> None:
        """Mark what is encoded from here on as targets of that language."""
        self._mark(self._code(lang), target=True)

    def _mark(self, code: str | None, target: bool = False) -> None:
        languages, end = self._languages(), str(self.eos_token)
        first = languages.first and not (languages.turned and self.init_kwargs.get(languages.turned))
        mark = [] if code is None else [self.get_lang_token(code)]
        before, behind = (mark, [end]) if first else ([], [end, *mark])
        before = [end, *before] if target and languages.told else before
        backend = self._vocabulary.backend
        self.prefix_tokens, self.suffix_tokens = (
            [components.id_of(backend, token) for token in tokens] for tokens in (before, behind)
        )
        self.cur_lang_code = None if code is None else self.lang_code_to_id[code]
        self.cur_lang_code_id = self.cur_lang_id = self.cur_lang_code
        with self._vocabulary.lock:
            components.frame(
                backend, [*before, *behind], [*before, "$A", *behind], [*before, "$A", "$B", *behind]
            )

    def get_lang_token(self, lang: str) -> str:
        """The token of a language."""
        token = self._languages().token.format(lang)
        return lang if self._vocabulary.id_of(token) is None else token

    def get_lang_id(self, lang: str) -> int:
        """The id of a language's token, with which a decoder begins that is to write it."""
        return self.lang_code_to_id[str(self._code(lang))]

    def _switch_to_input_mode(self) -> None:
        self.set_src_lang_special_tokens(self.src_lang)

    def _switch_to_target_mode(self) -> None:
        self.set_tgt_lang_special_tokens(self.src_lang if self.tgt_lang is None else self.tgt_lang)

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Encode targets inside this block: texts are marked with `tgt_lang`. Other threads wait."""
        with self._vocabulary.lock:
            self._switch_to_target_mode()
            try:
                yield
            finally:
                self._switch_to_input_mode()

    def _build_translation_inputs(
        self: Any,
        raw_inputs: Any,
        *,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Inputs of `generate`: the texts, and the token with which the translation begins."""
        if src_lang is None or tgt_lang is None:
            raise ValueError("a translation needs a src_lang and a tgt_lang: this model knows many languages")
        self.src_lang = src_lang
        inputs: BatchEncoding = self(raw_inputs, add_special_tokens=True, **options)
        inputs["forced_bos_token_id"] = self.get_lang_id(tgt_lang)
        return inputs


class ToldTranslatorMethods(TranslatorMethods):
    """Likewise, where a call may say the languages: they are in use from then on."""

    _tgt_lang: str | None = None

    @property
    def tgt_lang(self) -> str | None:
        """The language of `text_target`; can be set."""
        return self._tgt_lang

    @tgt_lang.setter
    def tgt_lang(self, value: str | None) -> None:
        self._tgt_lang = self._code(value)

    def __call__(
        self, *args: Any, src_lang: str | None = None, tgt_lang: str | None = None, **options: Any
    ) -> BatchEncoding:
        """Turn text into the inputs of a model, as `PreTrainedTokenizerFast` does.

        Args:
            *args: texts and targets.
            src_lang: the language of texts, from now on.
            tgt_lang: the language of targets, from now on.
            **options: other keywords.

        Returns:
            See there.

        Raises:
            ValueError: for a language that this vocabulary has no token for; and as there.
        """
        if tgt_lang is not None:
            self.tgt_lang = tgt_lang
        if src_lang is not None:
            self.src_lang = src_lang
        made: BatchEncoding = super().__call__(*args, **options)  # type: ignore[misc]  # the next class has it
        return made

    def prepare_seq2seq_batch(
        self: Any,
        src_texts: list[str],
        src_lang: str | None = None,
        tgt_texts: list[str] | None = None,
        tgt_lang: str | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Encode sources, and targets as `labels`, in languages that stay in use."""
        for name, code in (("src_lang", src_lang), ("tgt_lang", tgt_lang)):
            if code is not None:
                setattr(self, name, code)
        made: BatchEncoding = super().prepare_seq2seq_batch(src_texts, tgt_texts, **options)  # type: ignore[misc]  # likewise
        return made
