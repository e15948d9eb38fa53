"""Older names of the ecosystem beside those of today: what each means, and since when there is another.

One table, for the code that reads older names, for the documentation, and for `formers doctor`. Keywords of
`TrainingArguments` stand where that class declares them; `formers.dropin.spellings` has all together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# what is done with an older name
SAME = "same"  # it means the newer one
NOTICED = "noticed"  # it has no effect, which is said
REFUSED = "refused"  # an error, which names what to use


@dataclass(frozen=True)
class Older:
    """One older name.

    Attributes:
        kind: "keyword", "method", "class", "function", "variable" (of the environment), "command", "module",
            "value".
        where: what it belongs to: a class, a function (`from_pretrained`), a package; empty where nothing.
        old: the name.
        new: what to type today; a remark in words where there is no other name.
        since: the version of the ecosystem that brought the newer one, or took the older one away.
        done: `SAME`, `NOTICED` or `REFUSED`.
    """

    kind: str
    where: str
    old: str
    new: str
    since: str
    done: str = SAME


def _rows(kind: str, done: str, lines: str) -> list[Older]:
    """Rows written as `where old | since | new`."""
    made = []
    for line in lines.strip().splitlines():
        names, since, new = (part.strip() for part in line.split("|"))
        where, _, old = names.rpartition(" ")
        made.append(Older(kind, where, old, new, since, done))
    return made


_KEYWORDS = """
from_pretrained torch_dtype | 4.56 | dtype
from_pretrained use_auth_token | 4.32 | token
from_pretrained load_in_8bit | 5.0 | quantization_config=BitsAndBytesConfig(load_in_8bit=True)
from_pretrained load_in_4bit | 5.0 | quantization_config=BitsAndBytesConfig(load_in_4bit=True)
save_pretrained safe_serialization | 5.0 | leave it out: files are safetensors
pipeline torch_dtype | 4.56 | dtype
pipeline use_auth_token | 4.32 | token
pipeline return_all_scores | 4.20 | top_k=None
pipeline grouped_entities | 4.4 | aggregation_strategy="simple"
push_to_hub use_auth_token | 4.32 | token
Trainer tokenizer | 4.46 | processing_class
Trainer.train model_path | 4.0 | resume_from_checkpoint
tokenizer pad_to_max_length | 3.0 | padding="max_length"
"""
_KEYWORDS_WITHOUT_EFFECT = """
from_pretrained resume_download | 4.42 | leave it out: downloads always resume
from_pretrained low_cpu_mem_usage | 5.0 | leave it out: weights are mapped, never held twice
from_pretrained mirror | 4.0 | the environment variable HF_ENDPOINT
from_pretrained trust_remote_code | 4.0 | leave it out: no code is loaded from checkpoints
"""
_KEYWORDS_REFUSED = """
from_pretrained from_tf | 5.0 | convert the weights to safetensors first
from_pretrained from_flax | 5.0 | convert the weights to safetensors first
from_pretrained use_flash_attention_2 | 4.36 | attn_implementation=; its default takes the fastest kernel
"""
_METHODS = """
tokenizer encode_plus | 5.0 | call the tokenizer
tokenizer batch_encode_plus | 5.0 | call the tokenizer
tokenizer prepare_for_model | 5.0 | call the tokenizer
tokenizer build_inputs_with_special_tokens | 5.0 | call the tokenizer
tokenizer create_token_type_ids_from_sequences | 5.0 | call the tokenizer
tokenizer as_target_tokenizer | 4.22 | tokenizer(text_target=...)
tokenizer additional_special_tokens | 5.0 | extra_special_tokens
model gradient_checkpointing_enable | 5.20 | activation_checkpointing_enable
"""
_CLASSES = """
AutoModelWithLMHead | 3.0 | AutoModelForCausalLM, AutoModelForMaskedLM or AutoModelForSeq2SeqLM
PretrainedConfig | 5.0 | PreTrainedConfig
AdamW | 5.0 | torch.optim.AdamW
EvaluationStrategy | 4.0 | IntervalStrategy
LogitsWarper | 5.0 | LogitsProcessor
BartPretrainedModel | 4.20 | BartPreTrainedModel
"""
_FUNCTIONS = """
infer_device | 5.0 | torch.accelerator.current_accelerator()
is_torch_tpu_available | 4.41 | is_torch_xla_available
top_k_top_p_filtering | 4.39 | TopKLogitsWarper and TopPLogitsWarper
"""
_FUNCTIONS_WITHOUT_EFFECT = """
send_example_telemetry | 5.0 | leave it out: nothing is sent from here
"""
_VARIABLES = """
HF_HUB_CACHE HUGGINGFACE_HUB_CACHE | 4.36 | HF_HUB_CACHE
HF_HUB_CACHE TRANSFORMERS_CACHE | 4.36 | HF_HUB_CACHE, or HF_HOME
HF_HUB_CACHE PYTORCH_TRANSFORMERS_CACHE | 4.0 | HF_HUB_CACHE, or HF_HOME
HF_HUB_CACHE PYTORCH_PRETRAINED_BERT_CACHE | 2.0 | HF_HUB_CACHE, or HF_HOME
HF_HUB_OFFLINE TRANSFORMERS_OFFLINE | 4.40 | HF_HUB_OFFLINE
"""
_VARIABLES_WITHOUT_EFFECT = """
 USE_TF | 5.0 | leave it out: models run on PyTorch alone
 USE_FLAX | 5.0 | leave it out: models run on PyTorch alone
 USE_TORCH | 5.0 | leave it out: models run on PyTorch alone
 USE_JAX | 5.0 | leave it out: models run on PyTorch alone
 HF_MODULES_CACHE | 5.0 | leave it out: no code is loaded from checkpoints
 TRANSFORMERS_DYNAMIC_MODULE_NAME | 5.0 | leave it out: no code is loaded from checkpoints
