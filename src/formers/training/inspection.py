"""What a trainer finds out about its model and data before it starts, and what it refuses."""

from __future__ import annotations

import inspect
import os
from typing import Any, NamedTuple

from torch import nn

from formers.core.notices import notice
from formers.tasks.table import task_of
from formers.training.callbacks.base import TrainerCallback
from formers.training.choices import IntervalStrategy
from formers.training.data.columns import column, columns_of, has_length
from formers.training.losses import (
    LabelLoss,
    LabelSmoother,
    count_labels,
    label_loss,
    notice_imbalance,
    shifts_labels,
)
from formers.training.pitfalls import notice_pitfalls


def check_kinds(
    model: Any, model_init: Any, args: Any, compute_metrics: Any, callbacks: Any, optimizers: Any
) -> None:
    """Refuse what is not what its keyword says.

    Raises:
        TypeError: naming what was passed, and what to type.
        RuntimeError, ValueError: for no model, and for two.
    """
    from formers.training.arguments import TrainingArguments

    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a model, not {type(model).__name__} ({str(model)[:60]!r}): load it first, for "
            "example with AutoModelForSequenceClassification.from_pretrained(name)"
        )
    if args is not None and not isinstance(args, TrainingArguments):
        raise TypeError(f"args must be TrainingArguments, not {type(args).__name__}: TrainingArguments(...)")
    if compute_metrics is not None and not callable(compute_metrics):
        raise TypeError(f"compute_metrics must be a function of an EvalPrediction, not {compute_metrics!r}")
    if (model is None) == (model_init is None):
        raise (RuntimeError if model is None else ValueError)(
            "Trainer needs either a model or model_init (a function that makes one), and not both"
        )
    for callback in callbacks or ():
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, TrainerCallback):
            raise TypeError(f"callbacks must be TrainerCallbacks (or classes of them), not {callback!r}")
    if not isinstance(optimizers, (tuple, list)) or len(optimizers) != 2:
        raise TypeError(
            "optimizers is a pair, (optimizer, scheduler), either of which may be None; got "
            f"{type(optimizers).__name__}"
        )


def processing_class_of(given: Any, older: dict[str, Any]) -> Any:
    """The tokenizer or processor, by its name of today or by the older one."""
    if "tokenizer" in older and given is not None:
        raise TypeError("Trainer got both processing_class and tokenizer, which mean the same")
    return older.get("tokenizer", given)


def use_cache(model: nn.Module, wanted: bool) -> None:
    """Tell a model that can keep keys and values whether to."""
    config = getattr(model, "config", None)
    if config is not None and hasattr(config, "use_cache"):
        config.use_cache = wanted


def is_own(trainer: Any, kind: type, *methods: str) -> bool:
    """Whether none of these methods is that of `kind`: a subclass has others, or the object has."""
    return all(getattr(getattr(trainer, m), "__func__", None) is not getattr(kind, m) for m in methods)


def label_smoother(args: Any) -> LabelSmoother | None:
    """What older overrides of `compute_loss` smooth labels with, where the arguments ask for it."""
    return LabelSmoother(args.label_smoothing_factor) if args.label_smoothing_factor else None


