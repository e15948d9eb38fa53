"""Shapes of models with scans, linear attention and other states."""

from __future__ import annotations

from typing import Any

# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {}
MORE: dict[str, dict[str, dict[str, Any]]] = {}
