"""From what people have (a pipeline, a folder, a name) to what the server runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from formers.evaluation.records import beside
from formers.serving.protocol import Classifier, Ranked
from formers.serving.service import Service
from formers.serving.settings import Settings

_NEEDED = ("prepare", "run", "revision", "max_length")


class PipelineClassifier:
    """A text-classification pipeline as the engine wants it."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        config = pipe.model.config
        if getattr(config, "problem_type", None) == "regression":
            raise TypeError(
                "cannot serve a regression: its scores are no probabilities to hold against a threshold"
            )
        self.revision: str | None = pipe.revision  # computed once: it may be a hash of the weights
        self.max_length: int | None = pipe.max_length
        # Each answer says what was cut, so that no notice is due; what the pipeline's owner chose stands.
        self._fitting = {} if pipe.fitting_chosen else {"truncation": True}
        self.labels: Sequence[str] = [config.id2label[index] for index in sorted(config.id2label)]
        self.max_batch_tokens = pipe.max_batch_tokens

    def prepare(self, texts: list[str]) -> Sequence[Any]:
        """Tokenise texts."""
        prepared: Sequence[Any] = self.pipe.prepare(texts, **self._fitting)
        return prepared

    def run(self, prepared: list[Any]) -> Sequence[Ranked]:
        """Score tokenised texts, best label first."""
        results = self.pipe.run(prepared, top_k=None)
        return [[(record["label"], record["score"]) for record in records] for records in results]


def service_of(model: Any, settings: Settings) -> Service:
    """Make the service around a pipeline, a model's name or folder, or a Classifier.

    Raises:
        TypeError: for something that cannot classify.
        OSError: the model cannot be found.
    """
    if isinstance(model, (str, Path)):
        from formers.pipelines import pipeline

        model = pipeline("text-classification", model=str(model))
    is_pipeline = hasattr(model, "tokenizer")
    needed = _NEEDED if is_pipeline else (*_NEEDED, "labels")
    missing = [name for name in needed if not hasattr(model, name)]
    if missing:
        raise TypeError(
            f"cannot serve {type(model).__name__}: it has no {', '.join(missing)}. Give a "
            "text-classification pipeline, the name or folder of a model, or a formers.serving.Classifier"
        )
    classifier: Classifier = PipelineClassifier(model) if is_pipeline else model
    return Service(classifier, settings, beside(getattr(model, "model", None)))
