"""Where a training run stands, what it shall do next, and the records that it hands back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from formers.core.jsonfile import finite, plain, read_json_object
from formers.core.notices import notice

STATE = "trainer_state.json"


class ExportableState:
    """A callback or control whose `state()` goes into checkpoints and comes back on resume.

    `state()` returns `{"args": {...}, "attributes": {...}}`: what rebuilds the object, and what has
    changed since.
    """

    def state(self) -> dict[str, Any]:
        """What to keep."""
        raise NotImplementedError(f"{type(self).__name__} must say what to keep: define state()")

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ExportableState:
        """Rebuild the object that gave `state`."""
        made = cls(**state.get("args", {}))
        made.restore(state)
        return made

    def restore(self, state: dict[str, Any]) -> None:
        """Take the attributes of `state` into this object."""
        for name, value in state.get("attributes", {}).items():
            setattr(self, name, value)


# fields of ours: in the file they lie among the callbacks' states, as a name that is not known at the
# top would keep the ecosystem's trainer from reading it
_OWN_FIELDS = (
    "loss_sum", "loss_since_log", "lost", "lost_since_log", "step_of_last_log", "epoch_closed",
    "epoch_number", "epoch_examples", "batch_examples",
)  # fmt: skip
_OWN_ENTRY = "TrainerState"
# fields that a resumed run has from its arguments, not from the checkpoint
_OF_THE_RUN = (
    "max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps", "train_batch_size",
    "batch_examples", "is_local_process_zero", "is_world_process_zero",
)  # fmt: skip


def _read_own_fields(read: dict[str, Any]) -> dict[str, Any]:
    """The fields of ours in a state file; where another trainer wrote it, what its log says of them."""
    step = read.get("global_step", 0)
    callbacks = read.get("stateful_callbacks") or {}
    own: dict[str, Any] = callbacks.get(_OWN_ENTRY, {}).get("attributes", {})
    if own and own.get("global_step") == step:  # else a later run of another trainer carried it along
        found = {name: own[name] for name in _OWN_FIELDS if name in own}
        # a loss that was no number: JSON holds null for it
        return {name: math.nan if name[:4] == "loss" and one is None else one for name, one in found.items()}
    total, loss, last = 0.0, 0.0, 0
    for entry in read.get("log_history") or []:
        if entry.get("loss") is not None and "step" in entry:
            loss = entry["loss"]
            total += loss * (entry["step"] - last)
            last = entry["step"]
    # steps after the last log are taken to have had its loss
    return {"loss_sum": total + loss * (step - last), "step_of_last_log": step, "epoch_closed": True}


def mean_loss(loss: float, steps: int, lost: float) -> float:
    """Over all steps but those `lost`, whose loss is no number; nan where there are no others."""
    if not lost:
        return loss / max(steps, 1)
    return loss / (steps - lost) if steps - lost > 1e-3 else math.nan


@dataclasses.dataclass
class TrainerState:
    """Where a run stands; written as `trainer_state.json` with every checkpoint."""

    epoch: float | None = None
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, Any] | None = None
    stateful_callbacks: dict[str, Any] = dataclasses.field(default_factory=dict)
    # loss summed over the steps so far: a resumed run reports the mean over the whole run
    loss_sum: float = 0.0
    loss_since_log: float = 0.0
    # steps whose loss was no number; and since the last log, with the first of them
    lost: float = 0.0
    lost_since_log: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.0])
    step_of_last_log: int = 0
    # whether the end of the current epoch has been gone through (evaluation, logging)
    epoch_closed: bool = False
    # the epoch (None where another trainer wrote the file), and how many of its examples are gone
    epoch_number: int | None = None
    epoch_examples: int = 0
    # of a batch over all processes; None where another trainer, or an older one, wrote the file
    batch_examples: int | None = None

    def take_loss(self, loss: float, lost: float) -> float:
        """Count the loss summed up since the last log; returns its mean over the steps that have one."""
        steps = self.global_step - self.step_of_last_log
        self.loss_sum += loss
        self.lost += lost
        self.loss_since_log, self.step_of_last_log = 0.0, self.global_step
        return mean_loss(loss, steps, lost)

    def to_json(self) -> str:
        """This state as JSON text, which the ecosystem's trainer reads as well."""
        held = dataclasses.asdict(self)
        own = {name: held.pop(name) for name in _OWN_FIELDS}
        entry = {"args": {}, "attributes": {"global_step": self.global_step, **own}}
        held["stateful_callbacks"] = {**held["stateful_callbacks"], _OWN_ENTRY: entry}
        return json.dumps(finite(plain(held, str)), indent=2, sort_keys=True, allow_nan=False) + "\n"

    def save_to_json(self, json_path: str | Path) -> None:
        """Write the state to a file, whole or not at all."""
        from formers.core.atomic import write_text

        write_text(Path(json_path), self.to_json())

    @classmethod
    def of_checkpoint(cls, folder: Path, run: TrainerState) -> TrainerState | None:
        """The state in a checkpoint, with the lengths of the run that goes on; None for a bare model folder.

        The best checkpoint is looked for beside this one first, as a run may have been moved.
        """
        if not (folder / STATE).is_file():
            notice(f"{folder} holds no {STATE}: its weights are loaded, and training starts from step 0.")
            return None
        state = cls.load_from_json(folder / STATE)
        sizes = (state.batch_examples, run.batch_examples, "over all devices")
        if state.batch_examples is None:
            sizes = (state.train_batch_size, run.train_batch_size, "and device")
        if sizes[0] is not None and sizes[0] != sizes[1]:
            notice(
                f"This run has {sizes[1]} examples per step {sizes[2]}, the interrupted one had "
                f"{sizes[0]}: the steps already done stand for other examples, so some will be "
                "seen twice or not at all."
            )
        for name in _OF_THE_RUN:
            setattr(state, name, getattr(run, name))
        if state.best_model_checkpoint is not None:
            beside = folder.parent / PureWindowsPath(state.best_model_checkpoint).name  # of either system
            state.best_model_checkpoint = str(beside) if beside.is_dir() else state.best_model_checkpoint
        return state

    @classmethod
    def load_from_json(cls, json_path: str | Path) -> TrainerState:
        """Read a state of this trainer or of the ecosystem's; entries that are not known are left out.

        Raises:
            OSError: naming the file, when it is not there, is no JSON or holds no object.
        """
        read = read_json_object(json_path)
        read.update(_read_own_fields(read))
        callbacks = read.get("stateful_callbacks") or {}
        read["stateful_callbacks"] = {name: kept for name, kept in callbacks.items() if name != _OWN_ENTRY}
        read["log_history"] = read.get("log_history") or []
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in read.items() if name in known})


