"""Shapes of models whose layers see pictures in tiles by cross attention, and such pictures."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import DECODER, VOCABULARY

_VISION: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 3, "num_global_layers": 2, "attention_heads": 2},
    **{"intermediate_size": 20, "image_size": 8, "patch_size": 4, "num_channels": 2, "max_num_tiles": 2},
    **{"vision_output_dim": 48, "intermediate_layers_indices": [0, 2]},
    "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
}
_TEXT: dict[str, Any] = {**DECODER, "num_hidden_layers": 4, "cross_attention_layers": [1, 2]}
_WHOLE: dict[str, Any] = {
    **{"text_config": _TEXT, "vision_config": _VISION, "image_token_index": VOCABULARY - 1}
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "mllama": {"two layers look": _WHOLE},
    "mllama_text_model": {"two layers look": _TEXT},
    "mllama_vision_model": {"two tiles": _VISION},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "mllama": {
        "the first layer looks, four tiles, one state": {
            "text_config": {**_TEXT, "cross_attention_layers": [0, 3], "num_key_value_heads": 4},
            "vision_config": {
                **{**_VISION, "max_num_tiles": 4, "supported_aspect_ratios": None, "image_size": 12},
                **{"vision_output_dim": 32, "intermediate_layers_indices": [1], "hidden_act": "relu"},
            },
            "image_token_index": VOCABULARY - 1,
        },
    },
    "mllama_text_model": {
        "none looks, scaled turns": {
            **{**_TEXT, "cross_attention_layers": []},
            "rope_parameters": {
                **{"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0},
                **{"high_freq_factor": 4.0, "original_max_position_embeddings": 16},
            },
        },
    },
}


def tiles(config: Any, count: int = 4) -> dict[str, Any]:
    """As many rows of two pictures, of which the last row's second is none."""
    generator, most = torch.Generator().manual_seed(1), config.max_num_tiles
    size = (config.num_channels, config.image_size, config.image_size)
    pixels = torch.randn(count, 2, most, *size, generator=generator)
    forms = torch.arange(1, 1 + 2 * count).view(count, 2) % len(config.supported_aspect_ratios) + 1
    forms[-1, 1] = 0
    sizes = torch.tensor([[0, 1], *config.supported_aspect_ratios]).prod(-1)
    held = torch.arange(most) < sizes[forms].clamp(min=1)[..., None]
    pixels = pixels * (held & (forms > 0)[..., None])[..., None, None, None]
    return {"pixel_values": pixels, "aspect_ratio_ids": forms, "aspect_ratio_mask": held.long()}


def crossed(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Pictures whose tokens are written into four rows, and which tiles each token sees."""
    shown = tiles(config.vision_config)
    seen = torch.zeros(*ids.shape, *shown["aspect_ratio_mask"].shape[1:], dtype=torch.long)
    for place, at in enumerate((1, 3)):
        rows = slice(None) if place == 0 else slice(-1)
        ids[rows, at], mask[rows, : at + 1] = config.image_token_index, 1
        end = 3 if place == 0 else None
        seen[rows, at:end, place] = shown["aspect_ratio_mask"][rows, None, place]
    seen[-1, 3:, 0] = shown["aspect_ratio_mask"][-1, None, 0]
    return {**shown, "cross_attention_mask": seen}


def states(config: Any, length: int) -> dict[str, Any]:
    """What the text model alone sees in four rows: two parts each, and the first token nothing of them.

    A mask comes along: without one the reference's usual backend takes the tokens' order for that of places.
    """
    generator = torch.Generator().manual_seed(1)
    seen = torch.ones(4, 1, length, 10)
    seen[:, :, 2:4, :5] = 0.0
    counts = torch.ones(4, 1, length, 1)
    counts[:, :, 0] = 0.0
    return {
        "cross_attention_states": torch.randn(8, 5, config.hidden_size, generator=generator),
        "cross_attention_mask": (1.0 - seen) * torch.finfo(torch.float32).min,
        "full_text_row_masked_out_mask": counts,
    }
