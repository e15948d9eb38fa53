"""Learning-rate schedules: a factor of the initial rate as a function of the step."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from formers.training.choices import SchedulerType

Shape = Callable[[float], float]  # share of the decay that is done, 0 to 1 and beyond -> factor


def _ramp(step: int, length: float) -> float:
    return float(step) / float(max(1, length))


def _after_warmup(
    optimizer: Optimizer, warmup: float, total: int | None, shape: Shape, last_epoch: int
) -> LambdaLR:
    """Rise linearly over `warmup` steps, then follow `shape` over what is left of `total`."""

    def factor(step: int) -> float:
        if step < warmup:
            return _ramp(step, warmup)
        return shape(_ramp(step - int(warmup), (total or 0) - warmup))

    # a plain function, not an object: LambdaLR must not save it, so that a resumed run may be longer
    return LambdaLR(optimizer, factor, last_epoch)


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """Keep the initial rate."""
    return LambdaLR(optimizer, lambda step: 1.0, last_epoch)


def get_constant_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Rise linearly from 0 over `num_warmup_steps`, then keep the initial rate."""
    return LambdaLR(
        optimizer, lambda step: _ramp(step, num_warmup_steps) if step < num_warmup_steps else 1.0, last_epoch
    )


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Rise linearly from 0, then fall linearly to 0 at `num_training_steps`."""

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return _ramp(step, num_warmup_steps)
        return max(0.0, _ramp(num_training_steps - step, num_training_steps - num_warmup_steps))

    return LambdaLR(optimizer, factor, last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Rise linearly, then follow `num_cycles` waves of a cosine (half a wave: down to 0).

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5.
    """
    lengths = (num_warmup_steps, num_training_steps, num_cycles, last_epoch)
    return get_cosine_with_min_lr_schedule_with_warmup(optimizer, *lengths, min_lr_rate=0.0)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: int = 1,
    last_epoch: int = -1,
) -> LambdaLR:
    """Rise linearly, then fall from the initial rate to 0 along a cosine, `num_cycles` times."""

    def shape(done: float) -> float:
        if done >= 1.0:
            return 0.0
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * done) % 1.0))))

    return _after_warmup(optimizer, num_warmup_steps, num_training_steps, shape, last_epoch)


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """Rise linearly, then fall to `lr_end` (a rate, not a factor) along a polynomial of degree `power`.

    Raises:
        ValueError: when `lr_end` is not below the initial rate.
    """
    start = float(optimizer.defaults["lr"])
    if not start > lr_end:
        raise ValueError(f"lr_end ({lr_end}) must be smaller than the initial learning rate ({start})")

    def shape(done: float) -> float:
        if done > 1.0:
            return lr_end / start
        return float(((start - lr_end) * (1.0 - done) ** power + lr_end) / start)

    return _after_warmup(optimizer, num_warmup_steps, num_training_steps, shape, last_epoch)


def get_inverse_sqrt_schedule(
    optimizer: Optimizer, num_warmup_steps: int, timescale: int | None = None, last_epoch: int = -1
) -> LambdaLR:
    """Rise linearly, then fall as one over the square root of the step, in units of `timescale`.

    Args:
        optimizer: whose rates are scheduled.
        num_warmup_steps: length of the rise.
        timescale: steps until the rate falls to 1/sqrt(2); the warm-up's length by default, or 10,000.
        last_epoch: index of the last step when resuming.
    """
    scale = timescale or num_warmup_steps or 10_000

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return _ramp(step, num_warmup_steps)
        return 1.0 / math.sqrt((step + scale - num_warmup_steps) / scale)

    return LambdaLR(optimizer, factor, last_epoch)


def _min_rate(optimizer: Optimizer, min_lr: float | None, min_lr_rate: float | None) -> float:
    if min_lr is not None and min_lr_rate is not None:
        raise ValueError("give min_lr (a rate) or min_lr_rate (a share of the initial rate), not both")
    if min_lr is not None:
        return float(min_lr) / float(optimizer.defaults["lr"])
    if min_lr_rate is None:
        raise ValueError(
            "this schedule needs a lower end: lr_scheduler_kwargs={'min_lr': ...} or {'min_lr_rate': ...}"
        )
    return float(min_lr_rate)


