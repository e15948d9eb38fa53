"""Adapters: what wraps leaves of a model by their paths and keeps its own files, as `peft` has them."""

from __future__ import annotations

from formers.core.lazy import lazy

# module -> its public names, which are the package's too
NAMES: dict[str, tuple[str, ...]] = {
    "formers.adapters.config": ("PeftConfig", "PeftType", "TaskType"),
    "formers.adapters.adalora.config": ("AdaLoraConfig",),
    "formers.adapters.adalora.model": ("AdaLoraModel",),
    "formers.adapters.ia3.config": ("IA3Config",),
    "formers.adapters.ia3.model": ("IA3Model",),
    "formers.adapters.ln_tuning.config": ("LNTuningConfig",),
    "formers.adapters.ln_tuning.model": ("LNTuningModel",),
    "formers.adapters.loha.config": ("LoHaConfig",),
    "formers.adapters.loha.model": ("LoHaModel",),
    "formers.adapters.lokr.config": ("LoKrConfig",),
    "formers.adapters.lokr.model": ("LoKrModel",),
    "formers.adapters.lora.config": ("LoftQConfig", "LoraConfig"),
    "formers.adapters.lora.layers": ("LoraLayer",),
    "formers.adapters.lora.model": ("LoraModel",),
    "formers.adapters.oft.config": ("OFTConfig",),
    "formers.adapters.oft.model": ("OFTModel",),
    "formers.adapters.prompts.config": (
        "MultitaskPromptTuningConfig",
        "MultitaskPromptTuningInit",
        "PrefixTuningConfig",
        "PromptEncoderConfig",
        "PromptEncoderReparameterizationType",
        "PromptLearningConfig",
        "PromptTuningConfig",
        "PromptTuningInit",
    ),
    "formers.adapters.vera.config": ("VeraConfig",),
    "formers.adapters.vera.model": ("VeraModel",),
    "formers.adapters.peft_model": (
        "PeftMixedModel",
        "PeftModel",
        "PeftModelForCausalLM",
        "PeftModelForFeatureExtraction",
        "PeftModelForQuestionAnswering",
        "PeftModelForSeq2SeqLM",
        "PeftModelForSequenceClassification",
        "PeftModelForTokenClassification",
        "get_peft_model",
        "inject_adapter_in_model",
    ),
    "formers.adapters.hotswap": (
        "check_hotswap_configs_compatible",
        "hotswap_adapter",
        "hotswap_adapter_from_state_dict",
        "prepare_model_for_compiled_hotswap",
    ),
    "formers.adapters.mixed": ("MixedModel",),
    "formers.adapters.status": (
        "TunerLayerStatus",
        "TunerModelStatus",
        "get_layer_status",
        "get_model_status",
    ),
    "formers.adapters.saved": ("ModulesToSaveWrapper",),
    "formers.adapters.layer": ("BaseTunerLayer",),
    "formers.adapters.prepare": ("prepare_model_for_kbit_training",),
    "formers.adapters.state": ("get_peft_model_state_dict", "load_peft_weights", "set_peft_model_state_dict"),
}

__getattr__, __dir__ = lazy(__name__, NAMES)
