"""The life of a server that answers texts in batches: its engine, warm-up and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from formers.serving.engine import Engine, OutOfTime, Overloaded, Stopping, Unsound
from formers.serving.life import Life
from formers.serving.limits import Gone, Receive, Refusal
from formers.serving.protocol import Model
from formers.serving.settings import Settings
from formers.serving.sharing import Clients
from formers.serving.telemetry import BatchMetrics
from formers.serving.work import Answer, ClientKey, Job

logger = logging.getLogger("formers.serving")

WARM_UP_WORDS = (1, 4, 16, 48, 128, 384)  # about a geometric series of lengths; a model cuts what is too long


class Failed(Refusal):
    """The model did not answer: it took too long (504), or failed (500).

    Attributes:
        reason: "timeout" or "error".
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.reason = "timeout" if status == 504 else "error"


class Batched(Life):
    """What servers around the engine of batches share.

    Args:
        settings: limits and places.
        model: what computes.
        metrics: what is counted.
        problem: an answer of the model -> what is wrong with it, or None; for a classifier when left out.
    """

    def __init__(
        self,
        settings: Settings,
        model: Model,
        metrics: BatchMetrics,
        problem: Callable[[Any], str | None] | None = None,
    ) -> None:
        super().__init__(settings, model.revision)
        self.metrics = metrics
        self.engine = Engine(
            model,
            max_batch_tokens=settings.max_batch_tokens,
            max_batch_items=settings.max_batch_items,
            max_delay=settings.max_delay,
            max_queued_requests=settings.max_queued_requests,
            max_queued_tokens=settings.max_queued_tokens,
            observe=metrics.batch,
            problem=problem,
        )
        self.clients = Clients()
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the engine and warm it up in the background."""
        self.open()
        self.engine.start()
        self._warming = asyncio.get_running_loop().create_task(self._warm_up())

    def rehearsals(self) -> list[list[Any]]:
        """What the warm-up asks, one list after the other."""
        texts = [" ".join(["word"] * words) for words in WARM_UP_WORDS]
        return [[texts[0]], [texts[-1]], texts]

    async def _warm_up(self) -> None:
        try:
            if self.settings.warm_up:
                for inputs in self.rehearsals():
                    await self.engine.submit(inputs).future
        except asyncio.CancelledError:
            raise
        except Unsound as error:
            self._fail(f"the warm-up failed: {error}")
        except Exception as error:
            self._fail(f"the warm-up failed: {type(error).__name__}: {error}")
        else:
            if self.state == "starting":
                self.state = "ready"

    def look_at_engine(self) -> None:
        """Notice an engine whose thread died; the server then stops, and a supervisor can start another."""
        if self.engine.broken is not None and self.state == "ready":
            self._fail(f"the engine failed: {self.engine.broken!r}")

    async def drain(self) -> None:
        """Refuse new requests and finish what is held, within the settings' time; again does nothing."""
        self.begin_draining()
        if self._warming is not None:
            self._warming.cancel()
        if not await self.engine.drain(self.settings.drain_timeout):
            logger.error("stopped with requests unanswered after %g s", self.settings.drain_timeout)

    async def stop(self) -> None:
        """Finish what is held, write what is waiting, close the files."""
        await self.drain()
        await asyncio.to_thread(self.close)

    async def answers(
        self, texts: Sequence[Any], receive: Receive, client: ClientKey, what: str
    ) -> list[Answer]:
        """The model's answers to the texts of one request, `what` in the log.

        Raises:
            Refusal: there is no room for them (503), or `Failed`.
            Gone: the client hung up.
        """
        try:
            job = self.engine.submit(texts, self.settings.timeout, client)
        except Overloaded as error:
            raise Refusal(503, f"at capacity: {error}", error.retry_after) from None
        except Stopping as error:
            raise Refusal(503, str(error), 1) from None
        watcher = asyncio.get_running_loop().create_task(self._watch(receive, job))
        try:
            return await job.future
        except asyncio.CancelledError:
            if job.dropped:
                raise Gone from None
            self.engine.drop(job)
            raise
        except Stopping as error:
            raise Refusal(503, str(error), 1) from None
        except OutOfTime as error:
            raise Failed(504, str(error)) from None
        except Unsound as error:
            logger.error("%s: %s", what, error)
            raise Failed(500, str(error)) from None
        except Exception as error:  # whatever a model raises
            logger.exception("the model failed on %s", what, exc_info=error)
            raise Failed(500, f"the model failed: {type(error).__name__}") from None
        finally:
            watcher.cancel()

    async def _watch(self, receive: Receive, job: Job) -> None:
        """Give the job up when its client hangs up."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not job.future.done():
            self.engine.drop(job)

    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""
        metrics = self.metrics
        metrics.waiting_requests.set(self.engine.queued_requests)
        metrics.waiting_tokens.set(self.engine.queued_tokens)
        metrics.ready.set(1 if self.state == "ready" else 0)
