"""Masks of what is pointed at: `SamModel`."""

from __future__ import annotations

from formers.assemblies.base import BaseModel


class MaskGeneration(BaseModel):
    """Nothing stands on it: the assembly makes the masks."""

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled
