"""Shapes of models that compare texts and images."""

from __future__ import annotations

from typing import Any

_TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT: dict[str, Any] = {**_TOWER, "vocab_size": 101, "max_position_embeddings": 20, "pad_token_id": 0}
IMAGE: dict[str, Any] = {**_TOWER, "image_size": 12, "patch_size": 4, "num_channels": 2}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "siglip": {"plain": {"text_config": TEXT, "vision_config": IMAGE}},
    "siglip_text_model": {"of another width": {**TEXT, "projection_size": 12, "hidden_act": "relu"}},
    "siglip_vision_model": {
        "a query": {**IMAGE, "layer_norm_eps": 1e-3},
        "no query": {**IMAGE, "vision_use_head": False},
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "siglip": {
        "towers of other widths": {
            "text_config": {**TEXT, "hidden_size": 24, "projection_size": 16},
            "vision_config": {**IMAGE, "patch_size": 3, "num_attention_heads": 4},
        }
    },
    "siglip_text_model": {"plain": TEXT},
}
