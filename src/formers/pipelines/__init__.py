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
from formers.pipelines.text.conversational import Conversation, ConversationalPipeline
from formers.pipelines.text.generation import TextGenerationPipeline
from formers.pipelines.text.question_answering import (
    QuestionAnsweringArgumentHandler,
    QuestionAnsweringPipeline,
    SquadExample,
)
from formers.pipelines.text.rewriting import (
    SummarizationPipeline,
    Text2TextGenerationPipeline,
    TranslationPipeline,
)
from formers.pipelines.text.table_question_answering import (
    TableQuestionAnsweringArgumentHandler,
    TableQuestionAnsweringPipeline,
)
from formers.pipelines.text.token_classification import (
    AggregationStrategy,
    NerPipeline,
    TokenClassificationArgumentHandler,
    TokenClassificationPipeline,
)

__all__ = [
    "PIPELINE_REGISTRY",
    "AggregationStrategy",
    "ClassificationFunction",
    "Conversation",
    "ConversationalPipeline",
    "KeyDataset",
    "KeyPairDataset",
    "NerPipeline",
    "Pipeline",
    "QuestionAnsweringArgumentHandler",
    "QuestionAnsweringPipeline",
    "SquadExample",
    "SummarizationPipeline",
    "TableQuestionAnsweringArgumentHandler",
    "TableQuestionAnsweringPipeline",
    "Task",
    "Text2TextGenerationPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TokenClassificationArgumentHandler",
    "TokenClassificationPipeline",
    "TranslationPipeline",
    "check_task",
    "get_supported_tasks",
    "pipeline",
    "register",
]


def __getattr__(name: str) -> Any:
    raise paths.absent(__name__, name, __all__)
