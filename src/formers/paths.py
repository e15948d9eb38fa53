"""The ecosystem's older module paths: which public names of this package each of them holds.

`formers.trainer_utils` is no file. It is made when it is imported, and asks `formers` for each of its names.
A layer under another name can be made from the same table.
"""

from __future__ import annotations

import dis
import importlib
import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from formers.generation import NAMES as GENERATION
from formers.models.table import FAMILIES
from formers.names import map_of
from formers.processing import TABLE as PROCESSING
from formers.tasks.table import AUTO

_OUTPUTS = (
    "BackboneOutput BaseModelOutput BaseModelOutputWithCrossAttentions BaseModelOutputWithNoAttention "
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
    "check_model_inputs merge_with_config_defaults "
    "ContextManagers ExplicitEnum LossKwargs ModelOutput PaddingStrategy TensorType TransformersKwargs "
    "OutputRecorder can_return_tuple is_flash_attention_requested torch_float torch_int is_torch_fx_proxy "
    "working_or_temp_dir"
)
_VERSIONS = "check_min_version require_version send_example_telemetry"
_COLLATORS = (
    "DataCollator DataCollatorForLanguageModeling DataCollatorForMultipleChoice "
    "DataCollatorForPermutationLanguageModeling DataCollatorForSeq2Seq "
    "DataCollatorForTokenClassification DataCollatorForWholeWordMask DataCollatorMixin "
    "DataCollatorWithFlattening "
    "DataCollatorWithPadding DefaultDataCollator default_data_collator"
)
_TOKENIZING = (
    "AddedToken BatchEncoding CharSpan EncodedInput EncodedInputPair PreTokenizedInput "
    "PreTokenizedInputPair TextInput TextInputPair LARGE_INTEGER PaddingStrategy PreTrainedTokenizerBase "
    "TensorType TokenSpan TruncationStrategy VERY_LARGE_INTEGER"
)
_COLOURS = (
    "IMAGENET_DEFAULT_MEAN IMAGENET_DEFAULT_STD IMAGENET_STANDARD_MEAN IMAGENET_STANDARD_STD "
    "OPENAI_CLIP_MEAN OPENAI_CLIP_STD"
)
_PICTURES = " ".join(PROCESSING["kinds"])
_MASKS = (
    "ALL_MASK_ATTENTION_FUNCTIONS AttentionMaskInterface and_masks bidirectional_mask_function "
    "causal_mask_function chunked_causal_mask_function chunked_overlay create_bidirectional_mask "
    "create_causal_mask create_chunked_causal_mask create_masks_for_generate "
    "create_sliding_window_causal_mask eager_mask "
    "find_packed_sequence_indices or_masks packed_sequence_mask_function padding_mask_function "
    "prepare_padding_mask sdpa_mask sliding_window_bidirectional_mask_function "
    "sliding_window_causal_mask_function sliding_window_overlay"
)
_SIZES = " ".join(PROCESSING["sizes"])
_LOSSES = (
    "ForCausalLMLoss ForMaskedLMLoss ForQuestionAnsweringLoss ForSequenceClassificationLoss "
    "ForTokenClassification LOSS_MAPPING fixed_cross_entropy"
)
_TRACKERS = (
    "CodeCarbonCallback MLflowCallback TensorBoardCallback TrackioCallback WandbCallback "
    "get_available_reporting_integrations"
)
_ARGUMENTS = "default_logdir OptimizerNames ParallelMode TrainingArguments"
_MAPS = " ".join(f"{map_of(auto)} {map_of(auto)}_NAMES" for auto in ("AutoModel", *AUTO))
_CONFIG_MAPS = "AutoConfig CONFIG_MAPPING CONFIG_MAPPING_NAMES"
_TOKENIZER_MAPS = "AutoTokenizer TOKENIZER_MAPPING TOKENIZER_MAPPING_NAMES"
_AUTO = f"AutoModel {' '.join(AUTO)} {_MAPS}"

_VERSIONS_OF_TORCH = ("1_12", "1_13", "2_0", "2_1", "2_2", "2_3", "2_4", "2_6", "2_8")
_TORCHES = " ".join(f"is_torch_greater_or_equal_than_{one}" for one in _VERSIONS_OF_TORCH)

