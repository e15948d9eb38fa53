"""Dynamic batching by tokens: one thread computes, and what arrives meanwhile makes up the next batches."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from formers.core.batching import plan
from formers.serving.protocol import Model, Ranked
from formers.serving.sharing import BURST, Shares
from formers.serving.work import Answer, ClientKey, Item, Job

DEFAULT_BATCH_TOKENS = 2048
SHORT_PASS = 0.05  # seconds that a pass may take with texts of clients who had their share
LEAST_TOKENS = 128  # of a pass that is held to it
LONGEST_RETRY = 120.0
_NO_LIMIT = 1 << 30


class Overloaded(Exception):
    """The engine holds as much work as it may; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stopping(Exception):
    """The engine takes no new work: it is starting, stopping, or broken."""


class Unsound(Exception):
    """The model gave what is no answer, such as NaN for a confidence."""


class OutOfTime(Exception):
    """A job was not done within its time limit."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One forward pass, for the metrics. `seconds` covers the pass alone."""

    items: int
    tokens: int
    seconds: float


class Engine:
    """Runs a model for many callers at once.

    One thread tokenises and computes. It never waits for a batch to fill: a lone text runs at once, and while
    a batch is computed the next ones gather. The lock guards a list of arrivals and nothing else, and is
    never held while anything is computed. Each batch holds the text that is next by its client's share
    (`Shares`), so that no text can starve, and its neighbours by length.

    Args:
        model: what computes.
        max_batch_tokens: token budget of a forward pass.
        max_batch_items: most texts in a forward pass.
        max_delay: seconds to wait for company when a batch is not full.
        max_queued_requests: jobs held at once.
        max_queued_tokens: estimated tokens held at once.
        observe: called on the event loop with a report of each forward pass.
        problem: an answer of the model -> what is wrong with it, or None.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_batch_tokens: int | None = None,
        max_batch_items: int | None = None,
        max_delay: float = 0.0,
        max_queued_requests: int = 1024,
        max_queued_tokens: int = 262_144,
        observe: Callable[[BatchReport], None] | None = None,
        problem: Callable[[Any], str | None] | None = None,
    ) -> None:
        self.model, self._problem_of = model, problem or problem_of_scores
        own = getattr(model, "max_batch_tokens", None)
        self.max_batch_tokens = max_batch_tokens or own or DEFAULT_BATCH_TOKENS
        self.max_batch_items = max_batch_items
        self.max_delay = max_delay
        self.max_queued_requests = max_queued_requests
        self.max_queued_tokens = max_queued_tokens
        self.queued_requests = 0
        self.queued_tokens = 0
        self.broken: Exception | None = None
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._held: set[Job] = set()
        self._idle: asyncio.Event | None = None
        self._accepting = False
        # shared with the worker, under the condition's lock
        self._arrivals = threading.Condition()
        self._arrived: deque[Job] = deque()
        self._stop = False
        # the worker's own
        self._waiting = Shares()
        self._short = float(self.max_batch_tokens)  # tokens that take SHORT_PASS
        # written by the worker, read by the loop: plain floats
        self._tokens_per_char = 0.3
        self._tokens_per_second = 0.0

    # --- on the event loop -------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker thread; call it on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = True
        self._thread = threading.Thread(target=self._work, name="formers-engine", daemon=True)
        self._thread.start()

    def submit(
        self, texts: Sequence[Any], timeout: float | None = None, client: ClientKey = (None, None)
    ) -> Job:
        """Take `texts` in; `job.future` gets their answers, in their order.

        Args:
            texts: at least one; or lists of token ids, where the model prepares them.
            timeout: seconds; after it the future raises OutOfTime and the work is dropped.
            client: address and connection whose share of the model this takes.

        Raises:
            Overloaded: more is held already than the limits allow.
            Stopping: the engine was not started, is draining, or its thread died.
        """
        if self.broken is not None:
            raise Stopping(f"the engine failed: {self.broken!r}")
        if not self._accepting or self._loop is None or self._idle is None:
            raise Stopping("the engine is not running")
        lengths = self._estimates(texts)
        if self.queued_requests >= self.max_queued_requests:
            raise Overloaded(f"{self.queued_requests} requests are waiting already", self.retry_after())
        # an empty engine takes any request, however large: it would never fit later either
        full = self.queued_requests and self.queued_tokens + sum(lengths) > self.max_queued_tokens
        # the backlog of others keeps out no short text of one who waits for nothing: its turn comes first
        if full and (sum(lengths) > BURST or any(job.client == client for job in self._held)):
            raise Overloaded(f"about {self.queued_tokens} tokens are waiting already", self.retry_after())
        job = Job(texts, lengths, client, self._loop.create_future())
        if timeout is not None:
            job.timer = self._loop.call_later(timeout, self._expire, job, timeout)
        self._held.add(job)
        self.queued_requests += 1
        self.queued_tokens += job.estimate
        self._idle.clear()
        with self._arrivals:
            self._arrived.append(job)
            self._arrivals.notify()
        return job

    def drop(self, job: Job) -> None:
        """Give a job up, as when its client has gone; texts of it that have not run will not run."""
        self._release(job, dropped=True)
        if not job.future.done():
            job.future.cancel()

    def retry_after(self) -> int:
        """Whole seconds after which the work now held should be done, from the measured rate."""
        if not self._tokens_per_second:
            return 1
        wait = self.queued_tokens / self._tokens_per_second
        return max(1, math.ceil(min(wait, LONGEST_RETRY)))

    async def drain(self, timeout: float) -> bool:
        """Take nothing new, wait for what is held, stop the thread; False when time ran out."""
        self._accepting = False
        done = True
        if self._idle is not None:
            try:
                await asyncio.wait_for(self._idle.wait(), timeout)
            except (asyncio.TimeoutError, TimeoutError):
                done = False
                for job in list(self._held):
                    self.drop(job)
        with self._arrivals:
            self._stop = True
            self._arrivals.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5.0)
        return done

    def _estimates(self, texts: Sequence[Any]) -> list[int]:
        ratio, most = self._tokens_per_char, self.model.max_length or _NO_LIMIT
        return [min(most, 2 + int(len(text) * (ratio if isinstance(text, str) else 1))) for text in texts]

    def _expire(self, job: Job, timeout: float) -> None:
        self._release(job, dropped=True)
        if not job.future.done():
            job.future.set_exception(OutOfTime(f"not done within {timeout:g} s"))

    def _release(self, job: Job, dropped: bool = False) -> None:
        if dropped:
            job.dropped = True
            job.items = []  # the worker may come to it much later
        if job in self._held:
            self._held.remove(job)
            self.queued_requests -= 1
            self.queued_tokens -= job.estimate
            if job.timer is not None:
                job.timer.cancel()
            if not self._held and self._idle is not None:
                self._idle.set()

    def _deliver(self, jobs: list[Job], report: BatchReport | None) -> None:
        for job in jobs:
            self._release(job)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result([answer for answer in job.answers if answer is not None])
        if report is not None and self._observe is not None:
            self._observe(report)

    def _fail_all(self, error: Exception) -> None:
        self._accepting = False
        for job in list(self._held):
            self._release(job)
            if not job.future.done():
                job.future.set_exception(Stopping(f"the engine failed: {error!r}"))

    # --- in the worker thread ------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._gather():
                if batch := self._next_batch():
                    self._run(batch)
        except Exception as error:  # a fault of this file: say so, let nobody hang
            self.broken = error
            self._call(self._fail_all, error)

    def _gather(self) -> bool:
        """Move arrivals over, waiting only when there is nothing else to do; False to stop."""
        with self._arrivals:
            if not self._waiting:
                while not self._arrived and not self._stop:
                    self._arrivals.wait()
                if self.max_delay and not self._stop:
                    self._wait_for_company()
            arrived = list(self._arrived)
            self._arrived.clear()
        for job in arrived:
            self._waiting.add(job)
        return not (self._stop and not self._waiting)

    def _wait_for_company(self) -> None:
        until = time.monotonic() + self.max_delay
        while not self._stop and sum(job.estimate for job in self._arrived) < self.max_batch_tokens:
            if (left := until - time.monotonic()) <= 0:
                break
            self._arrivals.wait(left)

    def _next_batch(self) -> list[Item]:
        """Take the batch that holds the next text out of what waits; empty when nothing could be read."""
        texts = self._waiting.ahead(self.max_batch_tokens, self._short)
        self._tokenize([item for item in texts if item.prepared is None])
        live = [item for item in texts if item.job.waits and item.prepared is not None]
        if not live:
            return []
        batches = plan(
            [item.length for item in live], max_tokens=self.max_batch_tokens, max_items=self.max_batch_items
        )
        batch = [live[index] for index in next(batch for batch in batches if 0 in batch)]
        self._waiting.take(batch)
        return batch

    def _tokenize(self, items: list[Item]) -> None:
        if not items:
            return
        try:
            prepared = self.model.prepare([item.text for item in items])
        except Exception as error:  # whatever a tokenizer raises is its text's answer
            self._tokenize_alone(items, error)
            return
        for item, found in zip(items, prepared, strict=True):
            item.prepared, item.length = found, found.length
        read = [item for item in items if isinstance(item.text, str)]
        if chars := sum(len(item.text) for item in read):
            tokens = sum(item.length for item in read)
            self._tokens_per_char = _blend(self._tokens_per_char, tokens / chars)

    def _tokenize_alone(self, items: list[Item], error: Exception) -> None:
        """One of the texts cannot be tokenised: find it, and spare the others' jobs."""
        if len(items) > 1:
            for item in items:
                self._tokenize([item] if item.job.error is None else [])
        else:
            items[0].job.error = error
            self._call(self._deliver, [items[0].job], None)

    def _run(self, batch: list[Item]) -> None:
        started = time.perf_counter()
        try:
            results = self._results(batch)
        except Exception as error:  # whatever a model raises is the answer of the text that broke it
            self._run_alone(batch, error)
            return
        seconds = time.perf_counter() - started
        tokens = sum(item.length for item in batch)
        if seconds > SHORT_PASS:
            self._short = max(LEAST_TOKENS, (self._short + tokens * SHORT_PASS / seconds) / 2)
        elif 2 * tokens > self._short:
            self._short = min(1.2 * self._short, self.max_batch_tokens)
        rate = tokens / max(seconds, 1e-6)
        self._tokens_per_second = _blend(self._tokens_per_second, rate) if self._tokens_per_second else rate
        done = self._fill(batch, results)
        self._call(self._deliver, done, BatchReport(len(batch), tokens, seconds))

    def _run_alone(self, batch: list[Item], error: Exception) -> None:
        """One of `batch` broke the pass: run each text by itself, so that only its own request fails."""
        done: list[Job] = []
        for item in batch:
            if item.job.error is not None:
                continue
            if len(batch) > 1:
                try:
                    done += self._fill([item], self._results([item]))
                    continue
                except Exception as own:  # as above
                    item.job.error = own
            else:
                item.job.error = error
            done.append(item.job)
        self._call(self._deliver, done, None)

    def _results(self, batch: list[Item]) -> Sequence[Any]:
        results = self.model.run([item.prepared for item in batch])
        if len(results) != len(batch):
            raise RuntimeError(f"the model gave {len(results)} results for {len(batch)} texts")
        return results

    def _fill(self, batch: list[Item], results: Sequence[Any]) -> list[Job]:
        done: list[Job] = []
        for item, result in zip(batch, results, strict=True):
            job = item.job
            if job.error is not None:
                continue
            if problem := self._problem_of(result):
                job.error = Unsound(problem)
                done.append(job)
                continue
            job.answers[item.index] = Answer(result, item.length, getattr(item.prepared, "cut", 0))
            job.left -= 1
            if not job.left:
                done.append(job)
        return done

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed by force: nobody waits any more
                self._loop.call_soon_threadsafe(function, *arguments)


def problem_of_scores(ranked: Ranked) -> str | None:
    """What keeps the scores of a text from being probabilities; None when nothing does."""
    if not ranked:
        return "the model gave no score for any label"
    for label, score in ranked:
        if not 0.0 <= score <= 1.0:
            return f"the model gave {score!r} as the confidence of {label!r}; it must lie between 0 and 1"
    return None


def _blend(old: float, new: float) -> float:
    """An average that follows the last few dozen batches."""
    return 0.9 * old + 0.1 * new
