"""Search for arguments that score best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.core.extras import MissingExtra, installed
from formers.training import ray_search
from formers.training.choices import HPSearchBackend
from formers.training.state import BestRun
from formers.training.trials import Search

_OF_OPTIMIZE = ("timeout", "n_jobs", "gc_after_trial", "catch", "callbacks", "show_progress_bar")


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
    objective: Callable[[dict[str, float]], Any] | None,
    n_trials: int,
    direction: str | list[str],
    backend: str | None,
    name_of: Callable[[Any], str] | None,
    options: dict[str, Any],
) -> BestRun | list[BestRun]:
    """The body of `Trainer.hyperparameter_search`; see there.

    Raises:
        ValueError: for another backend, several jobs at once, or several processes; see `ray_search`.
        RuntimeError: without `model_init`.
        MissingExtra: where the backend is not installed.
    """
    backend = _backend(trainer, backend, options)
    one_set, several = not isinstance(trainer.eval_dataset, dict), isinstance(direction, (list, tuple))
    how = Search(trainer, objective or default_objective, name_of, one_set and not several)
    if backend == HPSearchBackend.RAY:
        return ray_search.search(how, space, n_trials, direction, options)
    before = dict(vars(trainer.args))
    try:
        return _with_optuna(how, space or default_space, n_trials, direction, options)
    finally:
        vars(trainer.args).update(before)
        trainer.state.trial_name = trainer.state.trial_params = None
        trainer.state.is_hyper_param_search = False


def _with_optuna(
    how: Search,
    space: Callable[[Any], dict[str, Any]],
    n_trials: int,
    direction: str | list[str],
    options: dict[str, Any],
) -> BestRun | list[BestRun]:
    import optuna

    def run(trial: Any) -> Any:
        def tell(score: float, metrics: dict[str, float], step: int) -> None:
            trial.report(score, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        return how.train(trial, space(trial), f"run-{trial.number}", tell)[0]

    several = isinstance(direction, (list, tuple))
    optimize = {key: options.pop(key) for key in _OF_OPTIMIZE if key in options}
    options["directions" if several else "direction"] = direction
    study = optuna.create_study(**options)
    study.optimize(run, n_trials=n_trials, **optimize)
    if several:
        return [BestRun(str(one.number), one.values, one.params, study) for one in study.best_trials]
    best: Any = study.best_trial
    return BestRun(str(best.number), best.value, best.params, study)


def _backend(trainer: Any, asked: Any, options: dict[str, Any]) -> HPSearchBackend:
    """The backend, which can be used."""
    backend = HPSearchBackend(asked or HPSearchBackend.OPTUNA)
    if backend not in (HPSearchBackend.OPTUNA, HPSearchBackend.RAY):
        raise ValueError(
            f"hyperparameter_search(backend={str(asked)!r}): 'optuna' and 'ray' are built in. With another "
            "tool, call Trainer in its objective function"
        )
    if trainer.model_init is None:
        raise RuntimeError(
            "hyperparameter_search trains a new model in every trial: give Trainer model_init, not model"
        )
    if options.get("n_jobs", 1) != 1:
        raise ValueError(
            "hyperparameter_search runs its trials one after the other, as there is one trainer: leave "
            "n_jobs out. For trials at once take backend='ray', or start the script several times, with "
            "storage= and study_name= of one study and load_if_exists=True"
        )
    if trainer.accelerator.num_processes > 1:
        raise ValueError(
            "hyperparameter_search runs in one process: start the script without a launcher; several of them "
            "share a study by storage=, study_name= and load_if_exists=True"
        )
    if backend == HPSearchBackend.OPTUNA and not installed("optuna"):
        raise MissingExtra("hyperparameter_search needs the package optuna: pip install optuna")
    return backend
