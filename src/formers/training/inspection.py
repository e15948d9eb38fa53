"""What a trainer finds out about its model and data before it starts, and what it refuses."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

from torch import nn

from formers.core.notices import notice
from formers.training.callbacks import TrainerCallback
from formers.training.choices import IntervalStrategy
from formers.training.data import column, columns_of, has_length
from formers.training.losses import count_labels, label_loss, notice_imbalance, shifts_labels

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


def check_kinds(model: Any, args: Any, compute_metrics: Any, callbacks: Any, optimizers: Any) -> None:
    """Refuse what is not what its keyword says.

    Raises:
        TypeError: naming what was passed, and what to type.
    """
    from formers.training.arguments import TrainingArguments

    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a model, not {type(model).__name__} ({str(model)[:60]!r}): load it first, for "
            f"example with AutoModelForSequenceClassification.from_pretrained(name)"
        )
    if args is not None and not isinstance(args, TrainingArguments):
        raise TypeError(f"args must be TrainingArguments, not {type(args).__name__}: TrainingArguments(...)")
    if compute_metrics is not None and not callable(compute_metrics):
        raise TypeError(f"compute_metrics must be a function of an EvalPrediction, not {compute_metrics!r}")
    for callback in callbacks or ():
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, TrainerCallback):
            raise TypeError(f"callbacks must be TrainerCallbacks (or classes of them), not {callback!r}")
    if not isinstance(optimizers, (tuple, list)) or len(optimizers) != 2:
        raise TypeError(
            f"optimizers is a pair, (optimizer, scheduler), either of which may be None; got "
            f"{type(optimizers).__name__}"
        )


def inspect_model(trainer: Trainer) -> None:
    """Find out what the forward takes, which of it are labels, and how its loss counts."""
    bare = trainer._bare()
    parameters = inspect.signature(bare.forward).parameters
    said = getattr(bare, "accepts_loss_kwargs", None)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    trainer.model_accepts_loss_kwargs = bool(said) if said is not None else "num_items_in_batch" in parameters
    named = [name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    trainer._signature_columns = None if takes_any and len(parameters) == 1 else named
    found = [name for name in parameters if "label" in name or name in ("start_positions", "end_positions")]
    trainer.label_names = list(trainer.args.label_names) if trainer.args.label_names is not None else found
    if takes_any and len(parameters) == 1 and not trainer.label_names:
        trainer.label_names = ["labels"]
    trainer.can_return_loss = any(
        name == "return_loss" and p.default is True for name, p in parameters.items()
    )
    trainer._shifted = shifts_labels(bare)


def _refuse_paths(trainer: Trainer) -> None:
    """Tell a file name from a dataset."""
    for name in ("train_dataset", "eval_dataset"):
        given = getattr(trainer, name)
        if isinstance(given, (str, os.PathLike)):
            raise TypeError(
                f"{name} must be a dataset, not a name ({str(given)!r}): read the file with "
                f"datasets.load_dataset('csv', data_files=...) or formers.training.data.load_table, and "
                f"tokenize its rows with formers.training.data.tokenize_rows"
            )


def check(trainer: Trainer) -> None:
    """Refuse what cannot work, before any work is done."""
    args = trainer.args
    _refuse_paths(trainer)
    if args.eval_strategy != IntervalStrategy.NO and trainer.eval_dataset is None:
        raise ValueError(
            f"eval_strategy={str(args.eval_strategy)!r} evaluates during training, but there is no "
            f"eval_dataset: pass one "
            "(dataset.train_test_split(test_size=0.1) makes one), or leave eval_strategy out"
        )
    if trainer.optimizer is not None and trainer.optimizer_cls_and_kwargs is not None:
        raise RuntimeError("give optimizers or optimizer_cls_and_kwargs, not both")
    if trainer.model_init is not None and (trainer.optimizer or trainer.lr_scheduler):
        raise RuntimeError("an optimizer cannot be given with model_init: override create_optimizer instead")
    if trainer.train_dataset is not None and not has_length(trainer.train_dataset) and args.max_steps <= 0:
        raise ValueError("the training set has no length (a stream), so max_steps must say how long to train")
    if args.batch_eval_metrics and trainer.compute_metrics is not None:
        parameters = inspect.signature(trainer.compute_metrics).parameters
        if "compute_result" not in parameters and not any(
            p.kind is p.VAR_KEYWORD for p in parameters.values()
        ):
            raise ValueError(
                "batch_eval_metrics=True calls compute_metrics for every batch, with "
                "compute_result=True at the last: it must "
                "take that keyword"
            )
    custom_loss = trainer.compute_loss_func is not None or trainer._overrides("compute_loss")
    if trainer._signature_columns is not None and not custom_loss:
        _refuse_headless(trainer)
    _check_tokenizer(trainer)


def _refuse_headless(trainer: Trainer) -> None:
    from formers.model.base import PreTrainedModel

    bare = trainer._bare()
    if isinstance(bare, PreTrainedModel) and not trainer.label_names and not trainer.can_return_loss:
        raise ValueError(
            f"{type(bare).__name__} has no head and computes no loss: load the checkpoint with a class "
            f"for the task, such "
            "as AutoModelForSequenceClassification, or pass compute_loss_func"
        )


def _check_tokenizer(trainer: Trainer) -> None:
    """Notice a tokenizer that is another model's."""
    from formers.configs import PretrainedConfig

    config = getattr(trainer._bare(), "config", None)
    if trainer.processing_class is None or not isinstance(config, PretrainedConfig):
        return
    from formers.tokenization import PreTrainedTokenizerBase
    from formers.tokenization.fitting import fits

    if isinstance(trainer.processing_class, PreTrainedTokenizerBase):
        for complaint in fits(trainer.processing_class, config):
            notice(f"Tokenizer and model do not fit: {complaint}")


def look_at_labels(trainer: Trainer) -> None:
    """Build the loss that the arguments ask for, and notice imbalanced labels."""
    names = [
        name for name in ("labels", "label", "label_ids") if name in (columns_of(trainer.train_dataset) or [])
    ]

    def labels() -> Any:
        return column(trainer.train_dataset, names[0]) if names else None

    trainer._label_loss = label_loss(trainer.args, labels, trainer._bare())
    config = getattr(trainer._bare(), "config", None)
    if names and trainer._label_loss is None:
        notice_imbalance(count_labels(labels()), getattr(config, "id2label", None))
