"""Shapes of families that make masks of objects, or of what is pointed at."""

from __future__ import annotations

from typing import Any

import torch

_SAM_VISION = {
    "hidden_size": 16,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_channels": 2,
    "image_size": 20,
    "patch_size": 4,
    "window_size": 2,
    "global_attn_indexes": [1],
    "num_pos_feats": 8,
    "initializer_range": 0.1,
}
_SAM = {
    "vision_config": _SAM_VISION,
    "prompt_encoder_config": {
        "hidden_size": 16,
        "image_size": 20,
        "patch_size": 4,
        "mask_input_channels": 8,
    },
    "mask_decoder_config": {
        "hidden_size": 16,
        "mlp_dim": 24,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 12,
    },
}
_HIERA = {
    **{"hidden_size": 8, "num_channels": 2, "image_size": [32, 32], "patch_kernel_size": [3, 3]},
    **{"patch_stride": [2, 2], "patch_padding": [1, 1], "blocks_per_stage": [1, 2, 1, 1]},
    **{"embed_dim_per_stage": [8, 16, 24, 32], "num_attention_heads_per_stage": [1, 2, 2, 4]},
    **{"window_size_per_stage": [4, 4, 2, 2], "global_attention_blocks": [2]},
    "window_positional_embedding_background_size": [3, 3],
}
_SAM2_VISION = {
    **{"backbone_config": {**_HIERA, "model_type": "sam2_hiera_det_model"}, "fpn_hidden_size": 16},
    **{"backbone_channel_list": [32, 24, 16, 8], "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]},
}
_SAM2 = {
    "vision_config": _SAM2_VISION,
    "prompt_encoder_config": {
        **{"hidden_size": 16, "image_size": 32, "patch_size": 8, "mask_input_channels": 8},
    },
    "mask_decoder_config": {
        **{"hidden_size": 16, "mlp_dim": 24, "num_attention_heads": 2, "iou_head_hidden_dim": 12},
    },
}
# of films; memories have 64 channels whatever the config says
FILMED = {
    "vision_config": {**_SAM2_VISION, "model_type": "sam2_vision_model", "fpn_hidden_size": 128},
    "prompt_encoder_config": {**_SAM2["prompt_encoder_config"], "hidden_size": 128},
    "mask_decoder_config": {**_SAM2["mask_decoder_config"], "hidden_size": 128},
    **{"image_size": 32, "num_maskmem": 3, "max_object_pointers_in_encoder": 4},
    **{"memory_attention_hidden_size": 128, "memory_attention_num_layers": 2},
    **{"memory_attention_feed_forward_hidden_size": 48, "memory_attention_rope_feat_sizes": [4, 4]},
    **{"memory_encoder_hidden_size": 128, "mask_downsampler_embed_dim": 128},
    **{"memory_fuser_embed_dim": 128, "memory_fuser_intermediate_dim": 32},
}
READS_SESSIONS = ("Sam2VideoModel",)  # `test_followed` compares them
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "sam": {"plain": _SAM},
    "sam2": {"plain": _SAM2},
    "sam2_hiera_det_model": {"plain": _HIERA},
    "sam2_video": {"plain": FILMED},
    "sam2_vision_model": {"plain": _SAM2_VISION},
    "sam_vision_model": {"plain": _SAM_VISION},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "sam": {
        "four masks, other activations, three layers, deep quality": {
            **_SAM,
            "prompt_encoder_config": {**_SAM["prompt_encoder_config"], "hidden_act": "relu"},
            "mask_decoder_config": {
                **_SAM["mask_decoder_config"],
                "hidden_act": "gelu",
                "num_hidden_layers": 3,
                "attention_downsample_rate": 1,
                "num_multimask_outputs": 4,
                "iou_head_depth": 4,
            },
        },
    },
    "sam2": {
        "four masks, relu, three layers, deep quality": {
            **_SAM2,
            "prompt_encoder_config": {**_SAM2["prompt_encoder_config"], "hidden_act": "relu", "scale": 2},
            "mask_decoder_config": {
                **{**_SAM2["mask_decoder_config"], "num_hidden_layers": 3, "attention_downsample_rate": 1},
                **{"num_multimask_outputs": 4, "iou_head_depth": 4},
            },
        },
    },
    "sam2_hiera_det_model": {
        "two stages pooled, windows that do not fit, narrow": {
            **{**_HIERA, "num_query_pool_stages": 2, "mlp_ratio": 2.0, "hidden_act": "relu"},
            **{"window_size_per_stage": [4, 6, 6, 3], "global_attention_blocks": []},
        },
    },
    "sam2_vision_model": {
        "wider kernels, all maps, other sums": {
            **{**_SAM2_VISION, "fpn_kernel_size": 3, "fpn_padding": 1, "fpn_top_down_levels": [0, 1, 2]},
            "num_feature_levels": 4,
        },
    },
    "sam_vision_model": {
        "no distances, no biases, own inner width": {
            **_SAM_VISION,
            "use_rel_pos": False,
            "qkv_bias": False,
            "mlp_dim": 20,
            "hidden_act": "relu",
            "global_attn_indexes": [],
            "window_size": 3,
        },
    },
}


def prompts(size: int, seed: int = 4) -> dict[str, Any]:
    """Two points, of which one may be none, for each of two masks of four images."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_points": torch.rand(4, 2, 2, 2, generator=generator) * size,
        "input_labels": torch.tensor([[[1, 0], [1, -10]]] * 3 + [[[0, -1], [1, 1]]]),
    }
