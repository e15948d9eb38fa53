"""Shapes of networks over maps."""

from __future__ import annotations

from typing import Any

_RESNET = {
    "num_channels": 2,
    "embedding_size": 8,
    "hidden_sizes": [16, 24],
    "depths": [2, 1],
    "image_size": 24,
}
_CONVNEXT = {
    "num_channels": 2,
    "hidden_sizes": [16, 24],
    "depths": [1, 2],
    "num_stages": 2,
    "image_size": 24,
}
_BIT = {
    **{"num_channels": 2, "embedding_size": 8, "hidden_sizes": [16, 32], "depths": [2, 1], "num_groups": 2},
    **{"image_size": 24, "out_features": ["stem", "stage2"]},
}
_REGNET = {**_RESNET, "groups_width": 8}
_SMALL = {"num_channels": 2, "image_size": 40}
_POOLFORMER = {
    **_SMALL,
    **{"depths": [1, 2], "hidden_sizes": [16, 24], "num_encoder_blocks": 2, "layer_scale_init_value": 0.5},
}
_EFFICIENT = {
    **_SMALL,
    "width_coefficient": 0.02,
    "depth_coefficient": 1.2,
    "hidden_dim": 24,
    **{"kernel_sizes": [3, 5, 3], "in_channels": [400, 500, 700], "out_channels": [500, 700, 800]},
    **{"strides": [1, 2, 2], "num_block_repeats": [1, 2, 1], "expand_ratios": [1, 3, 2]},
    **{"depthwise_padding": [4], "drop_connect_rate": 0.0, "dropout_rate": 0.0},
}
_SWIN = {
    **{"image_size": 12, "patch_size": 2, "num_channels": 2, "embed_dim": 8, "encoder_stride": 4},
    **{"depths": [2, 1], "num_heads": [2, 4], "window_size": 3, "drop_path_rate": 0.0},
}
# norms of small results would make gradients large, and what is rounded off with them
_SWIN_2 = {**_SWIN, "out_features": ["stem", "stage1", "stage2"], "embed_dim": 16, "layer_norm_eps": 1e-2}
_LARGER = {
    **{"image_size": 12, "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 4], "window_size": 4},
    "layer_norm_eps": 1e-2,
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "resnet": {
        "narrow in the middle": {**_RESNET, "out_features": ["stem", "stage2"]},
        "two convolutions each": {**_RESNET, "layer_type": "basic", "out_indices": [1, 2]},
    },
    "bit": {
        "norms behind, padded by the size": {
            **{**_BIT, "layer_type": "bottleneck", "global_padding": "same"},
            "embedding_dynamic_padding": True,
        },
    },
    "convnext": {"scaled": {**_CONVNEXT, "layer_scale_init_value": 0.5, "out_indices": [1, 2]}},
    "convnextv2": {"by responses": {**_CONVNEXT, "out_features": ["stage2"]}},
    "regnet": {"weighed": _REGNET},
    "mobilenet_v1": {"padded by the size": {**_SMALL, "depth_multiplier": 0.02}},
    "efficientnet": {"wide and narrow": _EFFICIENT},
    "poolformer": {"scaled": _POOLFORMER},
    "swin2sr": {"twice as large": _LARGER},
    "swinv2": {"windows that are moved, and one": _SWIN_2},
    "swin": {"windows that are moved, and one": {**_SWIN, "out_features": ["stem", "stage1", "stage2"]}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "bit": {
        "norms before, one group": {**_BIT, "num_groups": 1, "depths": [1, 1]},
        "zeros for the pool, gelu": {
            **{**_BIT, "embedding_dynamic_padding": True, "hidden_act": "gelu", "layer_type": "bottleneck"},
            "depths": [1, 1],
        },
        "maps that stay large": {
            **{**_BIT, "layer_type": "bottleneck", "output_stride": 4, "depths": [1, 1, 1]},
            **{"hidden_sizes": [16, 16, 32], "out_features": ["stage1", "stage2", "stage3"]},
        },
    },
    "resnet": {
        "smaller at once, in the first of three, gelu": {
            **_RESNET,
            "downsample_in_first_stage": True,
            "downsample_in_bottleneck": True,
            "hidden_act": "gelu",
        },
    },
    "convnext": {
        "one stage, no factors, finer patches, relu": {
            **_CONVNEXT,
            "hidden_sizes": [16],
            "depths": [1],
            "num_stages": 1,
            "patch_size": 2,
            "layer_scale_init_value": 0.0,
            "hidden_act": "relu",
        },
    },
    "regnet": {
        "not weighed, as large at first, gelu": {
            **_REGNET,
            "layer_type": "x",
            "downsample_in_first_stage": False,
            "hidden_act": "gelu",
        },
    },
    "poolformer": {
        "not scaled, other patches": {
            **_POOLFORMER,
            **{"use_layer_scale": False, "patch_sizes": [5, 2], "padding": [1, 0], "pool_size": 5},
        },
    },
    "swin2sr": {
        "three times, three convolutions, other pixels": {
            **_LARGER,
            **{"upscale": 3, "resi_connection": "3conv", "img_range": 255.0, "num_channels": 2},
        },
        "at once, other channels": {
            **_LARGER,
            **{"upsampler": "pixelshuffledirect", "num_channels_out": 1, "qkv_bias": False},
        },
        "places repeated": {**_LARGER, "upsampler": "nearest+conv", "upscale": 4},
        "beside what was read": {**_LARGER, "upsampler": "pixelshuffle_aux", "hidden_act": "relu"},
        "as large, one window": {**_LARGER, "upsampler": "", "upscale": 1, "image_size": 4},
    },
    "swinv2": {
        "cut windows, larger ones in pretraining, no bias, relu": {
            **_SWIN_2,
            **{"image_size": 10, "depths": [1, 2], "pretrained_window_sizes": [4, 3], "qkv_bias": False},
            **{"hidden_act": "relu", "window_size": 2, "encoder_stride": 4},
        },
    },
    "swin": {
        "cut windows, positions, no bias, relu": {
            **_SWIN,
            **{"image_size": 10, "depths": [1, 2], "use_absolute_embeddings": True, "qkv_bias": False},
            **{"hidden_act": "relu", "window_size": 2, "encoder_stride": 4},
        },
    },
    "mobilenet_v1": {
        "padded alike": {**_SMALL, "tf_padding": False, "min_depth": 9, "depth_multiplier": 0.01}
    },
    "efficientnet": {"the largest, gelu": {**_EFFICIENT, "pooling_type": "max", "hidden_act": "gelu"}},
}
