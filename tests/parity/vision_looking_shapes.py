"""Shapes of families whose queries look at several maps of a picture."""

from __future__ import annotations

from typing import Any

import torch

BACKBONE = {
    "model_type": "rt_detr_resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 12, 16, 20],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_indices": [1, 2, 3],
}
_RT_DETR = {
    "backbone_config": BACKBONE,
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [8, 12, 16],
    "encoder_ffn_dim": 24,
    "encoder_attention_heads": 2,
    "d_model": 16,
    "num_queries": 6,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 20,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,  # which it draws; `test_looking` compares that
}
_DEFORMABLE = {
    "backbone_config": {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4},
        **{"layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"]},
    },
    "d_model": 128,  # norms of 32 groups read numbers that are nearly alike where a group has few
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 28,
    "num_queries": 5,
}
_GROUNDED = {
    "backbone_config": {
        **{"model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1] * 4},
        **{"num_heads": [2] * 4, "window_size": 4, "out_indices": [2, 3, 4], "drop_path_rate": 0.0},
    },
    "text_config": {
        **{"model_type": "bert", "vocab_size": 1100, "hidden_size": 16, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40},
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    },
    **{"d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4},
    **{"decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 28, "num_queries": 6},
    # norms that make small numbers: else fresh logits are so large that gradients are of some thousands
    **{"max_text_len": 16, "fusion_droppath": 0.0, "layer_norm_eps": 1.3},
}
TWO_STAGES = {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 6}
_DEEP = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 2, 1, 1], "embedding_size": 6}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "deformable_detr": {"queries stay": {**_DEFORMABLE, "auxiliary_loss": True}},
    "grounding-dino": {"every layer, boxes moved alike": {**_GROUNDED, "auxiliary_loss": True}},
    "rt_detr": {"norms on sums": _RT_DETR},
    "rt_detr_v2": {"between places": {**_RT_DETR, "decoder_offset_scale": 0.3}},
    "rt_detr_resnet": {"bottlenecks": {**_DEEP, "out_features": ["stage2", "stage4"]}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "deformable_detr": {
        "queries move, learned places, five maps": {
            **{**_DEFORMABLE, "num_feature_levels": 5, "position_embedding_type": "learned"},
            **{"with_box_refine": True, "auxiliary_loss": True, "activation_function": "gelu"},
        },
    },
    "rt_detr": {
        "norms before, a fourth map, wide blocks, norms trained": {
            **_RT_DETR,
            "normalize_before": True,
            "num_feature_levels": 4,
            "hidden_expansion": 0.5,
            "freeze_backbone_batch_norms": False,
            "encode_proj_layers": [1, 2],
            "encoder_layers": 2,
            "eval_size": 64,
            "backbone_config": {**BACKBONE, "layer_type": "bottleneck"},
            "initializer_bias_prior_prob": 0.1,
            "auxiliary_loss": False,
        },
    },
    "grounding-dino": {
        "the last layer, boxes moved by each, learned places, five maps of a ResNet, a short text": {
            **{**_GROUNDED, "decoder_layers": 3},
            # finer maps, the last of which has two places: norms of the four numbers of one (32 groups) made
            # the last bits of either side a hundred times larger, 1.4e-5 off float64 in the reference
            "backbone_config": {
                **_DEFORMABLE["backbone_config"],
                "out_features": ["stage1", "stage2", "stage3"],
            },
            **{"position_embedding_type": "learned", "num_feature_levels": 5, "encoder_n_points": 2},
            **{"decoder_bbox_embed_share": False, "activation_function": "gelu", "max_text_len": 11},
        },
    },
    "rt_detr_v2": {"the nearest places": {**_RT_DETR, "decoder_method": "discrete"}},
    "rt_detr_resnet": {
        "two convolutions": {**_DEEP, "embedding_size": 8, "layer_type": "basic", "hidden_act": "silu"},
        "halved early": {**_DEEP, "downsample_in_first_stage": True, "downsample_in_bottleneck": True},
    },
}
# the reference's names of modules that files know by others
_WITHIN = {
    "self_attn.o_proj": "self_attn.out_proj",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
    "mlp.activation_fn": "activation_fn",
}
_DEFORMED = {
    "backbone.model": "backbone.conv_encoder.model",
    "backbone": "backbone.conv_encoder",
    **{
        f"{a}.layers.{{i}}.{new}": f"{a}.layers.{{i}}.{old}"
        for a in ("encoder", "decoder")
        for new, old in _WITHIN.items()
    },
}
_HOMES = {"decoder.layers": "decoder.layers", "encoder.aifi.{i}.layers": "encoder.encoder.{i}.layers"}
_RT = {
    **{f"{a}.{{i}}.{new}": f"{b}.{{i}}.{old}" for a, b in _HOMES.items() for new, old in _WITHIN.items()},
    "encoder.aifi": "encoder.encoder",
}
NEWER: dict[str, dict[str, str]] = {
    "deformable_detr": _DEFORMED,
    **dict.fromkeys(("rt_detr", "rt_detr_v2"), _RT),
}


def named(config: Any) -> dict[str, torch.Tensor]:
    """Four pictures' text of three phrases, with padding behind it, and which pixels are no padding.

    All have the same: among phrases of several texts the reference's loss looks in the wrong one's.
    """
    ids = torch.tensor([[101, 5, 6, 1012, 7, 1012, 8, 9, 1029, 102, 0]]).repeat(4, 1)
    size = getattr(config.backbone_config, "image_size", None)
    seen = torch.ones(4, *([size] * 2 if size else (64, 80)), dtype=torch.long)
    seen[1, 40:], seen[2, :, 50:] = 0, 0
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "pixel_mask": seen}