# path -> its names; with "*is_" all questions for what is installed, "" a path that only holds others
PATHS: dict[str, str] = {
    "activations": (
        "ACT2FN GELUActivation GELUTanh NewGELUActivation PytorchGELUTanh QuickGELUActivation gelu gelu_fast "
        "gelu_new gelu_python "
        "gelu_pytorch_tanh get_activation linear_act mish quick_gelu silu XIELUActivation"
    ),
    "audio_utils": f"load_audio {' '.join(PROCESSING['audio.spectra'])}",
    "backbone_utils": "BackboneConfigMixin BackboneMixin",
    "cache_utils": (
        "Cache DynamicCache DynamicLayer DynamicSlidingWindowLayer EncoderDecoderCache HybridCache "
        "MambaCache QuantizedCache SlidingWindowCache StaticCache StaticLayer"
    ),
    "configuration_utils": "layer_type_validation PretrainedConfig PreTrainedConfig CONFIG_NAME",
    "conversion_mapping": (
        "USER_REGISTERED_MAPPINGS _MODEL_TO_CONVERSION_PATTERN extract_weight_conversions_for_model "
        "get_checkpoint_conversion_mapping get_model_conversion_mapping "
        "register_checkpoint_conversion_mapping"
    ),
    "core_model_loading": (
        "Chunk Concatenate ConversionOps MergeModulelist SplitModulelist Transpose WeightConverter "
        "WeightRenaming WeightTransform dot_natural_key rename_source_key revert_weight_conversion"
    ),
    "convert_slow_tokenizer": "convert_slow_tokenizer",
    "data": _COLLATORS,
    "data.data_collator": _COLLATORS,
    "data.datasets": "",
    "data.datasets.language_modeling": "LineByLineTextDataset TextDataset",
    "data.metrics": "",
    "data.metrics.squad_metrics": "compute_exact compute_f1 normalize_answer",
    "data.processors": "",
    "data.processors.squad": "whitespace_tokenize",
    "data.processors.utils": "InputExample InputFeatures",
    "deepspeed": "deepspeed_config is_deepspeed_zero3_enabled",
    "distributed": "",
    "distributed.utils": "is_dtensor",
    "dynamic_module_utils": (
        "check_imports custom_object_save get_cached_module_file get_class_from_dynamic_module "
        "get_class_in_module get_imports get_relative_import_files get_relative_imports "
        "resolve_trust_remote_code"
    ),
    "feature_extraction_sequence_utils": "SequenceFeatureExtractor",
    "feature_extraction_utils": "BatchFeature FeatureExtractionMixin",
    "file_utils": f"{_DOCSTRINGS} {_FILES} {_GENERIC} *is_",
    "generation.beam_constraints": " ".join(GENERATION["formers.generation.constraints"]),
    "generation.configuration_utils": " ".join(
        ("GenerationConfig", "CompileConfig", *GENERATION["formers.generation.watermarks"])
    ),
    "generation.logits_process": " ".join(
        name
        for module, names in GENERATION.items()
        if module.startswith("formers.generation.processors.")
        for name in names
    ),
    "generation.stopping_criteria": " ".join(GENERATION["formers.generation.stopping"]),
    "generation.utils": " ".join(
        (
            "GenerationMixin",
            "LogitsProcessorList",
            "StoppingCriteriaList",
            *GENERATION["formers.generation.outputs"],
        )
    ),
    "image_processing_base": "BatchFeature ImageProcessingMixin",
    "image_processing_utils": f"BaseImageProcessor BatchFeature ImageProcessingMixin {_SIZES}",
    "image_processing_utils_fast": "BaseImageProcessorFast BatchFeature SizeDict",
    "image_transforms": "center_to_corners_format "
    + " ".join(PROCESSING["kinds"] + PROCESSING["transforms"] + PROCESSING["grouping"]),
    "image_utils": f"ImageInput PILImageResampling SizeDict load_image {_PICTURES} {_COLOURS}",
    "generation_utils": "GenerationMixin LogitsProcessorList StoppingCriteriaList top_k_top_p_filtering",
    "initialization": "no_init_weights",
    "hf_argparser": "HfArg HfArgumentParser string_to_bool",
    "integrations": (
        f"{_TRACKERS} PeftAdapterMixin deepspeed_config is_deepspeed_zero3_enabled is_fsdp_enabled *is_"
    ),
    "integrations.deepspeed": "deepspeed_config is_deepspeed_zero3_enabled",
    "integrations.flash_attention": "get_target_dtype",
    "integrations.flex_attention": "compile_friendly_flex_attention flex_attention_forward repeat_kv",
    "integrations.fsdp": "is_fsdp_enabled",
    "integrations.hub_kernels": "lazy_load_kernel",
    "integrations.integration_utils": f"{_TRACKERS} default_logdir *is_",
    "integrations.peft": "PeftAdapterMixin",
    "integrations.sdpa_attention": "repeat_kv sdpa_attention_forward",
    "logging": "",
    "loss": _LOSSES,
    "loss.loss_utils": _LOSSES,
    "masking_utils": _MASKS,
    "models.auto": f"{_AUTO} {_CONFIG_MAPS} {_TOKENIZER_MAPS} AutoFeatureExtractor AutoImageProcessor "
    "AutoProcessor AutoVideoProcessor",
    "models.auto.auto_factory": "_BaseAutoModelClass getattribute_from_module model_type_to_module_name",
    "models.auto.configuration_auto": _CONFIG_MAPS,
    "models.auto.feature_extraction_auto": "AutoFeatureExtractor",
    "models.auto.image_processing_auto": "AutoImageProcessor IMAGE_PROCESSOR_MAPPING_NAMES",
    "models.auto.modeling_auto": _AUTO,
    "models.auto.processing_auto": "AutoProcessor PROCESSOR_MAPPING_NAMES",
    "models.auto.tokenization_auto": f"{_TOKENIZER_MAPS} get_tokenizer_config",
    "models.byt5": "ByT5Tokenizer",
    "models.byt5.tokenization_byt5": "ByT5Tokenizer",
    "models.whisper.english_normalizer": "BasicTextNormalizer EnglishTextNormalizer",
    "models.auto.video_processing_auto": "AutoVideoProcessor",
    "modelcard": "extract_hyperparameters_from_trainer make_markdown_table",
    "modeling_attn_mask_utils": (
        "AttentionMaskConverter _prepare_4d_attention_mask _prepare_4d_causal_attention_mask "
        "_prepare_4d_causal_attention_mask_for_sdpa"
    ),
    "modeling_flash_attention_utils": "FlashAttentionKwargs prepare_fa_kwargs_from_position_ids",
    "modeling_gguf_pytorch_utils": "*is_",
    "modeling_layers": "GradientCheckpointingLayer",
    "modeling_outputs": _OUTPUTS,
    "modeling_rope_utils": "ROPE_INIT_FUNCTIONS dynamic_rope_update rope_config_validation",
    "modeling_utils": (
        "ALL_ATTENTION_FUNCTIONS AttentionInterface Conv1D ModuleUtilsMixin PreTrainedModel PretrainedConfig "
        "SequenceSummary no_init_weights "
        "apply_chunking_to_forward get_parameter_dtype is_local_dist_rank_0 prune_linear_layer unwrap_model"
    ),
    "optimization": (
        "Adafactor AdafactorSchedule AdamW GreedyLR get_adafactor_schedule get_constant_schedule "
        "get_constant_schedule_with_warmup get_cosine_schedule_with_warmup "
        "get_cosine_with_hard_restarts_schedule_with_warmup get_cosine_with_min_lr_schedule_with_warmup "
        "get_greedy_schedule get_inverse_sqrt_schedule "
        "get_linear_schedule_with_warmup get_polynomial_decay_schedule_with_warmup "
        "get_reduce_on_plateau_schedule get_scheduler get_wsd_schedule"
    ),
    "pipelines.audio_utils": "chunk_bytes_iter ffmpeg_microphone ffmpeg_microphone_live ffmpeg_read",
    "pipelines.base": "Chat ChunkPipeline Pipeline PipelineException is_valid_message",
    "pipelines.feature_extraction": "FeatureExtractionPipeline",
    "pipelines.fill_mask": "FillMaskPipeline",
    "pipelines.object_detection": "ObjectDetectionPipeline",
    "pipelines.pt_utils": "KeyDataset KeyPairDataset",
    "pipelines.question_answering": "QuestionAnsweringArgumentHandler QuestionAnsweringPipeline SquadExample",
    "pipelines.table_question_answering": (
        "TableQuestionAnsweringArgumentHandler TableQuestionAnsweringPipeline"
    ),
    "pipelines.text2text_generation": (
        "SummarizationPipeline Text2TextGenerationPipeline TranslationPipeline"
    ),
    "pipelines.text_classification": "ClassificationFunction TextClassificationPipeline",
    "pipelines.zero_shot_classification": "ZeroShotClassificationPipeline",
    "pipelines.token_classification": (
        "AggregationStrategy NerPipeline TokenClassificationArgumentHandler TokenClassificationPipeline"
    ),
    "processing_utils": f"ProcessorMixin Unpack {' '.join(PROCESSING['keywords'])}",
    "pytorch_utils": (
        "ALL_LAYERNORM_LAYERS Conv1D apply_chunking_to_forward find_pruneable_heads_and_indices "
        f"id_tensor_storage prune_conv1d_layer prune_linear_layer "
        f"softmax_backward_data {_TORCHES}"
    ),
    "quantizers": (
        "AutoHfQuantizer AutoQuantizationConfig HfQuantizer get_module_from_name "
        "register_quantization_config register_quantizer"
    ),
    "quantizers.auto": (
        "AUTO_QUANTIZATION_CONFIG_MAPPING AUTO_QUANTIZER_MAPPING AutoHfQuantizer AutoQuantizationConfig "
        "register_quantization_config register_quantizer"
    ),
    "quantizers.base": "HfQuantizer",
    "quantizers.quantizers_utils": "get_module_from_name should_convert_module",
    "testing_utils": (
        "CaptureLogger "
        "require_accelerate require_bitsandbytes require_optuna require_peft require_ray require_safetensors "
        "require_sentencepiece require_tokenizers require_torch require_torch_accelerator require_torch_gpu "
        "require_torch_multi_gpu require_vision slow torch_device"
    ),
    "tokenization_python": "PreTrainedTokenizer",
    "tokenization_utils": (
        "PreTrainedTokenizer AddedToken BatchEncoding EncodedInput PreTokenizedInput TextInput"
    ),
    "tokenization_utils_base": _TOKENIZING,
    "tokenization_utils_fast": "PreTrainedTokenizerFast",
    "trainer": (
        "DEFAULT_CALLBACKS Trainer safe_globals validate_quantization_for_training "
        "FSDP_MODEL_NAME OPTIMIZER_NAME OPTIMIZER_NAME_BIN SCALER_NAME "
        "SCHEDULER_NAME TRAINER_STATE_NAME TRAINING_ARGS_NAME get_parameter_names get_model_param_count"
    ),
    "trainer_callback": (
        "CallbackHandler DefaultFlowCallback EarlyStoppingCallback ExportableState PrinterCallback "
        "ProgressCallback TrainerCallback TrainerControl TrainerState"
    ),
    "trainer_optimizer": "is_optimizer_factory",
    "trainer_pt_utils": (
        "AcceleratorConfig safe_globals set_rng_state_for_device "
        "LabelSmoother get_length_grouped_indices get_model_param_count get_parameter_names nested_concat "
        "nested_detach nested_gather nested_numpify remove_dummy_checkpoint"
    ),
    "trainer_seq2seq": "Seq2SeqTrainer",
    "trainer_utils": (
        "BestRun EvalLoopOutput EvalPrediction EvaluationStrategy HPSearchBackend HubStrategy "
        "IntervalStrategy PREFIX_CHECKPOINT_DIR PredictionOutput SaveStrategy SchedulerType TrainOutput "
        "default_compute_objective default_hp_space_optuna enable_full_determinism get_last_checkpoint "
        "has_length is_main_process number_of_arguments seed_worker set_seed speed_metrics"
    ),
    "training_args": _ARGUMENTS,
    "training_args_seq2seq": "Seq2SeqTrainingArguments",
    "utils.backbone_utils": "BackboneConfigMixin BackboneMixin",
    "utils.constants": _COLOURS,
    "vision_utils": "get_vision_cu_seqlens get_vision_position_ids get_vision_window_index",
    "video_processing_utils": "BaseVideoProcessor BatchFeature SizeDict",
    "video_utils": "VideoInput VideoMetadata group_videos_by_shape make_batched_videos reorder_videos",
    "utils": f"{_FILES} {_DOCSTRINGS} {_GENERIC} {_VERSIONS} DUMMY_INPUTS DUMMY_MASK get_json_schema "
    "requires_backends "
    "OptionalDependencyNotAvailable DummyObject *is_",
    "utils.chat_template_utils": "Chat get_json_schema is_valid_message",
    "utils.deprecation": "deprecate_kwarg",
    "utils.doc": _DOCSTRINGS,
    "utils.generic": _GENERIC,
    "utils.hub": _FILES,
    "utils.hp_naming": "TrialShortNamer",
    "utils.model_parallel_utils": "assert_device_map get_device_map",
    "utils.notebook": "NotebookProgressCallback",
    "utils.import_utils": "DummyObject resolve_internal_import check_torch_load_is_safe "
    "OptionalDependencyNotAvailable requires_backends *is_",
    "utils.logging": "",
    "utils.output_capturing": "OutputRecorder capture_outputs",
    "utils.peft_utils": "ADAPTER_CONFIG_NAME ADAPTER_SAFE_WEIGHTS_NAME ADAPTER_WEIGHTS_NAME "
    "find_adapter_config_file",
    "utils.quantization_config": (
        "AwqConfig BitsAndBytesConfig CompressedTensorsConfig FineGrainedFP8Config GPTQConfig GgufConfig "
        "HqqConfig Int8DynamicConfig Mxfp4Config QuantizationConfigMixin QuantizationMethod QuantoConfig "
        "TorchAoConfig"
    ),
    "utils.versions": "require_version",
}
# paths that are a module of this package by another name
_MODULES = {"logging": "formers.core.logging", "utils.logging": "formers.core.logging"}
# folders of families: `models.bert.modeling_bert` holds what begins with the family's name, and shared names
_KINDS = (
    "modeling|(?:generation_)?configuration|tokenization|(?:(?:image|video)_)?processing|feature_extraction"
)
_OF_A_FAMILY = re.compile(rf"models\.(\w+?)(?:\.(?:{_KINDS})_\w+)?")
_PARTS = ("", "_text", "_text_model", "_vision_model", "_qformer")
# paths that are not there: what they begin with, what they belong to
_ABSENT = (
    (
        r"generation\.|models\.\w+\.generation_(?!configuration)",
        "what the ecosystem's own text generation is made with is",
    ),
    (
        r"(image|video|vision|audio|feature_extraction)_|utils\.constants"
        r"|models\.\w+\.(image_|video_|feature_|processing_)",
        "processors of images and audio are",
    ),
    (
        r"(quantizers|modeling_gguf)"
        r"|integrations\.(bit|compressed|eetq|fbgemm|awq|gg|hqq|quanto|torchao|higgs|spqr|vptq|aqlm|mxfp4|fp)",
        "quantized loading is",
    ),
    (r"(convert_graph_)?(to_)?onnx|models\.\w+\.convert_", "conversion to other formats is"),
    (r"mask|modeling_(flash_)?att|integrations\.(sdpa|fl|eager)", "attention functions of one's own are"),
    (r"(integrations\.)?deepspeed", "DeepSpeed is"),
    (
        r"distributed|integrations\.(tensor_p|hub_k|moe|fine|sonic)",
        "a choice of kernels and of parallelism is",
    ),
    (r"utils\.notebook", "this callback is"),
    (r"data\.(metrics|processors|datasets)", "data of single benchmarks is"),
    (
        r"(modeling_(layers|rope)|utils\.(output_c|backbone|model_p)|loss|initialization|monkey_p|trainer_opt)"
        r"|integrations\.accelerate",
        "what the ecosystem's own models and trainer are written with is",
    ),
    (
        r"(convert_slow|tokenization_mistral|utils\.sentencepiece)|models\.\w+\.\w*normalizer",
        "tokenizers run on the tokenizers library: parts of others are",
    ),
    (r"testing_utils", "what the ecosystem's own tests are written with is"),
    (r"(integrations\.|utils\.)peft", "what the ecosystem's own adapters are made with is"),
    (r"models\.auto\.", "what the Auto classes are made with is"),
    (r"models\.", "this model family is"),
    (r"pipelines\.", "this pipeline is"),
)


