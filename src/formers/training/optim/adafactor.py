"""Adafactor: second moments kept as row and column means (Shazeer and Stern 2018, arXiv 1804.04235)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Adafactor(Optimizer):
    """Adafactor with the paper's relative step size, or with a given learning rate.

    Args:
        params: parameters or groups.
        lr: learning rate; None with `relative_step=True`.
        eps: regularisation of the squared gradient, and the smallest scale of a parameter (section 8).
        clip_threshold: largest root mean square of an update (section 6).
        decay_rate: exponent of the second moment's decay, 1 - t**decay_rate (section 7.2).
        beta1: decay of a first moment; None keeps none.
        weight_decay: decoupled decay.
        scale_parameter: multiply the rate by the parameter's root mean square (section 8).
        relative_step: rate from the step number, min(1e-2, 1/sqrt(t)).
        warmup_init: with `relative_step`, rise from 1e-6 t.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        if lr is not None and relative_step:
            raise ValueError("give lr, or relative_step=True, which sets the rate itself; not both")
        if lr is None and not relative_step:
            raise ValueError("relative_step=False needs lr")
        if warmup_init and not relative_step:
            raise ValueError("warmup_init=True belongs to relative_step=True")
        defaults = {
            "lr": lr,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "beta1": beta1,
            "weight_decay": weight_decay,
            "scale_parameter": scale_parameter,
            "relative_step": relative_step,
            "warmup_init": warmup_init,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one step; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    if parameter.grad.is_sparse:
                        raise RuntimeError("Adafactor takes no sparse gradients")
                    self._update(parameter, group)
        return loss

    def rates(self) -> list[float | None]:
        """Of each group, the one that the last step took for its first parameter; None before the first."""
        found: list[float | None] = []
        for group in self.param_groups:
            first = group["params"][0]
            step = self.state.get(first, {}).get("step")
            if not group["relative_step"]:
                found.append(group["lr"])
            else:
                found.append(None if step is None else float(self._rate(group, step, first.detach().float())))
        return found

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        gradient = parameter.grad.float()  # type: ignore[union-attr]
        weight = parameter.float()
        if not state:
            self._start(state, gradient, group)
        state["step"] += 1
        rate = self._rate(group, state["step"], weight)
        decay = 1.0 - math.pow(state["step"], group["decay_rate"])
        squared = gradient.square().add_(group["eps"][0])
        if "exp_avg_sq_row" in state:
            row, column = state["exp_avg_sq_row"], state["exp_avg_sq_col"]
            row.lerp_(squared.mean(dim=-1), 1.0 - decay)  # [..., R]
            column.lerp_(squared.mean(dim=-2), 1.0 - decay)  # [..., C]
            # equation 4: the outer product of both, over the mean of the rows
            row_part = (row / row.mean(dim=-1, keepdim=True)).rsqrt_().unsqueeze(-1)
            update = gradient * row_part * column.rsqrt().unsqueeze(-2)
        else:
            second = state["exp_avg_sq"].lerp_(squared, 1.0 - decay)
            update = gradient * second.rsqrt()
        update.div_((_rms(update) / group["clip_threshold"]).clamp_(min=1.0)).mul_(rate)
        if group["beta1"] is not None:
            update = state["exp_avg"].lerp_(update, 1.0 - group["beta1"])
        if group["weight_decay"]:
            weight = weight - weight * (group["weight_decay"] * rate)
        parameter.copy_(weight - update)

    @staticmethod
    def _start(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> None:
        state["step"] = 0
        if group["beta1"] is not None:
            state["exp_avg"] = torch.zeros_like(gradient)
        if gradient.dim() >= 2:
            state["exp_avg_sq_row"] = gradient.new_zeros(gradient.shape[:-1])
            state["exp_avg_sq_col"] = gradient.new_zeros(gradient.shape[:-2] + gradient.shape[-1:])
        else:
            state["exp_avg_sq"] = torch.zeros_like(gradient)

    @staticmethod
    def _rate(group: dict[str, Any], step: int, weight: Tensor) -> float | Tensor:
        rate = group["lr"]
        if group["relative_step"]:
            rate = min(1e-6 * step if group["warmup_init"] else 1e-2, 1.0 / math.sqrt(step))
        if group["scale_parameter"]:
            scaled: Tensor = rate * _rms(weight).clamp(min=group["eps"][1])
            return scaled
        return float(rate)


class AdafactorSchedule(LRScheduler):
    """Tells the rates that Adafactor sets by itself, for loops that want a schedule. It changes nothing.

    Args:
        optimizer: an `Adafactor`.
        initial_lr: what is told before the first step.
    """

    def __init__(self, optimizer: Adafactor, initial_lr: float = 0.0) -> None:
        self._rates = optimizer.rates
        self._before = initial_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """The rate of each group, as the last step took it for its first parameter."""
        return [self._before if rate is None else rate for rate in self._rates()]


def get_adafactor_schedule(optimizer: Adafactor, initial_lr: float = 0.0) -> AdafactorSchedule:
    """`AdafactorSchedule(optimizer, initial_lr)`."""
    return AdafactorSchedule(optimizer, initial_lr)


def _rms(tensor: Tensor) -> Tensor:
    norm: Tensor = tensor.norm(2)
    return norm / math.sqrt(max(1, tensor.numel()))
