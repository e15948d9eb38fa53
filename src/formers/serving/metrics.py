"""The server's Prometheus metrics. Texts are never in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formers.extras import need
from formers.serving.engine import BatchReport

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 30.0)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of its own."""

    def __init__(self, revision: str | None, labels: Sequence[str]) -> None:
        client = need("prometheus_client", "serve", "the /metrics page")
        self._client = client
        self.registry = client.CollectorRegistry()
        own = {"registry": self.registry}
        requests = client.Counter("formers_requests", "Requests at /classify, by status.", ["status"], **own)
        self._requests: dict[int, Any] = {}
        self._request_counter = requests
        self._seconds = client.Histogram(
            "formers_request_seconds", "Time from a request's arrival to its answer.", buckets=_SECONDS, **own
        )
        self._answers = client.Counter("formers_answers", "Texts answered, by label.", ["label"], **own)
        self._answer_of = {label: self._answers.labels(label) for label in labels}
        self._human = client.Counter("formers_needs_human", "Texts kept for a person.", ["reason"], **own)
        self._scores = client.Histogram(
            "formers_top_score", "Confidence of the top label.", buckets=_SCORES, **own
        )
        self._tokens = client.Histogram("formers_text_tokens", "Tokens of a text.", buckets=_TOKENS, **own)
        self._cut = client.Counter("formers_cut_texts", "Texts longer than the model reads.", **own)
        self._batch_seconds = client.Histogram(
            "formers_batch_seconds", "Time of a forward pass.", buckets=_SECONDS, **own
        )
        self._batch_tokens = client.Histogram(
            "formers_batch_tokens", "Tokens of a forward pass.", buckets=_TOKENS, **own
        )
        self._batch_items = client.Histogram(
            "formers_batch_texts", "Texts of a forward pass.", buckets=_ITEMS, **own
        )
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
        counter = self._requests.get(status)
        if counter is None:
            counter = self._requests[status] = self._request_counter.labels(str(status))
        counter.inc()
        self._seconds.observe(seconds)

    def answer(self, label: str, score: float, tokens: int, cut: int) -> None:
        """Count one text that the model answered."""
        counter = self._answer_of.get(label)
        if counter is None:
            counter = self._answer_of[label] = self._answers.labels(label)
        counter.inc()
        self._scores.observe(score)
        self._tokens.observe(tokens)
        if cut:
            self._cut.inc()

    def needs_human(self, reason: str, count: int) -> None:
        """Count texts that went to the human queue."""
        self._human.labels(reason).inc(count)

    def batch(self, report: BatchReport) -> None:
        """Count one forward pass."""
        self._batch_seconds.observe(report.seconds)
        self._batch_tokens.observe(report.tokens)
        self._batch_items.observe(report.items)

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return bytes(self._client.generate_latest(self.registry)), str(self._client.CONTENT_TYPE_LATEST)
