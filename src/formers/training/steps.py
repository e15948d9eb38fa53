"""One batch: its loss and its share of the step's, its prediction, and what it counts for."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.core.notices import notice
from formers.training.evaluating import nested_map

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


def share_of_window(trainer: Trainer, loss: Tensor, total: Any) -> Tensor:
    """Turn a batch's mean loss into its share of the mean over the window; a share already stays."""
    if trainer._share is None or total is None:
        return loss
    mine, whole = trainer._share
    if mine is None:
        return loss * 0.0  # a stand-in counts for nothing
    if trainer._normalised:
        return loss
    if isinstance(mine, int) and isinstance(whole, int) and mine == whole:
        return loss
    if isinstance(mine, int) and mine == 0:
        return torch.nan_to_num(loss) * 0.0
    share: Tensor = loss * (mine / whole)
    return share


def call_training_step(trainer: Trainer, model: nn.Module, inputs: Any, total: Any) -> Tensor:
    """Call `training_step`, which an override of older releases takes with fewer arguments."""
    if _takes(type(trainer).training_step, "num_items_in_batch"):
        return trainer.training_step(model, inputs, num_items_in_batch=total)
    return trainer.training_step(model, inputs)  # an override of older releases


def call_compute_loss(trainer: Trainer, model: nn.Module, inputs: Any, total: Any, **kwargs: Any) -> Any:
    """Call `compute_loss`, and find out whether an override normalises by itself."""
    method = type(trainer).compute_loss
    if total is None or not _takes(method, "num_items_in_batch"):
        return trainer.compute_loss(model, inputs, **kwargs)
    result = trainer.compute_loss(model, inputs, num_items_in_batch=total, **kwargs)
    if (
        trainer._overrides("compute_loss")
        and _reads(method, "num_items_in_batch")
        and not _reads(method, "super")
    ):
        trainer._normalised = True  # an override that divides by the number itself
    return result


def compute_loss(
    trainer: Trainer,
    model: nn.Module,
    inputs: Any,
    return_outputs: bool = False,
    num_items_in_batch: Any = None,
) -> Any:
    """The body of `Trainer.compute_loss`; see there."""
    custom = trainer.compute_loss_func is not None or trainer._label_loss is not None
    labels = inputs.get("labels") if isinstance(inputs, Mapping) else None
    if custom and labels is not None:
        decoder = getattr(getattr(trainer._bare(), "config", None), "is_encoder_decoder", False)
        if not decoder:  # an encoder-decoder makes its inputs from the labels
            inputs = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**inputs)
        if trainer.compute_loss_func is not None:
            loss = trainer.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
            trainer._normalised = _reads(trainer.compute_loss_func, "num_items_in_batch")
        else:
            logits = outputs["logits"] if hasattr(outputs, "keys") else outputs[0]
            loss = trainer._label_loss(logits, labels, num_items_in_batch, shifted=trainer._shifted)
            trainer._normalised = True
        return (loss, outputs) if return_outputs else loss
    extra: dict[str, Any] = {}
    if trainer.model_accepts_loss_kwargs and num_items_in_batch is not None:
        extra["num_items_in_batch"] = num_items_in_batch
        trainer._normalised = True
    outputs = model(**inputs, **extra) if isinstance(inputs, Mapping) else model(inputs)
    loss = _loss_of(trainer, outputs, inputs)
    return (loss, outputs) if return_outputs else loss


def _loss_of(trainer: Trainer, outputs: Any, inputs: Any) -> Tensor:
    keyed = hasattr(outputs, "keys")
    loss = outputs["loss"] if keyed and "loss" in outputs else None if keyed else outputs[0]
    if loss is None:
        given = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise ValueError(
            f"{type(trainer._bare()).__name__} returned no loss, only {list(outputs.keys())}. Its inputs "
            f"were {given}: a loss needs "
            f"labels (one of {trainer.label_names or ['labels']}); rename the column with the targets to "
            f"'labels', or pass "
            "compute_loss_func"
        )
    return loss.mean() if loss.dim() else loss  # type: ignore[no-any-return]


