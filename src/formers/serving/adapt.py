"""From what people have (a pipeline, a folder, a name) to what the server runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from formers.serving.classifier import Classifier, Ranked, Threshold
from formers.serving.drift import watch_of
from formers.serving.service import Service
from formers.serving.settings import Settings

# Half of what the pipeline takes at once: computed nearly as fast, and the next batch waits half as long.
CPU_BATCH_TOKENS = 2048
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
        self.labels: Sequence[str] = [config.id2label[index] for index in sorted(config.id2label)]
        self.max_batch_tokens = pipe.max_batch_tokens if pipe.device.type != "cpu" else CPU_BATCH_TOKENS

    def prepare(self, texts: list[str]) -> Sequence[Any]:
        """Tokenise texts."""
        prepared: Sequence[Any] = self.pipe.prepare(texts)
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
    missing = [name for name in _NEEDED if not hasattr(model, name)]
    if missing:
        raise TypeError(
            f"cannot serve {type(model).__name__}: it has no {', '.join(missing)}. Give a "
            "text-classification pipeline, the name or folder of a model, or a formers.serving.Classifier"
        )
    classifier: Classifier = model if hasattr(model, "labels") else PipelineClassifier(model)
    folder = folder_of(model)
    return Service(
        classifier,
        settings,
        threshold=Threshold.choose(settings, classifier.labels, folder),
        watch=watch_of(settings, folder),
    )


def folder_of(model: Any) -> Path | None:
    """The folder that a pipeline's model was loaded from; None for a Hub id and for other classifiers."""
    name = getattr(getattr(model, "model", None), "name_or_path", None)
    return Path(name) if name and Path(name).is_dir() else None
