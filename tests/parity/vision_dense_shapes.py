"""Shapes of families that say something of every place of a picture, out of maps of several sizes."""

from __future__ import annotations

from typing import Any

from tests.parity.vision_vit_shapes import IMAGE

_DINO: dict[str, Any] = {
    **{name: value for name, value in IMAGE.items() if name != "intermediate_size"},
    **{"model_type": "dinov2", "mlp_ratio": 2, "reshape_hidden_states": False},
}
_NECK: dict[str, Any] = {
    "reassemble_factors": [2, 1, 0.5],
    "neck_hidden_sizes": [8, 12, 16],
    "fusion_hidden_size": 12,
}
_DPT = {**IMAGE, **_NECK, "num_hidden_layers": 3, "image_size": 16, "backbone_out_indices": [0, 1, 2]}
_DPT["semantic_classifier_dropout"] = 0.0
_HYBRID = {
    **{**_DPT, "is_hybrid": True, "image_size": 32, "patch_size": 8, "num_channels": 3},
    **{"neck_hidden_sizes": [8, 16, 12, 16], "reassemble_factors": [1, 1, 1, 0.5]},
    **{"backbone_out_indices": [0, 1, 1, 2], "backbone_featmap_shape": [1, 24, 4, 4]},
    "backbone_config": {
        **{"model_type": "bit", "embedding_size": 8, "hidden_sizes": [8, 16, 24], "depths": [1, 1, 1]},
        **{"num_groups": 2, "layer_type": "bottleneck", "global_padding": "same", "output_stride": 8},
        "image_size": 32,
        **{"embedding_dynamic_padding": True, "out_features": ["stage1", "stage2", "stage3"]},
    },
}
_DEPTH_ANYTHING = {
    **_NECK,
    "backbone_config": {**_DINO, "out_indices": [0, 1, 2]},
    "reassemble_hidden_size": 16,
    "patch_size": 4,
    "head_hidden_size": 6,
}
_UPERNET = {
    **{"hidden_size": 12, "pool_scales": [1, 2], "auxiliary_channels": 6},
    **{"auxiliary_num_convs": 2, "auxiliary_concat_input": True},
}
_ZOE: dict[str, Any] = {
    "backbone_config": {
        **{name: value for name, value in IMAGE.items() if name != "num_channels"},
        **{"model_type": "beit", "num_hidden_layers": 3, "image_size": 16, "out_indices": [0, 1, 2, 3]},
        **{"reshape_hidden_states": False, "use_relative_position_bias": True, "drop_path_rate": 0.0},
    },
    **{"neck_hidden_sizes": [8, 12, 16, 20], "fusion_hidden_size": 12, "num_relative_features": 6},
    **{"bottleneck_features": 12, "num_attractors": [3, 2, 2, 1], "bin_embedding_dim": 8},
    "bin_configurations": [{"n_bins": 5, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
}
_TWO = {
    "bin_configurations": [
        *_ZOE["bin_configurations"],
        {"n_bins": 4, "min_depth": 0.001, "max_depth": 80.0, "name": "kitti"},
    ],
    **{"num_patch_transformer_layers": 4, "patch_transformer_hidden_size": 128},
    **{"patch_transformer_intermediate_size": 24, "patch_transformer_num_attention_heads": 4},
}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_RESNET = {
    **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 12, 16, 20], "depths": [1] * 4},
    **{"layer_type": "basic", "out_features": _STAGES},
}
_SWIN = {
    **{"model_type": "swin", "image_size": 32, "patch_size": 2, "embed_dim": 8, "window_size": 4},
    **{"depths": [1] * 4, "num_heads": [2] * 4, "drop_path_rate": 0.0, "out_features": _STAGES},
}
_CONVNEXT = {
    **{"model_type": "convnext", "hidden_sizes": [8, 12, 16, 20], "depths": [1] * 4, "image_size": 64},
    **{"out_features": _STAGES},
}
_MOBILE = {
    "num_channels": 2,
    "image_size": 34,
    "depth_multiplier": 0.02,
    "expand_ratio": 2,
    "output_stride": 8,
}
_MOBILEVIT: dict[str, Any] = {
    **{"num_channels": 2, "image_size": 38, "hidden_sizes": [8, 8, 12], "num_attention_heads": 2},
    **{"neck_hidden_sizes": [4, 4, 8, 8, 12, 12, 16], "expand_ratio": 2.0, "mlp_ratio": 1.5},
    **{"aspp_out_channels": 6, "aspp_dropout_prob": 0.0, "atrous_rates": [1, 2, 3]},
}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "depth_anything": {"maps of DINOv2": _DEPTH_ANYTHING},
    "dpt": {"rows of its own": _DPT},
    "mobilenet_v2": {"maps that stay large": _MOBILE},
    "mobilevit": {"patches that do not fit": _MOBILEVIT},
    "zoedepth": {"metres of one kind": _ZOE},
    "upernet": {"maps of ConvNeXT": {**_UPERNET, "backbone_config": _CONVNEXT}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "depth_anything": {
        "metres": {**_DEPTH_ANYTHING, "depth_estimation_type": "metric", "max_depth": 20, "head_in_index": 1},
    },
    "dpt": {
        "tokens added, norms, an early map": {
            **_DPT,
            **{"readout_type": "add", "use_batch_norm_in_fusion_residual": True, "head_in_index": 1},
            **{"pooler_output_size": 20, "pooler_act": "gelu", "hidden_act": "relu", "qkv_bias": False},
        },
        "tokens left out": {**_DPT, "readout_type": "ignore", "use_bias_in_fusion_residual": False},
        "maps of a network": _HYBRID,
        "a backbone": {**_DPT, "backbone_config": {**_DINO, "out_indices": [0, 1, 2]}},
    },
    "mobilenet_v2": {
        "another stem, even zeros": {
            **_MOBILE,
            **{"output_stride": 32, "first_layer_is_expansion": False, "tf_padding": False},
            **{"finegrained_output": False, "hidden_act": "silu"},
        },
    },
    "mobilevit": {
        "maps that stay large, wide patches": {
            **_MOBILEVIT,
            **{"output_stride": 8, "patch_size": 3, "hidden_act": "relu", "qkv_bias": False},
        },
        "the last maps stay large": {**_MOBILEVIT, "output_stride": 16},
    },
    "zoedepth": {
        "bounded, summed": {**_ZOE, "bin_centers_type": "normed", "attractor_kind": "sum"},
        "of two kinds, norms": {**_ZOE, **_TWO, "use_batch_norm_in_fusion_residual": True},
        "of two kinds, bounded": {**_ZOE, **_TWO, "bin_centers_type": "normed"},
    },
    "upernet": {
        "windows, one head": {**_UPERNET, "backbone_config": _SWIN, "use_auxiliary_head": False},
        "maps of ResNet": {**_UPERNET, "backbone_config": _RESNET, "auxiliary_concat_input": False},
    },
}
# the reference's names of modules that files know by others, `{i}` a number
_UP = ("conv_transpose1", "normalization", "activation", "conv_transpose2")
_UNITS = {
    **{f"decode_head.{name}": f"decode_head.{name}" for name in ("lateral_convs.{i}", "fpn_convs.{i}")},
    **{name: name for name in ("decode_head.fpn_bottleneck", "auxiliary_head.convs.{i}")},
    "auxiliary_head.conv_cat": "auxiliary_head.conv_cat",
    "decode_head.psp_bottleneck": "decode_head.bottleneck",
    "decode_head.psp_modules.blocks.{i}.conv": "decode_head.psp_modules.{i}.1",
}
_CONV = {"convolution": "conv", "normalization": "bn", "activation": "activation"}
_BEIT = {
    **{f"fpn.fpn1.{name}": f"fpn1.{i}" for i, name in enumerate(_UP)},
    **{"fpn.fpn2": "fpn2.0", "fpn.fpn4": "fpn4"},
    **_UNITS,
    **{f"{unit}.{new}": f"{old}.{part}" for unit, old in _UNITS.items() for new, part in _CONV.items()},
    "decode_head.psp_modules.blocks.{i}.pooling": "decode_head.psp_modules.{i}.0",
    "decode_head.psp_modules.blocks.{i}": "decode_head.psp_modules.{i}",
}
NEWER: dict[str, dict[str, str]] = {"beit": _BEIT}
