"""The server of a model that writes: one decode engine for all requests, and its life."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from formers.configs import GenerationConfig
from formers.generation.engine import Engine, Full, Request
from formers.generation.stopping import TokenBytes
from formers.serving.limits import Refusal
from formers.serving.settings import Settings
from formers.serving.telemetry import WritingMetrics
from formers.serving.writing.asked import Asked
from formers.serving.writing.kept import Kept
from formers.serving.writing.reply import Served
from formers.serving.writing.responses import ResponseReader
from formers.serving.writing.texts import Pieces, Text
from formers.serving.writing.values import BadField

logger = logging.getLogger("formers.serving")

_WARM_UP_TOKENS = 4
_LOOKS = 0.02  # seconds between two looks at an engine that is to become idle


class Writer(Served):
    """What the endpoints of a model that writes share.

    Args:
        model: a decoder with a head for the next token.
        tokenizer: its tokenizer.
        settings: limits and places.
        name: what requests call the model.
        revision: what tells the model from others.

    Raises:
        ValueError: the rows of such a model cannot share a batch.
    """

    summary = "A model that answers chats and goes on with texts."
    writes = True

    def __init__(self, model: Any, tokenizer: Any, settings: Settings, name: str, revision: str) -> None:
        super().__init__(settings, revision)
        self.name, self.tokenizer, self.created = name, tokenizer, int(time.time())
        self.kept = Kept(settings)
        self.reader = ResponseReader(model, tokenizer, settings, name, self.kept)
        self.bytes = TokenBytes(tokenizer)
        self.engine = Engine(model, waiting=settings.max_queued_requests)
        self.metrics = WritingMetrics(revision)
        self.answering = 0
        self._warming: asyncio.Task[None] | None = None

    @property
    def card(self) -> dict[str, Any]:
        """What is told of the model beside its name."""
        chats = self.tokenizer.chat_template is not None
        return {"max_model_len": self.reader.room, "max_tokens": self.settings.max_new_tokens, "chats": chats}

    # -- its life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the engine and warm it up in the background."""
        self.open()
        self.engine.start()
        self._warming = asyncio.get_running_loop().create_task(self._warm_up())

    async def _warm_up(self) -> None:
        if self.settings.warm_up:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            config = GenerationConfig(max_new_tokens=_WARM_UP_TOKENS, eos_token_id=None)
            request = Request([0], config, on_end=lambda _: loop.call_soon_threadsafe(ended.set))
            self.engine.submit(request)
            await ended.wait()
            if request.error is not None:
                self._fail(f"the warm-up failed: {type(request.error).__name__}: {request.error}")
        if self.state == "starting":
            self.state = "ready"

    def look_at_engine(self) -> None:
        """Notice an engine whose thread died."""
        if self.state == "ready" and not self.engine.alive:
            self._fail("the engine's thread died")

    async def drain(self) -> None:
        """Refuse new requests and finish what is held, within the settings' time; again does nothing."""
        self.begin_draining()
        until = time.monotonic() + self.settings.drain_timeout
        while self.answering and time.monotonic() < until:
            await asyncio.sleep(_LOOKS)
        if self.answering:
            logger.error("stopped with requests unanswered after %g s", self.settings.drain_timeout)

    async def stop(self) -> None:
        """Finish what is held, end the engine, close the files."""
        await self.drain()
        await asyncio.to_thread(self.engine.close, False, self.settings.drain_timeout)
        await asyncio.to_thread(self.close)

    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""
        scheduler = self.engine.scheduler
        self.metrics.running.set(len(scheduler.running))
        self.metrics.waiting.set(scheduler.waiting)
        self.metrics.ready.set(1 if self.state == "ready" else 0)

    # -- texts ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def begun(self, asked: Asked, client: str) -> Iterator[tuple[Pieces, list[Request]]]:
        """Let the texts of a request be written; what is left of them when the block ends is given up.

        Raises:
            Refusal: there is no room for them (503), or they cannot be written (400).
        """
        pieces = Pieces()
        requests: list[Request] = []
        self.answering += 1
        try:
            for index in range(len(asked.prompts) * asked.copies):
                prompt = asked.prompts[index // asked.copies]
                before, marks = () if asked.chat else prompt, asked.channels or asked.tools is not None
                text = Text(index, self.tokenizer, before, asked.stop, pieces.post, marks)
                given = {"on_token": text.on_token, "on_end": text.on_end, "client": client}
                request = asked.request(self.reader.model, index, **given)
                self._submit(request)
                requests.append(request)
            yield pieces, requests
        finally:
            self.answering -= 1
            for request in requests:
                if request.reason is None:
                    self.engine.cancel(request)

    def _submit(self, request: Request) -> None:
        try:
            self.engine.submit(request)
        except Full as error:
            raise Refusal(503, f"at capacity: {error}", retry_after=1) from None
        except RuntimeError:
            raise Refusal(503, "the server is stopping", retry_after=1) from None
        except ValueError as error:
            raise BadField(None, str(error), "context_length_exceeded") from None
