"""Shapes of families whose queries find the segments of pictures."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity import vision_detr_shapes

_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_SWIN = {
    **{"image_size": 32, "patch_size": 2, "embed_dim": 8, "window_size": 4, "num_channels": 2},
    **{"depths": [1, 2, 1, 1], "num_heads": [2] * 4, "drop_path_rate": 0.0, "out_features": _STAGES},
}
_RESNET = {
    **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4},
    **{"layer_type": "basic", "out_features": _STAGES},
}
_DECODER = {
    **{"model_type": "detr", "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 6},
    **{"decoder_attention_heads": 4, "decoder_ffn_dim": 24, "dropout": 0.0},
}
_MASKFORMER = {
    **{"backbone_config": {**_SWIN, "model_type": "swin"}, "decoder_config": _DECODER},
    **{"fpn_feature_size": 32, "mask_feature_size": 8},
}
_MASK2FORMER = {
    **{"backbone_config": {**_SWIN, "model_type": "swin"}, "feature_size": 32, "mask_feature_size": 8},
    **{"hidden_dim": 16, "encoder_feedforward_dim": 24, "dim_feedforward": 24, "encoder_layers": 2},
    **{"decoder_layers": 5, "num_attention_heads": 4, "num_queries": 6, "train_num_points": 40},
}
_ONEFORMER = {
    **{"backbone_config": {**_SWIN, "model_type": "swin"}, "conv_dim": 64, "mask_dim": 64, "hidden_dim": 64},
    **{"encoder_feedforward_dim": 24, "dim_feedforward": 24, "encoder_layers": 1, "decoder_layers": 5},
    **{"num_attention_heads": 4, "num_queries": 6, "train_num_points": 40, "task_seq_len": 7, "dropout": 0.0},
    **{"text_encoder_width": 64, "text_encoder_context_length": 9, "text_encoder_num_layers": 2},
    **{"text_encoder_vocab_size": 50, "text_encoder_n_ctx": 2},
}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "mask2former": {"windows": _MASK2FORMER},
    "oneformer": {"texts beside": {**_ONEFORMER, "is_training": True}},
    "maskformer": {"windows": _MASKFORMER},
    "maskformer-swin": {
        "two of four stages, windows larger than the grid": {
            **_SWIN,
            **{"image_size": 22, "out_features": ["stage2", "stage4"]},
        }
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "oneformer": {
        "no texts, larger eps": {**_ONEFORMER, "layer_norm_eps": 1e-3, "query_dec_layers": 1},
    },
    "mask2former": {
        "convolutions, norms first, two larger maps, no projection, gelu": {
            **{**_MASK2FORMER, "backbone_config": _RESNET, "pre_norm": True, "common_stride": 2},
            **{"hidden_dim": 32, "activation_function": "gelu", "importance_sample_ratio": 1.0},
            **{"no_object_weight": 0.3, "class_weight": 1.0, "mask_weight": 2.0, "dice_weight": 3.0},
        },
    },
    "maskformer": {
        "convolutions, losses of all layers, gelu, weights": {
            **{**_MASKFORMER, "backbone_config": _RESNET, "no_object_weight": 0.3, "mask_weight": 3.0},
            "decoder_config": {**_DECODER, "activation_function": "gelu"},
            **{"dice_weight": 0.5, "cross_entropy_weight": 2.0, "use_auxiliary_loss": True},
            "output_hidden_states": True,  # without them the reference has none to compute that loss of
        }
    },
    "maskformer-swin": {
        "no bias, relu": {**_SWIN, "qkv_bias": False, "hidden_act": "relu", "out_features": _STAGES[:2]}
    },
}
# the reference's names of modules that files know by others
NEWER: dict[str, dict[str, str]] = {
    "maskformer": {
        f"transformer_module.decoder.layers.{{i}}.{newer}": f"transformer_module.decoder.layers.{{i}}.{older}"
        for newer, older in vision_detr_shapes.WITHIN.items()
    }
}


def tasks(config: Any) -> dict[str, torch.Tensor]:
    """What says the task of four pictures, and texts for their queries."""
    generator = torch.Generator().manual_seed(6)
    found = {"task_inputs": torch.randint(50, (4, config.task_seq_len), generator=generator)}
    if config.is_training:
        shape = (4, config.num_queries - config.text_encoder_n_ctx, config.text_encoder_context_length)
        found["text_inputs"] = torch.randint(50, shape, generator=generator)
    return found


def segments() -> dict[str, list[torch.Tensor]]:
    """Segments in four pictures, of which one shows none."""
    generator = torch.Generator().manual_seed(5)
    found: dict[str, list[torch.Tensor]] = {"mask_labels": [], "class_labels": []}
    for count, (down, across) in zip((2, 1, 0, 3), ((32, 32), (25, 32), (32, 30), (32, 32)), strict=True):
        masks = torch.rand(count, down, across, generator=generator) > 0.5
        found["mask_labels"].append(masks.float())
        found["class_labels"].append(torch.randint(5, (count,), generator=generator))
    return found