def prediction_step(
    trainer: Trainer,
    model: nn.Module,
    inputs: Any,
    prediction_loss_only: bool,
    ignore_keys: list[str] | None = None,
) -> tuple[Tensor | None, Any, Any]:
    """The body of `Trainer.prediction_step`; see there."""
    has_labels = bool(trainer.label_names) and all(
        inputs.get(name) is not None for name in trainer.label_names
    )
    wants_loss = has_labels or (
        not trainer.label_names and trainer.can_return_loss and inputs.get("return_loss", True)
    )
    if not wants_loss and "labels" in inputs and inputs["labels"] is not None:
        wants_loss = has_labels = True  # one of several kinds of labels
    inputs = trainer._prepare_inputs(inputs)
    if ignore_keys is None:
        config = getattr(trainer._bare(), "config", None)
        ignore_keys = list(getattr(config, "keys_to_ignore_at_inference", None) or ["past_key_values"])
    labels = None
    if has_labels:
        found = tuple(inputs[name] for name in trainer.label_names if inputs.get(name) is not None)
        labels = found[0] if len(found) == 1 else found
    loss = None
    with trainer.compute_loss_context_manager():
        if wants_loss:
            loss, outputs = call_compute_loss(trainer, model, inputs, None, return_outputs=True)
            loss = loss.detach().mean()
            skipped = ["loss", *ignore_keys]
            logits = _values(
                outputs, skipped, first_is_loss=not hasattr(outputs, "keys") and trainer._label_loss is None
            )
        else:
            outputs = model(**inputs)
            logits = _values(outputs, ignore_keys, first_is_loss=False)
    if prediction_loss_only:
        return loss, None, None
    detached = nested_map(lambda t: t.detach() if isinstance(t, Tensor) else t, logits)
    return loss, detached[0] if len(detached) == 1 else detached, labels


def floating_point_ops(trainer: Trainer, inputs: Any) -> float:
    """The body of `Trainer.floating_point_ops`; see there."""
    own = getattr(trainer._bare(), "floating_point_ops", None)
    if callable(own):
        return float(own(inputs))
    if trainer._dense_parameters is None:
        embeddings = {id(m.weight) for m in trainer.model.modules() if isinstance(m, nn.Embedding)}
        trainer._dense_parameters = sum(
            p.numel() for p in trainer.model.parameters() if id(p) not in embeddings
        )
    main = getattr(trainer._bare(), "main_input_name", "input_ids")
    tokens = inputs[main] if isinstance(inputs, Mapping) and main in inputs else None
    return 6.0 * trainer._dense_parameters * tokens.numel() if isinstance(tokens, Tensor) else 0.0


def count_work(trainer: Trainer, inputs: Any, real: bool) -> None:
    """Count operations and input tokens of a batch."""
    if not real or not isinstance(inputs, Mapping):
        return
    trainer._flos += trainer.floating_point_ops(inputs)
    how = trainer.args.include_num_input_tokens_seen
    if how == "no" and not trainer.args.include_tokens_per_second:
        return
    main = getattr(trainer._bare(), "main_input_name", "input_ids")
    if not isinstance(inputs.get(main), Tensor):
        notice(f"Input tokens cannot be counted: the batches have no {main!r}.")
        return
    mask = inputs.get("attention_mask") if how == "non_padding" else None
    count = mask.sum() if mask is not None else torch.tensor(inputs[main].numel())
    if trainer.accelerator.num_processes > 1:
        count = trainer.accelerator.reduce(count.to(trainer.accelerator.device), "sum")
    trainer.state.num_input_tokens_seen += int(count)


def _values(outputs: Any, ignored: Sequence[str], *, first_is_loss: bool) -> tuple[Any, ...]:
    """The values of a model's outputs that count as predictions."""
    if hasattr(outputs, "items"):
        return tuple(value for key, value in outputs.items() if key not in ignored)
    if isinstance(outputs, Tensor):
        return (outputs,)
    return tuple(outputs[1:] if first_is_loss else outputs)


@lru_cache(maxsize=256)
def _takes(function: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@lru_cache(maxsize=256)
def _reads(function: Callable[..., Any], name: str) -> bool:
    """Whether a function's code uses the name (a keyword that is only accepted is never loaded)."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return _takes(function, name)
    for instruction in dis.get_instructions(code):
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        if name in names and not instruction.opname.startswith("STORE"):
            return True
    return False
