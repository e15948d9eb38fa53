"""Small models that write, as this library's and as the reference's, with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

import formers

SIZE = 60  # tokens; 0 pads and 5 ends
_COMMON = {"vocab_size": SIZE, "pad_token_id": 0, "eos_token_id": 5, "attn_implementation": "eager"}
_LLAMA = {
    **{"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"intermediate_size": 32, "bos_token_id": 1, "max_position_embeddings": 128},
}
MADE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", _LLAMA),
    # windows of 4 tokens in every other layer
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", {**_LLAMA, "head_dim": 6, "sliding_window": 4}),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {
            **{"d_model": 24, "d_ff": 32, "d_kv": 6, "num_layers": 2, "num_heads": 4},
            **{"decoder_start_token_id": 0, "tie_word_embeddings": True},
        },
    ),
    "mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {"hidden_size": 24, "num_hidden_layers": 2, "state_size": 4},
    ),
}


def both(kind: str, folder: Path, noise: float = 0.0) -> tuple[Any, Any]:
    """This library's model and the reference's; with `noise`, another model that mostly says the same."""
    config, name, sizes = MADE[kind]
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(getattr(transformers, config)(**{**_COMMON, **sizes})).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.mul_(3)  # far apart, so that rounding decides nothing
            if value.dim() > 1:
                value.add_(torch.randn_like(value) * value.std() * noise)
    theirs.save_pretrained(folder)
    ours = getattr(formers, name).from_pretrained(folder, attn_implementation="eager")
    return ours, theirs


def prompt(rows: int = 1, length: int = 9) -> torch.Tensor:
    """[rows, length], int64, without tokens of a meaning of their own."""
    return torch.randint(6, SIZE, (rows, length), generator=torch.Generator().manual_seed(1))
