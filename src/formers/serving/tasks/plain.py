"""The Hub's routes on the servers of a classifier and of a model that embeds, beside their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.serving.batched import Batched
from formers.serving.classify import Scope
from formers.serving.embedder import Embedder
from formers.serving.limits import Faults, Receive, Refusal, read_object
from formers.serving.service import Service, top_scores
from formers.serving.tasks.asked import check_known
from formers.serving.tasks.endpoint import error_of
from formers.serving.tasks.table import cosines
from formers.serving.tasks.values import Values
from formers.serving.work import Answer
from formers.serving.writing.reply import Endpoint, Reply, documented

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

_SPARE = 100  # values of a body beside its texts
_PAIR = ("source_sentence", "sentences")


@dataclass(frozen=True)
class AskedTexts:
    """A checked request.

    Attributes:
        texts: what is asked about.
        single: whether it was one text.
        parameters: by name.
        compared: whether the first text is compared with the others.
    """

    texts: list[str]
    single: bool
    parameters: Mapping[str, Any]
    compared: bool = False


Write = Callable[[AskedTexts, list[Answer]], Any]


class PlainEndpoint(Endpoint):
    """Answers one path.

    Args:
        server: of a classifier, or a model that embeds.
        known: names of the parameters.
        pairs: whether texts may be compared.
        write: a request and its answers -> what is sent.
    """

    def __init__(self, server: Batched, known: tuple[str, ...], pairs: bool, write: Write) -> None:
        super().__init__(server)
        self._batched, self._known, self._pairs, self._write = server, known, pairs, write

    def told(self, refusal: Refusal) -> dict[str, Any]:
        """An error in the form of the Hub's API."""
        return error_of(refusal)

    def _count(self, record: dict[str, Any]) -> None:
        """All is counted where it is answered."""

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        server = self._batched
        asked = await self._asked(scope, receive, self._read)
        record["texts"] = len(asked.texts)
        what = f"a request at {scope['path']}"
        answers = await server.answers(asked.texts, receive, server.clients.of(scope), what)
        await reply.whole(200, self._write(asked, answers))
        server.clients.remember(scope)

    def _read(self, raw: bytes) -> AskedTexts:
        settings = self._batched.settings
        body = read_object(raw, Faults(), settings.max_texts + _SPARE)
        pair = _PAIR if self._pairs else ()
        check_known(body, ("inputs", "parameters", *pair, *self._known), "key")
        told = body.get("parameters")
        if not isinstance(told, dict | None):
            raise Refusal(422, "parameters must be an object")
        check_known(told or {}, self._known, "parameter")
        stray = {name: body[name] for name in self._known if name in body}
        parameters = {name: one for name, one in {**(told or {}), **stray}.items() if one is not None}
        if parameters.pop("truncate", True) is not True:
            raise Refusal(422, "truncate is true here: what a model cannot read of a text is cut")
        values, given = Values(settings, 1), body.get("inputs")
        beside = {name: body[name] for name in pair if name in body}
        if beside or (pair and isinstance(given, dict)):
            given = {**({"source_sentence": given} if isinstance(given, str) else given or {}), **beside}
            check_known(given, pair, "key in inputs:")
            first, _ = values.of("text", given.get("source_sentence"), "source_sentence")
            others, _ = values.of("texts", given.get("sentences"), "sentences")
            return AskedTexts([first, *others], False, parameters, compared=True)
        if isinstance(given, list):
            return AskedTexts(values.of("texts", given, "inputs")[0], False, parameters)
        if "inputs" not in body:
            raise Refusal(422, "inputs is missing")
        return AskedTexts([values.of("text", given, "inputs")[0]], True, parameters)


def _whole(asked: AskedTexts, name: str, most: int) -> int | None:
    value = asked.parameters.get(name)
    if value is not None and (type(value) is not int or not 1 <= value <= most):
        raise Refusal(422, f"{name} must be a whole number from 1 to {most}")
    return value


def classifying_endpoints(service: Service) -> list[APIRoute]:
    """The Hub's text classification; scores alone, so nothing goes to a person."""

    def write(asked: AskedTexts, answers: list[Answer]) -> Any:
        most = _whole(asked, "top_k", 1 << 20) or -1
        service.count_answers(asked.texts, answers)
        return [top_scores(answer.result, most) for answer in answers]

    endpoint = PlainEndpoint(service, ("top_k", "truncate"), False, write)
    return _routes(endpoint, "text-classification")


def embedding_endpoints(server: Embedder) -> list[APIRoute]:
    """The Hub's feature extraction and sentence similarity: a vector for each text, or cosines."""

    def write(asked: AskedTexts, answers: list[Answer]) -> Any:
        dimensions, unit = _whole(asked, "dimensions", server.model.width), server.model.unit
        server.metrics.answers(answers)
        vectors = [server.model.cut(answer.result, dimensions) for answer in answers]
        if asked.compared:
            return cosines(vectors)
        wanted = asked.parameters.get("normalize", unit)
        if not isinstance(wanted, bool) or (unit and not wanted):
            raise Refusal(422, "normalize is true here: the vectors of this server have length 1")
        if wanted and not unit:
            vectors = [one / max(float(np.linalg.norm(one)), 1e-12) for one in vectors]
        return vectors[0].tolist() if asked.single else [one.tolist() for one in vectors]

    endpoint = PlainEndpoint(server, ("normalize", "dimensions", "truncate"), True, write)
    return _routes(endpoint, "feature-extraction")


def _routes(endpoint: PlainEndpoint, task: str) -> list[APIRoute]:
    text = f"The task {task}, as the Hub's Inference API has it: inputs and parameters."
    name = endpoint.server.called
    paths = ("/", *([f"/models/{name}"] if name else []))
    return [
        documented(path, endpoint, text, ("inputs", "parameters"), "inputs", named=False) for path in paths
    ]
