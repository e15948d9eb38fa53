"""One batch: its loss, its share of the optimizer step, its gradient, and what it counts for."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.notices import notice
from formers.training.items import ItemCount, Use, taken
from formers.training.losses import count_items
from formers.training.seeds import random_state, restore_random_state

_SAY_WHICH = (
    "Say which on the class: `loss_is_normalised = True` where the loss is divided by num_items_in_batch, "
    "False where it is the mean over its batch"
)


@dataclasses.dataclass
class Batch:
    """The batch that is being trained on, and what is known of its loss so far.

    Attributes:
        mine: its items; None for a stand-in, which counts for nothing.
        whole: items of the window over all processes; None where its batches count alike.
        batches: how many the window has.
        use: what was done with the count of items.
        loss: what the trainer's `compute_loss` made, before it is weighed.
        gradient: of the window's loss by that one.
        weighed: whether the share of that loss goes into the gradient, as far as we make it.
    """

    mine: Any
    whole: Any
    batches: int
    use: Use = dataclasses.field(default_factory=Use)
    loss: Tensor | None = None
    gradient: Tensor | None = None
    weighed: bool = False

    def note(self, loss: Any) -> None:
        """See what gradient the window's loss will have by this one."""
        if isinstance(loss, Tensor) and loss.requires_grad:
            self.loss, self.weighed = loss, False
            hook: Any = loss.register_hook
            hook(lambda gradient: None if self.weighed else setattr(self, "gradient", gradient))


