"""Task in, answer out: `pipeline("text-classification")("a text")`."""

from __future__ import annotations

from typing import Any

from formers import paths
from formers.pipelines.build import pipeline
from formers.pipelines.datasets import KeyDataset, KeyPairDataset
from formers.pipelines.frame import Pipeline
from formers.pipelines.registry import (
    PIPELINE_REGISTRY,
    Task,
    check_task,
    get_supported_tasks,
    register,
)
from formers.pipelines.text.classification import ClassificationFunction, TextClassificationPipeline

__all__ = [
    "PIPELINE_REGISTRY",
    "ClassificationFunction",
    "KeyDataset",
    "KeyPairDataset",
    "Pipeline",
    "Task",
    "TextClassificationPipeline",
    "check_task",
    "get_supported_tasks",
    "pipeline",
    "register",
]


def __getattr__(name: str) -> Any:
    raise paths.absent(__name__, name, __all__)