@dataclasses.dataclass
class TrainerControl(ExportableState):
    """Switches that callbacks set to steer the loop."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def new_training(self) -> None:
        """Clear what stops a run."""
        self.should_training_stop = False

    def new_epoch(self) -> None:
        """Clear what stops an epoch."""
        self.should_epoch_stop = False

    def new_step(self) -> None:
        """Clear what is asked for after a step."""
        self.should_save = self.should_evaluate = self.should_log = False

    def state(self) -> dict[str, Any]:
        """The switches, as they stand."""
        return {"args": dataclasses.asdict(self), "attributes": {}}


class TrainOutput(NamedTuple):
    """What `Trainer.train` returns: steps done, mean loss over them, and measurements."""

    global_step: int
    training_loss: float
    metrics: dict[str, float]


class PredictionOutput(NamedTuple):
    """What `Trainer.predict` returns: one row per example, in the order of the dataset."""

    predictions: Any
    label_ids: Any
    metrics: dict[str, float] | None


class EvalLoopOutput(NamedTuple):
    """What `Trainer.evaluation_loop` returns."""

    predictions: Any
    label_ids: Any
    metrics: dict[str, float] | None
    num_samples: int | None


class BestRun(NamedTuple):
    """The best run of a hyperparameter search."""

    run_id: str
    objective: float | list[float]
    hyperparameters: dict[str, Any]
    run_summary: Any = None


class EvalPrediction:
    """What `compute_metrics` gets: unpacks as `logits, labels = eval_pred`.

    Attributes:
        predictions: array [N, ...] or a tuple of arrays.
        label_ids: array [N, ...] or a tuple of arrays.
        inputs: the model inputs, where `include_for_metrics` has "inputs".
        losses: loss of each batch, repeated per example, where it has "loss".
    """

    def __init__(
        self,
        predictions: np.ndarray | tuple[np.ndarray, ...],
        label_ids: np.ndarray | tuple[np.ndarray, ...],
        inputs: Any = None,
        losses: Any = None,
    ) -> None:
        self.predictions = predictions
        self.label_ids = label_ids
        self.inputs = inputs
        self.losses = losses
        extra = tuple(value for value in (inputs, losses) if value is not None)
        self.elements: tuple[Any, ...] = (predictions, label_ids, *extra)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)

    def __getitem__(self, index: int) -> Any:
        return self.elements[index]

    def __len__(self) -> int:
        return len(self.elements)
