"""Task in, answer out: `pipeline("text-classification")("a text")`."""

from __future__ import annotations

from formers.pipelines.build import check_task, get_supported_tasks, pipeline
from formers.pipelines.datasets import KeyDataset, KeyPairDataset
from formers.pipelines.frame import Pipeline
from formers.pipelines.registry import PIPELINE_REGISTRY, Task, register
from formers.pipelines.text_classification import TextClassificationPipeline

__all__ = [
    "PIPELINE_REGISTRY",
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
