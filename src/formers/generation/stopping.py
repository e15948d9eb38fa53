"""Criteria that end a text: at a length, a time, a token, a string, or for want of confidence."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.core.notices import notice
from formers.generation.processors.base import TokenSet, real, require, whole

if TYPE_CHECKING:
    CriteriaBase = list[Callable[..., Any]]
else:
    CriteriaBase = list


class StoppingCriteria:
    """Says which rows end: `criterion(input_ids, scores, **kwargs)` -> [B] bool.

    `input_ids` [B, T] int64 is all that each row holds so far; `scores` are those of every step, where they
    are kept, or None.
    """

    # whether a row ends by its own ids alone, so that other rows may be left out
    row_wise: bool = False

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Which rows end, [B] bool."""
        raise NotImplementedError(
            f"{type(self).__name__} has to define __call__(input_ids, scores, **kwargs)"
        )


class StoppingCriteriaList(CriteriaBase):
    """Criteria of which one is enough; functions too, and such that give one bool for all rows."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Which rows end, [B] bool."""
        done = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        for criterion in self:
            done = done | criterion(input_ids, scores, **kwargs)
        return done

    @property
    def row_wise(self) -> bool:
        """Whether all of them are."""
        return all(getattr(one, "row_wise", False) for one in self)

    @property
    def max_length(self) -> int | None:
        """The length at which rows end, where a criterion says one."""
        return next((one.max_length for one in self if isinstance(one, MaxLengthCriteria)), None)


def _all(input_ids: Tensor, done: bool) -> Tensor:
    return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)


class MaxLengthCriteria(StoppingCriteria):
    """Rows end with `max_length` tokens. Beyond `max_position_embeddings` there is a notice."""

    row_wise = True

    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length = whole(max_length, "max_length", 0)
        self.max_position_embeddings = max_position_embeddings

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """All rows, or none."""
        length, known = input_ids.shape[1], self.max_position_embeddings
        done = length >= self.max_length
        if known is not None and not done and length > known:
            notice(
                f"The text is longer than the {known} positions that the model knows: what follows may "
                "be nonsense. Ask for fewer tokens.",
                key="longer than max_position_embeddings",
            )
        return _all(input_ids, done)


class MaxNewTokensCriteria(MaxLengthCriteria):
    """Rows end when `max_new_tokens` follow a prompt of `start_length`."""

    def __init__(self, start_length: int, max_new_tokens: int) -> None:
        self.start_length = whole(start_length, "start_length", 0)
        self.max_new_tokens = whole(max_new_tokens, "max_new_tokens", 0)
        super().__init__(self.start_length + self.max_new_tokens)


class MaxTimeCriteria(StoppingCriteria):
    """Rows end `max_time` seconds after `initial_timestamp` (`time.time()`; now, where there is none)."""

    row_wise = True

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = real(max_time, "max_time")
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """All rows, or none."""
        return _all(input_ids, time.time() - self.initial_timestamp > self.max_time)


class EosTokenCriteria(StoppingCriteria):
    """Rows end with one of `eos_token_id`."""

    row_wise = True

    def __init__(self, eos_token_id: int | Iterable[int] | Tensor) -> None:
        self.eos_token_id = TokenSet(eos_token_id, "eos_token_id").ids

    def __call__(self, input_ids: Tensor, scores: Any, new_token_length: int = 1, **kwargs: Any) -> Tensor:
        """The rows with one among their last `new_token_length` tokens."""
        self.eos_token_id = self.eos_token_id.to(input_ids.device)
        return torch.isin(input_ids[:, -new_token_length:], self.eos_token_id).any(-1)


class ConfidenceCriteria(StoppingCriteria):
    """Rows end when a draft model gave their last token less than `assistant_confidence_threshold`."""

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.assistant_confidence_threshold = real(
            assistant_confidence_threshold, "assistant_confidence_threshold"
        )

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """The rows whose last token was unlikely by the last of `scores`, each [B, V]."""
        require(scores is not None, "ConfidenceCriteria needs scores: generate with output_scores=True")
        shares = scores[-1].softmax(-1).gather(1, input_ids[:, -1:])[:, 0]
        less: Tensor = shares < self.assistant_confidence_threshold
        return less