class Step:
    """Forward and backward of a batch.

    A batch's loss becomes its share of the mean over the items of its window, whether its function takes
    the mean over the batch or divides by `num_items_in_batch`: the trainer's `loss_is_normalised` says
    which, or, where that is None, what the function did with the number.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.args = trainer.args
        self.accelerator = trainer.accelerator

    # ---- the loss --------------------------------------------------------------------------------

    def compute_loss(self, model: nn.Module, inputs: Any, count: Any) -> tuple[Tensor, Any]:
        """The loss of `compute_loss_func`, of the arguments, or the model's own; and the outputs."""
        trainer = self.trainer
        ours = trainer.current_run.label_loss
        labels = inputs.get("labels") if isinstance(inputs, Mapping) else None
        if labels is not None and (trainer.compute_loss_func is not None or ours is not None):
            decoder = getattr(getattr(trainer.bare_model, "config", None), "is_encoder_decoder", False)
            if not decoder:  # an encoder-decoder makes its inputs from the labels
                inputs = {name: value for name, value in inputs.items() if name != "labels"}
            outputs = model(**inputs)
            if trainer.compute_loss_func is not None:
                loss = trainer.compute_loss_func(outputs, labels, num_items_in_batch=count)
            else:
                logits = outputs["logits"] if hasattr(outputs, "keys") else outputs[0]
                loss = ours(logits, labels, taken(count), shifted=trainer.shifts_labels)
        else:
            extra: dict[str, Any] = {}
            if trainer.model_accepts_loss_kwargs and count is not None:
                # what a model does that says that it divides need not be watched
                said = getattr(trainer.bare_model, "accepts_loss_kwargs", False) or self.args.torch_compile
                extra["num_items_in_batch"] = taken(count) if said else count
            outputs = model(**inputs, **extra) if isinstance(inputs, Mapping) else model(inputs)
            loss = self._found_in(outputs, inputs)
        if trainer.current_run.batch is not None:
            trainer.current_run.batch.note(loss)
        return loss, outputs

    def _found_in(self, outputs: Any, inputs: Any) -> Tensor:
        """The loss among the outputs: named so, or a scalar that comes first."""
        if hasattr(outputs, "keys"):
            returned: Any = list(outputs.keys())
            loss = outputs["loss"] if "loss" in returned else None
        else:
            first = outputs if isinstance(outputs, Tensor) else outputs[0] if len(outputs) else None
            scalar = isinstance(first, Tensor) and first.numel() == 1 and first.is_floating_point()
            loss, returned = first if scalar else None, _shown(outputs)
        if loss is None:
            given = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise ValueError(
                f"{type(self.trainer.bare_model).__name__} returned no loss, only {returned}. Its inputs "
                f"were {given}: a loss (by that name, or a scalar that comes first) needs labels (one of "
                f"{self.trainer.label_names or ['labels']}); rename the column with the targets to 'labels', "
                "or pass compute_loss_func"
            )
        return loss.mean() if loss.dim() else loss  # type: ignore[no-any-return]

    def call_compute_loss(self, model: nn.Module, inputs: Any, count: Any, **kwargs: Any) -> Any:
        """Call the trainer's `compute_loss`, which an override of older releases takes without the count."""
        compute = self.trainer.compute_loss
        if count is not None and _takes(compute, "num_items_in_batch"):
            kwargs["num_items_in_batch"] = count
        return compute(model, inputs, **kwargs)

    def loss(self, model: nn.Module, inputs: Any, count: Any) -> Tensor:
        """The share of a batch in the loss of its window."""
        kept = dict(inputs) if isinstance(inputs, Mapping) else inputs  # an override may take things out
        loss = self._learnable(self.call_compute_loss(model, inputs, count))
        batch = self.trainer.current_run.batch
        if batch is None:
            return loss
        return self._share(loss, batch, self._normalised(batch, model, kept))

    def judged(self, model: nn.Module, inputs: Any) -> tuple[Any, Any]:
        """The loss of a batch that is judged, and the outputs."""
        found = self.call_compute_loss(model, inputs, None, return_outputs=True)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise ValueError(
                f"{type(self.trainer).__name__}.compute_loss(..., return_outputs=True) returned "
                f"{_shown(found)}: return (loss, outputs) then"
            )
        return found[0], found[1]

    def _learnable(self, loss: Any) -> Tensor:
        """What an override of `compute_loss` returned, where a gradient can be made of it."""
        if isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point() and loss.requires_grad:
            return loss.reshape(())
        cut = " without a gradient" if isinstance(loss, Tensor) and not loss.requires_grad else ""
        raise ValueError(
            f"{type(self.trainer).__name__}.compute_loss returned {_shown(loss)}{cut}: "
            "a scalar tensor is wanted that was computed from the model's outputs (no float, no detach(), "
            "no no_grad(), not one for each row); the outputs come with it where return_outputs is True, only"
        )

    def _normalised(self, batch: Batch, model: nn.Module, inputs: Any) -> bool:
        """Whether the loss of `batch` is divided by the items of the window already."""
        trainer, run = self.trainer, self.trainer.current_run
        if trainer.loss_is_normalised is not None:
            return bool(trainer.loss_is_normalised)
        if batch.use.divided or not batch.use.unclear:
            return batch.use.divided
        if run.normalised is None:
            if self.accelerator.num_processes > 1:
                raise ValueError(f"whether the loss is normalised cannot be told from here. {_SAY_WHICH}")
            run.normalised = self._found_by_trial(batch, model, inputs)
        return bool(run.normalised)

    @torch.no_grad()
    def _found_by_trial(self, batch: Batch, model: nn.Module, inputs: Any) -> bool:
        """Whether twice the items give half the loss; model and generators end as they were."""
        state = random_state()
        # others in the buffers' places: the backward pass that is to come needs them as they are
        held = [(m, name, buffer) for m in model.modules() for name, buffer in m.named_buffers(recurse=False)]
        found = []
        try:
            for times in (1, 2):
                restore_random_state(state)
                for module, name, buffer in held:
                    setattr(module, name, buffer.clone())
                given = dict(inputs) if isinstance(inputs, Mapping) else inputs
                found.append(float(self.call_compute_loss(model, given, ItemCount.of(batch.whole * times))))
        finally:
            restore_random_state(state)
            for module, name, buffer in held:
                setattr(module, name, buffer)
        return bool(abs(found[1] - found[0] / 2) < abs(found[1] - found[0]))

    @staticmethod
    def _share(loss: Tensor, batch: Batch, normalised: bool) -> Tensor:
        """Turn a batch's mean loss into its share of the mean over the window; a share already stays."""
        mine, whole = batch.mine, batch.whole
        if mine is None:
            return loss * 0.0
        if whole is None:
            return loss / batch.batches
        if normalised or (isinstance(mine, int) and isinstance(whole, int) and mine == whole):
            return loss
        if isinstance(mine, int) and mine == 0:
            return torch.nan_to_num(loss) * 0.0
        share: Tensor = loss * (mine / whole)
        return share

    # ---- the gradient ----------------------------------------------------------------------------

    def train(self, model: nn.Module, inputs: Any, batch: Batch) -> Tensor:
        """Call the trainer's `training_step` for `batch`; returns its share of the step's loss.

        An override that makes its gradient with the loss as `compute_loss` gave it, undivided, gets it
        weighed on the way through `accelerator.backward`, each one of several.

        Raises:
            RuntimeError: where it cannot be told whether an override's gradient is that of a share.
        """
        trainer = self.trainer
        count = None if batch.whole is None else ItemCount.of(batch.whole, batch.use)
        trainer.current_run.batch, self.accelerator.weigh = batch, self._weighed
        try:
            with self._noting(batch):
                if _takes(trainer.training_step, "num_items_in_batch"):
                    loss: Tensor = trainer.training_step(model, inputs, num_items_in_batch=count)
                else:
                    loss = trainer.training_step(model, inputs)  # an override of older releases
        finally:
            trainer.current_run.batch = self.accelerator.weigh = batch.loss = None
        known = batch.use.divided or trainer.loss_is_normalised is not None
        alone = batch.batches == 1 and self.accelerator.num_processes == 1
        if not (known or alone or batch.gradient is None) and _about(batch.gradient, 1.0):
            raise RuntimeError(self._refusal("calls backward() on a loss that is not divided"))
        return loss

    @contextmanager
    def _noting(self, batch: Batch) -> Iterator[None]:
        """In this block, note the losses of a `compute_loss` that an override of `training_step` calls."""
        trainer = self.trainer
        if not trainer.current_run.own_step:
            yield
            return
        compute, held = trainer.compute_loss, dict(vars(trainer))

        @wraps(compute)
        def noted(*args: Any, **kwargs: Any) -> Any:
            found = compute(*args, **kwargs)
            batch.note(found[0] if isinstance(found, tuple) else found)
            return found

        trainer.compute_loss = noted
        try:
            yield
        finally:
            del trainer.compute_loss
            if "compute_loss" in held:
                trainer.compute_loss = held["compute_loss"]

    @property
    def _accumulates(self) -> bool:
        return bool(self.args.gradient_accumulation_steps > 1 or self.accelerator.num_processes > 1)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a share."""
        trainer = self.trainer
        if trainer.current_run.batch is not None:
            trainer.current_run.batch.weighed = True
        # DistributedDataParallel takes the mean over processes where the sum is meant
        spread = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        scaled = loss * spread if spread > 1 else loss
        if trainer.is_plain:
            scaled.backward()  # type: ignore[no-untyped-call]
        else:
            weigh, self.accelerator.weigh = getattr(self.accelerator, "weigh", None), None
            self.accelerator.backward(scaled)
            self.accelerator.weigh = weigh

    def _weighed(self, loss: Tensor) -> Tensor:
        """What `accelerator.backward` shall take for a loss that an override of `training_step` hands it."""
        batch, said = self.trainer.current_run.batch, self.trainer.loss_is_normalised
        if batch is None:
            return loss
        batch.weighed = True
        if said is not None or batch.use.divided:
            return self._share(loss, batch, bool(said) if said is not None else True)
        if not self._accumulates:
            return loss
        if batch.use.unclear:
            raise RuntimeError(self._refusal("may divide by num_items_in_batch or not"))
        windows = self.args.gradient_accumulation_steps
        for divided_by in (1, windows, batch.batches):
            if batch.loss is not None and _about(loss * divided_by, batch.loss.detach()):
                return self._share(loss * divided_by, batch, normalised=False)
        raise RuntimeError(
            self._refusal("hands accelerator.backward a loss that is not that of compute_loss")
        )

    def _refusal(self, what: str) -> str:
        return (
            f"{type(self.trainer).__name__}.training_step {what}, so with "
            f"gradient_accumulation_steps={self.args.gradient_accumulation_steps} the size of the gradient "
            "is not known: call super().training_step(...), or self.accelerator.backward(loss) with the loss "
            f"of self.compute_loss(...), or divide by num_items_in_batch. {_SAY_WHICH}"
        )

    def clip(self, model: nn.Module) -> Any:
        """Bound the norm of the gradient; returns the norm as it was."""
        limit = self.args.max_grad_norm
        if not limit:
            return None
        if self.trainer.is_plain:
            return torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        return self.accelerator.clip_grad_norm_(list(model.parameters()), limit)

    # ---- what counts -----------------------------------------------------------------------------

    def items(self, batch: Any) -> Any:
        """Items of a batch, as a plain number where that asks no device."""
        counted = count_items(batch, self.trainer.label_names, self.trainer.shifts_labels)
        return int(counted) if isinstance(counted, Tensor) and counted.device.type == "cpu" else counted

    def total(self, shares: list[Any]) -> Any:
        """Items of a window over all processes, at least 1."""
        total: Any = sum(share for share in shares if share is not None)
        accelerator = self.accelerator
        if accelerator.num_processes > 1 and self.args.average_tokens_across_devices:
            exact = torch.float64 if accelerator.device.type == "cpu" else torch.float32
            total = torch.as_tensor(total, dtype=exact).to(accelerator.device)
            total = accelerator.reduce(total, "sum")
        return total.clamp(min=1) if isinstance(total, Tensor) else max(total, 1)

    def reduced(self, loss: Tensor) -> float:
        """A loss of this process, over all processes."""
        if self.accelerator.num_processes == 1:
            return float(loss)
        how = "sum" if self.args.average_tokens_across_devices else "mean"
        return float(self.accelerator.reduce(loss.detach().clone(), how))

    def share(self, loss: float) -> float:
        """What each process holds of a loss that `reduced` gave."""
        summed = self.args.average_tokens_across_devices
        return loss / int(self.accelerator.num_processes) if summed else loss

    def taken_lost(self) -> float:
        """Steps since the last log whose loss was no number, which starts anew; the first of all is said."""
        run, state = self.trainer.current_run, self.trainer.state
        own = run.lost.tolist()
        run.lost.zero_()
        if own[0] and not state.lost:
            left = self.args.logging_nan_inf_filter
            notice(
                f"The loss of step {int(own[1])} is not a number (nan or inf). "
                f"{'Such losses are left out of the mean that is logged. ' if left else ''}A lower "
                "learning_rate often helps; debug='underflow_overflow' finds where they come from. A step of "
                "which every label is -100 has none."
            )
        if self.accelerator.num_processes == 1:
            return float(own[0])
        return float(self.accelerator.reduce(torch.tensor(own[0], device=run.lost.device), "mean"))

    def logs(self, total: Tensor, grad_norm: Any, learning_rate: float | None) -> dict[str, float]:
        """What a log says: the mean of `total`, the loss since the last log, which starts anew."""
        logs = {"loss": self.trainer.state.take_loss(self.reduced(total), self.taken_lost())}
        total.zero_()
        for name, value in (("grad_norm", grad_norm), ("learning_rate", learning_rate)):
            if value is not None:
                logs[name] = float(value)
        return logs

    def floating_point_ops(self, inputs: Any) -> float:
        """The model's own estimate for a batch, else 6 x parameters x tokens."""
        bare, run = self.trainer.bare_model, self.trainer.current_run
        own = getattr(bare, "floating_point_ops", None)
        if callable(own):
            return float(own(inputs))
        if run.dense_parameters is None:
            model = self.trainer.model
            embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
            run.dense_parameters = sum(p.numel() for p in model.parameters() if id(p) not in embeddings)
        main = getattr(bare, "main_input_name", "input_ids")
        tokens = inputs[main] if isinstance(inputs, Mapping) and main in inputs else None
        return 6.0 * run.dense_parameters * tokens.numel() if isinstance(tokens, Tensor) else 0.0

    def taken_flos(self) -> float:
        """What was counted since it was last taken, over all processes."""
        run, accelerator = self.trainer.current_run, self.accelerator
        flos: float = run.flos
        run.flos = 0.0
        if flos and accelerator.num_processes > 1:
            flos = float(accelerator.reduce(torch.tensor(flos, device=accelerator.device), "sum"))
        return flos

    def count_work(self, inputs: Any) -> None:
        """Count operations and input tokens of a batch."""
        if not isinstance(inputs, Mapping):
            return
        trainer = self.trainer
        trainer.current_run.flos += trainer.floating_point_ops(inputs)
        how = self.args.include_num_input_tokens_seen
        if how == "no" and not self.args.include_tokens_per_second:
            return
        main = getattr(trainer.bare_model, "main_input_name", "input_ids")
        if not isinstance(inputs.get(main), Tensor):
            notice(f"Input tokens cannot be counted: the batches have no {main!r}.")
            return
        mask = inputs.get("attention_mask") if how == "non_padding" else None
        count = mask.sum() if mask is not None else torch.tensor(inputs[main].numel())
        if self.accelerator.num_processes > 1:
            count = self.accelerator.reduce(count.to(self.accelerator.device), "sum")
        trainer.state.num_input_tokens_seen += int(count)


def _about(found: Tensor, wanted: Any) -> bool:
    return bool(abs(float(found.detach()) - float(wanted)) <= 1e-3 * abs(float(wanted)))


def _shown(outputs: Any) -> str:
    if isinstance(outputs, Tensor):
        return f"a tensor {list(outputs.shape)}"
    if isinstance(outputs, (list, tuple)):
        return f"({', '.join(map(_shown, outputs))})"
    return repr(outputs)[:40]


def _takes(function: Callable[..., Any], keyword: str) -> bool:
    return _function_takes(getattr(function, "__func__", function), keyword)


@lru_cache(maxsize=256)
def _function_takes(function: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
