"""Tokenizers of transcripts: a language, a task and times stand among the tokens of a text."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json_object
from formers.tokenization import components
from formers.tokenization.decoder import ids_of
from formers.tokenization.encoding import as_tensor
from formers.tokenization.languages import spoken_code
from formers.tokenization.normalizers import BasicTextNormalizer, EnglishTextNormalizer
from formers.tokenization.vocabulary import Vocabulary

TASKS = ("translate", "transcribe")
_TIME = re.compile(r"<\|(\d+\.\d+)\|>")
_SECONDS, _WINDOW = 0.02, 1500  # between two tokens of times, and how many of them a window has
_START, _BEFORE, _TIMELESS = "<|startoftranscript|>", "<|startofprev|>", "<|notimestamps|>"


class SpeechMethods:
    """What a tokenizer of transcripts has beside what all have.

    Attributes:
        language: of the texts that are encoded, by name or code; None for no token of it.
        task: "transcribe", "translate" or None, likewise.
        predict_timestamps: whether texts that are encoded hold tokens of times.
        english_spelling_normalizer: British spellings -> American ones; None where nobody says.
    """

    _vocabulary: Vocabulary
    _given: dict[str, Any]
    init_kwargs: dict[str, Any]
    eos_token: Any
    eos_token_id: Any
    all_special_ids: Any
    vocab_files_names: Any

    def _begin(self) -> None:
        """Take over the settings, and frame texts as they say."""
        settings, file = self.init_kwargs, self._given.get("normalizer_file")
        self.english_spelling_normalizer = None if file is None else read_json_object(Path(file))
        self.language, self.task = settings.get("language"), settings.get("task")
        self.predict_timestamps = bool(settings.get("predict_timestamps"))
        if self._vocabulary.id_of(_START) is not None:
            self.set_prefix_tokens()

    # -- texts to ids ---------------------------------------------------------------------------------

    def set_prefix_tokens(
        self, language: str | None = None, task: str | None = None, predict_timestamps: bool | None = None
    ) -> None:
        """Choose what texts begin with from here on; None leaves a part as it is.

        Raises:
            ValueError: for a language or a task that is none.
        """
        self.language = self.language if language is None else language
        self.task = self.task if task is None else task
        if predict_timestamps is not None:
            self.predict_timestamps = predict_timestamps
        before, end = self._prefix(), str(self.eos_token)
        with self._vocabulary.lock:
            components.frame(
                self._vocabulary.backend,
                [*before, end],
                [*before, "$A", end],
                [*before, "$A", "$B:1", f"{end}:1"],
            )

    def _prefix(self) -> list[str]:
        found = [_START]
        if self.language is not None:
            self.language = self.language.lower()
            found.append(f"<|{spoken_code(self.language)}|>")
        if self.task is not None:
            if self.task not in TASKS:
                raise ValueError(f"task is 'transcribe' or 'translate', not {self.task!r}")
            found.append(f"<|{self.task}|>")
        return found if self.predict_timestamps else [*found, _TIMELESS]

    @property
    def prefix_tokens(self) -> list[int]:
        """Ids before a text."""
        return [components.id_of(self._vocabulary.backend, token) for token in self._prefix()]

    def get_decoder_prompt_ids(
        self, task: str | None = None, language: str | None = None, no_timestamps: bool = True
    ) -> list[tuple[int, int]]:
        """What older scripts force behind the first token: (place, id) of each."""
        self.set_prefix_tokens(language, task, not no_timestamps)
        return list(enumerate(self.prefix_tokens))[1:]

    def get_prompt_ids(self: Any, text: str, return_tensors: str | None = "np") -> Any:
        """A text that `generate(prompt_ids=...)` takes for what was said before: [n].

        Raises:
            ValueError: for a text that holds a special token.
        """
        ids = self(f" {text.strip()}", add_special_tokens=False)["input_ids"]
        special = next((index for index in ids if index >= self.all_special_ids[0]), None)
        if special is not None:
            raise ValueError(f"a prompt is plain text, but holds {self.convert_ids_to_tokens(special)}")
        found = [self._vocabulary.id_of(_BEFORE), *ids]
        return found if return_tensors is None else as_tensor(found, return_tensors)

    # -- ids to texts ---------------------------------------------------------------------------------

    @functools.cached_property
    def time_begin(self) -> int:
        """The id of the token of time 0: it follows those that are special."""
        last = self._vocabulary.id_of(_TIMELESS)
        return 1 + (max(self.all_special_ids) if last is None else last)

    def timestamp_ids(self: Any, time_precision: float = _SECONDS) -> list[int | None]:
        """The ids of all tokens of times."""
        names = [f"<|{i * time_precision:.2f}|>" for i in range(_WINDOW + 1)]
        found: list[int | None] = self.convert_tokens_to_ids(names)
        return found

    def without_prompt(self, ids: list[int]) -> list[int]:
        """A row without what was told to the decoder before it began to write."""
        if not ids or ids[0] != self._vocabulary.id_of(_BEFORE):
            return ids
        start = self._vocabulary.id_of(_START)
        return ids[ids.index(start) :] if start in ids else []

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_offsets: bool = False,
        time_precision: float = _SECONDS,
        decode_with_timestamps: bool = False,
        normalize: bool = False,
        basic_normalize: bool = False,
        remove_diacritics: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Turn ids back into text.

        Args:
            token_ids: an int; a list, array or tensor [T] of int; a batch of those [B, T]; or an encoding.
            skip_special_tokens: whether to leave special tokens out, and a prompt before the text.
            clean_up_tokenization_spaces: as for all tokenizers.
            output_offsets: return `{"text", "offsets"}`, with text and (start, end) of every segment.
            time_precision: seconds between two tokens of times.
            decode_with_timestamps: write times into the text, `<|1.08|>`.
            normalize: write English texts as they are compared.
            basic_normalize: likewise for other languages.
            remove_diacritics: with `basic_normalize`, letters without accents.
            **kwargs: as for all tokenizers.

        Returns:
            A string or a dictionary, or a list of them for a batch.
        """
        ids = ids_of(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        batched = bool(ids) and isinstance(ids[0], (list, tuple))
        rows = [list(row) for row in (ids if batched else [ids])]
        shown = [self.without_prompt(row) for row in rows] if skip_special_tokens else rows
        plain = functools.partial(super().decode, skip_special_tokens=skip_special_tokens, **kwargs)  # type: ignore[misc]  # of the class behind this one
        if decode_with_timestamps:
            texts = [self._with_times(row, plain, time_precision) for row in shown]
        else:
            found = plain(shown, clean_up_tokenization_spaces=clean_up_tokenization_spaces)
            change = self._normalizer(normalize, basic_normalize, remove_diacritics)
            texts = [_TIME.sub("", change(text)) for text in found]
        if output_offsets:
            answers = [
                {"text": text, "offsets": self._offsets(row, time_precision)}
                for text, row in zip(texts, rows, strict=True)
            ]
            return answers if batched else answers[0]
        return texts if batched else texts[0]

    def _normalizer(self, english: bool, basic: bool, diacritics: bool) -> Any:
        if english:
            return EnglishTextNormalizer(self.english_spelling_normalizer)
        return BasicTextNormalizer(diacritics) if basic else str

    def normalize(self, text: str) -> str:
        """An English text as it is compared."""
        return EnglishTextNormalizer(self.english_spelling_normalizer)(text)

    @staticmethod
    def basic_normalize(text: str, remove_diacritics: bool = False) -> str:
        """A text in any language as it is compared."""
        return BasicTextNormalizer(remove_diacritics)(text)

    def _with_times(self, row: list[int], plain: Any, seconds: float) -> str:
        """A text with times in it, counted through all windows."""
        first, clock = self.time_begin, Clock(seconds)
        parts: list[list[int] | str] = [[]]
        for i, token in enumerate(row):
            if token < first:
                last = parts[-1]
                assert isinstance(last, list)
                last.append(token)
                continue
            time, cut = clock.at((token - first) * seconds, is_single(row, i, first))
            if cut:  # the window before left a segment open, which this one begins anew
                parts = parts[:-2]
            parts += [f"<|{time:.2f}|>", []]
        return "".join(part if isinstance(part, str) else plain(part) if part else "" for part in parts)

    def _offsets(self: Any, row: list[int], seconds: float) -> list[dict[str, Any]]:
        """Text and (start, end) of every segment, in seconds."""
        first = self.time_begin
        places = [i for i, token in enumerate(row) if token >= first]
        stops = [i + 1 for i in places if i + 1 < len(row) and row[i + 1] >= first]
        if not stops and len(places) <= 1:
            return []
        if places[-1] + 1 not in stops:
            stops.append(places[-1] + 1)
        found, begin, latest, passed = [], places[0], 0, 0
        for stop in stops:
            part = row[begin:stop]
            if len(part) > 1:
                start, end = part[0] - first, part[-1] - first
                if start < latest:  # another window
                    passed += _WINDOW if is_single(row, begin, first) else latest
                latest = end
                text = self.decode(part)
                times = start * seconds + passed * seconds, end * seconds + passed * seconds
                found.append({"text": text, "timestamp": times})
            begin = stop
        return found

    # -- files ----------------------------------------------------------------------------------------

    def save_vocabulary(self, save_directory: Any, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the vocabulary in its older format, and the spellings beside it."""
        written: tuple[str, ...] = super().save_vocabulary(save_directory, filename_prefix)  # type: ignore[misc]  # of the class behind this one
        if self.english_spelling_normalizer is None:
            return written
        name = self.vocab_files_names["normalizer_file"]
        path = Path(save_directory) / (f"{filename_prefix}-{name}" if filename_prefix else name)
        spelt = json.dumps(self.english_spelling_normalizer, indent=2, sort_keys=True, ensure_ascii=False)
        return (*written, str(write_text(path, f"{spelt}\n")))


def is_single(row: list[int], place: int, first: int) -> bool:
    """Whether the window that ends before a time ended with one time: nothing was said behind it."""
    return place >= 2 and not (row[place - 1] >= first and row[place - 2] >= first)


class Clock:
    """Tells the time in a sound from times that begin anew with each window."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.window = seconds * _WINDOW
        self.passed = self.latest = self.before = 0.0

    def at(self, time: float, single: bool) -> tuple[float, bool]:
        """A time since the beginning, and whether the window before left a segment open.

        Args:
            time: since the window began, in seconds.
            single: whether the window before, if this begins one, ended with one time.
        """
        cut = False
        if time < self.latest:
            if single:
                self.passed += self.window
            else:
                cut, self.latest = True, self.before
                self.passed += self.before
        self.before, self.latest = self.latest, time
        return time + self.passed, cut
