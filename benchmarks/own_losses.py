"""Ways to write a loss of one's own: is the gradient of four batches of two that of one batch of eight?

Each way trains for one step on rows of unlike lengths, and the gradient is projected on that of the large
batch by torch's own mean: 1.00 is right, 4.00 or 0.25 is a factor of the accumulation.

    python benchmarks/own_losses.py [--record]
"""

# ruff: noqa: D101, D102 - the table says what each class is
from __future__ import annotations

import argparse
import contextlib
import functools
import io
import random
import tempfile
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from formers.training import DataCollatorWithPadding

BATCHES = 4


class Pads:
    pad_token_id, padding_side, model_input_names = 0, "right", ("input_ids", "attention_mask")


def loss_of(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    if num_items_in_batch is None:
        return F.cross_entropy(outputs.logits, labels)
    return F.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


def mean_of(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return F.cross_entropy(outputs.logits, labels)


def reads(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    assert int(num_items_in_batch) > 0
    return F.cross_entropy(outputs.logits, labels)


class Own(Trainer):
    """As tutorials write it, the mean over the batch."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        outputs = model(**inputs)
        loss = self.judge(outputs, inputs["labels"], **kwargs)
        return (loss, outputs) if return_outputs else loss

    def judge(self, outputs: Any, labels: Tensor, **kwargs: Any) -> Tensor:
        return mean_of(outputs, labels)


class Helper(Own):
    def judge(self, outputs: Any, labels: Tensor, **kwargs: Any) -> Tensor:
        return loss_of(outputs, labels, **kwargs)


class Star(Helper):
    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return Helper.compute_loss(self, *args, **kwargs)


class Child(Helper):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        return super().compute_loss(model, inputs, return_outputs, **kwargs)


class OneCase(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        if "labels" in inputs:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)
        return model(**inputs).logits.mean()


class Passes(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        outputs = model(**inputs, **kwargs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class StepOfNow(Trainer):
    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss: Tensor = self.compute_loss(model, self._prepare_inputs(inputs))
        self.accelerator.backward(loss)
        return loss.detach() / self.args.gradient_accumulation_steps


class StepOfOld(StepOfNow):
    def training_step(self, model: Any, inputs: Any) -> Tensor:  # type: ignore[override]  # of 2023
        return StepOfNow.training_step(self, model, inputs)


class Backward(Trainer):
    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss: Tensor = self.compute_loss(model, self._prepare_inputs(inputs))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


class MeanObject:
    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        return mean_of(outputs, labels)


class MeanModule(nn.Module):
    def forward(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        return mean_of(outputs, labels)


Way = tuple[str, type[Trainer], Callable[..., Tensor] | None]
WAYS: list[Way] = [
    ("compute_loss, the mean over its batch", Own, None),
    ("compute_loss, **kwargs to a helper that divides", Helper, None),
    ("compute_loss(*args, **kwargs)", Star, None),
    ("super() of a class that divides", Child, None),
    ("super() in one case only", OneCase, None),
    ("patched on the object", Trainer, None),
    ("model(**inputs, **kwargs)", Passes, None),
    ("compute_loss_func, a wrapper", Trainer, lambda *args, **kwargs: loss_of(*args, **kwargs)),
    ("compute_loss_func, an object with a mean", Trainer, MeanObject()),
    ("compute_loss_func, a module with a mean", Trainer, MeanModule()),
    ("compute_loss_func, a partial with a mean", Trainer, functools.partial(mean_of)),
    ("compute_loss_func that only reads the count", Trainer, reads),
    ("training_step of today's signature", StepOfNow, None),
    ("training_step of the older signature", StepOfOld, None),
    ("training_step with loss.backward() of its own", Backward, None),
]


def gradient(way: Way, batches: int) -> Tensor:
    """Of one optimizer step over eight rows in so many batches, as one vector."""
    name, kind, function = way
    set_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=3, **sizes, **still))
    draw, found = random.Random(1), []
    data = [
        {"input_ids": [draw.randrange(5, 50) for _ in range(2 + 2 * i)], "label": i % 3} for i in range(8)
    ]

    class Grab(TrainerCallback):
        def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            per_device_train_batch_size=8 // batches,
            gradient_accumulation_steps=batches,
            max_steps=1,
            max_grad_norm=0,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            report_to="none",
        )
        trainer = kind(
            model,
            args,
            DataCollatorWithPadding(Pads()),
            train_dataset=data,
            compute_loss_func=function,
            callbacks=[Grab()],
        )
        if name == "patched on the object":
            trainer.compute_loss = types.MethodType(Helper.compute_loss, trainer)  # type: ignore[method-assign]
            trainer.judge = types.MethodType(Helper.judge, trainer)  # type: ignore[attr-defined]
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()
    return found[0]


def judged(way: Way, whole: Tensor) -> tuple[str, bool]:
    """What a way gives, and whether that is right."""
    try:
        found = gradient(way, BATCHES)
    except (RuntimeError, ValueError) as error:
        asked = str(error).split("known: ")[-1].split(". ")[0]
        return f"refused: {asked}", "super().training_step" in str(error)
    ratio = float(found @ whole / (whole @ whole))
    return f"{ratio:.2f}", bool(torch.allclose(found, whole, atol=1e-6))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    whole = gradient(WAYS[0], 1)
    results = [(way[0], *judged(way, whole)) for way in WAYS]
    table = [
        ("the loss", f"gradient of {BATCHES} batches over that of one"),
        *((name, text) for name, text, _ in results),
    ]
    from record import section, show

    show(table)
    if options.record:
        section("Losses of one's own", table, command="python benchmarks/own_losses.py --record")
    if not all(right for _, _, right in results):
        raise SystemExit("not shown: see above")


if __name__ == "__main__":
    main()
