"""The answers' formats: those of the OpenAI API, for chats and for texts that are gone on with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from formers.generation.stopping import TokenBytes
from formers.serving.classify import encoded
from formers.serving.limits import Refusal
from formers.serving.writing.asked import Asked
from formers.serving.writing.harmony import Channels, Thought
from formers.serving.writing.texts import Piece, Told
from formers.serving.writing.tools import Call, Calls
from formers.serving.writing.values import error_of


class Shape:
    """Writes one answer, whole or in chunks.

    Args:
        asked: what was asked for.
        model: the model's name.
        pieces: what tokens add to a text.
    """

    def __init__(self, asked: Asked, model: str, pieces: TokenBytes) -> None:
        self.asked, self.pieces = asked, pieces
        kind = "chat.completion" if asked.chat else "text_completion"
        if asked.chat and asked.streams:
            kind += ".chunk"
        number = f"{'chatcmpl' if asked.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.head = {"id": number, "object": kind, "created": int(time.time()), "model": model}
        self.written = [0] * (len(asked.prompts) * asked.copies)  # new tokens of each text
        self._begun: set[int] = set()
        tools = asked.tools
        self._calls: list[Calls | Channels] = []
        if asked.channels:
            self._calls += [Channels(tools) for _ in self.written]
        elif tools is not None:
            self._calls += [Calls(tools) for _ in self.written]

    # -- whole ----------------------------------------------------------------------------------------

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The answer to a request that is not streamed."""
        choices = []
        for index in range(len(self.written)):
            own = [piece for piece in pieces if piece.index == index]
            text = "".join(piece.text for piece in own)
            told = [one for piece in own for one in piece.told]
            said: dict[str, Any] = {"text": self._echo(index) + text}
            if self.asked.chat:
                message = {"role": "assistant", "content": text, "refusal": None}
                if self._calls:
                    called, told = self._called(own)
                    message |= called
                said = {"message": message}
            logged = self._logged(index, told) if self.asked.logged else None
            choices.append(_choice(index, said, logged, self._reason(own[-1])))
        return {**self.head, "choices": choices, "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens that were read and written."""
        read, written = sum(map(len, self.asked.prompts)), sum(self.written)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    # -- streamed -------------------------------------------------------------------------------------

    def chunks(self, piece: Piece) -> Iterable[dict[str, Any]]:
        """The events of a piece."""
        index, text = piece.index, piece.text
        if index not in self._begun:
            self._begun.add(index)
            if self.asked.chat:
                yield self._chunk(index, {"delta": {"role": "assistant", "content": ""}})
            else:
                text = self._echo(index) + text
        parts, told = self._parted(piece) if self._calls else ([], piece.told)
        if thought := "".join(one.text for one in parts if isinstance(one, Thought)):
            yield self._chunk(index, {"delta": {"reasoning_content": thought}})
        if self._calls:
            text = "".join(one for one in parts if isinstance(one, str))
        reason = self._reason(piece)
        if text or told:
            said = {"delta": {"content": text}} if self.asked.chat else {"text": text}
            yield self._chunk(index, said, told)
        for call in (delta for one in parts if isinstance(one, Call) for delta in one.deltas()):
            yield self._chunk(index, {"delta": {"tool_calls": [call]}})
        if reason is not None:
            yield self._chunk(index, {"delta": {}} if self.asked.chat else {"text": ""}, (), reason)

    def start(self) -> bytes:
        """What is sent before any text: nothing, so that an early error has its status."""
        return b""

    def events(self, piece: Piece) -> bytes:
        """The events of a piece, as they are sent."""
        return b"".join(map(_event, self.chunks(piece)))

    def end(self) -> bytes:
        """What is sent behind the last piece: the usage, where it was asked for, and the stream's end."""
        usage = _event({**self.head, "choices": [], "usage": self.usage()}) if self.asked.counts else b""
        return usage + b"data: [DONE]\n\n"

    def failed(self, refusal: Refusal) -> bytes:
        """What is sent for an error in a stream that has begun."""
        return _event(error_of(refusal))

    def _chunk(
        self, index: int, said: dict[str, Any], told: Sequence[Told] = (), reason: str | None = None
    ) -> dict[str, Any]:
        counted = {"usage": None} if self.asked.counts else {}
        logged = self._logged(index, told) if told else None
        return {**self.head, "choices": [_choice(index, said, logged, reason)], **counted}

    # -- parts ----------------------------------------------------------------------------------------

    def _reason(self, piece: Piece) -> str | None:
        if piece.ended is None:
            return None
        self.written[piece.index] = len(piece.ended.tokens)
        if piece.ended.reason == "stop" and self._calls and self._calls[piece.index].found:
            return self._calls[piece.index].reason
        return piece.ended.reason

    def _called(self, pieces: Sequence[Piece]) -> tuple[dict[str, Any], list[Told]]:
        """What a whole text with calls or thoughts says, and what is told of its tokens."""
        found: list[str | Call | Thought] = []
        told: list[Told] = []
        for piece in pieces:
            parts, known = self._parted(piece)
            found += parts
            told += known
        content = "".join(one for one in found if isinstance(one, str))
        thought = "".join(one.text for one in found if isinstance(one, Thought))
        calls = [one.told() for one in found if isinstance(one, Call)]
        said: dict[str, Any] = {"content": content or None, "tool_calls": calls} if calls else {}
        return {"content": content, **said, **({"reasoning_content": thought} if thought else {})}, told

    def _parted(self, piece: Piece) -> tuple[list[str | Call | Thought], list[Told]]:
        """The parts of a piece, and what is told of its tokens: nothing where they are thoughts or calls."""
        parser = self._calls[piece.index]
        parts = [*parser.add(piece.text), *(parser.end() if piece.ended is not None else ())]
        hidden = self.asked.channels and not any(isinstance(one, str) for one in parts)
        return parts, [] if hidden else piece.told

    def _echo(self, index: int) -> str:
        return self.asked.echo[index // self.asked.copies] if self.asked.echo is not None else ""

    def _logged(self, index: int, told: Sequence[Told]) -> dict[str, Any]:
        if self.asked.chat:
            content = [
                {
                    **self._token(one.token, one.log_prob),
                    "top_logprobs": [self._token(token, value) for token, value in one.tops],
                }
                for one in told
            ]
            return {"content": content, "refusal": None}
        before = len(self._echo(index))
        return {
            "tokens": [self._name(one.token) for one in told],
            "token_logprobs": [_finite(one.log_prob) for one in told],
            "top_logprobs": [self._tops(one) for one in told] if self.asked.top else None,
            "text_offset": [before + one.start for one in told],
        }

    def _token(self, token: int, log_prob: float) -> dict[str, Any]:
        return {
            "token": self._name(token),
            "logprob": _finite(log_prob),
            "bytes": list(self.pieces.of(token)),
        }

    def _tops(self, one: Told) -> dict[str, float]:
        """The likeliest tokens, and the one that was chosen."""
        return {self._name(token): _finite(value) for token, value in (*one.tops, (one.token, one.log_prob))}

    def _name(self, token: int) -> str:
        """What a token reads as; part of a character as its bytes, so that no two tokens read alike."""
        piece = self.pieces.of(token)
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def _event(value: Any) -> bytes:
    return b"data: %b\n\n" % encoded(value)


def _choice(index: int, said: dict[str, Any], logged: Any, reason: str | None) -> dict[str, Any]:
    return {"index": index, **said, "logprobs": logged, "finish_reason": reason}


def _finite(value: float) -> float:
    """JSON has no infinities; the API's own servers write -9999 for a token that cannot come."""
    return max(value, -9999.0)
