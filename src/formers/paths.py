"""The ecosystem's older module paths: which public names of this package each of them holds.

`formers.trainer_utils` is no file. It is made when it is imported, and asks `formers` for each of its names.
A layer under another name can be made from the same table.
"""

from __future__ import annotations

import importlib
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_OUTPUTS = (
    "BaseModelOutput BaseModelOutputWithCrossAttentions BaseModelOutputWithNoAttention "
    "BaseModelOutputWithPast BaseModelOutputWithPastAndCrossAttentions BaseModelOutputWithPooling "
    "BaseModelOutputWithPoolingAndNoAttention BaseModelOutputWithPoolingAndCrossAttentions "
    "CausalLMOutput CausalLMOutputWithCrossAttentions CausalLMOutputWithPast ImageClassifierOutput "
    "MaskedImageModelingOutput MaskedLMOutput ModelOutput MoECausalLMOutputWithPast "
    "MoeCausalLMOutputWithPast MoeModelOutputWithPast MultipleChoiceModelOutput "
    "NextSentencePredictorOutput QuestionAnsweringModelOutput SemanticSegmenterOutput Seq2SeqLMOutput "
    "Seq2SeqModelOutput Seq2SeqQuestionAnsweringModelOutput Seq2SeqSequenceClassifierOutput "
    "SequenceClassifierOutput SequenceClassifierOutputWithPast TokenClassifierOutput XVectorOutput"
)
_FILES = (
    "ADAPTER_CONFIG_NAME ADAPTER_SAFE_WEIGHTS_NAME ADAPTER_WEIGHTS_NAME CHAT_TEMPLATE_NAME CONFIG_NAME "
    "GENERATION_CONFIG_NAME PROCESSOR_NAME SAFE_WEIGHTS_INDEX_NAME SAFE_WEIGHTS_NAME WEIGHTS_INDEX_NAME "
    "WEIGHTS_NAME PushToHubMixin cached_file extract_commit_hash get_checkpoint_shard_files has_file "
    "http_user_agent is_offline_mode is_remote_url"
)
_DOCSTRINGS = (
    "add_code_sample_docstrings add_end_docstrings add_start_docstrings "
    "add_start_docstrings_to_model_forward copy_func replace_return_docstrings"
)
_GENERIC = (
    "ContextManagers ExplicitEnum ModelOutput PaddingStrategy TensorType can_return_tuple torch_float "
    "torch_int is_torch_fx_proxy"
)
_VERSIONS = "check_min_version require_version"
_COLLATORS = (
    "DataCollator DataCollatorForLanguageModeling DataCollatorForMultipleChoice "
    "DataCollatorForPermutationLanguageModeling DataCollatorForSeq2Seq "
    "DataCollatorForTokenClassification DataCollatorForWholeWordMask DataCollatorWithFlattening "
    "DataCollatorWithPadding DefaultDataCollator default_data_collator"
)
_TOKENIZING = (
    "AddedToken BatchEncoding CharSpan EncodedInput PreTokenizedInput TextInput "
    "LARGE_INTEGER PaddingStrategy PreTrainedTokenizerBase TensorType "
    "TokenSpan TruncationStrategy VERY_LARGE_INTEGER"
)
_TRACKERS = "MLflowCallback TensorBoardCallback TrackioCallback WandbCallback"
_ARGUMENTS = "OptimizerNames ParallelMode TrainingArguments"

