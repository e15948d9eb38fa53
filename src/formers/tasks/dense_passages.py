"""Passages that answer questions: their vectors, and where in them the answer stands."""

from __future__ import annotations

from formers.assemblies.base import BaseModel


class PassageModel(BaseModel):
    """What its assembly makes of passages is the result."""
