"""The chained setters of `TrainingArguments`: groups of fields by shorter names."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from formers.training.arguments.rules import settle
from formers.training.arguments.table import ArgumentTable

_FIELDS = {field.name: field for field in dataclasses.fields(ArgumentTable)}
_REQUIRED = inspect.Parameter.empty


def _setter(
    concern: str, keywords: str, *prefixes: str, always: str | None = None, **given: Any
) -> Callable[..., Any]:
    """Make a method that sets fields and returns the arguments, checked again. None leaves a field as it is.

    Args:
        concern: what the fields have in common, for the docstring.
        keywords: in the order in which they may be given by place; each is the field of its name, or of its
            name after one of the prefixes, or what follows its "=".
        prefixes: what fields' names may begin with.
        always: a field that is switched on as well.
        given: defaults of the keywords, where they are not those of the fields.
    """
    fields: dict[str, str] = {}
    for word in keywords.split():
        name, _, other = word.partition("=")
        fields[name] = other or next(p + name for p in ("", *prefixes) if p + name in _FIELDS)
    places = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for name, field in fields.items():
        default = given.get(name, _FIELDS[field].default)
        places.append(places[0].replace(name=name, default=default, annotation=_FIELDS[field].type))
    signature = inspect.Signature(places, return_annotation="TrainingArguments")

    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments.pop("self")
        changes = {fields[name]: value for name, value in bound.arguments.items() if value is not None}
        arguments.change(**changes, **({always: True} if always else {}))
        return arguments

    method.__doc__ = f"Set what concerns {concern}; returns these arguments."
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


class Setters(ArgumentTable):
    """The table of fields, with its setters."""

    def change(self, **changes: Any) -> None:
        """Set fields as if they had been given at the start."""
        self.__dict__.update(changes)
        self.__dict__["_given"].update(changes)
        settle(self)

    set_training = _setter(
        "training",
        "learning_rate batch_size weight_decay num_epochs=num_train_epochs max_steps "
        "gradient_accumulation_steps seed gradient_checkpointing=activation_checkpointing",
        "per_device_train_",
        always="do_train",
        gradient_checkpointing=False,
    )
    set_evaluate = _setter(
        "evaluation",
        "strategy steps batch_size accumulation_steps delay loss_only",
        *("eval_", "per_device_eval_", "prediction_"),
        steps=500,
        delay=None,
    )
    set_testing = _setter(
        "prediction", "batch_size loss_only", "per_device_eval_", "prediction_", always="do_predict"
    )
    set_save = _setter("checkpoints", "strategy steps total_limit", "save_")
    set_logging = _setter(
        "logging",
        "strategy steps report_to level first_step nan_inf_filter on_each_node "
        "replica_level=log_level_replica",
        *("logging_", "log_"),
        nan_inf_filter=False,
        on_each_node=False,
        replica_level="passive",
    )
    set_push_to_hub = _setter(
        "the Hub",
        "model_id strategy token private_repo always_push revision",
        "hub_",
        always="push_to_hub",
        model_id=_REQUIRED,
    )
    set_optimizer = _setter(
        "the optimizer",
        "name=optim learning_rate weight_decay beta1 beta2 epsilon args",
        *("adam_", "optim_"),
        name="adamw_torch",
    )
    set_lr_scheduler = _setter(
        "the schedule",
        "name=lr_scheduler_type num_epochs=num_train_epochs max_steps warmup_steps warmup_ratio",
        warmup_ratio=None,
    )
    set_dataloader = _setter(
        "loading of data",
        "train_batch_size eval_batch_size drop_last num_workers pin_memory persistent_workers "
        "prefetch_factor auto_find_batch_size ignore_data_skip sampler_seed=data_seed",
        *("dataloader_", "per_device_"),
    )
