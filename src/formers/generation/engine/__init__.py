"""Many requests over one model: they join and leave the batch at any step."""

from __future__ import annotations

from formers.generation.engine.engine import Engine, Full
from formers.generation.engine.request import Request

__all__ = ["Engine", "Full", "Request"]
