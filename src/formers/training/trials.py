"""Trials of a search for arguments: one trainer, trained anew with what was chosen."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from formers.core.notices import refuse_unknown
from formers.training.callbacks.base import TrainerCallback
from formers.training.callbacks.trackers import Tracker
from formers.training.choices import IntervalStrategy

Objective = Callable[[dict[str, float]], Any]
Tell = Callable[[Any, dict[str, float], int], None]


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
        except Exception:  # it ends its run at the trackers, or the next trial would go on with it
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
