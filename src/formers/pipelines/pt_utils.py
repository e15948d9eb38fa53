"""The path under which tutorials import `KeyDataset`."""

from __future__ import annotations

from formers.pipelines.datasets import KeyDataset, KeyPairDataset

__all__ = ["KeyDataset", "KeyPairDataset"]
