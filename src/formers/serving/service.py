"""A classifier's server: engine, human queue, metrics, drift watch."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from formers.desk.drift import DriftBaseline
from formers.desk.queue import HumanQueue
from formers.desk.watch import DriftWatch, Seen
from formers.evaluation.thresholds import LabelThreshold, Thresholds
from formers.serving.batched import Batched
from formers.serving.protocol import Classifier
from formers.serving.settings import Settings
from formers.serving.telemetry import Metrics
from formers.serving.work import Answer

logger = logging.getLogger("formers.serving")


class Service(Batched):
    """What the endpoints of a classifier share.

    What the settings leave open is looked for at `place`, where the records of the model lie.
    """

    summary = "A text classifier, and the queue for what a person must decide."
    metrics: Metrics

    def __init__(self, classifier: Classifier, settings: Settings, place: Any = None) -> None:
        super().__init__(settings, classifier, Metrics(classifier.revision, classifier.labels))
        self.classifier = classifier
        self.threshold = thresholds_of(settings, classifier.labels, place)
        self.watch = watch_of(settings, place)
        self.labels = list(classifier.labels)
        self._queue: HumanQueue | None = None

    @property
    def queue(self) -> HumanQueue:
        """The human queue; open from `open` on."""
        if self._queue is None:
            raise RuntimeError("the service is not open")
        return self._queue

    def open(self) -> None:
        """Open the files; once.

        Raises:
            QueueError: the queue's file cannot be opened.
            OSError: the log's file cannot be opened.
        """
        if self._queue is None:
            self._queue = HumanQueue(self.settings.queue_path, self.settings.max_queue_bytes)
        super().open()
        if self.watch is not None:
            self.watch.announce = self._announce_drift

    def close(self) -> None:
        """Write what is waiting and close the files; again does nothing."""
        if self.watch is not None:
            self.watch.close()
        if self._queue is not None:
            self._queue.close()
        super().close()

    def count_answers(self, texts: Sequence[str], answers: Sequence[Answer]) -> None:
        """Count texts and their answers for the metrics and the drift gauges."""
        self.metrics.answers(answers)
        if self.watch is not None:
            for text, answer in zip(texts, answers, strict=True):
                label, score = answer.result[0]
                self.watch.add(Seen(text, label, score, answer.tokens + answer.cut))

    def _announce_drift(self, verdict: str, values: dict[str, float]) -> None:
        if verdict in ("watch", "drift"):
            logger.warning("the texts or scores have moved away from the baseline: %s", verdict)
        indices = {name: round(value, 4) for name, value in values.items()}
        self.log.write(time.time(), {"event": "drift", "verdict": verdict, "psi": indices})

    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""
        super().refresh_gauges()
        self.metrics.human_open.set(self.queue.counts()["open"])
        if self.watch is not None:
            for what, value in self.watch.values().items():
                self.metrics.drift.labels(what).set(value)


def thresholds_of(settings: Settings, labels: Sequence[str], place: Any = None) -> Thresholds:
    """The thresholds of the settings, else of `thresholds.json` at `place`, else the default.

    Raises:
        ValueError: the settings name a label that the model does not have, or the file is broken.
    """
    given = settings.threshold
    if isinstance(given, Mapping):
        return Thresholds(tuple(LabelThreshold(*pair) for pair in given.items())).for_labels(labels)
    if given is not None:
        return Thresholds.fixed(labels, given)
    return Thresholds.load(place) or Thresholds.fixed(labels)


def watch_of(settings: Settings, place: Any) -> DriftWatch | None:
    """The watch for the baseline that the settings name, else for the one at `place`; None without one.

    Raises:
        ValueError: the file is broken, or the settings name one that is not there.
    """
    named = settings.drift_baseline
    baseline = DriftBaseline.load(place if named is None else named)
    if baseline is None and named is not None:
        raise ValueError(f"there is no drift baseline at {str(named)!r}")
    return None if baseline is None else DriftWatch(baseline)


def top_scores(ranked: Sequence[tuple[str, float]], count: int) -> list[dict[str, str | float]]:
    """Return the first `count` scores (-1: all) as records."""
    chosen = ranked if count < 0 else ranked[:count]
    return [{"label": label, "score": score} for label, score in chosen]