"""
_COMMANDS = """
transformers-cli env | 5.0 | formers env
transformers-cli serve | 5.0 | formers serve
transformers-cli chat | 5.0 | formers chat
transformers-cli login | 4.0 | hf auth login
transformers-cli logout | 4.0 | hf auth logout
transformers-cli whoami | 4.0 | hf auth whoami
transformers-cli download | 5.0 | hf download
huggingface-cli login | 5.0 | hf auth login
huggingface-cli logout | 5.0 | hf auth logout
huggingface-cli whoami | 5.0 | hf auth whoami
huggingface-cli download | 5.0 | hf download
huggingface-cli upload | 5.0 | hf upload
transformers env | 5.0 | formers env
transformers serve | 5.0 | formers serve
transformers chat | 5.0 | formers chat
transformers download | 5.0 | hf download
"""
_VALUES = """
return_tensors tf | 5.0 | return_tensors="pt" or "np": models run on PyTorch alone
return_tensors jax | 5.0 | return_tensors="pt" or "np": models run on PyTorch alone
"""
_MODULES = """
file_utils | 4.16 | utils
data.data_collator | 4.0 | the names themselves, from the package
optimization | 5.0 | torch.optim for AdamW; the schedules, from the package
"""

TABLE: tuple[Older, ...] = (
    *_rows("keyword", SAME, _KEYWORDS),
    *_rows("keyword", NOTICED, _KEYWORDS_WITHOUT_EFFECT),
    *_rows("keyword", REFUSED, _KEYWORDS_REFUSED),
    *_rows("method", SAME, _METHODS),
    *_rows("class", SAME, _CLASSES),
    *_rows("function", SAME, _FUNCTIONS),
    *_rows("function", NOTICED, _FUNCTIONS_WITHOUT_EFFECT),
    *_rows("variable", SAME, _VARIABLES),
    *_rows("variable", NOTICED, _VARIABLES_WITHOUT_EFFECT),
    *_rows("command", SAME, _COMMANDS),
    *_rows("value", REFUSED, _VALUES),
    *_rows("module", SAME, _MODULES),
)


def older_variables(newer: str) -> Iterable[str]:
    """The names that a variable of the environment had before."""
    return (one.old for one in TABLE if one.kind == "variable" and one.where == newer)
