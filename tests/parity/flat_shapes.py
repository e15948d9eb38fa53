"""Shapes of models that read pictures as patches which say where they stand, and inputs that fit them."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import VOCABULARY

_IMAGE = {
    **{"hidden_size": 16, "patch_embed_hidden_size": 12, "d_ff": 20, "d_kv": 6, "num_hidden_layers": 2},
    **{"num_attention_heads": 3, "seq_len": 8},
}
_TEXT = {
    **{"vocab_size": VOCABULARY, "hidden_size": 16, "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 4},
    **{"relative_attention_num_buckets": 6, "relative_attention_max_distance": 9, "dropout_rate": 0.0},
}
_PIX2STRUCT = {"text_config": _TEXT, "vision_config": _IMAGE}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "pix2struct": {"narrow heads": _PIX2STRUCT},
    "pix2struct_text_model": {"plain": {**_TEXT, "initializer_range": 0.02}},
    "pix2struct_vision_model": {"narrow heads": _IMAGE},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "pix2struct": {
        "tied, relu, a cache": {
            "text_config": {**_TEXT, "dense_act_fn": "relu", "use_cache": True},
            "vision_config": {**_IMAGE, "dense_act_fn": "relu", "layer_norm_eps": 1e-5},
            "tie_word_embeddings": True,
        }
    }
}


def patches(config: Any, seed: int = 1) -> dict[str, Any]:
    """Six places for patches of four pictures, of which some hold fewer."""
    config = getattr(config, "vision_config", config)
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(4, 6, 2 + config.patch_embed_hidden_size, generator=generator)
    found[..., 0], found[..., 1] = torch.tensor([1, 1, 1, 2, 2, 2]), torch.tensor([1, 2, 3, 1, 2, 3])
    mask = torch.ones(4, 6)
    for row, real in enumerate((6, 4, 3, 5)):
        found[row, real:], mask[row, real:] = 0, 0
    return {"flattened_patches": found, "attention_mask": mask}
