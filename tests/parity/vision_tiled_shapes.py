"""Shapes of models whose texts show pictures in tiles, and what such pictures look like."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import DECODER, VOCABULARY

_IMAGE: dict[str, Any] = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"image_size": 6, "patch_size": 2, "num_channels": 2},
}
_CLIP = {**_IMAGE, "model_type": "clip_vision_model", "num_hidden_layers": 3}
_SIGLIP = {**_IMAGE, "model_type": "siglip_vision_model", "vision_use_head": False}
_TEXT = {**DECODER, "vocab_size": VOCABULARY + 2, "num_hidden_layers": 2, "max_position_embeddings": 64}
_SIZES = [[6, 12], [12, 6], [12, 12]]
_LLAVA: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "llama"},
    "vision_config": _CLIP,
    **{"image_token_index": VOCABULARY + 1, "image_grid_pinpoints": _SIZES},
}
_VIP: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "llama"},
    "vision_config": _CLIP,
    **{"image_token_index": VOCABULARY + 1, "vision_feature_layer": [-2, -1, 2]},
}
_ONE = {
    "text_config": {**_TEXT, "model_type": "qwen2"},
    "vision_config": _SIGLIP,
    **{"image_token_index": VOCABULARY + 1, "video_token_index": VOCABULARY},
    **{"image_grid_pinpoints": _SIZES, "vision_aspect_ratio": "anyres_max_1"},
}
_ROOMS = {**_IMAGE, "image_size": 8}
_SQUARES: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "llama"},
    **{"vision_config": _ROOMS, "image_token_id": VOCABULARY + 1, "scale_factor": 2},
}
_MEANS = {**_IMAGE, "image_size": [8, 8], "patch_size": [2, 2]}
_INTERN: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "qwen2"},
    **{"vision_config": _MEANS, "image_token_id": VOCABULARY + 1},
}
_AYA: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "cohere2", "sliding_window": 5, "num_hidden_layers": 4},
    "vision_config": {**_SIGLIP, "image_size": 8, "num_hidden_layers": 3},
    **{"image_token_index": VOCABULARY + 1, "downsample_factor": 2},
}
_SIZED = {**_IMAGE, "image_size": 8, "num_attention_heads": 3}
_MISTRAL: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "mistral"},
    "vision_config": {**_SIZED, "model_type": "pixtral", "num_hidden_layers": 3},
    "image_token_index": VOCABULARY + 1,
}
_ASKED: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "mistral"},
    "vision_config": _ROOMS,
    "perceiver_config": {
        **{"hidden_size": DECODER["hidden_size"], "resampler_n_latents": 5, "resampler_depth": 2},
        **{"resampler_n_heads": 4, "resampler_head_dim": 6, "num_key_value_heads": 2},
    },
    "image_token_id": VOCABULARY + 1,
}
_COMMAND: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "cohere2"},
    "vision_config": {**_SIGLIP, "image_size": 8, "num_hidden_layers": 3},
    **{"image_token_id": VOCABULARY + 1, "downsample_factor": 2, "alignment_intermediate_size": 20},
}
_WINDOWS: dict[str, Any] = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 20},
    **{"image_size": 16, "patch_size": 2, "num_channels": 2, "output_channels": 6, "window_size": 3},
    "global_attn_indexes": [1],
}
_READ_OUT: dict[str, Any] = {
    "text_config": {**_TEXT, "model_type": "qwen2"},
    **{"vision_config": _WINDOWS, "image_token_index": VOCABULARY + 1},
}
_FILMED = {**_LLAVA, "video_token_index": VOCABULARY}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "aya_vision": {"halves weigh each other": _AYA},
    "cohere2_vision": {"halves weigh each other": _COMMAND},
    "got_ocr2": {"windows of three": _READ_OUT},
    "got_ocr2_vision": {"windows of three": _WINDOWS},
    "idefics2": {"five vectors ask": _ASKED},
    "idefics2_vision": {"parts of rooms": _ROOMS},
    "idefics3": {"squares of two": _SQUARES},
    "idefics3_vision": {"parts of rooms": _ROOMS},
    "internvl": {"gains": _INTERN},
    "internvl_vision": {"gains": _MEANS},
    "llava_next": {"CLIP and LLaMA": _LLAVA},
    "llava_next_video": {"means of squares": _FILMED},
    "llava_onevision": {"few patches, and films": _ONE},
    "mistral3": {"squares of two": _MISTRAL},
    "pixtral": {"pictures of four sizes": _SIZED},
    "smolvlm": {"squares of two": _SQUARES},
    "smolvlm_vision": {"parts of rooms": _ROOMS},
    "vipllava": {"three layers": _VIP},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "llava": {
        "pictures of any size": {
            **_MISTRAL,
            **{"vision_feature_select_strategy": "full", "vision_feature_layer": -1},
        },
    },
    "mistral3": {
        "every patch, biases, a layer before the last": {
            **_MISTRAL,
            **{"spatial_merge_size": 1, "multimodal_projector_bias": True, "vision_feature_layer": -2},
            "tie_word_embeddings": False,
        },
    },
    "aya_vision": {
        "a layer before the last, an inner width": {
            **_AYA,
            **{"vision_feature_layer": -2, "alignment_intermediate_size": 20},
        },
    },
    "internvl": {
        "norms of queries, a norm at the end, every place": {
            **_INTERN,
            "vision_config": {
                **_MEANS,
                **{"use_qk_norm": True, "use_mean_pooling": False, "norm_type": "rms_norm"},
                **{"attention_bias": True, "use_mask_token": True},
            },
            **{"downsample_ratio": 0.25, "tie_word_embeddings": False},
        },
        "a layer before the last": {**_INTERN, "vision_feature_layer": -2},
    },
    "llava_next": {
        "two layers, tied, no bias": {
            **_LLAVA,
            "text_config": {**_TEXT, "model_type": "mistral", "tie_word_embeddings": True},
            **{"vision_feature_layer": [-2, -1], "multimodal_projector_bias": False},
        },
    },
    "vipllava": {
        "one layer, tied": {
            **_VIP,
            "text_config": {**_TEXT, "model_type": "mistral"},
            **{"vision_feature_layer": -1, "tie_word_embeddings": True, "projector_hidden_act": "relu"},
        },
    },
    "got_ocr2": {
        "no positions, no biases, heads apart": {
            **_READ_OUT,
            "vision_config": {
                **_WINDOWS,
                **{"use_abs_pos": False, "use_rel_pos": False, "qkv_bias": False, "num_channels": 2},
            },
            "tie_word_embeddings": False,
        },
    },
    "idefics2": {
        "sizes left to the text model, heads alike, tied": {
            **_ASKED,
            "perceiver_config": {
                **{"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2},
                **{"resampler_head_dim": 8, "num_key_value_heads": 2, "hidden_act": "gelu"},
            },
            "tie_word_embeddings": True,
        },
    },
    "idefics3": {"squares of four, tied": {**_SQUARES, "scale_factor": 4, "tie_word_embeddings": True}},
    "llava_next_video": {
        "convolved squares, tied by the text model": {
            **_FILMED,
            "text_config": {**_TEXT, "model_type": "llama", "tie_word_embeddings": True},
            "spatial_pool_mode": "conv",
        },
        "largest of all": {**_FILMED, "spatial_pool_mode": "max", "spatial_pool_stride": 3},
    },
    "llava_onevision": {"all patches": {**_ONE, "vision_aspect_ratio": "anyres_max_9"}},
}
LENGTH = 47
_PICTURES = torch.tensor([[6, 12], [12, 6], [2, 12], [12, 2]])
# tokens of a picture of each size: all of it, then lines of its tiles with what ends each
_FILLS = {"anyres_max_1": (19, 21, 16, 21), "": (9 + 3 * 7, 9 + 6 * 4, 9 + 1 * 7, 9 + 6 * 2)}


def _drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _written(ids: torch.Tensor, mask: torch.Tensor, token: int, fills: Any, at: int = 2) -> None:
    """Write as many tokens into each row, all of which are real."""
    for row, count in enumerate(fills):
        ids[row, at : at + count], mask[row, : at + count + 2] = token, 1
    ids[(mask == 1) & (ids == 0)] = 7  # what is read is no padding


def shown(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Pictures in each row of a batch, and films in two, whose tokens are written into it."""
    squares = {
        "aya_vision": getattr(config, "downsample_factor", 1),
        "cohere2_vision": getattr(config, "downsample_factor", 1),
        "internvl": round(1 / getattr(config, "downsample_ratio", 1)),
    }
    if config.model_type in squares:  # pictures of one size
        each = (4 // squares[config.model_type]) ** 2
        _written(ids, mask, config.image_token_id, (each,) * 4)
        return {"pixel_values": _drawn(4, 2, 8, 8)}
    if config.vision_config.model_type == "pixtral":
        found, edge = sized(), 2 * getattr(config, "spatial_merge_size", 1)
        fills = [(down // edge) * (across // edge) for down, across in found["image_sizes"].tolist()]
        _written(ids, mask, config.image_token_id, fills)
        return found
    if hasattr(config.vision_config, "window_size"):
        _written(ids, mask, config.image_token_id, (4,) * 4)
        return {"pixel_values": _drawn(4, 2, 16, 16)}
    if hasattr(config, "projector_layernorm_eps"):  # all patches but the class token
        _written(ids, mask, config.image_token_id, (9,) * 4)
        return {"pixel_values": _drawn(4, 2, 6, 6)}
    if hasattr(config, "scale_factor") or hasattr(config, "perceiver_config"):
        return rooms(config, ids, mask)
    films = hasattr(config, "video_token_index")
    said = str(getattr(config, "vision_aspect_ratio", ""))
    _written(ids, mask, config.image_token_index, _FILLS.get(said, _FILLS[""]))
    found = {"pixel_values": _drawn(4, 3, 2, 6, 6), "image_sizes": _PICTURES}
    if films:
        pooled = 2 * (3 // config.spatial_pool_stride) ** 2 if hasattr(config, "spatial_pool_stride") else 9
        _written(ids, mask, config.video_token_index, (pooled, pooled), 36)
        found["pixel_values_videos"] = _drawn(2, 2, 2, 6, 6, seed=2)
    return found


def rooms(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Two pictures in the first row, one in each of the others, some in a part of their room."""
    asks = getattr(config, "perceiver_config", None)
    each = 16 // config.scale_factor**2 if asks is None else asks.resampler_n_latents
    _written(ids, mask, config.image_token_id, (2 * each, each, each, each))
    seen = torch.ones(8, 4, 4, dtype=torch.bool)
    seen[1, :, 3:], seen[2, 2:], seen[3::2] = False, False, False  # all of the second pictures but one
    pixels = _drawn(8, 2, 8, 8) * seen[:, :1, :1, None].repeat(1, 2, 8, 8)
    wide = seen.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return {"pixel_values": pixels.unflatten(0, (4, 2)), "pixel_attention_mask": wide.unflatten(0, (4, 2))}


def parts(config: Any) -> dict[str, Any]:
    """Pictures of another form than the model's."""
    seen = torch.ones(4, 3, 4, dtype=torch.bool)
    return {"pixel_values": _drawn(4, 2, 6, 8), "patch_attention_mask": seen}


def sized() -> dict[str, Any]:
    """Pictures of four sizes."""
    sizes = torch.tensor([[8, 8], [4, 8], [8, 4], [4, 4]])
    return {"pixel_values": _drawn(4, 2, 8, 8), "image_sizes": sizes}
