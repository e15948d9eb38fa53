"""The chained setters of `TrainingArguments`: groups of fields by shorter names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from formers.core.fields import declared
from formers.training.arguments.rules import settle
from formers.training.arguments.table import ArgumentTable
from formers.training.choices import (
    HubStrategy,
    IntervalStrategy,
    OptimizerNames,
    SaveStrategy,
    SchedulerType,
)

A = TypeVar("A", bound="Setters")
P = ParamSpec("P")


def _sets(
    *prefixes: str, always: str | None = None, **renamed: str
) -> Callable[[Callable[Concatenate[Any, P], None]], Callable[Concatenate[A, P], A]]:
    """Make a signature a setter: each keyword sets the field of its name, and None leaves that as it is.

    Args:
        prefixes: what the field's name may begin with, where there is none of the keyword's own name.
        always: a field that is switched on as well.
        renamed: keyword -> field, where the names have nothing in common.
    """

    def of(documented: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[A, P], A]:
        signature = inspect.signature(documented)
        names = [name for name in signature.parameters if name != "self"]
        table = declared(ArgumentTable)
        fields = {
            name: renamed.get(name) or next(p + name for p in ("", *prefixes) if p + name in table)
            for name in names
        }

        def setter(self: A, /, *args: P.args, **kwargs: P.kwargs) -> A:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            changes = {fields[name]: bound.arguments[name] for name in names}
            self._set(**changes, **({always: True} if always else {}))
            return self

        return functools.update_wrapper(setter, documented)

    return of


class Setters(ArgumentTable):
    """Each returns the arguments themselves, checked again."""

    def _set(self, **changes: Any) -> None:
        changes = {name: value for name, value in changes.items() if value is not None}
        self.__dict__.update(changes)
        self.__dict__["_given"].update(changes)
        settle(self)

    @_sets(
        "per_device_train_",
        always="do_train",
        num_epochs="num_train_epochs",
        gradient_checkpointing="activation_checkpointing",
    )
    def set_training(
        self,
        learning_rate: float = 5e-5,
        batch_size: int = 8,
        weight_decay: float = 0,
        num_epochs: float = 3,
        max_steps: int = -1,
        gradient_accumulation_steps: int = 1,
        seed: int = 42,
        gradient_checkpointing: bool = False,
    ) -> None:
        """Set what concerns training; returns these arguments."""

    @_sets("eval_", "per_device_eval_", "prediction_")
    def set_evaluate(
        self,
        strategy: str | IntervalStrategy = "no",
        steps: int = 500,
        batch_size: int = 8,
        accumulation_steps: int | None = None,
        delay: float | None = None,
        loss_only: bool = False,
    ) -> None:
        """Set what concerns evaluation; returns these arguments."""

    @_sets("per_device_eval_", "prediction_", always="do_predict")
    def set_testing(self, batch_size: int = 8, loss_only: bool = False) -> None:
        """Set what concerns prediction; returns these arguments."""

    @_sets("save_")
    def set_save(
        self, strategy: str | SaveStrategy = "steps", steps: int = 500, total_limit: int | None = None
    ) -> None:
        """Set what concerns checkpoints; returns these arguments."""

    @_sets("logging_", "log_", replica_level="log_level_replica")
    def set_logging(
        self,
        strategy: str | IntervalStrategy = "steps",
        steps: int = 500,
        report_to: str | list[str] = "none",
        level: str = "passive",
        first_step: bool = False,
        nan_inf_filter: bool = False,
        on_each_node: bool = False,
        replica_level: str = "passive",
    ) -> None:
        """Set what concerns logging; returns these arguments."""

    @_sets("hub_", always="push_to_hub")
    def set_push_to_hub(
        self,
        model_id: str,
        strategy: str | HubStrategy = "every_save",
        token: str | None = None,
        private_repo: bool | None = None,
        always_push: bool = False,
        revision: str | None = None,
    ) -> None:
        """Set what concerns the Hub; returns these arguments."""

    @_sets("adam_", "optim_", name="optim")
    def set_optimizer(
        self,
        name: str | OptimizerNames = "adamw_torch",
        learning_rate: float = 5e-5,
        weight_decay: float = 0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        args: str | None = None,
    ) -> None:
        """Set what concerns the optimizer; returns these arguments."""

    @_sets(name="lr_scheduler_type", num_epochs="num_train_epochs")
    def set_lr_scheduler(
        self,
        name: str | SchedulerType = "linear",
        num_epochs: float = 3.0,
        max_steps: int = -1,
        warmup_steps: float = 0,
        warmup_ratio: float | None = None,
    ) -> None:
        """Set what concerns the schedule; returns these arguments."""

    @_sets("dataloader_", "per_device_", sampler_seed="data_seed")
    def set_dataloader(
        self,
        train_batch_size: int = 8,
        eval_batch_size: int = 8,
        drop_last: bool = False,
        num_workers: int = 0,
        pin_memory: bool = True,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        auto_find_batch_size: bool = False,
        ignore_data_skip: bool = False,
        sampler_seed: int | None = None,
    ) -> None:
        """Set what concerns loading of data; returns these arguments."""
