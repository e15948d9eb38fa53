"""`TrainingArguments`: every knob of a training run, in the spellings of all releases."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from formers.core.fields import option
from formers.core.jsonfile import JsonRecord, plain
from formers.training.arguments.rules import DICTS, settle
from formers.training.arguments.setters import Setters
from formers.training.arguments.spellings import OLDER_OPTIONS, RENAMED, UNGIVEN, translate
from formers.training.arguments.table import LOG_LEVELS
from formers.training.choices import OptimizerNames, SamplingStrategy

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self


class _TakesAllSpellings(type):
    """Translates keywords before the dataclass sees them, in subclasses too."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
        by_place = dict(zip(names, args, strict=False))
        older = {name: value for name, value in kwargs.items() if name in UNGIVEN}
        if not by_place.keys() & kwargs.keys():  # else __init__ says which one came twice
            kwargs = translate({**by_place, **kwargs}, names, cls.__name__)
            args = (*(kwargs.pop(name) for name in by_place), *args[len(by_place) :])
        made = cls.__new__(cls)  # type: ignore[call-overload]
        # what the caller said, as against what is a default: a default may follow another argument
        made._given = {*names[: len(args)], *kwargs}
        made._older = older
        made.__init__(*args, **kwargs)
        return made


@dataclasses.dataclass(eq=True, repr=False)
class TrainingArguments(Setters, JsonRecord, metaclass=_TakesAllSpellings):
    """How to train: every field of the ecosystem's class of this name, in its order, and a few more.

    Older spellings (`evaluation_strategy`, `warmup_ratio`, `no_cuda`, `per_gpu_train_batch_size`,
    `group_by_length`, `fp16_backend`, ...) are understood. An unknown keyword is a TypeError with a
    suggestion; a wish that cannot be fulfilled is a ValueError with the reason.

    Some defaults follow other arguments: `save_strategy` and `save_steps` follow `eval_strategy` and
    `eval_steps` when `load_best_model_at_end=True` and they are not given; `metric_for_best_model` is then
    "loss". Steps below 1 (`logging_steps=0.1`) are a share of the run. `report_to` is "none" unless given:
    nothing is sent anywhere unasked.

    Of our own: `class_weights` ("balanced", "sqrt" or a list, from the training labels), `focal_gamma`
    (Lin et al. 2017), `head_learning_rate` (for what lies outside the base model, and its pooler),
    `ema_decay` (evaluate and save a moving average of the weights; `averaging.WeightAverage`),
    `save_on_interrupt` (a checkpoint at Ctrl-C or SIGTERM).
    """

    # fields that may be a dict, or JSON text of one; a class of one's own adds its own
    _VALID_DICT_FIELDS: ClassVar[list[str]] = list(DICTS)
    # what `HfArgumentParser` takes beside the fields
    _older_options: ClassVar[Mapping[str, str | None]] = OLDER_OPTIONS

    def __post_init__(self) -> None:
        if "_given" not in self.__dict__:  # built by copy or pickle, past the metaclass
            self._given = {field.name for field in dataclasses.fields(self)}
            self._older: dict[str, Any] = {}
        settle(self)

    def __getattr__(self, name: str) -> Any:
        # only reached for names that are not there: the older spelling of a field reads that field
        if name in RENAMED:
            return getattr(self, RENAMED[name])
        older = {
            "group_by_length": lambda: self.train_sampling_strategy == SamplingStrategy.GROUP_BY_LENGTH,
            "include_inputs_for_metrics": lambda: "inputs" in self.include_for_metrics,
            "adafactor": lambda: self.optim == OptimizerNames.ADAFACTOR,
        }
        if name in older:
            return older[name]()
        if name in UNGIVEN:  # scripts ask for what they gave themselves
            return self.__dict__.get("_older", {}).get(name, UNGIVEN[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- where the run happens -------------------------------------------------------------------

    @property
    def _process(self) -> Any:
        """Accelerate's record of this process, made at the first use."""
        if "_process_state" not in self.__dict__:
            from formers.training.processes import process_state

            self.__dict__["_process_state"] = process_state(self)
        return self.__dict__["_process_state"]

    @property
    def distributed_state(self) -> Any:
        """Accelerate's record of this process: `PartialState`."""
        return self._process

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self._process.device
        return device

    @property
    def n_gpu(self) -> int:
        """Accelerators that this process uses: one or none."""
        return int(self.device.type not in ("cpu", "meta"))

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return int(self._process.num_processes)

    @property
    def process_index(self) -> int:
        """Rank of this process among all."""
        return int(self._process.process_index)

    @property
    def local_process_index(self) -> int:
        """Rank of this process on its machine."""
        return int(self._process.local_process_index)

    @property
    def parallel_mode(self) -> str:
        """The word `distributed` or `not_parallel`."""
        return "distributed" if self.world_size > 1 else "not_parallel"

    @property
    def should_log(self) -> bool:
        """Whether this process reports."""
        first = self.local_process_index if self.log_on_each_node else self.process_index
        return first == 0

    @property
    def should_save(self) -> bool:
        """Whether this process writes models."""
        first = self.local_process_index if self.save_on_each_node else self.process_index
        return first == 0

    def main_process_first(self, local: bool = True, desc: str = "work") -> AbstractContextManager[None]:
        """A block that the first process runs before the others (`local`: the first of each machine)."""
        state = self._process
        context: AbstractContextManager[None] = (
            state.local_main_process_first() if local else state.main_process_first()
        )
        return context

    # ---- derived numbers -------------------------------------------------------------------------

    @property
    def train_batch_size(self) -> int:
        """Examples per step and process."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        """Examples per evaluation batch and process."""
        return self.per_device_eval_batch_size

    @property
    def ddp_timeout_delta(self) -> timedelta:
        """`ddp_timeout` as a time span."""
        return timedelta(seconds=self.ddp_timeout)

    @property
    def mixed_precision(self) -> str:
        """The word `no`, `fp16` or `bf16`; `accelerate launch --mixed_precision` counts without a flag."""
        if self.fp16:
            return "fp16"
        if self.bf16:
            return "bf16"
        return os.environ.get("ACCELERATE_MIXED_PRECISION", "no")

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Warm-up in steps: `warmup_steps`, where below 1 a share of the run, else `warmup_ratio`.

        A class of one's own may leave the second None, as later releases have none.
        """
        if self.warmup_steps >= 1:
            return int(self.warmup_steps)
        return math.ceil(num_training_steps * (self.warmup_steps or self.warmup_ratio or 0.0))

    def get_process_log_level(self) -> int:
        """The level of Python's logging for this process; 30 (warning) for "passive"."""
        return LOG_LEVELS[self.log_level if self.should_log else self.log_level_replica]

    # ---- as text ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; tokens are replaced by a placeholder."""
        found = {}
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name), str)
            if field.name.endswith("token") and value is not None:
                value = f"<{field.name.upper()}>"
            found[field.name] = value
        return found

    def to_sanitized_dict(self) -> dict[str, Any]:
        """`to_dict` with every value a number, boolean or string, as experiment trackers want it."""
        flat = {
            **self.to_dict(),
            "train_batch_size": self.train_batch_size,
            "eval_batch_size": self.eval_batch_size,
        }
        return {
            key: value if type(value) in (bool, int, float, str) else str(value)
            for key, value in flat.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], /) -> Self:
        """Build from what `to_dict` gave; placeholders of tokens are left out."""
        given = {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and value.startswith("<"))
        }
        made: Self = cls(**given)
        return made

    def __str__(self) -> str:
        lines = (f"{name}={value!r}," for name, value in sorted(self.to_dict().items()))
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"

    __repr__ = __str__

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_process_state"}


@dataclasses.dataclass(eq=True, repr=False)
class Seq2SeqTrainingArguments(TrainingArguments):
    """`TrainingArguments` and what generating during evaluation needs.

    `predict_with_generate` makes evaluation generate; `generation_max_length`, `generation_num_beams` and
    `generation_config` (an object, a name or a path) say how. `sortish_sampler` orders the training
    examples by length within large random chunks.
    """

    sortish_sampler: bool = False
    predict_with_generate: bool = False
    generation_max_length: int | None = option(None, at_least=1)
    generation_num_beams: int | None = option(None, at_least=1)
    generation_config: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sortish_sampler and not self.is_given("train_sampling_strategy"):
            self.train_sampling_strategy = SamplingStrategy.GROUP_BY_LENGTH
