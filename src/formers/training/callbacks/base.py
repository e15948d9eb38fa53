"""Callbacks: what is called at each event of a run, when to log, evaluate and save, early stopping."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from formers.core.notices import notice, suggest_keywords
from formers.training.choices import IntervalStrategy, SaveStrategy
from formers.training.reports import short
from formers.training.state import ExportableState, TrainerControl, TrainerState


class TrainerCallback:
    """Override the events that matter. Each is called with the arguments, the state and the control.

    Keywords hold `model`, `processing_class` (and `tokenizer`), `optimizer`, `lr_scheduler`,
    `train_dataloader`, `eval_dataloader`, and with some events `logs` or `metrics`. An event that
    changes the control returns it (or changes it in place and returns nothing).
    """

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """The trainer is built."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Training begins."""

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Training is over."""

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An epoch begins."""

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An epoch is over."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An optimizer step begins (one for each accumulation window)."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Gradients are ready and clipped."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """The optimizer has stepped; gradients are still there."""

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """A batch within an accumulation window is done."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An optimizer step is done."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An evaluation is done; keyword `metrics`."""

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any
    ) -> Any:
        """A prediction run is done."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """A checkpoint is written."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Numbers are logged; keyword `logs`."""

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """A batch of an evaluation or a prediction run is done."""

    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """An upload begins."""


