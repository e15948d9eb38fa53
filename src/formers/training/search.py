"""Search for arguments that score best."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from formers.core.extras import MissingExtra, installed
from formers.core.notices import refuse_unknown
from formers.training.callbacks.base import TrainerCallback
from formers.training.callbacks.trackers import Tracker
from formers.training.choices import HPSearchBackend, IntervalStrategy
from formers.training.state import BestRun

Objective = Callable[[dict[str, float]], Any]
Tell = Callable[[Any, dict[str, float], int], None]
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


class _Report(TrainerCallback):
    """Tells how each evaluation of a trial went.

    Attributes:
        judged: the step of the last evaluation, and what was found.
    """

    def __init__(self, objective: Objective, tell: Tell | None) -> None:
        self.objective, self.tell = objective, tell
        self.judged: tuple[int, dict[str, float]] = (-1, {})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the last step judged while the run is open at the trackers."""
        if args.eval_strategy == IntervalStrategy.NO and state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the objective."""
        step, metrics = self.judged
        earlier = metrics if step == state.global_step else {}  # of another evaluation set
        self.judged = state.global_step, {**earlier, **kwargs["metrics"]}
        if self.tell is not None:
            self.tell(self.objective(kwargs["metrics"]), kwargs["metrics"], state.global_step)


@dataclass
class Search:
    """Trials of one trainer; see `Trainer.hyperparameter_search`.

    Attributes:
        trainer: with `model_init`.
        objective: metrics -> score, or as many as there are directions.
        name_of: trial -> its name, which is also that of its folder and of its run at a tracker.
        prunes: it is told how evaluations go: there is one score, and one evaluation set.
    """

    trainer: Any
    objective: Objective
    name_of: Callable[[Any], str] | None
    prunes: bool

    def train(self, trial: Any, chosen: Any, name: str, tell: Tell) -> tuple[Any, dict[str, float]]:
        """Train with what was chosen; returns the score, and the metrics that it is of.

        Args:
            trial: what `model_init` and `name_of` are called with.
            chosen: arguments by name.
            name: the trial's, where `name_of` does not say.
            tell: called after each evaluation with score, metrics and step.
        """
        trainer = self.trainer
        if not isinstance(chosen, Mapping):
            raise TypeError(f"hp_space returns a dict of training arguments by name, not {chosen!r}")
        refuse_unknown(chosen, trainer.args.to_dict(), "hp_space")
        settled = replace(trainer.args, **chosen)  # reads and checks the values as the arguments do
        for key in chosen:
            setattr(trainer.args, key, getattr(settled, key))
        state = trainer.state
        state.trial_name = self.name_of(trial) if self.name_of else name
        state.trial_params, state.is_hyper_param_search = dict(chosen), True
        report, handler = _Report(self.objective, tell if self.prunes else None), trainer.callback_handler
        trainer.add_callback(report)
        try:
            trainer.train(trial=trial)
        except Exception:
            # a trial that breaks off ends its run at the trackers, or the next would go on with it
            handler.on_train_end(trainer.args, trainer.state, trainer.control)
            raise
        finally:
            trainer.remove_callback(report)
        metrics = self._metrics(report)
        score = self.objective(metrics)
        gc.collect()
        return score, metrics

    def _metrics(self, report: _Report) -> dict[str, float]:
        """Of the model as training left it: those of its last step, unless an earlier model was loaded."""
        trainer = self.trainer
        step, metrics = report.judged
        if step == trainer.state.global_step and not trainer.args.load_best_model_at_end:
            return metrics
        metrics = dict(trainer.evaluate())
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, Tracker):  # the evaluation opened it again
                callback.on_train_end(trainer.args, trainer.state, trainer.control)
        return metrics


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
        from formers.training.ray_search import search as with_ray

        return with_ray(how, space, n_trials, direction, options)
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