def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> LambdaLR:
    """Rise linearly from 0, then fall along a cosine to `min_lr` (or `min_lr_rate` of the initial rate)."""
    low = _min_rate(optimizer, min_lr, min_lr_rate)

    def shape(done: float) -> float:
        wave = 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * done))
        return max(0.0, wave * (1.0 - low) + low)

    return _after_warmup(optimizer, num_warmup_steps, num_training_steps, shape, last_epoch)


def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> LambdaLR:
    """The same fall; the rise starts above 0, at `warmup_lr_rate` of the initial rate or one step's share."""
    low = _min_rate(optimizer, min_lr, min_lr_rate)

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            if warmup_lr_rate is None:
                return _ramp(step + 1, num_warmup_steps)
            return warmup_lr_rate + (1.0 - warmup_lr_rate) * _ramp(step, num_warmup_steps - 1)
        done = _ramp(step - num_warmup_steps + 1, num_training_steps - num_warmup_steps)
        wave = 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * done))
        return max(0.0, wave * (1.0 - low) + low)

    return LambdaLR(optimizer, factor, last_epoch)


# progress of a phase, 0 to 1 -> share of the way up (the way down is 1 minus it, but for the cosine's cycles)
_RISES: dict[str, Shape] = {
    "linear": lambda done: done,
    "cosine": lambda done: 0.5 * (1.0 - math.cos(math.pi * done)),
    "1-sqrt": lambda done: 1.0 - math.sqrt(1.0 - done),
}


