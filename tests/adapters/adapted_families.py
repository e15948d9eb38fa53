"""Tiny models of families that differ in what adapters care for: names, layouts, stacks, inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_ENCODER = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WHISPER = {
    "vocab_size": 40,
    "d_model": 16,
    **{
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 1), ("attention_heads", 2))
    },
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_mel_bins": 8,
    "max_source_positions": 8,
    "max_target_positions": 16,
    "decoder_start_token_id": 1,
    **_SPECIAL,
}
# family -> config class, model class, config fields, targets, task
FAMILIES: dict[str, tuple[str, str, dict[str, Any], Any, str | None]] = {
    "bert": ("BertConfig", "BertForSequenceClassification", _ENCODER, ["query", "value"], "SEQ_CLS"),
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32, **_SPECIAL},
        ["c_attn", "c_proj"],
        "CAUSAL_LM",
    ),
    "llama": ("LlamaConfig", "LlamaForCausalLM", {**_ENCODER, **_SPECIAL}, "all-linear", "CAUSAL_LM"),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"vocab_size": 40, "d_model": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2, "d_ff": 24, **_SPECIAL}
        | {"decoder_start_token_id": 0},
        None,
        "SEQ_2_SEQ_LM",
    ),
    "vit": (
        "ViTConfig",
        "ViTForImageClassification",
        {**_ENCODER, "image_size": 8, "patch_size": 4, "num_labels": 3},
        ["q_proj", "v_proj"],  # as releases from 5 on call them
        None,
    ),
    "whisper": (
        "WhisperConfig",
        "WhisperForConditionalGeneration",
        WHISPER,
        ["q_proj", "v_proj"],
        None,
    ),
    "mixtral": (
        "MixtralConfig",
        "MixtralForCausalLM",
        {**_ENCODER, "num_key_value_heads": 2, "num_local_experts": 2, **_SPECIAL},
        ["q_proj", "v_proj"],
        "CAUSAL_LM",
    ),
}
FAMILIES["vit"][2].pop("vocab_size")


def inputs(family: str) -> dict[str, torch.Tensor]:
    """Two rows, one of them with padding where the family knows of it."""
    if family == "vit":
        return {"pixel_values": torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))}
    ids = torch.randint(3, 40, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    if family == "whisper":
        sound = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
        return {"input_features": sound, "decoder_input_ids": ids[:, :3]}
    beside = {"decoder_input_ids": ids[:, :3]} if family == "t5" else {}
    return {"input_ids": ids, "attention_mask": mask, **beside}


def reference(family: str, folder: Path) -> Any:
    """The ecosystem's model, saved."""
    import transformers

    config, model, values, _, _ = FAMILIES[family]
    torch.manual_seed(0)
    made = getattr(transformers, model)(getattr(transformers, config)(**values)).eval()
    made.save_pretrained(folder)
    return made


def ours(family: str, folder: Path) -> Any:
    """Our model from the same files."""
    import formers

    return getattr(formers, FAMILIES[family][1]).from_pretrained(folder)
