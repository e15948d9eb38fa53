"""Shapes of models that read images as patches."""

from __future__ import annotations

from typing import Any

IMAGE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 2,
}
_DINO = {**{name: value for name, value in IMAGE.items() if name != "intermediate_size"}, "mlp_ratio": 2}
_BEIT = {**IMAGE, "drop_path_rate": 0.0, "use_mask_token": True, "vocab_size": 20}
_LABELLED = {
    **{"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "pool_scales": [1, 2]},
    **{"auxiliary_channels": 6, "auxiliary_concat_input": True},
}
_PLACED = {
    "use_absolute_position_embeddings": True,
    "use_relative_position_bias": True,
    "use_shared_relative_position_bias": True,
}
_DECODER = {
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 12,
}
_DINO_3 = {**IMAGE, "num_register_tokens": 2, "pos_embed_rescale": None}
_FILM = {"num_frames": 4, "tubelet_size": 2}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "beit": {"everything that tells places": {**_BEIT, **_PLACED, **_LABELLED}},
    "data2vec-vision": {
        "a bias of each layer": {
            **_BEIT,
            **_LABELLED,
            "num_hidden_layers": 3,
            "use_relative_position_bias": True,
        }
    },
    "deit": {"a second token": {**IMAGE, "encoder_stride": 4}},
    "dinov2": {
        "gains": _DINO,
        "gated, no biases, nothing for hidden patches": {
            "out_features": ["stem", "stage2"],
            **_DINO,
            "use_swiglu_ffn": True,
            "qkv_bias": False,
            "use_mask_token": False,
            "layerscale_value": 0.1,
        },
    },
    "dinov2_with_registers": {
        "two registers": {**_DINO, "num_register_tokens": 2, "reshape_hidden_states": False}
    },
    "dinov3_vit": {"turned, registers": _DINO_3},
    "timesformer": {"time and space by turns": {**IMAGE, "num_frames": 3}},
    "videomae": {"the mean of all": {**IMAGE, **_DECODER, **_FILM}},
    "vit_mae": {"two thirds hidden": {**IMAGE, **_DECODER, "mask_ratio": 0.6}},
    "ijepa": {"no class token": IMAGE},
    "vit_msn": {"no pooler": IMAGE},
    "vivit": {"a class token": {**IMAGE, "num_frames": 4, "tubelet_size": [2, 4, 4]}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "timesformer": {
        "all at once, no biases": {
            **IMAGE,
            **{"num_frames": 2, "attention_type": "joint_space_time", "qkv_bias": False},
        },
        "space alone, relu": {
            **IMAGE,
            **{"num_frames": 1, "attention_type": "space_only", "hidden_act": "relu"},
        },
    },
    "beit": {
        "no places": {**_BEIT, **_LABELLED, "add_fpn": True},
        "no places, the first token": {**_BEIT, **_LABELLED, "use_mean_pooling": False},
        "a bias that layers share, no gains": {
            **_BEIT,
            **_LABELLED,
            "auxiliary_num_convs": 2,
            "auxiliary_concat_input": False,
            "use_shared_relative_position_bias": True,
            "layer_scale_init_value": 0.0,
        },
    },
    "data2vec-vision": {
        "everything that tells places": {**_BEIT, **_PLACED, **_LABELLED, "use_auxiliary_head": False},
        "no places, the first token": {**_BEIT, **_LABELLED, "use_mean_pooling": False},
    },
    "deit": {
        "own pooler, no biases": {
            **IMAGE,
            "encoder_stride": 4,
            "pooler_output_size": 20,
            "pooler_act": "gelu",
            "qkv_bias": False,
        },
    },
    "dinov2_with_registers": {
        "gated, no registers, no norm": {
            "apply_layernorm": False,
            "out_features": ["stage1", "stage2"],
            **_DINO,
            "num_register_tokens": 0,
            "use_swiglu_ffn": True,
        },
    },
    "dinov3_vit": {
        "gated, other biases, wide images, maps without norms": {
            **_DINO_3,
            "image_size": [8, 12],
            "num_register_tokens": 0,
            "use_gated_mlp": True,
            "key_bias": True,
            "query_bias": False,
            "proj_bias": False,
            "mlp_bias": False,
            "apply_layernorm": False,
            "reshape_hidden_states": False,
            "out_features": ["stage1", "stage2"],
        },
    },
    "videomae": {
        "the first patch, pixels as they are": {
            **{**IMAGE, **_DECODER, **_FILM},
            "num_channels": 3,
            "norm_pix_loss": False,
            "use_mean_pooling": False,
        },
        "no biases": {**IMAGE, **_DECODER, **_FILM, "qv_bias": False},
    },
    "vivit": {
        "own pooler, no biases, relu": {
            **IMAGE,
            "num_frames": 2,
            "tubelet_size": [1, 4, 6],
            "pooler_output_size": 20,
            "qkv_bias": False,
            "hidden_act": "relu",
        },
    },
    "vit_mae": {
        "normed pixels, no biases": {**IMAGE, **_DECODER, "norm_pix_loss": True, "qkv_bias": False},
    },
    "ijepa": {"relu, no biases": {**IMAGE, "hidden_act": "relu", "qkv_bias": False}},
    "vit_msn": {"relu, no biases": {**IMAGE, "hidden_act": "relu", "qkv_bias": False}},
}
