"""The server's Prometheus metrics. Texts are never in them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import accumulate
from typing import Any

from formers.core.extras import need
from formers.serving.engine import BatchReport
from formers.serving.work import Answer

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 30.0)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)


class _Histogram:
    """A histogram that takes many values at once: the client's own costs more than the rest of an answer.

    It is filled on the event loop alone, and needs no lock there; a page that is rendered meanwhile may show
    a sum that is some values ahead.
    """

    def __init__(self, registry: Any, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self._name, self._help = name, help_text
        self._bounds = [float(bound) for bound in bounds]
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: Iterable[float]) -> None:
        """Count `values`."""
        counts, bounds = self._counts, self._bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self._sum += value

    def collect(self) -> Iterator[Any]:
        """Yield it as the registry wants it: for each bound, how many values are not above it."""
        from prometheus_client.metrics_core import HistogramMetricFamily

        names = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=self._sum)


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of its own."""

    def __init__(self, revision: str | None, labels: Sequence[str]) -> None:
        client = need("prometheus_client", "serve", "the /metrics page")
        self.registry = client.CollectorRegistry()
        own = {"registry": self.registry}
        histogram = partial(_Histogram, self.registry)
        requests = client.Counter("formers_requests", "Requests at /classify, by status.", ["status"], **own)
        self._seconds = histogram(
            "formers_request_seconds", "Time from a request's arrival to its answer.", _SECONDS
        )
        self._answers = client.Counter("formers_answers", "Texts answered, by label.", ["label"], **own)
        self._human = client.Counter("formers_needs_human", "Texts kept for a person.", ["reason"], **own)
        self._scores = histogram("formers_top_score", "Confidence of the top label.", _SCORES)
        self._tokens = histogram("formers_text_tokens", "Tokens of a text.", _TOKENS)
        self._cut = client.Counter("formers_cut_texts", "Texts longer than the model reads.", **own)
        self._batch_seconds = histogram("formers_batch_seconds", "Time of a forward pass.", _SECONDS)
        self._batch_tokens = histogram("formers_batch_tokens", "Tokens of a forward pass.", _TOKENS)
        self._batch_items = histogram("formers_batch_texts", "Texts of a forward pass.", _ITEMS)
        # looked up once: a look-up by label costs more than the counting
        self._requests_of = cache(lambda status: requests.labels(str(status)))
        self._answers_of = cache(self._answers.labels)
        for label in labels:
            self._answers_of(label)
        self.waiting_requests = client.Gauge("formers_waiting_requests", "Requests held.", **own)
        self.waiting_tokens = client.Gauge("formers_waiting_tokens", "Tokens held (estimate).", **own)
        self.human_open = client.Gauge("formers_human_queue_open", "Items that wait for a person.", **own)
        self.ready = client.Gauge("formers_ready", "1 when the server takes requests.", **own)
        self.drift = client.Gauge(
            "formers_drift_psi",
            "Population stability index of recent texts and answers against the baseline.",
            ["feature"],
            **own,
        )
        client.Info("formers_model", "The model that answers.", **own).info({"revision": revision or ""})

    def request(self, status: int, seconds: float) -> None:
        """Count one request and its time."""
        self._requests_of(status).inc()
        self._seconds.observe((seconds,))

    def answers(self, answers: Sequence[Answer]) -> None:
        """Count the texts that the model answered in one request."""
        for label, count in Counter(answer.ranked[0][0] for answer in answers).items():
            self._answers_of(label).inc(count)
        self._scores.observe([answer.ranked[0][1] for answer in answers])
        self._tokens.observe([answer.tokens for answer in answers])
        if cut := sum(answer.cut > 0 for answer in answers):
            self._cut.inc(cut)

    def needs_human(self, reason: str, count: int) -> None:
        """Count texts that went to the human queue."""
        self._human.labels(reason).inc(count)

    def batch(self, report: BatchReport) -> None:
        """Count one forward pass."""
        self._batch_seconds.observe((report.seconds,))
        self._batch_tokens.observe((report.tokens,))
        self._batch_items.observe((report.items,))

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return _page(self.registry)


class WritingMetrics:
    """The same of a server that writes."""

    def __init__(self, revision: str | None) -> None:
        client = need("prometheus_client", "serve", "the /metrics page")
        self.registry = client.CollectorRegistry()
        own = {"registry": self.registry}
        self._requests = client.Counter(
            "formers_requests", "Requests under /v1, by status.", ["status"], **own
        )
        self._seconds = _Histogram(
            self.registry, "formers_request_seconds", "Time from a request's arrival to its end.", _SECONDS
        )
        self._first = _Histogram(
            self.registry, "formers_first_token_seconds", "Time from a request to its first token.", _SECONDS
        )
        self._read = client.Counter("formers_prompt_tokens", "Tokens of prompts.", **own)
        self._written = client.Counter("formers_completion_tokens", "Tokens that were written.", **own)
        self.running = client.Gauge("formers_running_texts", "Texts that are being written.", **own)
        self.waiting = client.Gauge("formers_waiting_texts", "Texts that wait for a place.", **own)
        self.ready = client.Gauge("formers_ready", "1 when the server takes requests.", **own)
        client.Info("formers_model", "The model that answers.", **own).info({"revision": revision or ""})

    def request(self, status: int, seconds: float, read: int, written: int, first: float | None) -> None:
        """Count one request: its time, its tokens, and the time to its first token."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe((seconds,))
        self._read.inc(read)
        self._written.inc(written)
        if first is not None:
            self._first.observe((first,))

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return _page(self.registry)


def _page(registry: Any) -> tuple[bytes, str]:
    client = need("prometheus_client", "serve", "the /metrics page")
    return bytes(client.generate_latest(registry)), str(client.CONTENT_TYPE_LATEST)