def _byte_of() -> dict[str, int]:
    """The bytes behind the characters of a byte-level vocabulary, as GPT-2 writes them."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


_BYTES = _byte_of()
_NO_TEXT = b"\xff"  # part of no text
_SAMPLE = 500  # tokens that show how a vocabulary is written
_AS_IT_IS: Any = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}


class TokenBytes:
    """What single tokens add to a text, in bytes: parts of characters too.

    Args:
        tokenizer: has `decode`, `convert_ids_to_tokens` and `get_vocab`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pieces: dict[int, bytes] = {}
        self._before, self._text_before = self._context()

    def of(self, token: int) -> bytes:
        """What a token adds."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read(token)
        return piece

    def every(self) -> tuple[list[bytes], bool]:
        """What each token adds, by id (nothing where an id has no token), and whether their names say so.

        Where a sample of tokens reads as byte-level or SentencePiece names do, no other is decoded.
        """
        names = self._tokenizer.get_vocab()
        found = [b""] * (max(names.values(), default=-1) + 1)
        held = list(names.items())
        tried = [*held[:: len(held) // _SAMPLE + 1], *((n, i) for n, i in held[::7] if not n.isalnum())]
        wanted = self._read_all(tried[: 4 * _SAMPLE])
        for rule in (_byte_level, _sentencepiece):
            if all(rule(name) == piece for (name, _), piece in zip(tried, wanted, strict=False)):
                for name, token in held:
                    found[token] = rule(name)
                return found, True
        for (_, token), piece in zip(held, self._read_all(held), strict=True):
            found[token] = piece
        return found, False

    def _read_all(self, named: Sequence[tuple[str, int]]) -> list[bytes]:
        texts = self._tokenizer.batch_decode([[*self._before, token] for _, token in named], **_AS_IT_IS)
        start = len(self._text_before)
        return [_piece(name, text[start:]) for (name, _), text in zip(named, texts, strict=True)]

    def _read(self, token: int) -> bytes:
        name = self._tokenizer.convert_ids_to_tokens(token)
        if name is None:
            return _NO_TEXT
        return _piece(name, self._decode([*self._before, token])[len(self._text_before) :])

    def _context(self) -> tuple[list[int], str]:
        """Some token and its text, behind which others show how they join."""
        for name, token in self._tokenizer.get_vocab().items():
            text = self._decode([token])
            if name and name[-1].isascii() and name[-1].isalpha() and text.isalpha():
                return [token], text
        return [], ""

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, **_AS_IT_IS)
        return text


def _piece(name: str, text: str) -> bytes:
    """The bytes of a token: of its text, or where that is part of a character, those that its name says."""
    if "\ufffd" in text:
        if byte := re.fullmatch("<0x([0-9a-fA-F]{2})>", name):
            return bytes([int(byte[1], 16)])
        if all(map(_BYTES.__contains__, name)):
            return _byte_level(name)
    return text.encode()


def _byte_level(name: str) -> bytes:
    """The bytes that a byte-level name spells; of another, its own."""
    if all(map(_BYTES.__contains__, name)):
        return bytes(map(_BYTES.__getitem__, name))
    return name.encode()


def _sentencepiece(name: str) -> bytes:
    """The bytes of a name with marks for spaces, or of one that is a byte."""
    if len(name) == 6 and (byte := re.fullmatch("<0x([0-9a-fA-F]{2})>", name)):
        return bytes([int(byte[1], 16)])
    return name.replace("\u2581", " ").encode()


class StopStringCriteria(StoppingCriteria):
    """Rows end when a stop string ends within their last token.

    It may begin in tokens before, and the token may go on behind it. Bytes are compared, of as many last
    tokens as the longest string needs: characters that several tokens make up are found, and a step costs
    the same however long the text is.

    Args:
        tokenizer: has `decode`, `convert_ids_to_tokens` and `get_vocab`.
        stop_strings: one, or several.
    """

    row_wise = True

    def __init__(self, tokenizer: Any, stop_strings: str | Sequence[str]) -> None:
        self.stop_strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        require(
            bool(self.stop_strings) and all(isinstance(one, str) and one for one in self.stop_strings),
            f"stop_strings has to hold texts that are not empty, not {stop_strings!r}",
        )
        self._wanted = [one.encode() for one in self.stop_strings]
        self._longest = max(map(len, self._wanted))
        self._pieces = TokenBytes(tokenizer)

    def __call__(self, input_ids: Tensor, scores: Any, new_token_length: int = 1, **kwargs: Any) -> Tensor:
        """The rows in one of whose last `new_token_length` tokens a stop string ends."""
        rows = input_ids[:, -(self._longest + new_token_length - 1) :].tolist()
        done = [
            any(self.ends(row[: len(row) - back]) for back in range(min(new_token_length, len(row))))
            for row in rows
        ]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

    def ends(self, ids: Sequence[int]) -> bool:
        """Whether a stop string ends within the last token of a text."""
        text = last = self._pieces.of(ids[-1])
        needed = len(last) + self._longest - 1
        for token in reversed(ids[:-1]):
            if len(text) >= needed:
                break
            text = self._pieces.of(token) + text
        start = len(text) - len(last)
        return any(text.find(one, max(0, start - len(one) + 1)) >= 0 for one in self._wanted)


def validate_stopping_criteria(
    stopping_criteria: StoppingCriteriaList, max_length: int
) -> StoppingCriteriaList:
    """A copy that ends at `max_length`; a notice where the criteria say another length."""
    criteria = copy.deepcopy(stopping_criteria)
    if criteria.max_length is None:
        criteria.append(MaxLengthCriteria(max_length))
    elif criteria.max_length != max_length:
        notice(
            f"The criteria end at {criteria.max_length} tokens and max_length is {max_length}: "
            "the criteria are obeyed."
        )
    return criteria
