"""Search for arguments that score best."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from formers.core.extras import MissingExtra, installed
from formers.core.notices import refuse_unknown
from formers.training.state import BestRun


def default_objective(metrics: dict[str, float]) -> float:
    """The evaluation loss where it is the only score, else the sum of the other scores."""
    scores = {
        key: value
        for key, value in metrics.items()
        if key not in ("epoch", "eval_loss")
        and not key.endswith(("_runtime", "_per_second"))
        and "_mem_" not in key
    }
    return sum(scores.values()) if scores else metrics["eval_loss"]


def default_space(trial: Any) -> dict[str, Any]:
    """Learning rate, epochs, seed and batch size."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 5),
        "seed": trial.suggest_int("seed", 1, 40),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", [4, 8, 16, 32, 64]
        ),
    }


def search(
    trainer: Any,
    space: Callable[[Any], dict[str, Any]] | None,
    objective: Callable[[dict[str, float]], float] | None,
    n_trials: int,
    direction: str | list[str],
    backend: str | None,
    name_of: Callable[[Any], str] | None,
    options: dict[str, Any],
) -> BestRun:
    """The body of `Trainer.hyperparameter_search`; see there.

    Raises:
        ValueError: for another backend than optuna, or without `model_init`.
        MissingExtra: where optuna is not installed.
    """
    if backend not in (None, "optuna"):
        raise ValueError(
            f"hyperparameter_search(backend={backend!r}): only 'optuna' is built in (ray_scope and the like "
            "have no effect). With another tool, call Trainer in its objective function"
        )
    if trainer.model_init is None:
        raise RuntimeError(
            "hyperparameter_search trains a new model in every trial: give Trainer model_init, not model"
        )
    if not installed("optuna"):
        raise MissingExtra("hyperparameter_search needs the package optuna: pip install optuna")
    import importlib

    optuna = importlib.import_module("optuna")
    space, objective = space or default_space, objective or default_objective
    original: dict[str, Any] = {}

    def run(trial: Any) -> float:
        chosen = space(trial)
        refuse_unknown(chosen, trainer.args.to_dict(), "hp_space")
        for key, value in chosen.items():
            original.setdefault(key, getattr(trainer.args, key))
            setattr(trainer.args, key, value)
        trainer.state.is_hyper_param_search = True
        trainer.state.trial_name = name_of(trial) if name_of else f"run-{trial.number}"
        trainer.state.trial_params = chosen
        trainer.train(trial=trial)
        score = objective(trainer.evaluate())
        gc.collect()
        return score

    optimize = {
        key: options.pop(key) for key in ("timeout", "n_jobs", "gc_after_trial", "catch") if key in options
    }
    directions = {"directions": direction} if isinstance(direction, list) else {"direction": direction}
    study = optuna.create_study(**directions, **options)
    try:
        study.optimize(run, n_trials=n_trials, **optimize)
    finally:
        for key, value in original.items():
            setattr(trainer.args, key, value)
        trainer.state.trial_name = None
        trainer.state.is_hyper_param_search = False
    best = study.best_trial
    return BestRun(str(best.number), best.value, best.params, study)
