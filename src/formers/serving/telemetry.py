"""The server's Prometheus metrics. Texts are never in them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
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


def merged(label: str, pages: Iterable[tuple[str, Iterable[Any]]]) -> Iterator[Any]:
    """Yield the families of several servers as one each: samples have the server's name as `label`."""
    from prometheus_client.core import Metric

    families: dict[str, Any] = {}
    for name, page in pages:
        for family in page:
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            into.samples += [
                sample._replace(labels={**sample.labels, label: name}) for sample in family.samples
            ]
    yield from families.values()


class _Page:
    """What every server counts, in a registry of its own.

    Args:
        revision: what tells the model from others.
        path: where requests are counted.
    """

    def __init__(self, revision: str | None, path: str) -> None:
        self.client = client = need("prometheus_client", "serve", "the /metrics page")
        self.registry = client.CollectorRegistry()
        requests = self.counter("formers_requests", f"Requests {path}, by status.", ["status"])
        self._seconds = self.histogram(
            "formers_request_seconds", "Time from a request's arrival to the end of its answer.", _SECONDS
        )
        # looked up once: a look-up by label costs more than the counting
        self._requests_of = cache(lambda status: requests.labels(str(status)))
        self.ready = self.gauge("formers_ready", "1 when the server takes requests.")
        info = client.Info("formers_model", "The model that answers.", registry=self.registry)
        info.info({"revision": revision or ""})

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Any:
        """A new counter."""
        return self.client.Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Any:
        """A new gauge."""
        return self.client.Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> _Histogram:
        """A new histogram."""
        return _Histogram(self.registry, name, text, bounds)

    def request(self, status: int, seconds: float) -> None:
        """Count one request and its time."""
        self._requests_of(status).inc()
        self._seconds.observe((seconds,))

    def collect(self) -> Iterable[Any]:
        """The families, as a registry of the client gives them."""
        found: Iterable[Any] = self.registry.collect()
        return found

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return bytes(self.client.generate_latest(self.registry)), str(self.client.CONTENT_TYPE_LATEST)


class BatchMetrics(_Page):
    """The same of a server that answers texts in batches."""

    def __init__(self, revision: str | None, path: str) -> None:
        super().__init__(revision, path)
        self._tokens = self.histogram("formers_text_tokens", "Tokens of a text.", _TOKENS)
        self._cut = self.counter("formers_cut_texts", "Texts longer than the model reads.")
        self._batch_seconds = self.histogram("formers_batch_seconds", "Time of a forward pass.", _SECONDS)
        self._batch_tokens = self.histogram("formers_batch_tokens", "Tokens of a forward pass.", _TOKENS)
        self._batch_items = self.histogram("formers_batch_texts", "Texts of a forward pass.", _ITEMS)
        self.waiting_requests = self.gauge("formers_waiting_requests", "Requests held.")
        self.waiting_tokens = self.gauge("formers_waiting_tokens", "Tokens held (estimate).")

    def answers(self, answers: Sequence[Answer]) -> None:
        """Count the texts that the model answered in one request."""
        self._tokens.observe([answer.tokens for answer in answers])
        if cut := sum(answer.cut > 0 for answer in answers):
            self._cut.inc(cut)

    def batch(self, report: BatchReport) -> None:
        """Count one forward pass."""
        self._batch_seconds.observe((report.seconds,))
        self._batch_tokens.observe((report.tokens,))
        self._batch_items.observe((report.items,))


class Metrics(BatchMetrics):
    """The same of a classifier."""

    def __init__(self, revision: str | None, labels: Sequence[str]) -> None:
        super().__init__(revision, "at /classify")
        answers = self.counter("formers_answers", "Texts answered, by label.", ["label"])
        self._human = self.counter("formers_needs_human", "Texts kept for a person.", ["reason"])
        self._scores = self.histogram("formers_top_score", "Confidence of the top label.", _SCORES)
        self._answers_of = cache(answers.labels)
        for label in labels:
            self._answers_of(label)
        self.human_open = self.gauge("formers_human_queue_open", "Items that wait for a person.")
        said = "Population stability index of recent texts and answers against the baseline."
        self.drift = self.gauge("formers_drift_psi", said, ["feature"])

    def answers(self, answers: Sequence[Answer]) -> None:
        """Count the texts that the model answered in one request."""
        super().answers(answers)
        for label, count in Counter(answer.result[0][0] for answer in answers).items():
            self._answers_of(label).inc(count)
        self._scores.observe([answer.result[0][1] for answer in answers])

    def needs_human(self, reason: str, count: int) -> None:
        """Count texts that went to the human queue."""
        self._human.labels(reason).inc(count)


class WritingMetrics(_Page):
    """The same of a server that writes."""

    def __init__(self, revision: str | None) -> None:
        super().__init__(revision, "under /v1")
        said = "Time from a request to its first token."
        self._first = self.histogram("formers_first_token_seconds", said, _SECONDS)
        self._read = self.counter("formers_prompt_tokens", "Tokens of prompts.")
        self._written = self.counter("formers_completion_tokens", "Tokens that were written.")
        self.running = self.gauge("formers_running_texts", "Texts that are being written.")
        self.waiting = self.gauge("formers_waiting_texts", "Texts that wait for a place.")

    def written(self, read: int, written: int, first: float | None) -> None:
        """Count the tokens of one request, and the seconds to its first."""
        self._read.inc(read)
        self._written.inc(written)
        if first is not None:
            self._first.observe((first,))
