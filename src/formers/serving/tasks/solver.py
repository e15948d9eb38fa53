"""A pipeline of any task as the engine runs it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from formers.core.batching import restore
from formers.serving.classify import encoded
from formers.serving.engine import Unsound
from formers.serving.limits import Refusal
from formers.serving.tasks.asked import Ask, one_line
from formers.serving.tasks.table import Blob, Row, plain

logger = logging.getLogger("formers.serving")


@dataclass(frozen=True, slots=True)
class Solved:
    """An answer as it is sent; `kind` is its type."""

    body: bytes
    kind: str = "application/json"


class Solver:
    """Answers what waits together: inputs with the same parameters in one call of the pipeline.

    Args:
        pipe: the pipeline.
        row: its task.
    """

    max_length: int | None = None  # costs are estimates: none is cut

    def __init__(self, pipe: Any, row: Row) -> None:
        from formers.model.revision import revision_of

        self.pipe, self.row = pipe, row
        self.revision: str | None = revision_of(pipe.model)

    def prepare(self, asks: list[Ask]) -> Sequence[Ask]:
        """They are read already."""
        return asks

    def run(self, asks: list[Ask]) -> Sequence[Solved | Refusal]:
        """An answer for each; a refusal for one that the pipeline refuses."""
        groups: dict[str, list[int]] = {}
        for place, ask in enumerate(asks):
            groups.setdefault(ask.alike, []).append(place)
        found = [one for places in groups.values() for one in self._group([asks[i] for i in places])]
        return restore(groups.values(), found)

    def _group(self, asks: list[Ask]) -> list[Solved | Refusal]:
        try:
            answers = self._answers(asks)
        except (ValueError, TypeError) as error:  # what a pipeline raises of an input that it does not take
            if len(asks) > 1:
                return [one for ask in asks for one in self._group([ask])]
            logger.warning("an input was refused: %s", one_line(error))
            return [Refusal(422, one_line(error))]
        return [self._solved(answer) for answer in answers]

    def _answers(self, asks: list[Ask]) -> list[Any]:
        parts = [part for ask in asks for part in ask.parts]
        parameters = asks[0].parameters
        if self.row.collapses and len(parts) == 1:
            found = [self.pipe(parts[0], **parameters)]
        else:
            found = list(self.pipe(parts, **parameters))
        answers, start = [], 0
        for ask in asks:
            own = found[start : start + len(ask.parts)]
            start += len(ask.parts)
            answer = ask.form.write(own if ask.form.parts is not None and len(own) > 1 else own[0])
            answers.append([answer] if self.row.listed and not isinstance(answer, list) else answer)
        return answers

    def _solved(self, answer: Any) -> Solved:
        if isinstance(answer, Blob):
            return Solved(answer.data, answer.kind)
        try:
            return Solved(encoded(plain(answer)))
        except ValueError:
            raise Unsound("the model gave numbers that are not finite") from None
