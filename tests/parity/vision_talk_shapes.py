"""Shapes of models that talk about pictures and films of any size."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import DECODER, VOCABULARY

_TEXT: dict[str, Any] = {
    **DECODER,
    "vocab_size": VOCABULARY + 2,
    "num_hidden_layers": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
}
_DEEP_TEXT = {
    **_TEXT,
    "head_dim": 16,
    "rope_parameters": {
        **_TEXT["rope_parameters"],
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    },
}
_PATCHES: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 4, "in_channels": 3}
_PLAIN = {**_PATCHES, "embed_dim": 24, "hidden_size": 32, "mlp_ratio": 2}
_WINDOWS = {
    **{**_PATCHES, "depth": 3, "hidden_size": 24, "out_hidden_size": 32, "intermediate_size": 40},
    **{"window_size": 8, "fullatt_block_indexes": [1], "tokens_per_second": 2},
}
_DEEP = {
    **{**_PATCHES, "depth": 3, "hidden_size": 24, "out_hidden_size": 32, "intermediate_size": 40},
    **{"num_position_embeddings": 9, "deepstack_visual_indexes": [0, 2]},
}
_IDS = {"image_token_id": VOCABULARY, "video_token_id": VOCABULARY + 1}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "colqwen2": {
        "pages": {
            "vlm_config": {"model_type": "qwen2_vl", "text_config": _TEXT, "vision_config": _PLAIN, **_IDS},
            "embedding_dim": 20,
        },
    },
    "qwen2_vl": {"pictures and a film": {"text_config": _TEXT, "vision_config": _PLAIN, **_IDS}},
    "qwen2_vl_text": {"plain": _TEXT},
    "qwen2_vl_vision": {"plain": _PLAIN},
    "qwen2_5_vl": {"windows": {"text_config": _TEXT, "vision_config": _WINDOWS, **_IDS}},
    "qwen2_5_vl_text": {"plain": _TEXT},
    "qwen2_5_vl_vision": {"windows": _WINDOWS},
    "qwen3_vl": {"at two depths": {"text_config": _DEEP_TEXT, "vision_config": _DEEP, **_IDS}},
    "qwen3_vl_text": {"plain": _DEEP_TEXT},
    "qwen3_vl_vision": {"at two depths": _DEEP},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "qwen2_vl": {
        "tied, a sliding window, other patches": {
            "text_config": {
                **_TEXT,
                **{"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
                "tie_word_embeddings": True,
            },
            "vision_config": {**_PLAIN, "hidden_act": "gelu", "temporal_patch_size": 1},
            **_IDS,
        }
    },
    "qwen3_vl": {
        "no depths, biases": {
            "text_config": {**_DEEP_TEXT, "attention_bias": True},
            "vision_config": {**_DEEP, "deepstack_visual_indexes": []},
            **_IDS,
        }
    },
}
_GRIDS, _FILMS = torch.tensor([[1, 4, 6], [1, 2, 2], [1, 4, 4]]), torch.tensor([[1, 2, 4]])


def _rows(config: Any, grids: torch.Tensor, seed: int) -> torch.Tensor:
    numbers = config.in_channels * config.temporal_patch_size * config.patch_size**2
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(int(grids.prod(1).sum()), numbers, generator=generator)


def patches(config: Any) -> dict[str, Any]:
    """Patches of three pictures, by themselves."""
    return {"hidden_states": _rows(config, _GRIDS, 1), "grid_thw": _GRIDS}


def shown(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Pictures in three rows of a batch and a film in the fourth, whose tokens are written into it."""
    ids[0, 1:7], ids[1, 1], ids[2, 1:5] = (config.image_token_id,) * 3
    ids[3, 1:3] = config.video_token_id
    mask[:, :7] = 1
    kinds = (ids == config.image_token_id).long() + 2 * (ids == config.video_token_id)
    vision = config.vision_config
    return {
        "pixel_values": _rows(vision, _GRIDS, 1),
        "image_grid_thw": _GRIDS,
        "pixel_values_videos": _rows(vision, _FILMS, 2),
        "video_grid_thw": _FILMS,
        "mm_token_type_ids": kinds,
    }


def pages(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Pictures in three rows of a batch and words in the fourth, with zeros behind the patches of each."""
    ids[0, 1:7], ids[1, 1], ids[2, 1:5] = (config.image_token_id,) * 3
    mask[:, :7] = 1
    vision, sizes = config.vision_config, _GRIDS.prod(1).tolist()
    parts = _rows(vision, _GRIDS, 1).split(sizes)
    return {
        "pixel_values": torch.nn.utils.rnn.pad_sequence(parts, batch_first=True),
        "image_grid_thw": _GRIDS,
    }
