"""The shapes of requests and answers, for checks and for the OpenAPI page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class ClassifyRequest(BaseModel):
    """Give one of `text`, `texts` and `inputs`."""  # for the docs; `parsing.parse` reads it

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, description="One text; the answer is one object.")
    texts: list[str] | None = Field(None, description='Several texts; the answer is `{"results": [...]}`.')
    inputs: str | list[str] | None = Field(
        None, description="Either of the two, as inference clients send it."
    )
    top_k: int | None = Field(None, ge=1, description="List this many scores; null lists all.")
    all_scores: bool = Field(False, description="List the score of every label.")
    parameters: dict[str, Any] | None = Field(
        None, description='`{"top_k": n}`, as inference clients send it.'
    )


class Score(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Classified(BaseModel):
    """The answer for one text."""

    label: str | None = Field(description="The best label; null when a person answers in the model's place.")
    confidence: float | None = Field(description="Probability of the label, 0 to 1.")
    score: float | None = Field(description="The same number, under the pipeline's name.")
    needs_human: bool = Field(description="True when the confidence lies below the label's threshold.")
    revision: str | None = Field(description="The model that answered.")
    tokens: int | None = Field(description="Tokens that the model read.")
    queue_id: int | None = Field(
        None, description="Number in the human queue; there when needs_human is true."
    )
    cut_tokens: int | None = Field(None, description="Tokens that did not fit; there when some did not.")
    scores: list[Score] | None = Field(None, description="There when asked for, best first.")
    reason: str | None = Field(None, description="Why a person answers: timeout or error.")


class ClassifiedMany(BaseModel):
    """The answers for several texts, in their order."""

    results: list[Classified]


class Problem(BaseModel):
    """What went wrong."""

    detail: str


class Health(BaseModel):
    """Whether the server takes requests."""

    status: Literal["starting", "ready", "draining", "failed"]
    live: bool
    ready: bool
    problem: str | None = None


class ModelCard(BaseModel):
    """What the server runs, and within which limits."""

    revision: str | None
    labels: list[str]
    thresholds: dict[str, float | None]
    max_tokens: int | None
    max_chars: int
    max_texts: int
    needs_key: bool


def _stamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    stamp = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


Stamp = BeforeValidator(_stamp)
Scores = Annotated[
    list[Score], BeforeValidator(lambda pairs: [{"label": label, "score": score} for label, score in pairs])
]


class QueueItem(BaseModel):
    """A text that a person must decide, or has decided; from a `desk.queue.Item`. Times are ISO 8601, UTC."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created: Annotated[str, Stamp]
    request_id: str
    reason: str
    text: str
    label: str | None
    score: float | None
    threshold: float | None
    scores: Scores
    tokens: int | None
    revision: str | None
    status: Literal["open", "resolved"]
    resolved_label: str | None
    resolved_by: str | None
    resolved_note: str | None
    resolved: Annotated[str | None, Stamp]


class QueuePage(BaseModel):
    """Items in the order in which they came, and how to go on."""

    items: list[QueueItem]
    next: int | None = Field(description="Give this as `after` for the next page; null on the last.")
    open: int
    resolved: int


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


class Resolution(BaseModel):
    """A person's decision."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, description="One of the model's labels.")
    by: Annotated[str, BeforeValidator(_stripped)] = Field(
        min_length=1, max_length=200, description="Who decided; spaces around the name are dropped."
    )
    note: str = Field("", max_length=4000)
