"""The loop: a piece of a prompt, a step of all rows, again; in a thread of its own or step by step."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import torch

from formers.core.modes import evaluating
from formers.generation.engine.blocks import Blocks
from formers.generation.engine.choosing import choose
from formers.generation.engine.request import Reason, Request
from formers.generation.engine.runner import Runner
from formers.generation.engine.scheduler import Full, Scheduler
from formers.nn.cache import Cache

__all__ = ["Engine", "Full"]
logger = logging.getLogger(__name__)


class Engine:
    """Goes on with many requests at once.

    A step reads one piece of one prompt, if any waits, and lets every row go on by one token: long prompts
    do not hold up those that are being answered. Greedy rows get the tokens that `generate` would give
    them alone.

    Args:
        model: a decoder with a head for the next token.
        rows: how many requests go on at once.
        tokens: how many tokens those may come to; bounds the cache's memory.
        waiting: how many may wait; more is `Full`.
        chunk: tokens of a prompt that are read in one step.
        prefix_bytes: what is kept of prompts for those that begin alike; 0 for nothing.

    Raises:
        ValueError: for a model whose rows cannot share a batch.
    """

    def __init__(
        self,
        model: Any,
        rows: int = 32,
        tokens: int = 1 << 16,
        waiting: int = 1024,
        chunk: int = 512,
        prefix_bytes: int = 256 << 20,
    ) -> None:
        self.model, self.chunk = model, chunk
        self.scheduler = Scheduler(rows, tokens, waiting)
        self.blocks = Blocks(most=prefix_bytes)
        self.runner = Runner(model, rows, self.blocks)
        self._cache: Cache | None = None
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._closed = False

    # -- from outside ---------------------------------------------------------------------------------

    def submit(self, request: Request) -> Request:
        """Let a request be answered; from any thread.

        Raises:
            Full: when too many wait.
            RuntimeError: after `close`.
            ValueError: for one that could never run.
        """
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self.scheduler.add(request)
            self._wake.notify()
        return request

    def cancel(self, request: Request) -> None:
        """Let a request end: at once where it waits, else at its next step; from any thread."""
        with self._lock:
            request.cancelled = True
            waited = self.scheduler.withdraw(request)
        if waited:
            _end(request, "cancelled")

    def start(self) -> Engine:
        """Work in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="decode", daemon=True)
            self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    def close(self, drain: bool = True, timeout: float | None = None) -> None:
        """Take no more requests, and end: after those that are there, or at once."""
        with self._wake:
            self._closed = True
            left = [] if drain else list(self.scheduler.everyone())
            self._wake.notify()
        for request in left:
            self.cancel(request)
        if self._thread is not None:
            self._thread.join(timeout)

    def run(self) -> None:
        """Work in this thread until nothing is left to do."""
        while not self.scheduler.idle:
            self.step()

    def _work(self) -> None:
        while True:
            with self._wake:
                while self.scheduler.idle and not self._closed:
                    self._wake.wait()
                if self.scheduler.idle:
                    return
            self.step()

    # -- the loop -------------------------------------------------------------------------------------

    def step(self) -> None:
        """Read a piece of a prompt, and let every row go on by one token. An error ends whom it concerns."""
        with torch.inference_mode(), evaluating(self.model):
            with self._lock:
                request = self.scheduler.next()
            if request is not None:
                self._guarded([request], lambda: self._read(request))
            self._sweep()
            running = list(self.scheduler.running)
            if running:
                self._guarded(running, lambda: self._go_on(running))

    def _read(self, request: Request) -> None:
        """A piece of a prompt; with its last, the request gets a row and its first token."""
        if request.cancelled:
            self._drop_reading(request, "cancelled")
            return
        if self._cache is None:
            self._cache, request.known = self.runner.begin(request.prompt)
            request.done = request.known
        piece = request.prompt[request.done : request.done + self.chunk]
        logits = self.runner.read(self._cache, piece)
        request.done += len(piece)
        if request.done < len(request.prompt):
            return
        tokens, told = choose([request], logits)
        if self._took(request, tokens[0], told[0]):
            self.blocks.keep(request.prompt, self._cache)
            self._drop_reading(request, request.reason or "stop")
            return
        self.runner.join(self._cache, request.prompt)
        self._cache = None
        with self._lock:
            self.scheduler.run(request)

    def _go_on(self, running: list[Request]) -> None:
        """One token for every row."""
        logits = self.runner.step([one.tokens[-1] for one in running])
        tokens, told = choose(running, logits)
        over = [self._took(*each) for each in zip(running, tokens, told, strict=True)]
        for row in reversed(range(len(running))):
            if over[row]:
                self._leave(row, running[row].reason or "stop")

    def _took(self, request: Request, token: int, log_prob: float | None) -> bool:
        """Hand a token on; whether the request ends with it."""
        if request.error is not None:
            request.reason = "failed"
            return True
        if request.first_at is None:
            request.first_at = time.monotonic()
        request.tokens.append(token)
        if log_prob is not None:
            request.log_probs.append(log_prob)
        stop = False
        if request.on_token is not None:
            try:
                stop = bool(request.on_token(request, token, log_prob))
            except Exception as error:  # whoever reads is at fault, and nobody else may suffer
                request.error, request.reason = error, "failed"
                return True
        if token in request.ends or stop:
            request.reason = "stop"
        elif len(request.tokens) >= request.most:
            request.reason = "length"
        return request.reason is not None

    def _sweep(self) -> None:
        """Rows whose reader went away leave."""
        for row in reversed(range(len(self.scheduler.running))):
            if self.scheduler.running[row].cancelled:
                self._leave(row, "cancelled")

    def _leave(self, row: int, reason: Reason) -> None:
        self.runner.leave(row)
        with self._lock:
            request = self.scheduler.leave(row)
        _end(request, reason)

    def _drop_reading(self, request: Request, reason: Reason) -> None:
        self._cache = None
        with self._lock:
            self.scheduler.reading = None
        _end(request, reason)

    def _guarded(self, concerned: list[Request], work: Any) -> None:
        """Do a piece of work; where it fails, those concerned end with the error, and the engine goes on."""
        try:
            work()
        except Exception as error:  # whatever a model raises concerns these requests alone
            for request in concerned:
                request.error = error
                if request is self.scheduler.reading:
                    self._drop_reading(request, "failed")
                elif request in self.scheduler.running:
                    self._leave(self.scheduler.running.index(request), "failed")


def _end(request: Request, reason: Reason) -> None:
    request.reason = request.reason or reason
    request.ended_at = time.monotonic()
    if request.on_end is not None:
        try:
            request.on_end(request)
        except Exception as error:  # as in `_took`
            request.error = request.error or error
            logger.exception("a request's on_end failed")
