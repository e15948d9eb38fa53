"""Batch inference: one answer for every row of many files, by this process or a cluster, exactly once."""

from __future__ import annotations

from formers.jobs.mapping.folder import answers_of
from formers.jobs.mapping.running import Report, map_files

__all__ = ["Report", "answers_of", "map_files"]
