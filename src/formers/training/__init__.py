"""Training: `Trainer` and everything around it. Each name is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import Any

# module of this package -> its public names
_TABLE: dict[str, tuple[str, ...]] = {
    "optim.adafactor": ("Adafactor",),
    "arguments": ("Seq2SeqTrainingArguments", "TrainingArguments"),
    "callbacks.base": (
        "CallbackHandler",
        "DefaultFlowCallback",
        "EarlyStoppingCallback",
        "PrinterCallback",
        "TrainerCallback",
    ),
    "files": ("get_last_checkpoint",),
    "choices": (
        "EvaluationStrategy",
        "HPSearchBackend",
        "HubStrategy",
        "IntervalStrategy",
        "OptimizerNames",
        "SaveStrategy",
        "SchedulerType",
    ),
    "data.collators": (
        "DataCollator",
        "DataCollatorForLanguageModeling",
        "DataCollatorForMultipleChoice",
        "DataCollatorForPermutationLanguageModeling",
        "DataCollatorForSeq2Seq",
        "DataCollatorForTokenClassification",
        "DataCollatorForWholeWordMask",
        "DataCollatorWithFlattening",
        "DataCollatorWithPadding",
        "DefaultDataCollator",
        "default_data_collator",
    ),
    "distillation": ("DistillationTrainer",),
    "losses": ("LabelLoss", "LabelSmoother"),
    "optim.optimizers": ("AdamW", "Lion"),
    "callbacks.progress": ("ProgressCallback",),
    "callbacks.trackers": ("MLflowCallback", "TensorBoardCallback", "TrackioCallback", "WandbCallback"),
    "optim.schedulers": (
        "GreedyLR",
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
        "get_greedy_schedule",
        "get_inverse_sqrt_schedule",
        "get_linear_schedule_with_warmup",
        "get_polynomial_decay_schedule_with_warmup",
        "get_reduce_on_plateau_schedule",
        "get_scheduler",
        "get_wsd_schedule",
    ),
    "seeds": ("enable_full_determinism", "set_seed"),
    "seq2seq": ("Seq2SeqTrainer",),
    "state": (
        "BestRun",
        "EvalLoopOutput",
        "EvalPrediction",
        "ExportableState",
        "PredictionOutput",
        "TrainOutput",
        "TrainerControl",
        "TrainerState",
    ),
    "trainer": ("Trainer",),
}

_MODULE_OF = {name: module for module, names in _TABLE.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
