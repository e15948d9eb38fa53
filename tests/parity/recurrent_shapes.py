"""Shapes of models with scans, linear attention and other states."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import DECODER, VOCABULARY

_MAMBA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "state_size": 6,
    "pad_token_id": 0,
}
_MAMBA2 = {**_MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 2, "chunk_size": 8}
_JAMBA = {
    **DECODER,
    "num_hidden_layers": 4,
    "num_experts": 4,
    "attn_layer_period": 3,
    "attn_layer_offset": 1,
    "mamba_d_state": 6,
}
_BAMBA = {**DECODER, "mamba_n_heads": 4, "mamba_d_state": 6, "mamba_chunk_size": 8}
_LFM2 = {**DECODER, "num_hidden_layers": 4, "full_attn_idxs": [1, 3], "block_multiple_of": 8}
_GRIFFIN = {**DECODER, "attention_window_size": 4, "num_hidden_layers": 4}
_NEXT = {
    **DECODER,
    "num_hidden_layers": 4,
    "head_dim": 16,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 20,
}
_BIASES = {"mamba_proj_bias": True, "mamba_conv_bias": False, "attention_bias": True, "mlp_bias": True}

_RWKV = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "pad_token_id": 0}

# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "mamba2": {
        "two groups": _MAMBA2,
        "six heads of one group, biases, short reach, bounded steps, tied": {
            **_MAMBA2,
            "num_heads": 6,
            "n_groups": 1,
            "expand": 3,
            "use_bias": True,
            "conv_kernel": 2,
            "time_step_limit": [0.5, 1.0],
            "tie_word_embeddings": True,
        },
    },
    "falcon_mamba": {"norms of what is selected": _MAMBA},
    "jamba": {"attention in every third layer, experts in every other": _JAMBA},
    "bamba": {
        "attention in the second layer": {**_BAMBA, "attn_layer_indices": [1]},
        "two groups, biases, bounded steps, logits kept small, tied": {
            **_BAMBA,
            **_BIASES,
            "num_hidden_layers": 2,
            "attn_layer_indices": [0],
            "mamba_n_groups": 2,
            "time_step_limit": [0.5, 1.0],
            "z_loss_coefficient": 0.1,
            "tie_word_embeddings": True,
        },
    },
    "falcon_h1": {
        "no norm of what is read": {**_BAMBA, "mamba_d_ssm": 48},
        "factors everywhere, a norm before the gate": {
            **_BAMBA,
            "mamba_d_ssm": None,
            "mamba_n_groups": 2,
            "mamba_rms_norm": True,
            "lm_head_multiplier": 0.5,
            "embedding_multiplier": 2.0,
            "mlp_multipliers": [0.7, 1.3],
            "key_multiplier": 0.6,
            "attention_out_multiplier": 1.2,
            "attention_in_multiplier": 0.8,
            "ssm_multipliers": [0.5, 0.9, 1.1, 1.3, 0.7],
            "ssm_in_multiplier": 1.4,
            "ssm_out_multiplier": 0.6,
        },
    },
    "lfm2": {"convolutions and attention by turns": _LFM2},
    "qwen3_next": {"three delta rules, then gated attention": _NEXT},
    "recurrent_gemma": {"two recurrences, then a window of four": _GRIFFIN},
    "rwkv": {"halved after every other layer": {**_RWKV, "rescale_every": 2}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "rwkv": {
        "never halved, narrow inside, another epsilon, tied": {
            **_RWKV,
            "intermediate_size": 40,
            "rescale_every": 0,
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": True,
        },
    },
    "qwen3_next": {
        "a key for each head, biases, short reach, dense layers, the routers' share, tied": {
            **_NEXT,
            "linear_num_value_heads": 2,
            "linear_conv_kernel_dim": 2,
            "attention_bias": True,
            "full_attention_interval": 2,
            "partial_rotary_factor": 0.5,
            "mlp_only_layers": [1],
            "norm_topk_prob": False,
            "output_router_logits": True,
            "tie_word_embeddings": True,
        },
    },
    "recurrent_gemma": {
        "wider states, short reach, biases, a low cap, untied": {
            **_GRIFFIN,
            "lru_width": 48,
            "conv1d_width": 2,
            "attention_bias": True,
            "logits_soft_cap": 2.0,
            "block_types": ["attention", "recurrent"],
            "partial_rotary_factor": 1.0,
            "tie_word_embeddings": False,
        },
    },
    "lfm2": {
        "biases, long reach, a width as it stands, convolutions first, untied": {
            **_LFM2,
            "full_attn_idxs": [2],
            "conv_bias": True,
            "conv_L_cache": 5,
            "block_auto_adjust_ff_dim": False,
            "tie_word_embeddings": False,
        },
        "attention first, one key for all heads": {
            **_LFM2,
            "full_attn_idxs": [0, 2],
            "block_ffn_dim_multiplier": 1.5,
            "num_key_value_heads": 1,
        },
    },
    "jamba": {
        "no experts, biases, short reach, rank of its own, tied": {
            **_JAMBA,
            "num_experts": 1,
            "mamba_proj_bias": True,
            "mamba_conv_bias": False,
            "mamba_d_conv": 2,
            "mamba_dt_rank": 5,
            "tie_word_embeddings": True,
        },
        "the routers' share in the loss": {**_JAMBA, "output_router_logits": True, "num_experts_per_tok": 3},
    },
    "bamba": {
        "six heads": {**_BAMBA, "hidden_size": 24, "mamba_n_heads": 6, "attn_layer_indices": [0, 2]},
    },
    "falcon_h1": {
        "biases, a norm after the gate": {
            **_BAMBA,
            **_BIASES,
            "mamba_rms_norm": True,
            "mamba_norm_before_gate": False,
            "projectors_bias": True,
            "mamba_d_ssm": 32,
        },
    },
    "mamba2": {
        "a group for each head, no bias of the convolution, gelu": {
            **_MAMBA2,
            "n_groups": 4,
            "use_conv_bias": False,
            "hidden_act": "gelu",
            "conv_kernel": 3,
        },
    },
    "falcon_mamba": {
        "biases, short reach, rank of its own, untied, other epsilon": {
            **_MAMBA,
            "use_bias": True,
            "conv_kernel": 2,
            "time_step_rank": 5,
            "expand": 3,
            "mixer_rms_eps": 1e-3,
            "tie_word_embeddings": False,
        },
    },
}
