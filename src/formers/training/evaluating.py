"""The evaluation loop: bounded memory, results in the order of the dataset, no example counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from formers.core.extras import need
from formers.training.losses import IGNORED, count_examples, count_items
from formers.training.samplers import EvalBatches
from formers.training.state import EvalLoopOutput, EvalPrediction

if TYPE_CHECKING:
    from formers.training.trainer import Trainer

_FLUSH_EVERY = 16  # batches whose results may wait on an accelerator


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor as an array in main memory; bfloat16, which NumPy lacks, as float32."""
    if isinstance(tensor, Tensor):
        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        return tensor.cpu().numpy()  # type: ignore[no-any-return]
    return np.asarray(tensor)


def nested_map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply `function` to every tensor of a nest of tuples, lists and mappings; None stays."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: nested_map(function, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(nested_map(function, entry) for entry in value)
    return function(value)


class Rows:
    """Rows of results, put at their places as they come; one array that grows only where it must.

    Rows of different widths share an array as wide as the widest, padded with -100.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.count = 0
        self._array: np.ndarray | None = None
        self._parts: dict[Any, Rows] | None = None
        self._kind: type | None = None

    def put(self, places: Sequence[int], value: Any) -> None:
        """Store one batch of a nest of arrays, row i at `places[i]`."""
        if value is None:
            return
        if isinstance(value, (list, tuple, Mapping)):
            entries = value.items() if isinstance(value, Mapping) else enumerate(value)
            self._kind = type(value)
            if self._parts is None:
                self._parts = {}
            for key, entry in entries:
                self._parts.setdefault(key, Rows(self.total)).put(places, entry)
            return
        rows = to_numpy(value)
        if rows.ndim == 0:
            rows = np.repeat(rows[None], len(places), axis=0)
        array = self._room(rows, max(places) + 1 if len(places) else 0)
        spot: Any = (np.asarray(places), *(slice(0, size) for size in rows.shape[1:]))
        array[spot] = rows[: len(places)]
        self.count = max(self.count, max(places) + 1 if len(places) else 0)

    def _room(self, rows: np.ndarray, needed: int) -> np.ndarray:
        old = self._array
        height = max(self.total or 0, needed)
        if old is not None and old.ndim == rows.ndim:
            widths = tuple(max(a, b) for a, b in zip(old.shape[1:], rows.shape[1:], strict=True))
            if widths == old.shape[1:] and height <= old.shape[0]:
                return old
            height = max(height, old.shape[0] * 2 if needed > old.shape[0] else old.shape[0])
        else:
            widths = rows.shape[1:]
        # pages of a fresh array are only touched where rows are put, so unequal widths alone cost a fill
        fill = IGNORED if np.issubdtype(rows.dtype, np.number) else 0
        self._array = np.full((height, *widths), fill, dtype=rows.dtype)
        if old is not None and old.ndim == rows.ndim:
            self._array[(slice(0, old.shape[0]), *(slice(0, size) for size in old.shape[1:]))] = old
        return self._array

    def result(self) -> Any:
        """The array, or the nest of arrays; None where nothing was put."""
        if self._parts is not None:
            parts = {key: rows.result() for key, rows in self._parts.items()}
            if self._kind is not None and issubclass(self._kind, Mapping):
                return parts
            return tuple(parts[index] for index in sorted(parts))
        return None if self._array is None else self._array[: max(self.count, self.total or 0)]


class Gathered:
    """What an evaluation collects: predictions, labels, inputs, losses, each row at its place."""

    def __init__(self, total: int | None, flush_every: int) -> None:
        self.rows = {name: Rows(total) for name in ("predictions", "labels", "inputs", "losses")}
        self.flush_every = flush_every
        self._waiting: list[tuple[Sequence[int], dict[str, Any]]] = []

    def add(self, places: Sequence[int], **values: Any) -> None:
        """Take one batch; it may wait on its device until enough have come."""
        self._waiting.append((places, values))
        if len(self._waiting) >= self.flush_every:
            self.flush()

    def flush(self) -> None:
        """Move what waits to main memory."""
        for places, values in self._waiting:
            for name, value in values.items():
                self.rows[name].put(places, value)
        self._waiting.clear()

    def results(self) -> dict[str, Any]:
        """All arrays."""
        self.flush()
        return {name: rows.result() for name, rows in self.rows.items()}


def evaluation_loop(
    trainer: Trainer,
    dataloader: Iterable[Any],
    description: str,
    prediction_loss_only: bool | None,
    ignore_keys: list[str] | None,
    metric_key_prefix: str,
) -> EvalLoopOutput:
    """Run the model over a loader; see `Trainer.evaluation_loop`."""
    args, accelerator = trainer.args, trainer.accelerator
    loss_only = args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
    planned = getattr(dataloader, "batch_sampler", None)
    places = planned.batches if isinstance(planned, EvalBatches) else None
    if places is not None and not (args.eval_do_concat_batches or loss_only):
        places = None  # batches are handed back as they were made, so their order is theirs
    total = _total(dataloader, planned)
    flush = args.eval_accumulation_steps or (1 if accelerator.device.type == "cpu" else _FLUSH_EVERY)
    gathered = Gathered(total if places is not None else None, flush)
    listed: list[dict[str, Any]] = []
    losses, seen, metrics = _Losses(), 0, None
    trainer.callback_handler.eval_dataloader = dataloader
    with trainer._evaluation_model() as model:
        batches = _held(trainer, dataloader, planned)
        for step, (inputs, last, real) in enumerate(batches):
            loss, logits, labels = trainer.prediction_step(model, inputs, loss_only, ignore_keys=ignore_keys)
            rows = count_examples(inputs)
            if not real:
                continue
            if loss is not None:
                items = (
                    count_items(inputs, trainer.label_names, trainer._shifted)
                    if isinstance(inputs, Mapping)
                    else rows
                )
                losses.add(loss.mean(), items)
            values = _kept(trainer, inputs, loss, logits, labels, loss_only)
            at = places[step] if places is not None else range(seen, seen + rows)
            seen += rows
            if args.batch_eval_metrics and trainer.compute_metrics is not None and logits is not None:
                metrics = _batch_metrics(trainer, values, last)
            elif not loss_only and not args.eval_do_concat_batches:
                listed.append(nested_map(to_numpy, values))
            elif not loss_only:
                gathered.add(list(at), **values)
            trainer.control = trainer.callback_handler.on_prediction_step(
                args, trainer.state, trainer.control
            )
    return _finish(
        trainer, gathered, listed, losses, seen, total, places, metrics, loss_only, metric_key_prefix
    )


def _total(dataloader: Any, planned: Any) -> int | None:
    dataset = getattr(dataloader, "dataset", None)
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        return None


def _held(trainer: Trainer, dataloader: Iterable[Any], planned: Any) -> Iterable[tuple[Any, bool, bool]]:
    """Batches with a mark of the last one, and of stand-ins.

    Sharded models exchange weights in every forward pass: there all processes must make the same number of
    passes.
    """
    held, any_batch = None, False
    count = 0
    for batch in dataloader:
        if any_batch:
            yield held, False, True
            count += 1
        held, any_batch = batch, True
    if any_batch:
        yield held, True, True
        count += 1
    if isinstance(planned, EvalBatches) and trainer._is_sharded:
        for _ in range(count, -(-planned.total // trainer.accelerator.num_processes)):
            if held is None:
                raise ValueError("fewer evaluation batches than processes: lower per_device_eval_batch_size")
            yield held, True, False


class _Losses:
    """Sum of the losses of all items, without asking the device for each."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.items: Tensor | int = 0

    def add(self, mean: Tensor, items: Tensor | int) -> None:
        items = items.to(mean.device) if isinstance(items, Tensor) else items
        # a batch in which nothing counts has no mean (0 / 0)
        part = torch.where(torch.as_tensor(items, device=mean.device) > 0, mean.detach().float() * items, 0.0)
        self.total = part if self.total is None else self.total + part
        self.items = self.items + items

    def mean(self, trainer: Trainer) -> float | None:
        device = trainer.accelerator.device
        total = torch.tensor(0.0) if self.total is None else self.total
        pair = torch.stack([total.double().cpu(), torch.as_tensor(self.items).double().cpu()])
        if trainer.accelerator.num_processes > 1:
            pair = trainer.accelerator.reduce(pair.float().to(device), "sum").cpu()
        return None if float(pair[1]) == 0 else float(pair[0] / pair[1])


