"""Task in, answer out: `pipeline("text-classification")("a text")`."""

from __future__ import annotations

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
from formers.pipelines.text.classification import TextClassificationPipeline
from formers.pipelines.text.generation import Conversation, ConversationalPipeline, TextGenerationPipeline
from formers.pipelines.text.rewriting import (
    SummarizationPipeline,
    Text2TextGenerationPipeline,
    TranslationPipeline,
)

__all__ = [
    "PIPELINE_REGISTRY",
    "Conversation",
    "ConversationalPipeline",
    "KeyDataset",
    "KeyPairDataset",
    "Pipeline",
    "SummarizationPipeline",
    "Task",
    "Text2TextGenerationPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TranslationPipeline",
    "check_task",
    "get_supported_tasks",
    "pipeline",
    "register",
]
