"""`/v1/embeddings`: vectors of texts, in the format of the OpenAI API."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from formers.serving.classify import Scope, encoded
from formers.serving.embedder import Embedder
from formers.serving.limits import Receive
from formers.serving.work import Answer
from formers.serving.writing import values
from formers.serving.writing.reply import Endpoint, Reply, documented
from formers.serving.writing.values import BadField

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

_FIELDS = ("model", "input", "encoding_format", "dimensions", "user")
_SPARE = 100  # lists of a body beside its inputs
_MANY = 1 << 14  # numbers of an answer that is written beside the event loop


@dataclass(frozen=True, slots=True)
class AskedVectors:
    """A checked request: texts or lists of token ids, and how their vectors are given."""

    inputs: list[str | list[int]]
    packed: bool
    dimensions: int | None
    user: str | None


def read(raw: bytes, server: Embedder) -> AskedVectors:
    """The body of `/v1/embeddings`.

    Raises:
        Refusal: it cannot be answered.
    """
    limits = server.settings
    bounds = (limits.max_queued_tokens, limits.max_texts + _SPARE)
    body = values.body_of(raw, _FIELDS, {}, server.name, *bounds)
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise BadField("encoding_format", 'encoding_format is "float" or "base64"')
    inputs = values.texts_or_ids(body.get("input"), "input")
    if len(inputs) > limits.max_texts:
        said = f"input holds {len(inputs)} texts; at most {limits.max_texts} are taken"
        raise BadField("input", said)
    for place, one in enumerate(inputs):
        _check(one, "input" if body["input"] is one else f"input[{place}]", server)
    packed = body.get("encoding_format") == "base64"
    dimensions = values.whole(body, "dimensions", 1, server.model.width)
    return AskedVectors(inputs, packed, dimensions, body.get("user"))


def _check(one: str | list[int], place: str, server: Embedder) -> None:
    most, vocabulary = server.model.max_length, server.model.vocabulary
    if isinstance(one, str):
        if not values.text(one, place, server.settings.max_chars).strip():
            raise BadField(place, f"{place} is empty")
    elif most is not None and len(one) > most:
        said = f"{place} has {len(one)} token ids; the model reads {most} at most"
        raise BadField(place, said, "context_length_exceeded")
    elif not all(0 <= token < vocabulary for token in one):
        raise BadField(place, f"{place} holds a token id that is not below {vocabulary}")


class Embeddings(Endpoint):
    """Answers `/v1/embeddings`."""

    def __init__(self, server: Embedder) -> None:
        super().__init__(server)
        self.embedder = server

    def _count(self, record: dict[str, Any]) -> None:
        """All is counted where it is answered."""

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        server = self.embedder
        asked = await self._asked(scope, receive, lambda raw: read(raw, server))
        record["texts"] = len(asked.inputs)
        if asked.user is not None:
            record["user"] = asked.user
        client = server.clients.of(scope)
        answers = await server.answers(asked.inputs, receive, client, f"a request at {scope['path']}")
        server.metrics.answers(answers)
        record["prompt_tokens"] = sum(answer.tokens for answer in answers)
        numbers = len(answers) * (asked.dimensions or server.model.width)
        if numbers > _MANY:
            written = await to_thread.run_sync(self._written, answers, asked)
        else:
            written = self._written(answers, asked)
        await reply.whole(200, written)
        server.clients.remember(scope)

    def _written(self, answers: list[Answer], asked: AskedVectors) -> bytes:
        read, data = sum(answer.tokens for answer in answers), []
        for index, answer in enumerate(answers):
            vector = self.embedder.model.cut(answer.result, asked.dimensions)
            numbers = (
                base64.b64encode(vector.astype("<f4").tobytes()).decode() if asked.packed else vector.tolist()
            )
            cut = {"cut_tokens": answer.cut} if answer.cut else {}
            data.append({"object": "embedding", "index": index, "embedding": numbers, **cut})
        usage = {"prompt_tokens": read, "total_tokens": read}
        return encoded({"object": "list", "data": data, "model": self.embedder.name, "usage": usage})


def embedding_endpoint(server: Embedder) -> APIRoute:
    """The endpoint, answered by the bare handler."""
    text = "Turn texts into vectors: the OpenAI API's embeddings."
    return documented("/v1/embeddings", Embeddings(server), text, _FIELDS, "input")
