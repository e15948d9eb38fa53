"""Shapes of mixtures of experts."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import DECODER

_GRANITE = {
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
    "residual_multiplier": 0.7,
    "logits_scaling": 2.5,
}
_LONG = {
    "rope_type": "longrope",
    "rope_theta": 500.0,
    "short_factor": [1.0, 1.1, 1.3, 1.5],
    "long_factor": [1.5, 2.0, 3.0, 4.0],
    "short_mscale": 1.2,
    "long_mscale": 1.3,
    "original_max_position_embeddings": 30,
}
_DBRX: dict[str, Any] = {
    "vocab_size": 101,
    "d_model": 32,
    "n_heads": 4,
    "n_layers": 3,
    "max_seq_len": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_config": {"kv_n_heads": 2, "clip_qkv": 0.3, "rope_theta": 10000.0},
    "ffn_config": {"ffn_hidden_size": 20, "moe_num_experts": 6, "moe_top_k": 2},
}
_LATENT = {
    **DECODER,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 20,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 12,
    "v_head_dim": 10,
}
_JET: dict[str, Any] = {
    **{key: value for key, value in DECODER.items() if key != "num_attention_heads"},
    "kv_channels": 12,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "intermediate_size": 20,
}
_FEW = {**DECODER, "num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 20}

# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "gpt_oss": {
        "window of four in turn, heads of a width of their own": {
            **_FEW,
            "head_dim": 12,
            "sliding_window": 4,
            "swiglu_limit": 0.05,
        },
    },
    "granitemoe": {"four scales": {**_FEW, **_GRANITE}},
    "granitemoeshared": {"four scales": {**_FEW, **_GRANITE, "shared_intermediate_size": 28}},
    "minicpm3": {"three scales": {**_LATENT, "scale_emb": 3.0, "scale_depth": 1.1, "dim_model_base": 12}},
    "phimoe": {"two turns of rotary positions": {**_FEW, "rope_parameters": _LONG, "lm_head_bias": True}},
    "dbrx": {"clipped": _DBRX},
    "jetmoe": {"two of six": _JET},
    "llama4_text": {
        "chunks of four, no positions in the second layer, experts in two": {
            **_FEW,
            "head_dim": 12,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 28,
            "attention_chunk_size": 4,
            "no_rope_layers": [1, 0, 1],
            "moe_layers": [0, 1],
        },
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "llama4_text": {
        "two of six, warmth, biases, no norms, scaled positions": {
            **_FEW,
            "head_dim": 12,
            "intermediate_size_mlp": 28,
            "attention_chunk_size": 3,
            "no_rope_layer_interval": 3,
            "interleave_moe_layer_step": 2,
            "attention_bias": True,
            "use_qk_norm": False,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
            "floor_scale": 2,
            "attn_scale": 0.7,
        },
        "everywhere chunks, norms after a factor, no warmth": {
            **_FEW,
            "head_dim": 12,
            "intermediate_size_mlp": 28,
            "attention_chunk_size": 5,
            "layer_types": ["chunked_attention"] * 3,
            "no_rope_layers": [1, 0, 1],
            "attn_temperature_tuning": False,
            "floor_scale": 2,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    },
    "jetmoe": {
        "three of five, relu, output apart": {
            **_JET,
            "num_key_value_heads": 3,
            "num_local_experts": 5,
            "num_experts_per_tok": 3,
            "activation_function": "relu",
            "tie_word_embeddings": False,
            "rms_norm_eps": 1e-3,
        }
    },
    "gpt_oss": {
        "windows first, no biases, three of five, plain turns": {
            **_FEW,
            "num_local_experts": 5,
            "num_experts_per_tok": 3,
            "attention_bias": False,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
            "swiglu_alpha": 1.1,
            "tie_word_embeddings": True,
        },
    },
    "granitemoe": {
        "one scale, biases, relu, tied": {
            **_FEW,
            "attention_bias": True,
            "hidden_act": "relu",
            "tie_word_embeddings": True,
        }
    },
    "granitemoeshared": {"none shared": {**_FEW, "shared_intermediate_size": 0}},
    "minicpm3": {
        "no scales, plain queries": {
            **_LATENT,
            "q_lora_rank": None,
            "v_head_dim": None,
            "scale_emb": 1.0,
            "scale_depth": None,
            "dim_model_base": None,
            "attention_bias": True,
            "mlp_bias": True,
        }
    },
    "phimoe": {
        "a window, biases, wide tolerance": {
            **_FEW,
            "sliding_window": 5,
            "attention_bias": True,
            "router_jitter_noise": 0.3,
        }
    },
    "dbrx": {
        "weights as they are": {
            **_DBRX,
            "ffn_config": {**_DBRX["ffn_config"], "moe_normalize_expert_weights": None},
        },
        "euclidean weights": {
            **_DBRX,
            "attn_config": {"kv_n_heads": 4, "clip_qkv": 8.0, "rope_theta": 10000.0},
            "ffn_config": {**_DBRX["ffn_config"], "moe_normalize_expert_weights": 2.0},
        },
    },
}
