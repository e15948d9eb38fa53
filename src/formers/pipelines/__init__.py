"""Task in, answer out: `pipeline("text-classification")("a text")`."""

from __future__ import annotations

from typing import Any

from formers import paths
from formers.pipelines.build import pipeline
from formers.pipelines.datasets import KeyDataset, KeyPairDataset
from formers.pipelines.frame import ChunkPipeline, Pipeline
from formers.pipelines.image.classification import ImageClassificationPipeline
from formers.pipelines.image.features import ImageFeatureExtractionPipeline
from formers.pipelines.labels import ClassificationFunction
from formers.pipelines.registry import (
    PIPELINE_REGISTRY,
    check_task,
    get_supported_tasks,
    register,
)
from formers.pipelines.table import Task
from formers.pipelines.text.classification import TextClassificationPipeline
from formers.pipelines.text.conversational import Conversation, ConversationalPipeline
from formers.pipelines.text.embedding import SentenceEmbeddingPipeline
from formers.pipelines.text.features import FeatureExtractionPipeline
from formers.pipelines.text.fill_mask import FillMaskPipeline, PipelineException
from formers.pipelines.text.generation import TextGenerationPipeline
from formers.pipelines.text.question_answering import (
    QuestionAnsweringArgumentHandler,
    QuestionAnsweringPipeline,
    SquadExample,
)
from formers.pipelines.text.ranking import TextRankingPipeline
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
from formers.pipelines.text.zero_shot import ZeroShotClassificationPipeline

__all__ = [
    "PIPELINE_REGISTRY",
    "AggregationStrategy",
    "ChunkPipeline",
    "ClassificationFunction",
    "Conversation",
    "ConversationalPipeline",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "ImageClassificationPipeline",
    "ImageFeatureExtractionPipeline",
    "KeyDataset",
    "KeyPairDataset",
    "NerPipeline",
    "Pipeline",
    "PipelineException",
    "QuestionAnsweringArgumentHandler",
    "QuestionAnsweringPipeline",
    "SentenceEmbeddingPipeline",
    "SquadExample",
    "SummarizationPipeline",
    "TableQuestionAnsweringArgumentHandler",
    "TableQuestionAnsweringPipeline",
    "Task",
    "Text2TextGenerationPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TextRankingPipeline",
    "TokenClassificationArgumentHandler",
    "TokenClassificationPipeline",
    "TranslationPipeline",
    "ZeroShotClassificationPipeline",
    "check_task",
    "get_supported_tasks",
    "pipeline",
    "register",
]


def __getattr__(name: str) -> Any:
    raise paths.absent(__name__, name, __all__)