class PathLoader:
    """Makes the module of one path."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: a plain module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module in: it asks `formers` for each name when it is first used.

        It also hands out names that it does not list, as a module does with what it imports.
        """
        root, _, path = module.__name__.partition(".")
        real = _MODULES.get(path)
        prefixes = prefixes_of(path)
        names: list[str] = [] if prefixes else _names_of(path)

        def find(name: str) -> Any:
            if name.startswith("__"):
                if prefixes and name == "__all__":
                    return _of_a_family(prefixes)
                raise AttributeError(name)
            if real is not None and hasattr(importlib.import_module(real), name):
                value = getattr(importlib.import_module(real), name)
            elif f"{path}.{name}" in PATHS:
                value = importlib.import_module(f"{root}.{path}.{name}")
            elif name == "logger":
                value = importlib.import_module("formers").get_logger(module.__name__)
            elif name in names or _may_hold(prefixes, name) or _is_asked(path, name):
                try:
                    value = _of_the_package(module, name)
                except AttributeError as error:
                    why = "" if names else str(error).partition(repr(name))[2]
                    if name.islower() and prefixes and not why:
                        why = ": functions that a family is written with are not part of this version"
                    raise absent(module.__name__, name, names, why) from None
                if isinstance(value, ModuleType):
                    raise absent(module.__name__, name, names)
            else:
                raise absent(module.__name__, name, names)
            setattr(module, name, value)
            return value

        module.__doc__ = f"The names that scripts import from `{path}`."
        module.__dict__["__getattr__"] = find
        module.__dict__["__dir__"] = lambda: sorted(names or find("__all__"))
        if not prefixes:
            module.__dict__["__all__"] = sorted(names)


