"""A tiny model that writes, in a folder, with a tokenizer and a chat template."""

from __future__ import annotations

from pathlib import Path

import torch

from formers import LlamaConfig, LlamaForCausalLM
from generation.small_tokenizers import pair

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def write(folder: Path, template: str | None = TEMPLATE) -> Path:
    """Make the model."""
    tokenizer = pair("byte-level")[0]
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = None
    return folder