def get_wsd_schedule(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Warm up, stay, decay (Hu et al. 2024, "MiniCPM", section 4).

    Args:
        optimizer: whose rates are scheduled.
        num_warmup_steps: length of the rise from `min_lr_ratio`.
        num_decay_steps: length of the fall to `min_lr_ratio`.
        num_training_steps: total length, from which the stable phase follows, unless
        num_stable_steps: says how long the initial rate is kept.
        warmup_type: "linear", "cosine" or "1-sqrt".
        decay_type: "linear", "cosine" or "1-sqrt".
        min_lr_ratio: the rate at both ends, as a share of the initial one.
        num_cycles: waves of a cosine decay.
        last_epoch: index of the last step when resuming.
    """
    for word, given in (("warmup_type", warmup_type), ("decay_type", decay_type)):
        if given not in _RISES:
            raise ValueError(f"unknown {word} {given!r}; one of {sorted(_RISES)}")
    if num_stable_steps is None:
        if num_training_steps is None:
            raise ValueError("give num_training_steps or num_stable_steps")
        num_stable_steps = num_training_steps - num_warmup_steps - num_decay_steps
    elif num_training_steps is not None:
        warnings.warn(
            "Both num_training_steps and num_stable_steps are given: the latter counts.", stacklevel=2
        )
    stable_until = num_warmup_steps + num_stable_steps
    falls: dict[str, Shape] = {
        "linear": lambda done: 1.0 - done,
        "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * done)),
        "1-sqrt": lambda done: 1.0 - math.sqrt(done),
    }

    def factor(step: int) -> float:
        if num_warmup_steps <= step < stable_until:
            return 1.0
        if step < num_warmup_steps:
            level = _RISES[warmup_type](_ramp(step, num_warmup_steps))
        elif step < stable_until + num_decay_steps:
            level = falls[decay_type](_ramp(step - stable_until, num_decay_steps))
        else:
            level = 0.0
        return max(0.0, level * (1.0 - min_lr_ratio) + min_lr_ratio)

    return LambdaLR(optimizer, factor, last_epoch)


def get_reduce_on_plateau_schedule(optimizer: Optimizer, **kwargs: Any) -> ReduceLROnPlateau:
    """Lower the rate when the watched metric stops improving; `step(metric)` after each evaluation."""
    return ReduceLROnPlateau(optimizer, **kwargs)


class GreedyLR:
    """Raise the rate while the metric improves, lower it while it does not ("GreedyLR", arXiv 2512.14527).

    `step(metric)` after each evaluation. After more than `patience` improvements in a row the rate is
    divided by `factor`, after as many failures it is multiplied by it, within `min_lr` and `max_lr`. Once
    it has been at the lower bound for `reset_start` failures, everything starts again.
    """

    _SAVED = (
        "factor", "min_lrs", "max_lrs", "patience", "cooldown", "warmup", "cooldown_counter",
        "warmup_counter", "mode", "threshold", "threshold_mode", "best", "num_bad_epochs", "num_good_epochs",
        "eps", "last_epoch", "smooth", "window_size", "reset_start", "reset_start_original", "_last_lr",
        "_init_lrs", "verbose",
    )  # fmt: skip

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.95,
        patience: int = 10,
        threshold: float = 1e-6,
        threshold_mode: str = "abs",
        cooldown: int = 0,
        warmup: int = 0,
        min_lr: float | list[float] = 1e-3,
        max_lr: float | list[float] = 1.0,
        eps: float = 1e-8,
        verbose: bool = False,
        smooth: bool = False,
        window_size: int = 50,
        reset_start: int = 500,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"factor must be below 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"mode is 'min' or 'max', threshold_mode 'rel' or 'abs'; got {mode!r}, {threshold_mode!r}"
            )
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.cooldown, self.warmup, self.verbose = cooldown, warmup, verbose
        self.smooth, self.window_size = smooth, window_size
        self.reset_start = self.reset_start_original = reset_start
        self.min_lrs = self._per_group(min_lr, "min_lr")
        self.max_lrs = self._per_group(max_lr, "max_lr")
        self._init_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._last_lr = list(self._init_lrs)
        self.last_epoch = 0
        self._forget()

    def _per_group(self, bound: float | list[float], word: str) -> list[float]:
        groups = len(self.optimizer.param_groups)
        if not isinstance(bound, (list, tuple)):
            return [bound] * groups
        if len(bound) != groups:
            raise ValueError(f"{word} has {len(bound)} values for {groups} parameter groups")
        return list(bound)

    def _forget(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = self.num_good_epochs = 0
        self.cooldown_counter = self.warmup_counter = 0
        self.reset_start = self.reset_start_original
        self._recent: deque[float] = deque(maxlen=self.window_size)

    def step(self, metrics: float, epoch: int | None = None) -> None:
        """Look at a new value of the watched metric and set the rates."""
        current = float(metrics)
        if self.smooth:
            self._recent.append(current)
            current = math.fsum(self._recent) / len(self._recent)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.cooldown_counter > 0 or self.warmup_counter > 0:
            if self.cooldown_counter > 0:
                self.cooldown_counter -= 1
            else:
                self.warmup_counter -= 1
            self.num_bad_epochs = self.num_good_epochs = 0
        else:
            self._judge(current)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _judge(self, current: float) -> None:
        if self.is_better(current, self.best):
            self.best = current
            self.num_good_epochs, self.num_bad_epochs = self.num_good_epochs + 1, 0
        else:
            self.num_good_epochs, self.num_bad_epochs = 0, self.num_bad_epochs + 1
        if self.num_good_epochs > self.patience:
            self._scale(1.0 / self.factor)
            self.reset_start = self.reset_start_original
            self.warmup_counter, self.num_good_epochs = self.warmup, 0
        elif self.num_bad_epochs > self.patience:
            self._scale(self.factor)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            self._count_down_at_the_bottom()

    def is_better(self, current: float, best: float) -> bool:
        """Whether `current` beats `best` by more than the threshold."""
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "abs":
            needed = best - sign * self.threshold
        else:
            needed = best * (1.0 - sign * self.threshold)
        return sign * current < sign * needed

    def _scale(self, by: float) -> None:
        for index, group in enumerate(self.optimizer.param_groups):
            old = float(group["lr"])
            bounded = min(old * by, self.max_lrs[index]) if by > 1.0 else max(old * by, self.min_lrs[index])
            moved = bounded - old if by > 1.0 else old - bounded
            if moved > self.eps:
                group["lr"] = bounded
                if self.verbose:
                    print(f"Epoch {self.last_epoch}: learning rate of group {index} is now {bounded:.4e}.")

    def _count_down_at_the_bottom(self) -> None:
        pairs = zip(self.optimizer.param_groups, self.min_lrs, strict=True)
        if any(float(group["lr"]) > bound for group, bound in pairs):
            return
        self.reset_start -= 1
        if self.reset_start <= 0:
            for group, rate in zip(self.optimizer.param_groups, self._init_lrs, strict=True):
                group["lr"] = rate
            self._forget()

    def get_last_lr(self) -> list[float]:
        """The rates that the last step left."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        return {**{name: getattr(self, name) for name in self._SAVED}, "_recent": list(self._recent)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the other schedule stood."""
        for name in self._SAVED:
            if name in state_dict:
                setattr(self, name, state_dict[name])
        self._recent = deque(state_dict.get("_recent", ()), maxlen=self.window_size)
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


def get_greedy_schedule(optimizer: Optimizer, **kwargs: Any) -> GreedyLR:
    """A `GreedyLR` over the optimizer."""
    return GreedyLR(optimizer, **kwargs)


_BOTH = ("warmup", "training")
# name -> its function, and the lengths that it needs
_SCHEDULES: dict[SchedulerType, tuple[Callable[..., Any], tuple[str, ...]]] = {
    SchedulerType.LINEAR: (get_linear_schedule_with_warmup, _BOTH),
    SchedulerType.COSINE: (get_cosine_schedule_with_warmup, _BOTH),
    SchedulerType.COSINE_WITH_RESTARTS: (get_cosine_with_hard_restarts_schedule_with_warmup, _BOTH),
    SchedulerType.POLYNOMIAL: (get_polynomial_decay_schedule_with_warmup, _BOTH),
    SchedulerType.CONSTANT: (get_constant_schedule, ()),
    SchedulerType.CONSTANT_WITH_WARMUP: (get_constant_schedule_with_warmup, ("warmup",)),
    SchedulerType.INVERSE_SQRT: (get_inverse_sqrt_schedule, ("warmup",)),
    SchedulerType.REDUCE_ON_PLATEAU: (get_reduce_on_plateau_schedule, ()),
    SchedulerType.COSINE_WITH_MIN_LR: (get_cosine_with_min_lr_schedule_with_warmup, _BOTH),
    SchedulerType.COSINE_WARMUP_WITH_MIN_LR: (get_cosine_with_min_lr_schedule_with_warmup_lr_rate, _BOTH),
    SchedulerType.WARMUP_STABLE_DECAY: (get_wsd_schedule, ("warmup", "training?")),
    SchedulerType.GREEDY: (get_greedy_schedule, ()),
}


def get_scheduler(
    name: str | SchedulerType,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
) -> LRScheduler | GreedyLR:
    """Build the schedule `name`.

    Args:
        name: one of `SchedulerType`.
        optimizer: whose rates are scheduled.
        num_warmup_steps: length of the rise, where the schedule has one.
        num_training_steps: total length, where the schedule needs it.
        scheduler_specific_kwargs: passed on, for example `{"num_cycles": 2}`.

    Raises:
        ValueError: for an unknown name or a missing length.
    """
    kind = SchedulerType(name)
    function, needed = _SCHEDULES[kind]
    given = {"warmup": num_warmup_steps, "training": num_training_steps}
    kwargs = dict(scheduler_specific_kwargs or {})
    for entry in needed:
        length = entry.rstrip("?")
        if given[length] is None and not entry.endswith("?"):
            raise ValueError(f"the schedule {kind.value!r} needs num_{length}_steps")
        kwargs.setdefault(f"num_{length}_steps", given[length])
    if kind is SchedulerType.WARMUP_STABLE_DECAY and "num_stable_steps" in kwargs:
        kwargs["num_training_steps"] = None
    scheduler: LRScheduler | GreedyLR = function(optimizer, **kwargs)
    return scheduler


def needs_metric(scheduler: object) -> bool:
    """Whether the schedule moves with the watched metric, after each evaluation, and not with each step."""
    return isinstance(scheduler, (ReduceLROnPlateau, GreedyLR))
