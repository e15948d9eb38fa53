"""Shapes of families that say something of every place of a picture, or of objects in it."""

from __future__ import annotations

from typing import Any

_STAGED = {
    "num_channels": 3,
    "num_encoder_blocks": 3,
    "depths": [1, 2, 1],
    "sr_ratios": [4, 2, 1],
    "hidden_sizes": [8, 16, 20],
    "patch_sizes": [7, 3, 3],
    "strides": [4, 2, 2],
    "num_attention_heads": [1, 2, 2],
    "mlp_ratios": [2, 2, 2],
    "decoder_hidden_size": 20,
    "drop_path_rate": 0.0,
}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "glpn": {"plain": _STAGED},
    "segformer": {"plain": _STAGED},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "glpn": {
        "two stages, relu": {
            **_STAGED,
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "max_depth": 80,
            "hidden_sizes": [8, 16],
            "hidden_act": "relu",
            "decoder_hidden_size": 12,
        },
    },
    "segformer": {
        "two stages, even patches": {
            **_STAGED,
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "patch_sizes": [4, 2],
            "sr_ratios": [2, 1],
            "hidden_act": "gelu_new",
            "mlp_ratios": [3, 2],
            "hidden_sizes": [8, 16],
        },
    },
}
# the reference's names of modules that files know by others, `{i}` and `{j}` numbers
_LAYER, _OLD = "stages.{i}.blocks.{j}", "encoder.block.{i}.{j}"
_WITHIN = {
    "attention.sequence_reduction.sequence_reduction": "attention.self.sr",
    "attention.sequence_reduction.layer_norm": "attention.self.layer_norm",
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.o_proj": "attention.output.dense",
    "layernorm_before": "layer_norm_1",
    "layernorm_after": "layer_norm_2",
    "hidden_dropout": "attention.output.dropout",
    "mlp.fc1": "mlp.dense1",
    "mlp.fc2": "mlp.dense2",
    "mlp.activation_fn": "mlp.intermediate_act_fn",
}
NEWER: dict[str, dict[str, str]] = {
    "segformer": {
        **{f"{_LAYER}.{new}": f"{_OLD}.{old}" for new, old in _WITHIN.items()},
        _LAYER: _OLD,
        "stages.{i}.patch_embeddings": "encoder.patch_embeddings.{i}",
        "stages.{i}.layer_norm": "encoder.layer_norm.{i}",
        "decode_head.linear_projections.{i}": "decode_head.linear_c.{i}",
    },
}
