"""The module paths of `peft`, and which module of formers has each of its names."""

from __future__ import annotations

import functools

from formers.adapters import NAMES

_METHODS = ("adalora", "ia3", "ln_tuning", "loha", "lokr", "lora", "oft", "vera")
_PROMPTS = ("multitask_prompt_tuning", "p_tuning", "prefix_tuning", "prompt_tuning")

PATHS = frozenset(
    (
        "",
        *("auto", "config", "import_utils", "mapping", "mapping_func", "mixed_model", "peft_model", "tuners"),
        *("tuners.tuners_utils", "tuners.lycoris_utils", "tuners.mixed"),
        *(f"tuners.{method}{part}" for method in _METHODS for part in ("", ".config", ".layer", ".model")),
        *(f"tuners.{method}{part}" for method in _PROMPTS for part in ("", ".config", ".model")),
        *("functional", "helpers", "optimizers", "utils.hotswap", "utils.integrations"),
        "utils.transformers_weight_conversion",
        *("utils", "utils.other", "utils.peft_types", "utils.save_and_load", "utils.constants"),
    )
)


def is_package(path: str) -> bool:
    """Whether there are modules below a path."""
    return not path or any(other.startswith(f"{path}.") for other in PATHS)


_OF_SCRIPTS = (
    *("AdaLoraLayer", "BaseTuner", "Embedding", "IA3Layer", "Linear", "LoHaLayer", "LoKrLayer", "OFTLayer"),
    *("MODEL_TYPE_TO_PEFT_MODEL_MAPPING", "PEFT_TYPE_TO_CONFIG_MAPPING", "PEFT_TYPE_TO_MODEL_MAPPING"),
    *("PEFT_TYPE_TO_TUNER_MAPPING", "UPCAST_DTYPES", "VeraLayer", "_get_submodules", "cast_adapter_dtype"),
    *("check_target_module_exists", "create_loraplus_optimizer", "dequantize_module_weight"),
    *("get_pattern_key", "transpose"),
)
_BY_KIND = (
    *("AuxiliaryTrainingWrapper", "Linear4bit", "Linear8bitLt", "_maybe_include_all_linear_layers"),
    *("convert_peft_config_for_transformers", "disable_input_dtype_casting", "factorization"),
    "is_auto_awq_available",
    *("is_torchao_available", "onload_layer"),
)


@functools.cache
def homes() -> dict[str, str]:
    """Name -> module of formers."""
    found = {name: module for module, names in NAMES.items() for name in names}
    ends: tuple[str, ...] = (
        "",
        "ForCausalLM",
        "ForFeatureExtraction",
        "ForQuestionAnswering",
        "ForSeq2SeqLM",
    )
    ends = (*ends, "ForSequenceClassification", "ForTokenClassification")
    found.update({f"AutoPeftModel{end}": "formers.peft_auto" for end in ends})
    found.update(dict.fromkeys(_OF_SCRIPTS, "formers.adapters.script_names"))
    found.update(dict.fromkeys(_BY_KIND, "formers.adapters.kinds_by_name"))
    found["get_model_conversion_mapping"] = "formers.checkpoints.conversions"
    found["init_empty_weights"] = "accelerate"
    return {**found, **dict.fromkeys(("CONFIG_NAME", "WEIGHTS_NAME", "SAFETENSORS_WEIGHTS_NAME"), __name__)}


# what `peft` calls the files of an adapter
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.bin"
SAFETENSORS_WEIGHTS_NAME = "adapter_model.safetensors"
