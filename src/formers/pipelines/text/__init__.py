"""Pipelines whose inputs are texts."""

from __future__ import annotations

from formers.pipelines.text.base import TextPipeline

__all__ = ["TextPipeline"]