# path -> its names; with "*is_" all questions for what is installed, "" a path that only holds others
PATHS: dict[str, str] = {
    "activations": "ACT2FN GELUActivation NewGELUActivation PytorchGELUTanh get_activation",
    "cache_utils": "Cache DynamicCache EncoderDecoderCache StaticCache",
    "configuration_utils": "PretrainedConfig PreTrainedConfig CONFIG_NAME",
    "data": _COLLATORS,
    "data.data_collator": _COLLATORS,
    "file_utils": f"{_DOCSTRINGS} {_FILES} {_GENERIC} *is_",
    "hf_argparser": "HfArg HfArgumentParser string_to_bool",
    "integrations": f"{_TRACKERS} is_deepspeed_zero3_enabled is_fsdp_enabled *is_",
    "integrations.integration_utils": f"{_TRACKERS} *is_",
    "logging": "",
    "modeling_outputs": _OUTPUTS,
    "modeling_utils": "PreTrainedModel PretrainedConfig",
    "optimization": (
        "Adafactor AdamW GreedyLR get_constant_schedule get_constant_schedule_with_warmup "
        "get_cosine_schedule_with_warmup get_cosine_with_hard_restarts_schedule_with_warmup "
        "get_cosine_with_min_lr_schedule_with_warmup get_greedy_schedule get_inverse_sqrt_schedule "
        "get_linear_schedule_with_warmup get_polynomial_decay_schedule_with_warmup "
        "get_reduce_on_plateau_schedule get_scheduler get_wsd_schedule"
    ),
    "processing_utils": "Unpack",
    "pytorch_utils": (
        "ALL_LAYERNORM_LAYERS Conv1D apply_chunking_to_forward id_tensor_storage prune_conv1d_layer "
        "prune_linear_layer"
    ),
    "tokenization_utils": (
        "PreTrainedTokenizer AddedToken BatchEncoding EncodedInput PreTokenizedInput TextInput"
    ),
    "tokenization_utils_base": _TOKENIZING,
    "tokenization_utils_fast": "PreTrainedTokenizerFast",
    "trainer": (
        "Trainer OPTIMIZER_NAME SCALER_NAME SCHEDULER_NAME TRAINER_STATE_NAME TRAINING_ARGS_NAME "
        "get_parameter_names get_model_param_count"
    ),
    "trainer_callback": (
        "CallbackHandler DefaultFlowCallback EarlyStoppingCallback ExportableState PrinterCallback "
        "ProgressCallback TrainerCallback TrainerControl TrainerState"
    ),
    "trainer_pt_utils": (
        "LabelSmoother get_model_param_count get_parameter_names nested_concat nested_detach nested_numpify"
    ),
    "trainer_seq2seq": "Seq2SeqTrainer",
    "trainer_utils": (
        "BestRun EvalLoopOutput EvalPrediction HubStrategy IntervalStrategy PREFIX_CHECKPOINT_DIR "
        "PredictionOutput SaveStrategy SchedulerType TrainOutput default_compute_objective "
        "default_hp_space_optuna enable_full_determinism get_last_checkpoint has_length "
        "number_of_arguments seed_worker set_seed speed_metrics"
    ),
    "training_args": _ARGUMENTS,
    "training_args_seq2seq": "Seq2SeqTrainingArguments",
    "utils": f"{_FILES} {_DOCSTRINGS} {_GENERIC} {_VERSIONS} get_json_schema requires_backends "
    "OptionalDependencyNotAvailable *is_",
    "utils.chat_template_utils": "get_json_schema",
    "utils.deprecation": "deprecate_kwarg",
    "utils.doc": _DOCSTRINGS,
    "utils.generic": _GENERIC,
    "utils.hub": _FILES,
    "utils.import_utils": "OptionalDependencyNotAvailable requires_backends *is_",
    "utils.logging": "",
    "utils.versions": "require_version",
}
# paths that are a module of this package by another name
_MODULES = {"logging": "formers.core.logging", "utils.logging": "formers.core.logging"}


class PathLoader(Loader):
    """Makes the module of one path."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: a plain module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module in: it asks `formers` for each name when it is first used."""
        root, _, path = module.__name__.partition(".")
        real = _MODULES.get(path)
        names = _names_of(path)

        def find(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if real is not None:
                value = getattr(importlib.import_module(real), name)
            elif f"{path}.{name}" in PATHS:
                value = importlib.import_module(f"{root}.{path}.{name}")
            elif name in names:
                value = getattr(importlib.import_module("formers"), name)
            else:
                raise AttributeError(_absence(module.__name__, name, names))
            setattr(module, name, value)
            return value

        module.__doc__ = f"The names that scripts import from `{path}`."
        module.__dict__["__getattr__"] = find
        module.__dict__["__dir__"] = lambda: sorted(names)
        module.__dict__["__all__"] = sorted(names)


def spec_of(fullname: str) -> ModuleSpec | None:
    """The spec of a module of the table, None for other names."""
    path = fullname.partition(".")[2]
    if path not in PATHS:
        return None
    return ModuleSpec(fullname, PathLoader(), is_package=any(one.startswith(f"{path}.") for one in PATHS))


def _names_of(path: str) -> list[str]:
    if path in _MODULES:
        return [name for name in dir(importlib.import_module(_MODULES[path])) if name[0] != "_"]
    names = PATHS[path].split()
    if "*is_" in names:
        from formers.core import available

        names = [*names, *available.names()]
    return [name for name in dict.fromkeys(names) if name != "*is_"]


def _absence(module: str, name: str, names: list[str]) -> str:
    from formers.core.notices import did_you_mean
    from formers.names import reason_of_absence

    return f"module {module!r} has no attribute {name!r}" + (
        reason_of_absence(name) or did_you_mean(name, names)
    )
