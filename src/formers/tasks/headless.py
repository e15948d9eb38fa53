"""Tasks that models do without a head: `SamModel` makes masks, `VitsModel` speaks."""

from __future__ import annotations

from formers.assemblies.base import BaseModel


class HeadlessTask(BaseModel):
    """Nothing stands on it: the assembly makes what is asked for."""

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled
