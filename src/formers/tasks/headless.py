"""Tasks that models do without a head: `SamModel` makes masks, `VitsModel` speaks."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.base import BaseModel
from formers.core.outputs import ModelOutput
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


class HeadlessTask(BaseModel):
    """Nothing stands on it: the assembly makes what is asked for."""

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled


class HeldModel(TaskModel):
    """A model that holds another under a name, as files have it, and returns what that returns."""

    _targets = ()
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)
    _keeps_cache: ClassVar[bool] = True
    _says = "Run the model."

    def _place_head(self, spec: Any, config: Any) -> None:
        """Nothing beside it."""

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        return self._assembly.output(self.base_model, states)
