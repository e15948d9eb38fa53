"""The path under which the ecosystem's code imports the text-classification pipeline."""

from __future__ import annotations

from formers.pipelines.text.classification import ClassificationFunction, TextClassificationPipeline

__all__ = ["ClassificationFunction", "TextClassificationPipeline"]