def _kept(
    trainer: Trainer, inputs: Any, loss: Any, logits: Any, labels: Any, loss_only: bool
) -> dict[str, Any]:
    if loss_only:
        return {}
    if logits is not None and trainer.preprocess_logits_for_metrics is not None:
        logits = trainer.preprocess_logits_for_metrics(logits, labels)
    values = {"predictions": logits, "labels": labels}
    wanted = trainer.args.include_for_metrics
    if "inputs" in wanted:
        main = getattr(trainer.model, "main_input_name", "input_ids")
        values["inputs"] = trainer._prepare_input(inputs[main])
    if "loss" in wanted and loss is not None:
        values["losses"] = loss.detach()
    return values


def _batch_metrics(trainer: Trainer, values: dict[str, Any], last: bool) -> dict[str, Any] | None:
    arrays = nested_map(to_numpy, values)
    if trainer.accelerator.num_processes > 1:
        raise ValueError("batch_eval_metrics=True works in one process; leave it out with accelerate launch")
    compute: Any = trainer.compute_metrics
    metrics: dict[str, Any] | None = compute(_prediction(arrays), compute_result=last)
    return metrics


def _prediction(arrays: Mapping[str, Any]) -> EvalPrediction:
    return EvalPrediction(
        predictions=arrays.get("predictions"),  # type: ignore[arg-type]
        label_ids=arrays.get("labels"),  # type: ignore[arg-type]
        inputs=arrays.get("inputs"),
        losses=arrays.get("losses"),
    )


