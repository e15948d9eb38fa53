"""What the server may be told: one frozen record, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from formers.core.fields import option, read_fields
from formers.core.notices import refuse_unknown


@dataclass(frozen=True)
class Settings:
    """Limits, times and places of one server.

    Attributes:
        threshold: answers whose confidence lies below it go to a person. One number for all labels, or a
            number for each label (labels left out use 0.75). None: `thresholds.json` beside the model
            decides, and 0.75 where there is none. 0 sends nothing to a person.
        queue_path: file of the human queue (SQLite). Its folder must exist.
        max_queue_bytes: size of that file; a text that must go to a person is 503 beyond it.
        max_chars: longest text, in characters; looked at before any tokenizing. A longer one is refused with
            413.
        max_texts: most texts in a request (413 above it).
        max_body_bytes: largest request body, in bytes (413 above it).
        max_media_bytes: the same of a task that takes pictures or sounds.
        max_pixels: most pixels of a picture, or of a frame of a film; looked at before it is decoded (413
            above it). The pictures of a request may have four times as many together.
        max_seconds: longest sound; decoding ends where it lasts longer (413). The sounds of a request may
            last four times as long together.
        body_timeout: seconds that a client may take to send the head of a request, and then its body (408
            after it); and to take what is written to it, before its connection is closed.
        timeout: seconds that a request may take once its body is there, the wait for its turn included.
        fallback: what happens to a request that ran out of time or that the model failed on. "error" answers
            504 or 500; "human" keeps its texts in the human queue and answers 202.
        max_batch_tokens: token budget of a forward pass. None: the pipeline's own, else 2048.
        max_batch_items: most texts in a forward pass. None: as many as the budget holds.
        max_new_tokens: most tokens that a text may be gone on with, and how many an answer in a chat gets
            whose request says nothing.
        max_delay: seconds that an idle engine waits for company before it runs a batch that is not full.
        max_queued_requests: requests that may wait or run at once; beyond it the answer is 503.
        max_queued_tokens: tokens (estimated from the characters) that may wait or run at once; beyond it 503,
            but for a short text of a connection that has nothing waiting.
        max_kept_responses: responses of `/v1/responses` that are kept in memory at most, the newest, so that
            a client can fetch them or go on from them. 0 keeps none.
        max_kept_bytes: bytes that they may take.
        keep_responses: seconds for which one is kept.
        api_key: when given, the endpoints of the human queue, all under `/v1` and every task ask for it
            (`X-API-Key`, or `Authorization: Bearer`).
        protect_classify: ask for the key at `/classify` too.
        log_path: file that the request lines (JSON) are appended to. None: standard error.
        log_texts: write the texts into the request lines. Off: a log must not become a copy of people's mail.
        warm_up: run the model over a few lengths before the server says that it is ready.
        torch_compile: compile the model; the warm-up then makes the graphs that serve all lengths.
        drain_timeout: seconds that a stopping server gives to the requests that it holds.
        drift_baseline: file (or its folder) with the texts and scores of a reference period, see
            `formers.desk.drift`. None: `drift-baseline.json` beside the model, if there is one.
    """

    threshold: float | Mapping[str, float] | None = None
    queue_path: str | Path = "human-queue.sqlite3"
    max_queue_bytes: int = option(4 * 1024**3, at_least=1)
    max_chars: int = option(20_000, at_least=1)
    max_texts: int = option(256, at_least=1)
    max_body_bytes: int = option(4 * 1024 * 1024, at_least=1)
    max_media_bytes: int = option(32 * 1024 * 1024, at_least=1)
    max_pixels: int = option(1 << 25, at_least=1)
    max_seconds: float = option(600.0, above=0)
    body_timeout: float = option(10.0, above=0)
    timeout: float = option(10.0, above=0)
    fallback: str = option("error", choices=("error", "human"))
    max_batch_tokens: int | None = option(None, at_least=1)
    max_batch_items: int | None = option(None, at_least=1)
    max_new_tokens: int = option(4096, at_least=1)
    max_delay: float = option(0.0, at_least=0)
    max_queued_requests: int = option(1024, at_least=1)
    max_queued_tokens: int = option(262_144, at_least=1)
    max_kept_responses: int = option(1000, at_least=0)
    max_kept_bytes: int = option(64 * 1024**2, at_least=1)
    keep_responses: float = option(24 * 3600.0, above=0)
    api_key: str | None = field(default=None, repr=False)
    protect_classify: bool = False
    log_path: str | Path | None = None
    log_texts: bool = False
    warm_up: bool = True
    torch_compile: bool = False
    drain_timeout: float = option(30.0, above=0)
    drift_baseline: str | Path | None = None

    def __post_init__(self) -> None:
        read_fields(self, strict=True)
        if self.protect_classify and not self.api_key:
            raise ValueError("protect_classify needs an api_key")
        self._check_threshold()

    def _check_threshold(self) -> None:
        given = self.threshold
        values = given if isinstance(given, Mapping) else {"threshold": 0.0 if given is None else given}
        for label, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"a threshold lies between 0 and 1, but {label!r} has {value!r}")

    @classmethod
    def of(cls, settings: Settings | None = None, **changes: Any) -> Settings:
        """Return `settings` (or the defaults) with `changes` made.

        Raises:
            TypeError: for a keyword that is no setting, with the nearest one that is.
        """
        refuse_unknown(changes, [entry.name for entry in fields(cls)], "serving settings")
        return replace(settings or cls(), **changes)
