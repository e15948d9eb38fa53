"""Shapes of families whose queries find objects in pictures."""

from __future__ import annotations

from typing import Any

import torch

BACKBONE = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_DETR = {
    "backbone_config": BACKBONE,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_queries": 5,
}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "detr": {
        "norms between layers, learned places": {
            **_DETR,
            "auxiliary_loss": True,
            "position_embedding_type": "learned",
        }
    },
}
SHAPES["conditional_detr"] = {"every layer": {**_DETR, "auxiliary_loss": True}}
SHAPES["table-transformer"] = {
    "sines": {**_DETR, "backbone_config": {**BACKBONE, "out_features": ["stage4"]}, "decoder_layers": 1}
}
_YOLOS = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    **{"image_size": [12, 20], "patch_size": 4, "num_channels": 2, "num_detection_tokens": 5},
}
SHAPES["yolos"] = {"positions before every layer": _YOLOS}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "table-transformer": {
        "learned places, gelu": {**_DETR, "position_embedding_type": "learned", "activation_function": "gelu"}
    },
    "conditional_detr": {
        "the last layer, learned places": {
            **{**_DETR, "decoder_layers": 3, "position_embedding_type": "learned", "encoder_layers": 2}
        },
    },
    "yolos": {
        "positions before the first layer, no biases": {
            **{**_YOLOS, "use_mid_position_embeddings": False, "qkv_bias": False, "hidden_act": "relu"}
        },
    },
    "detr": {
        "sines, bottlenecks, sixteen heads, gelu": {
            **_DETR,
            "backbone_config": {**BACKBONE, "layer_type": "bottleneck", "depths": [1, 2, 1, 1]},
            "encoder_layers": 2,
            "encoder_attention_heads": 16,
            "decoder_attention_heads": 16,
            "activation_function": "gelu",
        },
    },
}
# the reference makes such a network where torchvision is installed; `test_detection` compares it another way
ELSEWHERE = {
    "timm_backbone": {"plain": {"backbone": "resnet18"}},
}
# the reference's names of modules that files know by others
WITHIN = {
    "self_attn.o_proj": "self_attn.out_proj",
    "encoder_attn.o_proj": "encoder_attn.out_proj",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
    "mlp.activation_fn": "activation_fn",
}
_LAYER = {
    "backbone.model": "backbone.conv_encoder.model",
    "backbone": "backbone.conv_encoder",
    **{
        f"{part}.layers.{{i}}.{new}": f"{part}.layers.{{i}}.{old}"
        for part in ("encoder", "decoder")
        for new, old in WITHIN.items()
    },
}
_MASKS = {
    **{f"mask_head.conv{i}.conv": f"mask_head.lay{i}" for i in (1, 2)},
    **{f"mask_head.conv{i}.norm": f"mask_head.gn{i}" for i in (1, 2)},
    **{f"mask_head.fpn_stages.{i}.fpn_adapter": f"mask_head.adapter{i + 1}" for i in range(3)},
    **{f"mask_head.fpn_stages.{i}.refine.conv": f"mask_head.lay{i + 3}" for i in range(3)},
    **{f"mask_head.fpn_stages.{i}.refine.norm": f"mask_head.gn{i + 3}" for i in range(3)},
    "mask_head.output_conv": "mask_head.out_lay",
    "bbox_attention.q_proj": "bbox_attention.q_linear",
    "bbox_attention.k_proj": "bbox_attention.k_linear",
}
_ASKS = {
    f"decoder.layers.{{i}}.{new}.{role[0]}_{role[1:]}": f"decoder.layers.{{i}}.{old}_{role}"
    for new, old in (("self_attn", "sa"), ("encoder_attn", "ca"))
    for role in ("qcontent_proj", "kcontent_proj", "qpos_proj", "kpos_proj", "qpos_sine_proj")
} | {
    f"decoder.layers.{{i}}.{new}.v_proj": f"decoder.layers.{{i}}.{old}_v_proj"
    for new, old in (("self_attn", "sa"), ("encoder_attn", "ca"))
}
_CONDITIONAL = {**_LAYER, **_ASKS}
NEWER: dict[str, dict[str, str]] = {
    "conditional_detr": {
        **_CONDITIONAL,
        **{
            f"conditional_detr.model.{new}": f"conditional_detr.model.{old}"
            for new, old in _CONDITIONAL.items()
        },
        **_MASKS,
    },
    "detr": {**_LAYER, **{f"detr.model.{new}": f"detr.model.{old}" for new, old in _LAYER.items()}, **_MASKS},
}


def objects(masked: bool = False) -> list[dict[str, torch.Tensor]]:
    """Objects in four pictures, of which one shows none."""
    generator = torch.Generator().manual_seed(5)
    found = []
    for count, (down, across) in zip((2, 1, 0, 3), ((64, 80), (50, 80), (64, 70), (64, 80)), strict=True):
        boxes = torch.rand(count, 4, generator=generator) * 0.4 + 0.2
        labels = torch.randint(5, (count,), generator=generator)
        masks = torch.rand(count, down, across, generator=generator) > 0.5
        found.append({"class_labels": labels, "boxes": boxes, **({"masks": masks} if masked else {})})
    return found
