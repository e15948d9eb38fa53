"""The tasks that there are: one record for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from formers.core.notices import did_you_mean, notice
from formers.pipelines.table import TASKS, Task

_TRANSLATION = re.compile(r"translation_[A-Za-z]+_to_[A-Za-z]+")


class Registry:
    """The tasks by name and alias."""

    def __init__(self, tasks: tuple[Task, ...] = ()) -> None:
        self._tasks: dict[str, Task] = {}
        self.task_aliases: dict[str, str] = {}
        for task in tasks:
            self.add(task)

    @property
    def supported_tasks(self) -> dict[str, Task]:
        """The records by name."""
        return dict(self._tasks)

    def to_dict(self) -> dict[str, Task]:
        """The records by name."""
        return self.supported_tasks

    def get_supported_tasks(self) -> list[str]:
        """Names and aliases of the tasks that there are, sorted."""
        return sorted([*self._tasks, *self.task_aliases])

    def add(self, task: Task) -> None:
        """Add a record; one of the same name is replaced, with a notice."""
        if task.name in self._tasks:
            notice(f"the task {task.name!r} is registered again: the new record replaces the old")
        self._tasks[task.name] = task
        self.task_aliases.update(dict.fromkeys(task.aliases, task.name))

    def get(self, name: str) -> Task:
        """The record of a name or alias.

        Raises:
            KeyError: for an unknown task, naming those that there are.
        """
        task = self._tasks.get(self.task_aliases.get(name, name))
        if task is None and _TRANSLATION.fullmatch(str(name)):
            task = self._tasks.get("translation")
        if task is not None:
            return task
        known = self.get_supported_tasks()
        said = f"unknown task {name!r}{did_you_mean(str(name), known)}"
        raise KeyError(f"{said}; the tasks are {', '.join(known)}")

    def check_task(self, task: str) -> tuple[str, Task, Any]:
        """The name without alias, its record, and the task's options (None).

        Raises:
            KeyError: for an unknown task.
        """
        found = self.get(task)
        return found.name, found, None

    def made_by(self, cls: type) -> list[Task]:
        """The records whose pipeline is this class, registered as such (not by its name, as those here)."""
        return [task for task in self._tasks.values() if task.pipeline_class is cls]

    def of_architectures(self, architectures: list[str] | None) -> Task | None:
        """The task that a config's `architectures` point at."""
        found = (
            task for name in architectures or () for task in self._tasks.values() if task.answered_by(name)
        )
        return next(found, None)

    def register_pipeline(
        self,
        task: str,
        pipeline_class: type,
        pt_model: Any = None,
        tf_model: Any = None,
        default: Any = None,
        type: str = "text",
    ) -> None:
        """Add a task of one's own, so that `pipeline(task, ...)` makes it.

        Args:
            task: its name.
            pipeline_class: a subclass of `Pipeline`.
            pt_model: the Auto class (or several) that loads its models.
            tf_model: must be left out.
            default: `{"model": (repository, revision)}`, the same under "pt", or the pair itself.
            type: kind of its inputs.

        Raises:
            ValueError: for a TensorFlow model class.
        """
        if isinstance(tf_model, Mapping | str):  # newer releases have the default in its place
            default, tf_model = tf_model, None
        if tf_model is not None:
            raise ValueError("tf_model is not available: models run on PyTorch; leave it out")
        classes = pt_model if isinstance(pt_model, tuple | list) else () if pt_model is None else (pt_model,)
        while isinstance(default, Mapping):
            default = default.get("model", default.get("pt"))
        if default is not None:
            name, revision = (default, None) if isinstance(default, str) else default
            default = (name, revision)
        self.add(Task(task, pipeline_class, tuple(classes), default, kind=type))


PIPELINE_REGISTRY = Registry(TASKS)
check_task = PIPELINE_REGISTRY.check_task
get_supported_tasks = PIPELINE_REGISTRY.get_supported_tasks


def register(name: str, **record: Any) -> Task:
    """Add a task: `register(name, pipeline_class=..., model_classes=..., default=..., aliases=...)`.

    Args:
        name: as in `pipeline(name)`.
        **record: the other fields of `Task`.
    """
    task = Task(name, **record)
    PIPELINE_REGISTRY.add(task)
    return task