def _of_the_package(module: ModuleType, name: str) -> Any:
    """A public name; a path that is called as one of its own names stands in that one's place until then."""
    package = importlib.import_module("formers")
    value = getattr(package, name)
    if value is module:
        del vars(package)[name]
        value = getattr(package, name)
    return value


def _loader() -> Any:
    """A loader without the machinery's base class, which is dear to import."""
    return PathLoader()


def spec_of(fullname: str) -> ModuleSpec | None:
    """The spec of a module of the table, None for other names.

    Raises:
        ModuleNotFoundError: for a path of the ecosystem that is not part of this version.
    """
    path = fullname.partition(".")[2]
    if path in PATHS:
        return ModuleSpec(fullname, _loader(), is_package=any(one.startswith(f"{path}.") for one in PATHS))
    if prefixes_of(path):
        return ModuleSpec(fullname, _loader(), is_package=path.count(".") == 1)
    if sys._getframe(3).f_code.co_name != "_find_and_load_unlocked":
        return None  # nobody imports it: somebody asks whether it is there
    if why := reason_of_absence(path):
        raise ModuleNotFoundError(f"No module named {fullname!r}{why}", name=fullname)
    return None


def reason_of_absence(path: str) -> str:
    """Why there is no module of this path, as the end of a sentence; empty where nothing is known of it."""
    known = bool(prefixes_of(".".join(path.split(".")[:2])))
    for start, what in _ABSENT:
        if re.match(start, path) and not (known and start == r"models\."):
            return f": {what} not part of this version"
    return ""


