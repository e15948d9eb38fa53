"""The server of a model whose answer to a text is a vector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from formers.core.notices import notice
from formers.pipelines.text.inputs import Prepared
from formers.serving.batched import Batched
from formers.serving.settings import Settings
from formers.serving.telemetry import BatchMetrics
from formers.serving.writing.reply import Served

Vector = npt.NDArray[np.float32]  # [E]


class PipelineEmbedder:
    """A pipeline for sentence embeddings as the engine wants it.

    Vectors have length 1 unless the model's folder, or whoever made the pipeline, says otherwise.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.revision: str | None = pipe.revision  # computed once: it may be a hash of the weights
        self.max_length: int | None = pipe.max_length
        self.max_batch_tokens = pipe.max_batch_tokens
        self.vocabulary = int(pipe.model.config.vocab_size)
        self.width, unit = pipe.gives
        self.unit = unit is not False
        if unit is None:
            notice("nothing says whether vectors have length 1: those of this server do", key="unit-vectors")
        # each answer says what was cut, so that no notice is due; what the pipeline's owner chose stands
        self._fitting = {} if pipe.fitting_chosen else {"truncation": True}

    def prepare(self, texts: list[str | list[int]]) -> list[Any]:
        """Tokenise texts; token ids are read as they are."""
        strings = [text for text in texts if isinstance(text, str)]
        read = iter(self.pipe.prepare(strings, **self._fitting) if strings else ())
        return [
            next(read) if isinstance(text, str) else Prepared([np.array(text, np.int64)], None, len(text))
            for text in texts
        ]

    def run(self, prepared: list[Any]) -> Sequence[Vector]:
        """A vector for each."""
        found: Sequence[Vector] = self.pipe.run(prepared, normalize=self.unit)
        return found

    def cut(self, vector: Vector, dimensions: int | None) -> Vector:
        """Its first numbers, of length 1 again where it had that."""
        if dimensions is None:
            return vector
        found = vector[:dimensions]
        return found / max(float(np.linalg.norm(found)), 1e-12) if self.unit else found


class Embedder(Batched, Served):
    """What the endpoint of embeddings needs.

    Args:
        model: what makes vectors.
        settings: limits and places.
        name: what requests call the model.
    """

    def __init__(self, model: PipelineEmbedder, settings: Settings, name: str) -> None:
        super().__init__(settings, model, BatchMetrics(model.revision, "at /v1/embeddings"), _problem_of)
        self.model, self.name, self.created = model, name, int(time.time())

    summary = "A model that turns texts into vectors."
    writes = False

    @property
    def card(self) -> dict[str, Any]:
        """What is told of the model beside its name."""
        return {"max_model_len": self.model.max_length, "dimensions": self.model.width}


def _problem_of(vector: Vector) -> str | None:
    return None if np.isfinite(vector).all() else "the model gave a vector with numbers that are not finite"