def made_model(model_init: Any, trial: Any) -> nn.Module:
    """What `model_init` makes, which takes nothing or the trial of a search."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model_init).parameters.values()
    wanted = any(p.default is p.empty and p.kind in positional for p in parameters)
    model: nn.Module | None = model_init(trial) if wanted else model_init()
    if model is None:
        raise RuntimeError("model_init returned None; it must return a model")
    return model


class Facts(NamedTuple):
    """What a model's forward takes, which of it are labels, and how its loss counts.

    Attributes:
        columns: names of what the forward takes; None where it takes anything.
        label_names: those that are labels.
        can_return_loss: whether it takes `return_loss`, by default True.
        accepts_loss_kwargs: whether it takes `num_items_in_batch`.
        shifts_labels: whether position i is compared with label i + 1.
    """

    columns: list[str] | None
    label_names: list[str]
    can_return_loss: bool
    accepts_loss_kwargs: bool
    shifts_labels: bool

    @classmethod
    def of(cls, model: nn.Module, args: Any) -> Facts:
        """Look at a model, without the adapter around it."""
        parameters = inspect.signature(model.forward).parameters
        said = getattr(model, "accepts_loss_kwargs", None)
        named = [name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        anything = len(parameters) == 1 and all(p.kind is p.VAR_KEYWORD for p in parameters.values())
        ends = ("start_positions", "end_positions")
        labels = [name for name in parameters if "label" in name or name in ends]
        labels = labels if args.label_names is None else list(args.label_names)
        returns = parameters.get("return_loss")
        return cls(
            columns=None if anything else named,
            label_names=labels or (["labels"] if anything else []),
            can_return_loss=returns is not None and returns.default is True,
            accepts_loss_kwargs=bool(said) if said is not None else "num_items_in_batch" in parameters,
            shifts_labels=shifts_labels(model),
        )


def _refuse_paths(trainer: Any) -> None:
    """Tell a file name from a dataset."""
    for name in ("train_dataset", "eval_dataset"):
        given = getattr(trainer, name)
        if isinstance(given, (str, os.PathLike)):
            raise TypeError(
                f"{name} must be a dataset, not a name ({str(given)!r}): read the file with "
                "datasets.load_dataset('csv', data_files=...) or formers.training.data.load_table, and "
                "tokenize its rows with formers.training.data.tokenize_rows"
            )


def check(trainer: Any, facts: Facts, own_loss: bool) -> None:
    """Refuse what cannot work, before any work is done; `own_loss` says that `compute_loss` is overridden."""
    args = trainer.args
    _refuse_paths(trainer)
    if args.eval_strategy != IntervalStrategy.NO and trainer.eval_dataset is None:
        raise ValueError(
            f"eval_strategy={str(args.eval_strategy)!r} evaluates during training, but there is no "
            "eval_dataset: pass one (dataset.train_test_split(test_size=0.1) makes one), or leave "
            "eval_strategy out"
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
                "batch_eval_metrics=True calls compute_metrics for every batch, with compute_result=True at "
                "the last: it must take that keyword"
            )
    if facts.columns is not None and trainer.compute_loss_func is None and not own_loss:
        _refuse_headless(trainer)
    _check_tokenizer(trainer)
    notice_pitfalls(trainer)


def _refuse_headless(trainer: Any) -> None:
    from formers.model.base import PreTrainedModel

    bare = trainer.bare_model
    if isinstance(bare, PreTrainedModel) and not trainer.label_names and not trainer.can_return_loss:
        raise ValueError(
            f"{type(bare).__name__} has no head and computes no loss: load the checkpoint with a class for "
            "the task, such as AutoModelForSequenceClassification, or pass compute_loss_func"
        )


def _check_tokenizer(trainer: Any) -> None:
    """Notice a tokenizer that is another model's."""
    from formers.configs import PretrainedConfig

    config = getattr(trainer.bare_model, "config", None)
    if trainer.processing_class is None or not isinstance(config, PretrainedConfig):
        return
    from formers.tokenization import PreTrainedTokenizerBase
    from formers.tokenization.fitting import fits

    if isinstance(trainer.processing_class, PreTrainedTokenizerBase):
        for complaint in fits(trainer.processing_class, config):
            notice(f"Tokenizer and model do not fit: {complaint}")


def find_label_loss(trainer: Any) -> LabelLoss | None:
    """The loss that the arguments ask for, None for the model's own.

    Imbalanced labels are noticed, unless the model's task has no names for them: letters are no classes.
    """
    dataset, bare = trainer.train_dataset, trainer.bare_model
    names = [name for name in ("labels", "label", "label_ids") if name in (columns_of(dataset) or [])]

    def labels() -> Any:
        return column(dataset, names[0]) if names else None

    loss = label_loss(trainer.args, labels, bare)
    task = task_of(bare)
    if names and loss is None and (task is None or task.labelled):
        notice_imbalance(count_labels(labels()), getattr(getattr(bare, "config", None), "id2label", None))
    return loss
