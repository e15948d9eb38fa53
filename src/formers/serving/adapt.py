"""From what people have (a pipeline, a folder, a name) to what the server runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from formers.desk.registry import Registry, is_registry
from formers.evaluation.records import beside
from formers.serving.life import Life
from formers.serving.protocol import Classifier, Ranked
from formers.serving.service import Service
from formers.serving.settings import Settings

CLASSIFIES, WRITES, EMBEDS = "text-classification", "text-generation", "sentence-embeddings"
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


def task_of(model: str) -> str:
    """The task that a model of this name or folder is served for: its head decides.

    One without a head that a task is known of, or that sentence-transformers wrote, makes vectors.

    Raises:
        OSError: the model cannot be found.
    """
    from formers.auto import AutoConfig
    from formers.hub import Source
    from formers.pipelines.registry import PIPELINE_REGISTRY
    from formers.serving.tasks.table import ROWS

    names = AutoConfig.from_pretrained(model).architectures or ()
    found = PIPELINE_REGISTRY.of_architectures(list(names))
    if found is not None and found.name == CLASSIFIES:
        return CLASSIFIES
    if Source.of(model).find("modules.json") is not None:
        return EMBEDS
    if found is not None and (found.name == WRITES or found.name in ROWS):
        return found.name
    return EMBEDS if any(name.endswith("Model") for name in names) else CLASSIFIES


def _is_of_table(found: str, asked: str | None) -> bool:
    """Whether a pipeline is served by the table of tasks, where a task was asked for, or none.

    Raises:
        TypeError: another task was asked for than the pipeline's.
    """
    from formers.pipelines.registry import PIPELINE_REGISTRY
    from formers.serving.tasks.table import ROWS

    try:
        own = PIPELINE_REGISTRY.get(found).name
    except KeyError:  # a task of somebody's own, that was never registered
        own = found
    if asked is not None and PIPELINE_REGISTRY.get(asked).name != own:
        raise TypeError(f"a pipeline for {found!r} cannot be served for {asked!r}")
    return own != WRITES and (asked is not None or (own in ROWS and own not in (CLASSIFIES, EMBEDS)))


def _called(model: Any, name: str | None) -> str:
    """What requests call the model of a pipeline."""
    name = name or model.model.name_or_path or type(model.model).__name__
    return Path(name).resolve().name if Path(name).is_dir() else name


def _compile(model: Any) -> None:
    """Let one graph serve all lengths of what a pipeline's model reads.

    Raises:
        TypeError: for what has no such model, or writes.
    """
    inner: Any = getattr(model, "model", None)
    if getattr(model, "task", None) == WRITES or not hasattr(inner, "compile"):
        raise TypeError(
            "torch_compile is for pipelines whose model reads once: what writes goes on with many texts in "
            "one cache that changes under it, and a Classifier has no model of torch. Leave it out"
        )
    inner.compile(dynamic=True)


def service_of(
    model: Any,
    settings: Settings,
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
    called: str | None = None,
) -> Life:
    """Make the service around a pipeline, a model's name or folder, a registry's, or a Classifier.

    Args:
        model: what is served.
        settings: limits and places.
        task: what a named model is served for, behind the Hub's Inference API; None for what its head says,
            where a classifier, a model that writes and one that embeds have servers of their own.
        options: keywords of `pipeline`, for a model that is named.
        called: what requests call the model; the end of its folder, or its id, when left out.

    Raises:
        KeyError: for an unknown task.
        TypeError: for something that can answer no task, or a task that is not served.
        OSError: the model cannot be found.
    """
    name = str(model) if isinstance(model, (str, Path)) else None
    if name is not None and is_registry(name):
        return _rollout(name, settings, task, options)
    if name is not None:
        from formers.pipelines import pipeline

        if task is not None:
            from formers.serving.tasks.server import row_of

            row_of(task)  # before anything large is loaded
        model = pipeline(task or task_of(name), model=name, **(options or {}))
    if settings.torch_compile:
        _compile(model)
    found = getattr(model, "task", None)
    if isinstance(found, str) and hasattr(model, "check_call") and _is_of_table(found, task):
        from formers.serving.tasks.server import TaskServer

        return TaskServer(model, settings, called or _called(model, name))
    if found in (WRITES, EMBEDS):
        name = called or _called(model, name)
        if found == EMBEDS:
            from formers.serving.embedder import Embedder, PipelineEmbedder

            return _named(Embedder(PipelineEmbedder(model), settings, name), name)
        from formers.model.revision import revision_of
        from formers.serving.writing.writer import Writer

        return Writer(model.model, model.tokenizer, settings, name, revision_of(model.model))
    is_pipeline = hasattr(model, "tokenizer")
    needed = _NEEDED if is_pipeline else (*_NEEDED, "labels")
    missing = [name for name in needed if not hasattr(model, name)]
    if missing:
        raise TypeError(
            f"cannot serve {type(model).__name__}: it has no {', '.join(missing)}. Give a "
            "text-classification, text-generation or sentence-embeddings pipeline, the name or folder of a "
            "model, or a formers.serving.Classifier"
        )
    classifier: Classifier = PipelineClassifier(model) if is_pipeline else model
    service = Service(classifier, settings, beside(getattr(model, "model", None)))
    return _named(service, called or (_called(model, name) if is_pipeline else ""))


def _named(service: Life, name: str) -> Life:
    service.called = name
    return service


def _rollout(name: str, settings: Settings, task: str | None, options: Mapping[str, Any] | None) -> Life:
    """The server of a registry: each of its versions has one of its own."""
    from formers.serving.rollout.rollout import Rollout

    called = Path(name).expanduser().resolve().name
    return Rollout(
        Registry(name), settings, lambda folder, settings: service_of(folder, settings, task, options, called)
    )
