"""Experiment trackers: TensorBoard, Weights & Biases, MLflow, Trackio."""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from formers.core.extras import MissingExtra, installed, need
from formers.core.notices import did_you_mean
from formers.training.callbacks.base import TrainerCallback


def grouped(logs: dict[str, Any]) -> dict[str, Any]:
    """Prefix each name with the group that dashboards show it in: eval/, test/ or train/."""
    named = {}
    for key, value in logs.items():
        group = next((g for g in ("eval", "test") if key.startswith(f"{g}_")), None)
        named[f"{group}/{key[len(group) + 1 :]}" if group else f"train/{key}"] = value
    return named


def default_logdir() -> str:
    """Where under the output folder the event files of a run go: `runs/<time>_<host>`."""
    return str(Path("runs") / f"{datetime.now().strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _name(args: Any, state: Any) -> str | None:
    """Of a run; that of a trial begins with the name of them all."""
    return "-".join(filter(None, (args.run_name, state.trial_name))) or None


class Tracker(TrainerCallback):
    """Opens the tracker at the first event of the first process, and sends numbers to it."""

    def __init__(self) -> None:
        self._open = False

    def open(self, args: Any, state: Any, model: Any) -> None:
        """Start a run at the tracker."""
        raise NotImplementedError

    def send(self, numbers: dict[str, float], step: int) -> None:
        """Send numbers for a step."""
        raise NotImplementedError

    def close(self) -> None:
        """End the run at the tracker."""

    def _ensure(self, args: Any, state: Any, model: Any) -> bool:
        if state.is_world_process_zero and not self._open:
            self.open(args, state, model)
            self._open = True
        return self._open

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Open the tracker."""
        self._ensure(args, state, model)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, Any] | None = None,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Send what is a number."""
        if logs is not None and self._ensure(args, state, model):
            numbers = {key: _number(value) for key, value in grouped(logs).items()}
            self.send({key: value for key, value in numbers.items() if value is not None}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the tracker."""
        if self._open:
            self.close()
            self._open = False


class TensorBoardCallback(Tracker):
    """Writes event files for TensorBoard.

    They go to `logging_dir`, or TENSORBOARD_LOGGING_DIR, or `output_dir/runs/<time>_<host>`.
    """

    def __init__(self, tb_writer: Any = None) -> None:
        super().__init__()
        self.tb_writer = tb_writer
        if tb_writer is None:
            need("tensorboard", "train", "report_to='tensorboard'")

    def open(self, args: Any, state: Any, model: Any) -> None:
        """Create the writer and put down what is trained, and how."""
        if self.tb_writer is None:
            from torch.utils.tensorboard import SummaryWriter

            folder = args.logging_dir or os.environ.get("TENSORBOARD_LOGGING_DIR")
            folder = Path(folder or Path(args.output_dir) / default_logdir())
            self.tb_writer = SummaryWriter(log_dir=str(folder / (state.trial_name or "")))
        self.tb_writer.add_text("args", args.to_json_string())
        config = getattr(model, "config", None)
        if config is not None and hasattr(config, "to_dict"):
            self.tb_writer.add_text("model_config", json.dumps(config.to_dict(), indent=2, default=str))

    def send(self, numbers: dict[str, float], step: int) -> None:
        """Write the numbers."""
        for key, value in numbers.items():
            self.tb_writer.add_scalar(key, value, step)
        self.tb_writer.flush()

    def close(self) -> None:
        """Close the files."""
        self.tb_writer.close()
        self.tb_writer = None


class WandbCallback(Tracker):
    """Sends to Weights & Biases; project from WANDB_PROJECT, else the argument `project`."""

    def __init__(self) -> None:
        super().__init__()
        self._wandb: Any = _need_tracker("wandb")
        self._of_trial = False

    def open(self, args: Any, state: Any, model: Any) -> None:
        """Start a run, or join the one that is open."""
        self._of_trial = state.trial_name is not None
        if self._wandb.run is None:
            self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", args.project),
                name=_name(args, state),
                group=args.run_name if self._of_trial else None,
            )
        self._wandb.config.update(args.to_sanitized_dict(), allow_val_change=True)

    def send(self, numbers: dict[str, float], step: int) -> None:
        """Send the numbers."""
        self._wandb.log({**numbers, "train/global_step": step})

    def close(self) -> None:
        """End the run of a trial, so that the next has its own; any other lasts as long as the script."""
        if self._of_trial:
            self._wandb.finish()


class MLflowCallback(Tracker):
    """Sends to MLflow; the experiment from MLFLOW_EXPERIMENT_NAME."""

    def __init__(self) -> None:
        super().__init__()
        self._mlflow: Any = _need_tracker("mlflow")
        self._started = False

    def open(self, args: Any, state: Any, model: Any) -> None:
        """Start a run, or join the one that is open."""
        if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
            self._mlflow.set_experiment(name)
        if self._mlflow.active_run() is None:
            self._mlflow.start_run(run_name=_name(args, state))
            self._started = True
        parameters = list(args.to_sanitized_dict().items())
        for start in range(
            0, len(parameters), 100
        ):  # MLflow takes 100 at a time, values up to 500 characters
            self._mlflow.log_params({key: str(value)[:500] for key, value in parameters[start : start + 100]})

    def send(self, numbers: dict[str, float], step: int) -> None:
        """Send the numbers."""
        self._mlflow.log_metrics({key.replace("/", "_"): value for key, value in numbers.items()}, step=step)

    def close(self) -> None:
        """End the run that this callback started."""
        if self._started:
            self._mlflow.end_run()


class TrackioCallback(Tracker):
    """Sends to Trackio; `trackio_space_id` names the Space."""

    def __init__(self) -> None:
        super().__init__()
        self._trackio: Any = _need_tracker("trackio")

    def open(self, args: Any, state: Any, model: Any) -> None:
        """Start a run."""
        wishes = {"space_id": args.trackio_space_id, "bucket_id": args.trackio_bucket_id}
        self._trackio.init(
            project=args.project,
            name=_name(args, state),
            config=args.to_sanitized_dict(),
            **{key: value for key, value in wishes.items() if value is not None},
        )

    def send(self, numbers: dict[str, float], step: int) -> None:
        """Send the numbers."""
        self._trackio.log(numbers, step=step)

    def close(self) -> None:
        """End the run."""
        self._trackio.finish()


class CodeCarbonCallback(TrainerCallback):
    """Measures with codecarbon what training emits, and writes `emissions.csv` into the output folder."""

    def __init__(self) -> None:
        self._codecarbon: Any = _need_tracker("codecarbon")
        self.tracker: Any = None

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the tracker in the first process."""
        if self.tracker is None and state.is_local_process_zero:
            self.tracker = self._codecarbon.EmissionsTracker(output_dir=args.output_dir)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to measure."""
        if self.tracker is not None:
            self.tracker.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End, and write the file."""
        if self.tracker is not None:
            self.tracker.stop()


# name in report_to -> callback, and the module that must be there
_TRACKERS: dict[str, tuple[type[Tracker], str]] = {
    "tensorboard": (TensorBoardCallback, "tensorboard"),
    "wandb": (WandbCallback, "wandb"),
    "mlflow": (MLflowCallback, "mlflow"),
    "trackio": (TrackioCallback, "trackio"),
}


def get_available_reporting_integrations() -> list[str]:
    """The trackers that are installed, as `report_to` names them."""
    return [name for name, (_, module) in _TRACKERS.items() if installed(module)]


def reporters(args: Any) -> list[TrainerCallback]:
    """The trackers that `report_to` names; "all" stands for those that are installed.

    Raises:
        ValueError: for an unknown tracker.
        MissingExtra: for one that is not installed.
    """
    wanted = list(args.report_to or [])
    if "all" in wanted:
        wanted = get_available_reporting_integrations()
    for name in wanted:
        if name not in _TRACKERS:
            raise ValueError(
                f"report_to={name!r} is not known{did_you_mean(name, _TRACKERS)}; one of "
                f"{sorted(_TRACKERS)}, 'all' or 'none'. For another tracker pass its callback with "
                "callbacks=[...]"
            )
    return [_TRACKERS[name][0]() for name in dict.fromkeys(wanted)]


def _need_tracker(module: str) -> Any:
    if not installed(module):
        raise MissingExtra(f"report_to={module!r} needs the package {module}: pip install {module}")
    import importlib

    return importlib.import_module(module)
