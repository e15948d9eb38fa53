"""Training: `Trainer` and everything around it. Each name is loaded when it is first used."""

from __future__ import annotations

from formers.core.lazy import lazy

# module of this package -> its public names
_TABLE: dict[str, tuple[str, ...]] = {
    "optim.adafactor": ("Adafactor", "AdafactorSchedule", "get_adafactor_schedule"),
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
        "DataCollatorMixin",
        "DataCollatorWithFlattening",
        "DataCollatorWithPadding",
        "DefaultDataCollator",
        "default_data_collator",
    ),
    "data.objects": ("DataCollatorForObjectDetection",),
    "distillation": ("DistillationTrainer",),
    "losses": ("LabelLoss", "LabelSmoother"),
    "optim.optimizers": ("AdamW", "Lion"),
    "callbacks.progress": ("ProgressCallback",),
    "callbacks.trackers": (
        "CodeCarbonCallback",
        "MLflowCallback",
        "TensorBoardCallback",
        "TrackioCallback",
        "WandbCallback",
        "default_logdir",
        "get_available_reporting_integrations",
    ),
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

__getattr__, __dir__ = lazy(__name__, {f".{module}": names for module, names in _TABLE.items()})
