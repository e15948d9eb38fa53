"""The task text-generation of the Hub's Inference API, over the engine that writes: whole, or as events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from formers.serving.classify import encoded
from formers.serving.limits import Faults, Refusal, read_object
from formers.serving.tasks.endpoint import error_of
from formers.serving.writing import values
from formers.serving.writing.asked import Asked
from formers.serving.writing.endpoint import Writing
from formers.serving.writing.reply import documented
from formers.serving.writing.shapes import Shape
from formers.serving.writing.texts import Piece, Told
from formers.serving.writing.values import BadField, Body
from formers.serving.writing.writer import Writer

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

_FIELDS = ("inputs", "parameters", "stream")
# names of the Hub's -> those of /v1/completions, which read the same values
_SAME = {
    **{name: name for name in ("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty")},
    "max_new_tokens": "max_tokens",
}
_OWN = ("details", "do_sample", "repetition_penalty", "return_full_text", "typical_p")
_SAMPLES = ("temperature", "top_k", "top_p", "typical_p")  # whose presence asks for sampling
# what is not done here, and the values besides null that ask for nothing
_NOT_DONE: dict[str, tuple[Any, ...]] = {
    "adapter_id": (),
    "best_of": (1,),
    "decoder_input_details": (False,),
    "grammar": (),
    "top_n_tokens": (0,),
    "truncate": (),
    "watermark": (False,),
}


def read(raw: bytes, writer: Writer) -> Asked:
    """The body of a request.

    Raises:
        Refusal: it cannot be answered.
    """
    bounds = (writer.settings.max_texts + 100,) * 2
    body = read_object(raw, Faults(), *bounds)
    values.check_known(body, _FIELDS, {})
    told = values.record(body, "parameters")
    values.check_known(told, (*_SAME, *_OWN), _NOT_DONE)
    given: dict[str, Any] = {_SAME[name]: told[name] for name in _SAME if told.get(name) is not None}
    if not isinstance(body.get("inputs"), str):
        raise BadField("inputs", "inputs must be a string", status=422)
    sampled = values.flag(told, "do_sample") or any(told.get(name) is not None for name in _SAMPLES)
    if not sampled:
        given["temperature"] = 0
    asked = writer.reader.text_of(
        {
            **{"model": writer.name, "prompt": body["inputs"], "stream": values.flag(body, "stream")},
            **{"echo": values.flag(told, "return_full_text")},
            **given,
        }
    )
    _settle(asked, told)
    return asked


def _settle(asked: Asked, told: Body) -> None:
    """What /v1/completions has no names for."""
    asked.logged = asked.streams or values.flag(told, "details")
    penalty = values.number(told, "repetition_penalty", 0.01, 100)
    if penalty is not None:
        asked.config.repetition_penalty = penalty
    typical = values.number(told, "typical_p", 0.01, 1)
    if typical is not None:
        asked.config.typical_p = typical


class Generated(Shape):
    """Writes one answer in the Hub's format."""

    def __init__(self, asked: Asked, model: str, pieces: Any) -> None:
        super().__init__(asked, model, pieces)
        self._text, self._sent = "", 0  # what was written, and events that were made
        self._held: list[dict[str, Any]] = []

    def whole(self, pieces: Sequence[Piece]) -> Any:
        """The answer to a request that is not streamed: a list of one record."""
        text = self._echo(0) + "".join(piece.text for piece in pieces)
        found: dict[str, Any] = {"generated_text": text}
        details = self._details(pieces[-1])
        if self.asked.logged:
            tokens = [
                self._record(one, self.pieces.of(one.token).decode("utf-8", "replace"))
                for piece in pieces
                for one in piece.told
            ]
            found["details"] = {**details, "prefill": [], "tokens": tokens}
        return [found]

    def chunks(self, piece: Piece) -> Iterable[dict[str, Any]]:
        """An event for each token, one behind the writing: the last has the whole text."""
        before, known, text = len(self._text), piece.told, piece.text
        self._text += text
        ends = [one.start - before for one in known[1:]] + [len(text)]
        start = 0
        for one, end in zip(known, ends if known else (), strict=True):
            end = max(start, min(end, len(text)))
            self._held.append(self._event_of(self._record(one, text[start:end])))
            start = end
        if self._held and start < len(text):  # of tokens that were told before
            self._held[-1]["token"]["text"] += text[start:]
        if piece.ended is None:
            events, self._held = self._held[:-1], self._held[-1:]
            return events
        if not self._held:
            token = piece.ended.tokens[-1] if piece.ended.tokens else 0
            self._held = [self._event_of({"id": token, "text": "", "logprob": 0.0, "special": True})]
        self._held[-1] |= {"generated_text": self._echo(0) + self._text, "details": self._details(piece)}
        return self._held

    def end(self) -> bytes:
        """Nothing stands behind the last event."""
        return b""

    def failed(self, refusal: Refusal) -> bytes:
        """What is sent for an error in a stream that has begun."""
        return b"data: %b\n\n" % encoded(error_of(refusal))

    def _event_of(self, token: dict[str, Any]) -> dict[str, Any]:
        self._sent += 1
        return {"index": self._sent, "token": token, "generated_text": None, "details": None}

    def _record(self, one: Told, text: str) -> dict[str, Any]:
        return {"id": one.token, "text": text, "logprob": max(one.log_prob, -9999.0), "special": False}

    def _details(self, piece: Piece) -> dict[str, Any]:
        reason = self._reason(piece)
        ended = piece.ended
        tokens = ended.tokens if ended is not None else []
        ids = self.asked.config.eos_token_id
        ends = ids if isinstance(ids, list) else [ids]
        stop = "eos_token" if tokens and tokens[-1] in ends else "stop_sequence"
        return {
            "finish_reason": stop if reason == "stop" else reason,
            "generated_tokens": len(tokens),
            "input_length": len(self.asked.prompts[0]),
            "seed": self.asked.config.seed,
        }


class Generating(Writing[Asked]):
    """Answers one path."""

    def told(self, refusal: Refusal) -> dict[str, Any]:
        """An error in the form of the Hub's API."""
        return error_of(refusal)


def generating_endpoints(writer: Writer) -> list[APIRoute]:
    """The endpoints, answered by the bare handler."""
    answers = Generating(
        writer, lambda raw: read(raw, writer), lambda asked: Generated(asked, writer.name, writer.bytes)
    )
    text = "The task text-generation, as the Hub's Inference API has it: whole, or streamed."
    paths = ("/", f"/models/{writer.name}")
    return [documented(path, answers, text, _FIELDS, "inputs", named=False) for path in paths]
