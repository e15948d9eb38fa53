"""The evaluation loop: bounded memory, results in the order of the dataset, no example counted twice."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from typing import Any, cast

import torch
from torch import Tensor, nn

from formers.core.extras import need
from formers.core.notices import notice
from formers.training.arguments.backends import tf32
from formers.training.data.columns import has_length
from formers.training.data.samplers import EvalBatches
from formers.training.losses import count_examples, count_items
from formers.training.results import Gathered, Rows, nested_map, plain_numbers, to_device, to_numpy
from formers.training.state import EvalLoopOutput, EvalPrediction
from formers.training.step import Step

_FLUSH_EVERY = 16  # batches whose results may wait on an accelerator


class Evaluator:
    """Runs a trainer's model over a loader and collects losses, predictions and metrics.

    Args:
        trainer: says how to judge.
        loss_only: collect no predictions.
        ignore_keys: outputs of the model that are left out.
    """

    def __init__(self, trainer: Any, loss_only: bool | None, ignore_keys: list[str] | None) -> None:
        self.trainer, self.args, self.accelerator = trainer, trainer.args, trainer.accelerator
        self.loss_only = self.args.prediction_loss_only if loss_only is None else loss_only
        self.ignore_keys = ignore_keys
        self.losses = _Losses(self.args.logging_nan_inf_filter)
        self.listed: list[dict[str, Any]] = []
        self.metrics: dict[str, Any] | None = None  # of batch_eval_metrics
        self.counts: list[int] = []  # rows of each batch of this process

    def run(self, model: nn.Module, dataloader: Iterable[Any], prefix: str) -> EvalLoopOutput:
        """Judge `model`; the names of the metrics start with `prefix`."""
        trainer, args = self.trainer, self.args
        planned = getattr(dataloader, "batch_sampler", None)
        # batches that are handed back as they were made have an order of their own
        placed = isinstance(planned, EvalBatches) and (args.eval_do_concat_batches or self.loss_only)
        places: list[list[int]] | None = planned.places if placed else None  # type: ignore[union-attr]
        in_order = placed and planned.in_order  # type: ignore[union-attr]
        total = len(planned.order) if placed else None  # type: ignore[union-attr]
        flush = args.eval_accumulation_steps or (1 if self.accelerator.device.type == "cpu" else _FLUSH_EVERY)
        gathered = Gathered(total, flush)
        trainer.callback_handler.eval_dataloader = dataloader
        with self._ready(model) as ready:
            for step, (inputs, last, real) in enumerate(self._batches(dataloader)):
                loss, logits, labels = trainer.prediction_step(
                    ready, inputs, self.loss_only, ignore_keys=self.ignore_keys
                )
                if not real:
                    continue
                rows = count_examples(inputs)
                if loss is not None:
                    shifts = trainer.shifts_labels
                    self.losses.add(loss.mean(), count_items(inputs, trainer.label_names, shifts))
                if places is not None and rows != len(places[step]):
                    self._check_rows(rows, len(places[step]), in_order)
                    places = total = None  # as many as come, in the order in which they come
                at = places[step] if places is not None else range(sum(self.counts), sum(self.counts) + rows)
                self.counts.append(rows)
                self._keep(inputs, loss, logits, labels, gathered, at, last)
                trainer.control = trainer.callback_handler.on_prediction_step(
                    args, trainer.state, trainer.control
                )
        return self._finish(gathered, places, total, prefix)

    def _check_rows(self, rows: int, examples: int, in_order: bool) -> None:
        if not (in_order or self.loss_only):
            raise ValueError(
                f"the data_collator made {rows} rows of {examples} examples, so that results cannot be put "
                "in the order of the dataset: pass eval_do_concat_batches=False, and they are handed back "
                "batch by batch"
            )

    @contextmanager
    def _ready(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model in evaluation mode, in the precision asked for; training mode comes back after."""
        trainer, args = self.trainer, self.args
        modes = [(module, module.training) for module in model.modules()]
        half = torch.float16 if args.fp16_full_eval else torch.bfloat16 if args.bf16_full_eval else None
        during = trainer.is_in_train
        if half is not None and not during:
            with trainer.averaged():  # of a run that was broken off
                model = copy.deepcopy(model).to(half)  # the weights themselves stay as precise as they are
        if not during:
            model.to(self.accelerator.device)
        model.eval()
        kind = self.accelerator.device.type
        try:
            precision = torch.autocast(kind, dtype=half) if half is not None and during else nullcontext()
            with tf32(args), trainer.averaged(), precision:
                yield model
        finally:
            for module, mode in modes:
                module.training = mode

    def _batches(self, dataloader: Iterable[Any]) -> Iterator[tuple[Any, bool, bool]]:
        """Batches with a mark of the last one, and of stand-ins.

        Sharded models exchange weights in every forward pass: there all processes must make the same number
        of passes.
        """
        batches = iter(dataloader)
        held = following = next(batches, None)
        if self.trainer.is_sharded and self._anybody(held is None):
            held = self._lent(held)
        while self._anybody(following is not None):
            real = following is not None
            held = following if real else held
            following = next(batches, None) if real else None
            yield held, following is None, real

    def _lent(self, own: Any) -> Any:
        """This process's first batch, or the first process's where it has none."""
        from accelerate.utils.operations import broadcast_object_list

        lent = broadcast_object_list([own])[0]
        return lent if own is None else own

    def _anybody(self, more: bool) -> bool:
        """Whether this process, or of a sharded model any, has another batch."""
        if not self.trainer.is_sharded:
            return more
        flag = torch.tensor(float(more), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _keep(
        self,
        inputs: Any,
        loss: Tensor | None,
        logits: Any,
        labels: Any,
        gathered: Gathered,
        at: Sequence[int],
        last: bool,
    ) -> None:
        """Keep of a batch what metrics need; or compute them, with `batch_eval_metrics`."""
        trainer, args = self.trainer, self.args
        if self.loss_only:
            return
        if logits is not None and trainer.preprocess_logits_for_metrics is not None:
            logits = trainer.preprocess_logits_for_metrics(logits, labels)
        values = {"predictions": logits, "labels": labels}
        if "inputs" in args.include_for_metrics:
            main = inputs[getattr(trainer.model, "main_input_name", "input_ids")]
            values["inputs"] = to_device(main, self.accelerator.device)
        if "loss" in args.include_for_metrics and loss is not None:
            values["losses"] = loss.detach()
        if args.batch_eval_metrics and trainer.compute_metrics is not None and logits is not None:
            if self.accelerator.num_processes > 1:
                raise ValueError(
                    "batch_eval_metrics=True works in one process; leave it out with accelerate launch"
                )
            arrays = nested_map(to_numpy, values)
            self.metrics = trainer.compute_metrics(_prediction(arrays), compute_result=last)
        elif args.eval_do_concat_batches:
            gathered.add(list(at), **values)
        else:
            self.listed.append(nested_map(to_numpy, values))

    def _finish(
        self, gathered: Gathered, places: list[list[int]] | None, total: int | None, prefix: str
    ) -> EvalLoopOutput:
        """Bring the processes' parts together and compute the metrics."""
        compute = self.trainer.compute_metrics
        arrays = gathered.results()
        if total is None:
            arrays = nested_map(lambda rows: rows[: sum(self.counts)], arrays)
        if self.accelerator.num_processes > 1:
            arrays = self._from_all(arrays, places, total)
        if self.listed:
            arrays = {name: [batch.get(name) for batch in self.listed] for name in self.listed[0]}
        metrics = self.metrics
        complete = arrays.get("predictions") is not None and arrays.get("labels") is not None
        if metrics is None and compute is not None and complete and not self.args.batch_eval_metrics:
            metrics = compute(_prediction(arrays))
            if not isinstance(metrics, Mapping):
                raise TypeError(
                    f"compute_metrics must return a dict such as {{'accuracy': 0.9}}, but returned "
                    f"{type(metrics).__name__}"
                )
        count = sum(self.counts) if total is None else total
        if not count:
            notice("There was nothing to judge: the dataset has no example.")
        loss = self.losses.mean(self.accelerator)
        named = {} if loss is None else {f"{prefix}_loss": loss}
        for key, value in (metrics or {}).items():
            named[str(key) if str(key).startswith(f"{prefix}_") else f"{prefix}_{key}"] = value
        found = plain_numbers(named)
        return EvalLoopOutput(arrays.get("predictions"), arrays.get("labels"), found, count)

    def _from_all(
        self, arrays: dict[str, Any], places: list[list[int]] | None, total: int | None
    ) -> dict[str, Any]:
        """Every process's rows in one set of arrays, on every process.

        Gathered as objects, whatever `eval_use_gather_object` says: rows may differ in number and width.
        Where no places are known, the first batches of all processes come first, then their second ones.
        """
        mine = None if places is None else sorted(place for batch in places for place in batch)
        chosen = nested_map(lambda array: array if mine is None else array[mine], arrays)
        parts = need("accelerate.utils", "train").gather_object([(mine, chosen, self.counts, self.listed)])
        counts = [process[2] for process in parts]
        self.listed = [b for step in zip_longest(*(p[3] for p in parts)) for b in step if b is not None]
        self.counts, taken = [], [list[int]() for _ in parts]
        for step in zip_longest(*counts, fillvalue=0):
            for count, rows in zip(step, taken, strict=True):
                rows.extend(range(sum(self.counts), sum(self.counts) + count))
                self.counts.append(count)
        merged = {name: Rows(sum(self.counts) if total is None else total) for name in arrays}
        for (placed, part, _, _), rows in zip(parts, taken, strict=True):
            for name, value in part.items():
                if rows:
                    merged[name].put(rows if placed is None else placed, value)
        return {name: rows.result() for name, rows in merged.items()}


class _Losses:
    """Sum of the losses of all items, without asking the device for each."""

    def __init__(self, only_numbers: bool) -> None:
        self.only_numbers = only_numbers
        self.sums: Tensor | None = None  # of losses, of items, of batches whose loss is no number

    def add(self, mean: Tensor, items: Tensor | int) -> None:
        counted = torch.as_tensor(items, device=mean.device)
        real = counted > 0  # a batch in which nothing counts has no mean (0 / 0)
        lost = real & ~torch.isfinite(mean)
        if self.only_numbers:
            real = real & ~lost
        exact = torch.float32 if mean.device.type == "mps" else torch.float64
        parts = torch.where(real, torch.stack([mean.detach().to(exact) * counted, counted.to(exact)]), 0.0)
        sums = torch.cat([parts, lost.to(exact)[None]])
        self.sums = sums if self.sums is None else self.sums + sums

    def mean(self, accelerator: Any) -> float | None:
        if self.sums is None:  # a process may have no batch
            self.add(torch.zeros((), device=accelerator.device), 0)
        sums = cast(Tensor, self.sums)
        if accelerator.num_processes > 1:
            sums = accelerator.reduce(sums, "sum")
        total, items, lost = sums.double().tolist()
        if lost:
            notice(
                f"The loss of {int(lost)} evaluation batches is not a number (nan or inf)"
                + ("; the mean is that of the others." if self.only_numbers and items else ".")
            )
        return total / items if items else math.nan if lost else None


def _prediction(arrays: Mapping[str, Any]) -> EvalPrediction:
    return EvalPrediction(
        predictions=arrays.get("predictions"),  # type: ignore[arg-type]
        label_ids=arrays.get("labels"),  # type: ignore[arg-type]
        inputs=arrays.get("inputs"),
        losses=arrays.get("losses"),
    )


# ---- one batch -----------------------------------------------------------------------------------


def predict_batch(
    trainer: Any, model: nn.Module, inputs: Any, loss_only: bool, ignore_keys: list[str] | None
) -> tuple[Tensor | None, Any, Any]:
    """The default of `Trainer.prediction_step`, on inputs that lie on the model's device."""
    names = trainer.label_names
    found = tuple(inputs[name] for name in names if inputs.get(name) is not None)
    has_labels = bool(names) and len(found) == len(names)
    wants_loss = has_labels or (not names and trainer.can_return_loss and inputs.get("return_loss", True))
    if not wants_loss and inputs.get("labels") is not None:
        wants_loss = has_labels = True  # one of several kinds of labels
    if ignore_keys is None:
        config = getattr(trainer.bare_model, "config", None)
        ignore_keys = list(getattr(config, "keys_to_ignore_at_inference", None) or ["past_key_values"])
    labels = None if not has_labels else found[0] if len(found) == 1 else found
    loss = None
    if wants_loss:
        loss, outputs = Step(trainer).judged(model, inputs)
        loss = loss.detach().mean()
        after_loss = not hasattr(outputs, "keys") and trainer.current_run.label_loss is None
        logits = _values(outputs, ["loss", *ignore_keys], first_is_loss=after_loss)
    else:
        outputs = model(**inputs)
        logits = _values(outputs, ignore_keys, first_is_loss=False)
    if loss_only:
        return loss, None, None
    detached = nested_map(lambda t: t.detach() if isinstance(t, Tensor) else t, logits)
    return loss, detached[0] if len(detached) == 1 else detached, labels


def _values(outputs: Any, ignored: Sequence[str], *, first_is_loss: bool) -> tuple[Any, ...]:
    """The values of a model's outputs that count as predictions."""
    if hasattr(outputs, "items"):
        return tuple(value for key, value in outputs.items() if key not in ignored)
    if isinstance(outputs, Tensor):
        return (outputs,)
    return tuple(outputs[1:] if first_is_loss else outputs)


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


def timed(output: EvalLoopOutput, loader: Any, prefix: str, start: float) -> dict[str, float]:
    """The metrics of an evaluation, and its speed."""
    batches = len(loader) if has_length(loader) else None
    return {**(output.metrics or {}), **speed(prefix, start, output.num_samples, batches)}
