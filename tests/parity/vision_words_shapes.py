"""Shapes of models that find in images what texts ask for."""

from __future__ import annotations

from typing import Any

import torch

_TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
TEXT: dict[str, Any] = {**_TOWER, "vocab_size": 101, "max_position_embeddings": 20, "pad_token_id": 0}
IMAGE: dict[str, Any] = {**_TOWER, "image_size": 12, "patch_size": 4}
_WIDER = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "hidden_act": "gelu"}
# the reference's head compares with vectors as wide as the text tower
_BOTH = {"text_config": TEXT, "vision_config": IMAGE, "projection_dim": 16}
_OTHER = {**_BOTH, "vision_config": {**IMAGE, **_WIDER, "patch_size": 3, "num_channels": 1}}
# without a row of zeros for padding: the reference writes one over what it loads
_CHINESE = {**TEXT, "pad_token_id": None, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_PATCHES = {**_TOWER, "patch_size": 2, "num_patches": 9}
# without a token that is told to end texts: the highest id does
_MASKED = {
    "text_config": {**TEXT, "eos_token_id": 2},
    "vision_config": {**IMAGE, "num_hidden_layers": 2},
    "projection_dim": 12,
    "extract_layers": [0, 1],
    "reduce_dim": 8,
    "decoder_intermediate_size": 12,
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "clipseg": {"plain": _MASKED},
    "clipseg_text_model": {"plain": {**TEXT, "eos_token_id": 99}},
    "clipseg_vision_model": {"plain": IMAGE},
    "siglip2": {"plain": {"text_config": TEXT, "vision_config": _PATCHES}},
    "siglip2_text_model": {"plain": TEXT},
    "siglip2_vision_model": {"a query": _PATCHES},
    "chinese_clip": {"plain": {"text_config": _CHINESE, "vision_config": IMAGE}},
    "chinese_clip_text_model": {"plain": _CHINESE},
    "chinese_clip_vision_model": {"plain": IMAGE},
    "owlvit": {"plain": _BOTH},
    "owlvit_text_model": {"plain": TEXT},
    "owlvit_vision_model": {"plain": IMAGE},
    "owlv2": {"plain": _BOTH},
    "owlv2_text_model": {"plain": TEXT},
    "owlv2_vision_model": {"plain": IMAGE},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "clipseg": {
        "one layer, told later, larger in two steps": {
            **_MASKED,
            "vision_config": {**IMAGE, "image_size": 16, "patch_size": 8, "num_hidden_layers": 3},
            "extract_layers": [2, 0, 1],
            "conditional_layer": 2,
            "use_complex_transposed_convolution": True,
            "decoder_num_attention_heads": 2,
        }
    },
    "siglip2_vision_model": {"no query": {**_PATCHES, "vision_use_head": False, "num_channels": 1}},
    **dict.fromkeys(("owlvit", "owlv2"), {"a wider image tower": _OTHER}),
}


def patches(config: Any, padded: bool) -> dict[str, Any]:
    """Four images as patches of their own grids; with places that hold none, if `padded`."""
    generator, room = torch.Generator().manual_seed(1), 8 if padded else 6
    shapes = torch.tensor([[2, 3], [4, 2] if padded else [3, 2], [1, 5] if padded else [1, 6], [6, 1]])
    numbers = config.num_channels * config.patch_size**2
    return {
        "pixel_values": torch.randn(4, room, numbers, generator=generator),
        "pixel_attention_mask": (torch.arange(room) < shapes.prod(1)[:, None]).int(),
        "spatial_shapes": shapes,
    }
