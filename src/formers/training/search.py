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
    """Tells a trial how each evaluation went, and breaks off one that promises nothing.

    Attributes:
        judged: the step of the last evaluation, and what was found.
    """

    def __init__(self, trial: Any, objective: Callable[[dict[str, float]], Any], prunes: bool) -> None:
        self.trial, self.objective, self.prunes = trial, objective, prunes
        self.judged: tuple[int, dict[str, float]] = (-1, {})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the last step judged while the run is open at the trackers."""
        if args.eval_strategy == IntervalStrategy.NO and state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the objective; raises `optuna.TrialPruned` where the study's pruner says so."""
        step, metrics = self.judged
        earlier = metrics if step == state.global_step else {}  # of another evaluation set
        self.judged = state.global_step, {**earlier, **kwargs["metrics"]}
        if not self.prunes:
            return
        self.trial.report(self.objective(kwargs["metrics"]), state.global_step)
        if self.trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned


@dataclass
class Search:
    """Trials of one trainer; see `Trainer.hyperparameter_search`.

    Attributes:
        trainer: with `model_init`.
        space: trial -> arguments by name.
        objective: metrics -> score, or as many as there are directions.
        name_of: trial -> its name, which is also that of its folder and of its run at a tracker.
        prunes: trials are told how evaluations go: there is one score, and one evaluation set.
    """

    trainer: Any
    space: Callable[[Any], dict[str, Any]]
    objective: Callable[[dict[str, float]], Any]
    name_of: Callable[[Any], str] | None
    prunes: bool

    def run(self, trial: Any) -> Any:
        """Train with what the trial suggests; returns its score."""
        trainer = self.trainer
        chosen = self.space(trial)
        if not isinstance(chosen, Mapping):
            raise TypeError(f"hp_space returns a dict of training arguments by name, not {chosen!r}")
        refuse_unknown(chosen, trainer.args.to_dict(), "hp_space")
        settled = replace(trainer.args, **chosen)  # reads and checks the values as the arguments do
        for key in chosen:
            setattr(trainer.args, key, getattr(settled, key))
        state = trainer.state
        state.trial_name = self.name_of(trial) if self.name_of else f"run-{trial.number}"
        state.trial_params, state.is_hyper_param_search = dict(chosen), True
        report, handler = _Report(trial, self.objective, self.prunes), trainer.callback_handler
        trainer.add_callback(report)
        try:
            trainer.train(trial=trial)
        except Exception:
            # a trial that breaks off ends its run at the trackers, or the next would go on with it
            handler.on_train_end(trainer.args, trainer.state, trainer.control)
            raise
        finally:
            trainer.remove_callback(report)
        score = self.objective(self._metrics(report))
        gc.collect()
        return score

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
        ValueError: for another backend than optuna, several jobs at once, or several processes.
        RuntimeError: without `model_init`.
        MissingExtra: where optuna is not installed.
    """
    _check(trainer, backend, options)
    import optuna

    several = isinstance(direction, (list, tuple))
    optimize = {key: options.pop(key) for key in _OF_OPTIMIZE if key in options}
    options["directions" if several else "direction"] = direction
    study = optuna.create_study(**options)
    one_set = not isinstance(trainer.eval_dataset, dict)
    how = Search(
        trainer, space or default_space, objective or default_objective, name_of, one_set and not several
    )
    before = dict(vars(trainer.args))
    try:
        study.optimize(how.run, n_trials=n_trials, **optimize)
    finally:
        vars(trainer.args).update(before)
        trainer.state.trial_name = trainer.state.trial_params = None
        trainer.state.is_hyper_param_search = False
    if several:
        return [BestRun(str(one.number), one.values, one.params, study) for one in study.best_trials]
    best: Any = study.best_trial
    return BestRun(str(best.number), best.value, best.params, study)


def _check(trainer: Any, backend: Any, options: dict[str, Any]) -> None:
    if backend is not None and HPSearchBackend(backend) != HPSearchBackend.OPTUNA:
        raise ValueError(
            f"hyperparameter_search(backend={str(backend)!r}): only 'optuna' is built in (ray_scope and the "
            "like have no effect). With another tool, call Trainer in its objective function"
        )
    if trainer.model_init is None:
        raise RuntimeError(
            "hyperparameter_search trains a new model in every trial: give Trainer model_init, not model"
        )
    if options.get("n_jobs", 1) != 1:
        raise ValueError(
            "hyperparameter_search runs its trials one after the other, as there is one trainer: leave "
            "n_jobs out. For trials at once start the script several times, with storage= and study_name= of "
            "one study and load_if_exists=True"
        )
    if trainer.accelerator.num_processes > 1:
        raise ValueError(
            "hyperparameter_search runs in one process: start the script without a launcher; several of them "
            "share a study by storage=, study_name= and load_if_exists=True"
        )
    if not installed("optuna"):
        raise MissingExtra("hyperparameter_search needs the package optuna: pip install optuna")
