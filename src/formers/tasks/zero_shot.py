"""Texts and images compared, so that an image can be labelled with any texts: `CLIPModel`."""

from __future__ import annotations

from typing import ClassVar

from formers.assemblies.base import BaseModel


class ZeroShotImageClassification(BaseModel):
    """Nothing stands on the towers: their assembly compares what they make."""

    accepts_loss_kwargs: ClassVar[bool] = False  # each batch is its own set of wrong answers

    def _tagged_task(self) -> tuple[str | None, bool]:
        """By the task's record."""
        return self._task.tag, self._task.labelled
