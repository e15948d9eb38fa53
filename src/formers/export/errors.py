"""What goes wrong with ONNX."""

from __future__ import annotations


class ExportError(ValueError):
    """A model cannot be written as a graph, or its graph does not compute what the model does."""


class BrokenGraph(OSError):
    """An ONNX file that ONNX Runtime cannot read: it is cut off, or no such file."""
