"""Transformers, built again from shared blocks.

Importing this package imports no torch: every public name is found in one table and its module
is loaded when the name is first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from formers.adapters import NAMES as ADAPTERS
from formers.generation import NAMES as GENERATION
from formers.pipelines import NAMES as PIPELINES
from formers.processing import TABLE as PROCESSING
from formers.tasks.table import AUTO

__version__ = "0.1.0"

# module -> the public names that it defines
_TABLE: dict[str, tuple[str, ...]] = {
    **ADAPTERS,
    **GENERATION,
    **PIPELINES,
    "formers.auto": (
        "AutoConfig",
        "AutoModel",
        "AutoProcessor",
        "AutoTokenizer",
        "_BaseAutoModelClass",
        *AUTO,
    ),
    "formers.configs": ("GenerationConfig", "PretrainedConfig", "PreTrainedConfig"),
    "formers.nn.cache": ("Cache", "DynamicCache", "EncoderDecoderCache", "QuantizedCache", "StaticCache"),
    "formers.checkpoints.conversions": (
        *("Chunk", "Concatenate", "ConversionOps", "MergeModulelist", "SplitModulelist", "Transpose"),
        *("USER_REGISTERED_MAPPINGS", "WeightConverter", "WeightRenaming", "WeightTransform"),
        *("_MODEL_TO_CONVERSION_PATTERN", "dot_natural_key", "extract_weight_conversions_for_model"),
        *("get_checkpoint_conversion_mapping", "get_model_conversion_mapping"),
        *("register_checkpoint_conversion_mapping", "rename_source_key"),
    ),
    "formers.checkpoints.converted": ("revert_weight_conversion",),
    "formers.core.available": (
        *("OptionalDependencyNotAvailable", "check_min_version", "deepspeed_config", "require_version"),
        *("requires_backends", "send_example_telemetry"),
    ),
    "formers.core.commandline": ("HfArg", "HfArgumentParser", "string_to_bool"),
    "formers.core.decorators": (
        "ContextManagers",
        "add_code_sample_docstrings",
        "add_end_docstrings",
        "add_start_docstrings",
        "add_start_docstrings_to_model_forward",
        "can_return_tuple",
        "copy_func",
        "deprecate_kwarg",
        "replace_return_docstrings",
    ),
    "formers.core.logging": ("CaptureLogger", "get_logger"),
    "formers.core.remote_code": (
        *("check_imports", "custom_object_save", "get_cached_module_file", "get_class_from_dynamic_module"),
        *("get_class_in_module", "get_imports", "get_relative_import_files", "get_relative_imports"),
        "resolve_trust_remote_code",
    ),
    "formers.adapters.folders": ("find_adapter_config_file",),
    "formers.adapters.mixin": ("PeftAdapterMixin",),
    "formers.peft_auto": (
        *("AutoPeftModel", "AutoPeftModelForCausalLM", "AutoPeftModelForFeatureExtraction"),
        *("AutoPeftModelForQuestionAnswering", "AutoPeftModelForSeq2SeqLM"),
        *("AutoPeftModelForSequenceClassification", "AutoPeftModelForTokenClassification"),
    ),
    "formers.core.script_names": (
        *("bytes_to_unicode", "check_torch_load_is_safe", "is_flash_attention_requested"),
        *("layer_type_validation", "whitespace_tokenize", "working_or_temp_dir"),
    ),
    "formers.evaluation.spans": ("compute_exact", "compute_f1", "normalize_answer"),
    "formers.core.test_decorators": (
        *("require_accelerate", "require_bitsandbytes", "require_optuna", "require_peft", "require_ray"),
        *("require_safetensors", "require_sentencepiece", "require_tokenizers", "require_torch"),
        *("require_torch_accelerator", "require_torch_gpu", "require_torch_multi_gpu", "require_vision"),
        *("slow", "torch_device"),
    ),
    "formers.core.outputs": (
        "BaseModelOutput",
        "BaseModelOutputWithPooling",
        "ModelOutput",
        "Seq2SeqModelOutput",
    ),
    "formers.dropin.task_names": ("SUPPORTED_TASKS", "TASK_ALIASES", "get_task"),
    "formers.core.fields": ("ExplicitEnum",),
    "formers.hub": ("PushToHubMixin",),
    "formers.hub.files": (
        "ADAPTER_CONFIG_NAME",
        "ADAPTER_SAFE_WEIGHTS_NAME",
        "ADAPTER_WEIGHTS_NAME",
        "CHAT_TEMPLATE_NAME",
        "CONFIG_NAME",
        "GENERATION_CONFIG_NAME",
        "PROCESSOR_NAME",
        "SAFE_WEIGHTS_INDEX_NAME",
        "SAFE_WEIGHTS_NAME",
        "WEIGHTS_INDEX_NAME",
        "WEIGHTS_NAME",
        "cached_file",
        "extract_commit_hash",
        "get_checkpoint_shard_files",
        "has_file",
        "http_user_agent",
        "is_offline_mode",
        "is_remote_url",
    ),
    "formers.model.base": ("PreTrainedModel",),
    "formers.nn.additive": (
        *("AttentionMaskConverter", "_prepare_4d_attention_mask", "_prepare_4d_causal_attention_mask"),
        "_prepare_4d_causal_attention_mask_for_sdpa",
    ),
    "formers.nn.capturing": ("OutputRecorder", "capture_outputs"),
    "formers.nn.custom_layers": (
        *("FlashAttentionKwargs", "GradientCheckpointingLayer", "LossKwargs", "ROPE_INIT_FUNCTIONS"),
        *("TransformersKwargs", "dynamic_rope_update", "prepare_fa_kwargs_from_position_ids"),
        "shift_tokens_right",
    ),
    "formers.nn.interface": (
        *("ALL_ATTENTION_FUNCTIONS", "AttentionInterface", "eager_attention_forward"),
        "sdpa_attention_forward",
    ),
    "formers.nn.leaves": ("Conv1D",),
    "formers.nn.mask_functions": (
        *("ALL_MASK_ATTENTION_FUNCTIONS", "AttentionMaskInterface", "and_masks"),
        *("bidirectional_mask_function", "causal_mask_function", "chunked_causal_mask_function"),
        *("chunked_overlay", "create_bidirectional_mask", "create_causal_mask"),
        *("create_chunked_causal_mask", "create_masks_for_generate"),
        *("create_sliding_window_causal_mask", "eager_mask"),
        *("find_packed_sequence_indices", "or_masks", "packed_sequence_mask_function"),
        *("padding_mask_function", "prepare_padding_mask", "sdpa_mask", "sliding_window_overlay"),
        *("sliding_window_bidirectional_mask_function", "sliding_window_causal_mask_function"),
    ),
    "formers.nn.named_losses": (
        *("ForCausalLMLoss", "ForMaskedLMLoss", "ForQuestionAnsweringLoss", "ForSequenceClassificationLoss"),
        *("ForTokenClassification", "LOSS_MAPPING", "fixed_cross_entropy"),
    ),
    "formers.nn.surgery": (
        "ACT2FN",
        "ALL_LAYERNORM_LAYERS",
        *("GELUActivation", "GELUTanh", "QuickGELUActivation"),
        "NewGELUActivation",
        "PytorchGELUTanh",
        "apply_chunking_to_forward",
        "apply_rotary_pos_emb",
        "find_pruneable_heads_and_indices",
        "get_activation",
        *("gelu", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "linear_act", "mish"),
        *("quick_gelu", "silu"),
        "id_tensor_storage",
        "prune_conv1d_layer",
        "prune_linear_layer",
        "repeat_kv",
        "rotate_half",
        "torch_float",
        "torch_int",
    ),
    "formers.nn.script_names": (
        *("DUMMY_INPUTS", "DUMMY_MASK", "apply_rotary_pos_emb_interleave", "causal_conv1d_fn"),
        *("causal_conv1d_update", "dropout_add", "get_parameter_dtype", "lazy_load_kernel"),
        *("load_balancing_loss_func", "mamba_inner_fn", "selective_scan_fn", "selective_state_update"),
        *("softmax_backward_data", "unwrap_model", "yarn_get_mscale"),
    ),
    "formers.tokenization": (
        "AddedToken",
        "BatchEncoding",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast",
        "PaddingStrategy",
        "TokenSpan",
        "CharSpan",
        "TensorType",
        "TruncationStrategy",
        *("EncodedInput", "LARGE_INTEGER", "PreTokenizedInput", "TextInput", "VERY_LARGE_INTEGER"),
        *("EncodedInputPair", "PreTokenizedInputPair", "TextInputPair"),
        "TokenizersBackend",
        *("get_json_schema", "get_tokenizer_config"),
    ),
    "formers.tokenization.languages": ("LANGUAGES", "TO_LANGUAGE_CODE"),
    "formers.tokenization.tools": ("DocstringParsingException", "TypeHintParsingException"),
    "formers.processing": (
        *("AutoFeatureExtractor", "AutoImageProcessor", "AutoVideoProcessor", "BaseImageProcessor"),
        "BatchFeature",
        *("BaseImageProcessorFast", "ImageProcessingMixin"),
        *("FeatureExtractionMixin", "ProcessorMixin", "SequenceFeatureExtractor"),
    ),
    "formers.processing.audio.live": PROCESSING["audio.live"],
    "formers.processing.audio.reading": ("load_audio",),
    "formers.processing.audio.spectra": PROCESSING["audio.spectra"],
    "formers.processing.documents": ("load_pages",),
    "formers.processing.grouping": PROCESSING["grouping"],
    "formers.processing.keywords": PROCESSING["keywords"],
    "formers.processing.kinds": PROCESSING["kinds"],
    "formers.processing.reading": ("ImageInput", "load_image"),
    "formers.processing.recipe": (
        *("IMAGENET_DEFAULT_MEAN", "IMAGENET_DEFAULT_STD", "IMAGENET_STANDARD_MEAN", "IMAGENET_STANDARD_STD"),
        *("OPENAI_CLIP_MEAN", "OPENAI_CLIP_STD", "PILImageResampling"),
    ),
    "formers.processing.sessions": ("Sam2VideoInferenceSession",),
    "formers.processing.sizes": PROCESSING["sizes"],
    "formers.processing.transforms": PROCESSING["transforms"],
    "formers.quantization.config": ("BitsAndBytesConfig",),
    "formers.quantization.configs": (
        *("AwqConfig", "CompressedTensorsConfig", "FineGrainedFP8Config", "GPTQConfig"),
        *("GgufConfig", "HqqConfig"),
        *("Int8DynamicConfig", "Mxfp4Config", "QuantoConfig", "TorchAoConfig"),
    ),
    "formers.quantization.registered": (
        *("AUTO_QUANTIZATION_CONFIG_MAPPING", "AUTO_QUANTIZER_MAPPING", "AutoHfQuantizer"),
        *("AutoQuantizationConfig", "HfQuantizer", "QuantizationConfigMixin", "QuantizationMethod"),
        *("get_module_from_name", "register_quantization_config", "register_quantizer"),
        "should_convert_module",
    ),
    "formers.tasks.backbone": ("BackboneMixin",),
    "formers.training": (
        *(
            "BestRun",
            "CallbackHandler",
            "EvalLoopOutput",
            "EvaluationStrategy",
            "ExportableState",
            "HPSearchBackend",
            "HubStrategy",
            "LabelSmoother",
        ),
        *("MLflowCallback", "OptimizerNames", "PredictionOutput", "SaveStrategy", "TrackioCallback"),
        *("CodeCarbonCallback", "TrainOutput", "WandbCallback", "default_logdir"),
        "get_available_reporting_integrations",
        *("Adafactor", "AdafactorSchedule", "get_adafactor_schedule"),
        "AdamW",
        "DataCollator",
        "DataCollatorForLanguageModeling",
        "DataCollatorForMultipleChoice",
        "DataCollatorForPermutationLanguageModeling",
        "DataCollatorForObjectDetection",
        "DataCollatorForSeq2Seq",
        "DataCollatorForTokenClassification",
        "DataCollatorForWholeWordMask",
        "DataCollatorMixin",
        "DataCollatorWithFlattening",
        "DataCollatorWithPadding",
        "DefaultDataCollator",
        "DefaultFlowCallback",
        "EarlyStoppingCallback",
        "EvalPrediction",
        "GreedyLR",
        "IntervalStrategy",
        "PrinterCallback",
        "ProgressCallback",
        "SchedulerType",
        "Seq2SeqTrainer",
        "Seq2SeqTrainingArguments",
        "TensorBoardCallback",
        "Trainer",
        "TrainerCallback",
        "TrainerControl",
        "TrainerState",
        "TrainingArguments",
        "default_data_collator",
        "enable_full_determinism",
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup",
        "get_greedy_schedule",
        "get_inverse_sqrt_schedule",
        "get_last_checkpoint",
        "get_linear_schedule_with_warmup",
        "get_polynomial_decay_schedule_with_warmup",
        "get_reduce_on_plateau_schedule",
        "get_scheduler",
        "get_wsd_schedule",
        "set_seed",
    ),
    "formers.training.cards": ("extract_hyperparameters_from_trainer", "make_markdown_table"),
    "formers.training.data": ("has_length",),
    "formers.training.script_names": (
        *("DEFAULT_CALLBACKS", "get_length_grouped_indices", "is_local_dist_rank_0"),
        *("remove_dummy_checkpoint", "FSDP_MODEL_NAME", "OPTIMIZER_NAME"),
        "OPTIMIZER_NAME_BIN",
        "PREFIX_CHECKPOINT_DIR",
        "ParallelMode",
        "SCALER_NAME",
        "SCHEDULER_NAME",
        "TRAINER_STATE_NAME",
        "TRAINING_ARGS_NAME",
        "default_compute_objective",
        "default_hp_space_optuna",
        "get_model_param_count",
        "get_parameter_names",
        "is_main_process",
        "nested_concat",
        "nested_detach",
        "nested_gather",
        "nested_numpify",
        "number_of_arguments",
        "seed_worker",
        "speed_metrics",
    ),
    "formers.training.trial_names": ("TrialShortNamer",),
    "formers.core.devices": ("infer_device",),
    "typing_extensions": ("Unpack",),
}

_MODULE_OF = {name: module for module, names in _TABLE.items() for name in names}


def _load(name: str) -> ModuleType:
    """Import a module with the garbage collector at rest."""
    from formers.core.collector import resting

    with resting():
        return importlib.import_module(name)


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is not None:
        value = getattr(_load(module), name)
    elif name == "__all__":  # `from formers import *`, as old tutorials have it
        value = _public()
    elif name.startswith("__"):
        raise AttributeError(f"module 'formers' has no attribute {name!r}")
    elif name[0].islower() and _is_submodule(name):
        value = _load(f"formers.{name}")
    else:
        value = _derived(name)
    globals()[name] = value
    return value


def _is_submodule(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"formers.{name}") is not None


class _Paths:
    """Finds modules of older paths, such as `formers.trainer_utils`, in the table of `paths.py`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if not name.startswith("formers.") or name == "formers.paths":
            return None
        return _load("formers.paths").spec_of(name)


sys.meta_path.append(_Paths)


def _derived(name: str) -> Any:
    """Find a class that a model family or a tokenizer recipe gives its name to."""
    names = _load("formers.names")
    found = names.find(name)
    try:
        if found is not None:
            return getattr(_load(found[0]), found[1])
        why = names.reason_of_absence(name)
        if not why and name[0].islower():  # `from formers import masking_utils`
            why = _load("formers.paths").reason_of_absence(name)
    except AttributeError as error:  # a name of a family that has no such class; the text names the nearest
        why = names.reason_of_absence(name) or str(error).partition(repr(name))[2]
    if found is None and not why:
        from formers.core.notices import did_you_mean

        why = did_you_mean(name, [*_MODULE_OF, *(names.known() if name[0].isupper() else ())])
    if sys._getframe(2).f_code.co_name == "_handle_fromlist":
        # `from formers import ...` would drop the text of an AttributeError
        raise ImportError(f"cannot import name {name!r} from 'formers'{why}", name="formers")
    raise AttributeError(f"module 'formers' has no attribute {name!r}{why}")


def _public() -> list[str]:
    return sorted({*_MODULE_OF, *_load("formers.names").known()})


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})