def prefixes_of(path: str) -> tuple[str, ...]:
    """How class names of a family's folder begin; empty where `path` is none."""
    found = _OF_A_FAMILY.fullmatch(path)
    if found is None:
        return ()
    types = [found[1] + part for part in _PARTS]
    return tuple(prefix for one, (_, prefix) in FAMILIES.items() if one.replace("-", "_") in types)


def _may_hold(prefixes: tuple[str, ...], name: str) -> bool:
    """Whether a family's module may give a name: its own, or one that no family has."""
    return name.startswith(prefixes) or not any(name.startswith(one) for _, one in FAMILIES.values())


def _is_asked(path: str, name: str) -> bool:
    """Whether a path that answers what is installed has a constant of that kind, which it does not list."""
    from formers.core import available

    return "*is_" in PATHS.get(path, "") and available.answers(name)


def _of_a_family(prefixes: tuple[str, ...]) -> list[str]:
    """All names that begin so; this imports the families."""
    from formers.names import known

    return sorted(name for name in known() if name.startswith(prefixes))


def _names_of(path: str) -> list[str]:
    if path in _MODULES:
        return [name for name in dir(importlib.import_module(_MODULES[path])) if name[0] != "_"]
    names = PATHS[path].split()
    if "*is_" in names:
        from formers.core import available

        names = [*names, *available.names()]
    return [name for name in dict.fromkeys(names) if name != "*is_"]


def absent(module: str, name: str, names: list[str], why: str = "", depth: int = 2) -> Exception:
    """What a module's `__getattr__` raises: `from module import name` would drop an AttributeError's text."""
    from formers.core.notices import did_you_mean
    from formers.names import reason_of_absence

    why = why or reason_of_absence(name) or did_you_mean(name, names)
    caller = sys._getframe(depth)
    if caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]:
        return ImportError(f"cannot import name {name!r} from {module!r}{why}", name=module)
    return AttributeError(f"module {module!r} has no attribute {name!r}{why}")
