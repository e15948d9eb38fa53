"""A progress bar for people who watch: epoch, loss, learning rate, time left."""

from __future__ import annotations

from typing import Any

from formers.core.logging import is_progress_bar_enabled
from formers.training.callbacks.base import TrainerCallback
from formers.training.reports import short

# measurements that stay in the history and in files, but say nothing to someone who watches
_UNSHOWN = ("total_flos", "_runtime", "_per_second", "num_input_tokens_seen")


class ProgressCallback(TrainerCallback):
    """Shows a bar for training and one for evaluation on the first process of each machine.

    Logged numbers are printed above the bars. The last loss and learning rate stand beside the bar.
    """

    def __init__(self, max_str_len: int = 100) -> None:
        self.max_str_len = max_str_len
        self._progress: Any = None
        self._training: Any = None
        self._predicting: Any = None
        self._shown: dict[str, Any] = {}

    def _open(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                refresh_per_second=4,
                disable=not is_progress_bar_enabled(),
            )
            self._progress.start()
        return self._progress

    def close(self) -> None:
        """Take all bars away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._training = self._predicting = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the training bar."""
        if state.is_local_process_zero:
            self._training = self._open().add_task(
                "training", total=state.max_steps, completed=state.global_step, note=""
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move on by one step."""
        if self._training is not None:
            epoch = f"epoch {state.epoch:.2f}/{args.num_train_epochs:g}" if state.epoch is not None else ""
            note = "  ".join(filter(None, [epoch, *(f"{key} {value}" for key, value in self._shown.items())]))
            self._progress.update(self._training, completed=state.global_step, note=note)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Move the evaluation bar on by one batch."""
        if not state.is_local_process_zero:
            return
        if self._predicting is None:
            try:
                total = len(eval_dataloader)
            except TypeError:
                total = None
            self._predicting = self._open().add_task("evaluating", total=total, note="")
        self._progress.advance(self._predicting)

    def _end_prediction(self) -> None:
        if self._predicting is not None:
            self._progress.remove_task(self._predicting)
            self._predicting = None
        if self._training is None:
            self.close()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the evaluation bar away."""
        self._end_prediction()

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any
    ) -> None:
        """Take the prediction bar away."""
        self._end_prediction()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Print the numbers above the bar."""
        if not state.is_local_process_zero or logs is None:
            return
        for key, shown in (("loss", "loss"), ("learning_rate", "lr")):
            if isinstance(logs.get(key), (int, float)):
                self._shown[shown] = f"{logs[key]:.4g}"
        parts = []
        for key, value in logs.items():
            if not key.endswith(_UNSHOWN) and "_mem_" not in key:
                parts.append(f"{key} {str(short(value))[: self.max_str_len]}")
        line = "  ".join(parts)
        if self._progress is not None:
            self._progress.console.print(line, highlight=False, markup=False)
        else:
            print(line, flush=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bars away."""
        self.close()


NotebookProgressCallback = ProgressCallback  # rich shows bars in notebooks too
