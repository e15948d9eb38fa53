"""Search for arguments with Ray Tune: trials are processes, on as many machines as the cluster has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from formers.core.extras import need
from formers.training.choices import IntervalStrategy
from formers.training.state import BestRun
from formers.training.trials import Search

_OBJECTIVE = "objective"
_STOPPING = ("AsyncHyperBandScheduler", "HyperBandScheduler", "MedianStoppingRule")


def default_space(trial: Any) -> dict[str, Any]:
    """Learning rate, epochs, seed and batch size, as Ray Tune draws them."""
    from ray import tune

    return {
        "learning_rate": tune.loguniform(1e-6, 1e-4),
        "num_train_epochs": tune.choice([1, 2, 3, 4, 5]),
        "seed": tune.randint(1, 41),
        "per_device_train_batch_size": tune.choice([4, 8, 16, 32, 64]),
    }


def search(
    how: Search,
    space: Callable[[Any], dict[str, Any]] | None,
    n_trials: int,
    direction: str | list[str],
    options: dict[str, Any],
) -> BestRun:
    """Run trials of `how` by Ray Tune.

    Args:
        how: the trainer and its objective.
        space: called once with an empty dict; returns values and Ray's distributions by name.
        n_trials: samples of the space.
        direction: "minimize" or "maximize".
        options: for `ray.tune.run`.

    Raises:
        ValueError: for several directions, or a scheduler that copies weights between trials.
        RuntimeError: the scheduler stops trials by evaluations that there are none of, or no trial ended.
    """
    tune = need("ray.tune", "ray", "hyperparameter_search(backend='ray')")
    _check(how.trainer.args, direction, options)
    options.setdefault("resources_per_trial", {"cpu": 1, "gpu": 1} if how.trainer.args.n_gpu else {"cpu": 1})
    sent = Search(_without_model(how.trainer), how.objective, how.name_of, how.prunes)
    analysis = tune.run(
        tune.with_parameters(_trial, how=sent),
        config=(space or default_space)({}),
        num_samples=n_trials,
        **options,
    )
    best = analysis.get_best_trial(_OBJECTIVE, direction[:3], scope=how.trainer.args.ray_scope)
    if best is None:
        raise RuntimeError("no trial of the search ended with a score: Ray's report above says why")
    return BestRun(best.trial_id, best.last_result[_OBJECTIVE], best.config, analysis)


def _check(args: Any, direction: Any, options: dict[str, Any]) -> None:
    if not isinstance(direction, str):
        raise ValueError("Ray Tune searches in one direction: several need backend='optuna'")
    kinds = {kind.__name__ for kind in type(options.get("scheduler")).__mro__}
    if "PopulationBasedTraining" in kinds:
        raise ValueError(
            "PopulationBasedTraining copies weights between trials, whose optimizers would keep the values "
            "of the other trial: take ASHAScheduler, which breaks off what promises nothing"
        )
    if kinds & set(_STOPPING) and args.eval_strategy == IntervalStrategy.NO:
        raise RuntimeError(
            f"{type(options['scheduler']).__name__} judges trials by their evaluations, and there are none "
            "while they train: set eval_strategy='epoch' or 'steps'"
        )


def _without_model(trainer: Any) -> Any:
    """The trainer as it is sent to other processes, which make models and accelerators of their own."""
    sent = copy.copy(trainer)
    sent.model = sent.model_wrapped = sent.accelerator = None
    sent.callback_handler = copy.copy(trainer.callback_handler)
    sent.callback_handler.model = None
    return sent


def _trial(config: dict[str, Any], how: Search) -> None:
    """One trial, in its own process."""
    from ray import tune

    how.trainer.create_accelerator_and_postprocess()
    told: list[float] = []

    def tell(score: float, metrics: dict[str, float], step: int) -> None:
        told.append(score)
        tune.report({**metrics, _OBJECTIVE: score})

    score, metrics = how.train(config, config, f"run-{tune.get_context().get_trial_id()}", tell)
    if told[-1:] != [score]:
        tell(score, metrics, how.trainer.state.global_step)