def _finish(
    trainer: Trainer,
    gathered: Gathered,
    listed: list[dict[str, Any]],
    losses: _Losses,
    seen: int,
    total: int | None,
    places: list[list[int]] | None,
    metrics: dict[str, Any] | None,
    loss_only: bool,
    prefix: str,
) -> EvalLoopOutput:
    """Bring the processes' parts together and compute the metrics."""
    args = trainer.args
    arrays = gathered.results()
    if listed:
        arrays = {name: [batch.get(name) for batch in listed] for name in listed[0]}
    if trainer.accelerator.num_processes > 1:
        arrays, seen = _from_all(trainer, arrays, places, seen, total)
    count = seen if total is None or places is None else total
    mean_loss = losses.mean(trainer)
    if metrics is None:
        metrics = {}
        has_both = arrays.get("predictions") is not None and arrays.get("labels") is not None
        if trainer.compute_metrics is not None and has_both and not args.batch_eval_metrics:
            made: Any = trainer.compute_metrics(_prediction(arrays))
            if not isinstance(made, Mapping):
                raise TypeError(
                    f"compute_metrics must return a dict such as {{'accuracy': 0.9}}, but returned "
                    f"{type(made).__name__}"
                )
            metrics = dict(made)
    named = {}
    if mean_loss is not None:
        named[f"{prefix}_loss"] = mean_loss
    for key, value in metrics.items():
        key = key if key.startswith(f"{prefix}_") else f"{prefix}_{key}"
        named[key] = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    return EvalLoopOutput(arrays.get("predictions"), arrays.get("labels"), named, count)


def _from_all(
    trainer: Trainer, arrays: dict[str, Any], places: list[list[int]] | None, seen: int, total: int | None
) -> tuple[dict[str, Any], int]:
    """Every process's rows in one set of arrays, on every process.

    Gathered as objects, whatever `eval_use_gather_object` says: rows may differ in number and width.
    """
    mine = sorted(index for batch in places for index in batch) if places is not None else list(range(seen))

    def select(array: np.ndarray) -> np.ndarray:
        return array[mine] if places is not None else array

    gather = need("accelerate.utils", "train").gather_object
    parts = gather([(mine, nested_map(select, arrays), seen)])
    if places is None:
        offset = 0
        shifted = []
        for rows, part, count in parts:
            shifted.append(([row + offset for row in rows], part, count))
            offset += count
        parts, total = shifted, offset
    merged = {name: Rows(total) for name in arrays}
    for rows, part, _ in parts:
        for name, value in part.items():
            if rows:
                merged[name].put(rows, value)
    return {name: rows.result() for name, rows in merged.items()}, sum(count for _, _, count in parts)


def speed(
    prefix: str,
    start: float,
    samples: float | None = None,
    steps: float | None = None,
    tokens: float | None = None,
) -> dict[str, float]:
    """Seconds since `start` (of `time.perf_counter`), and what was done per second."""
    seconds = time.perf_counter() - start
    result = {f"{prefix}_runtime": round(seconds, 4)}
    for name, amount in (("samples", samples), ("steps", steps), ("tokens", tokens)):
        if amount is not None:
            result[f"{prefix}_{name}_per_second"] = round(amount / seconds, 3) if seconds else 0.0
    return result