class CallbackHandler(TrainerCallback):
    """Calls every callback in turn.

    Which callbacks override which event is found once, so that an event that nobody listens to costs nothing.
    """

    def __init__(
        self,
        callbacks: Iterable[TrainerCallback | type[TrainerCallback]],
        model: Any,
        processing_class: Any,
        optimizer: Any,
        lr_scheduler: Any,
    ) -> None:
        self.callbacks: list[TrainerCallback] = []
        self.model = model
        self.processing_class = processing_class
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.train_dataloader: Any = None
        self.eval_dataloader: Any = None
        self._listeners: dict[str, list[TrainerCallback]] = {}
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Add a callback, or the class of one; a second of the same class is noticed."""
        made = callback() if isinstance(callback, type) else callback
        if any(type(existing) is type(made) for existing in self.callbacks):
            notice(f"A callback of class {type(made).__name__} is there already; both will be called.")
        self.callbacks.append(made)
        self._listeners.clear()

    def pop_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> TrainerCallback | None:
        """Remove a callback (or the first of a class) and return it; None where there is none."""
        for existing in self.callbacks:
            if type(existing) is callback if isinstance(callback, type) else existing is callback:
                self.callbacks.remove(existing)
                self._listeners.clear()
                return existing
        return None

    def remove_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Remove a callback (or the first of a class)."""
        self.pop_callback(callback)

    def states(self, control: TrainerControl) -> dict[str, Any]:
        """What the callbacks (and the control) have counted, by class; several of one class as a list."""
        states: dict[str, Any] = {"TrainerControl": control.state()}
        for callback in self.callbacks:
            if isinstance(callback, ExportableState):
                name, state = type(callback).__name__, callback.state()
                kept = states.get(name)
                several = [*(kept if isinstance(kept, list) else [kept]), state]
                states[name] = state if kept is None else several
        return states

    def restore(self, state: TrainerState, with_arguments: bool) -> None:
        """Give callbacks what they had counted, and with `with_arguments` what they were made with."""
        left = {
            name: list(kept) if isinstance(kept, list) else [kept]
            for name, kept in state.stateful_callbacks.items()
        }
        for callback in self.callbacks:
            entries = left.get(type(callback).__name__)
            if entries and isinstance(callback, ExportableState):
                entry = entries.pop(0)
                if with_arguments:
                    callback.restore({"attributes": entry.get("args", {})})
                callback.restore(entry)

    @property
    def callback_list(self) -> str:
        """Names of the callbacks, one a line."""
        return "\n".join(type(callback).__name__ for callback in self.callbacks)

    def call_event(
        self, event: str, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Call `event` of every callback that overrides it, in order."""
        listeners = self._listeners.get(event)
        if listeners is None:
            default = getattr(TrainerCallback, event, None)
            listeners = [c for c in self.callbacks if getattr(type(c), event, default) is not default]
            self._listeners[event] = listeners
        for callback in listeners:
            result = getattr(callback, event)(
                args,
                state,
                control,
                model=self.model,
                processing_class=self.processing_class,
                tokenizer=self.processing_class,
                optimizer=self.optimizer,
                lr_scheduler=self.lr_scheduler,
                train_dataloader=self.train_dataloader,
                eval_dataloader=self.eval_dataloader,
                **kwargs,
            )
            if result is not None:
                if not isinstance(result, TrainerControl):
                    raise TypeError(
                        f"{type(callback).__name__}.{event} returned {result!r}: it returns the control that "
                        "it was given, or nothing"
                    )
                control = result
        return control


_CLEARED = {
    "on_train_begin": ("should_training_stop",),
    "on_epoch_begin": ("should_epoch_stop",),
    "on_step_begin": ("should_log", "should_evaluate", "should_save"),
    "on_evaluate": ("should_evaluate",),
    "on_save": ("should_save",),
    "on_log": ("should_log",),
}


def _relay(event: str) -> Callable[..., TrainerControl]:
    cleared = _CLEARED.get(event, ())

    def call(
        self: CallbackHandler, args: Any, state: Any, control: TrainerControl, *extra: Any, **kwargs: Any
    ) -> TrainerControl:
        for switch in cleared:
            setattr(control, switch, False)
        if extra:
            kwargs[{"on_log": "logs"}.get(event, "metrics")] = extra[0]
        return self.call_event(event, args, state, control, **kwargs)

    call.__name__ = event
    call.__doc__ = f"Relay `{event}` to every callback."
    return call


for _event in [name for name in vars(TrainerCallback) if name.startswith("on_")]:
    setattr(CallbackHandler, _event, _relay(_event))


class DefaultFlowCallback(TrainerCallback):
    """Says when to log, evaluate and save, from the strategies of the arguments."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Apply the strategies that count steps, and stop at the last one."""
        step = state.global_step
        if (step == 1 and args.logging_first_step) or (
            args.logging_strategy == IntervalStrategy.STEPS and step % state.logging_steps == 0
        ):
            control.should_log = True
        if (
            args.eval_strategy == IntervalStrategy.STEPS
            and step % state.eval_steps == 0
            and args.eval_delay <= step
        ):
            control.should_evaluate = True
        if args.save_strategy == SaveStrategy.STEPS and state.save_steps > 0 and step % state.save_steps == 0:
            control.should_save = True
        if step >= state.max_steps:
            control.should_training_stop = True
            # the last step is always evaluated, but for a step that was evaluated a moment ago
            if args.eval_strategy == IntervalStrategy.STEPS and args.eval_delay <= step:
                control.should_evaluate = True
            if args.save_strategy == SaveStrategy.STEPS:
                control.should_save = True
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Apply the strategies that count epochs."""
        if args.logging_strategy == IntervalStrategy.EPOCH:
            control.should_log = True
        if args.eval_strategy == IntervalStrategy.EPOCH and args.eval_delay <= state.epoch:
            control.should_evaluate = True
        if args.save_strategy == SaveStrategy.EPOCH:
            control.should_save = True
        return control


class PrinterCallback(TrainerCallback):
    """Prints what is logged, one line each."""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Print the numbers, short."""
        if state.is_local_process_zero and logs is not None:
            shown = {key: short(value) for key, value in logs.items() if key != "total_flos"}
            print(json.dumps(shown, default=str), flush=True)


@suggest_keywords
class EarlyStoppingCallback(TrainerCallback, ExportableState):
    """Stops when the watched metric has not improved for `early_stopping_patience` evaluations.

    Needs `metric_for_best_model`. An improvement counts when it is larger than
    `early_stopping_threshold`. Its counter goes into checkpoints and comes back on resume.
    """

    def __init__(
        self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0
    ) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold or 0.0
        self.early_stopping_patience_counter = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check that there is something to watch."""
        if args.eval_strategy == IntervalStrategy.NO:
            raise ValueError(
                "EarlyStoppingCallback watches evaluations: set eval_strategy='epoch' or 'steps'"
            )
        if args.metric_for_best_model is None:
            raise ValueError(
                "EarlyStoppingCallback needs metric_for_best_model, for example 'eval_loss' or 'f1'"
            )
        if not args.load_best_model_at_end:
            notice(
                "EarlyStoppingCallback without load_best_model_at_end=True ends with the last model, not "
                "with the best."
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Count evaluations without improvement, and stop when there were enough."""
        value = watched_metric(args, metrics or {})
        if value is None:
            return
        if state.best_metric is None or (
            improves(args, value, state.best_metric)
            and abs(value - state.best_metric) > self.early_stopping_threshold
        ):
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """Patience, threshold, and how far the counter stands."""
        return {
            "args": {
                "early_stopping_patience": self.early_stopping_patience,
                "early_stopping_threshold": self.early_stopping_threshold,
            },
            "attributes": {"early_stopping_patience_counter": self.early_stopping_patience_counter},
        }


def watched_metric(args: Any, metrics: dict[str, Any], needed: bool = False) -> float | None:
    """The value of `metric_for_best_model` in `metrics`, with or without "eval_"; None where it is not.

    With several evaluation sets, a set whose metrics lack it is passed over, unless it is `needed`.
    """
    name = args.metric_for_best_model
    if name is None:
        return None
    name = name if name.startswith("eval_") else f"eval_{name}"
    value = metrics.get(name)
    if value is None and needed:
        raise KeyError(
            f"metric_for_best_model={args.metric_for_best_model!r} is not among the metrics "
            f"{sorted(metrics)}: return it from compute_metrics, or name one of these"
        )
    return None if value is None else float(value)


def improves(args: Any, value: float, best: float | None) -> bool:
    """Whether `value` is better than `best`; a value that is not a number never is."""
    if math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value > best if args.greater_is_better else value < best
