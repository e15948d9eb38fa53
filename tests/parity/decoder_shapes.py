"""Shapes of decoders."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import DECODER, GPT2, PLAIN, SPECIAL, VOCABULARY

_STABLE = {**DECODER, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}
_XGLM = {
    **{"vocab_size": VOCABULARY, "d_model": 32, "num_layers": 3, "attention_heads": 4, "ffn_dim": 48},
    **SPECIAL,
}
_OPT = {name: value for name, value in PLAIN.items() if name != "intermediate_size"} | {"ffn_dim": 48}
_CTRL = {**GPT2, "dff": 48}

# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "ctrl": {"plain": _CTRL},
    "gpt_neox_japanese": {
        "plain": {**PLAIN, "intermediate_multiple_size": 2},
        "half of each head turned, far angles, one layer, untied": {
            **PLAIN,
            "num_hidden_layers": 1,
            "intermediate_multiple_size": 3,
            "rotary_pct": 0.5,
            "rotary_emb_base": 100,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "openai-gpt": {
        "plain": GPT2,
        "projected by tanh to the width, relu, untied": {
            **GPT2,
            "n_layer": 2,
            "afn": "relu",
            "summary_type": "mean",
            "summary_proj_to_labels": False,
            "summary_activation": "tanh",
            "tie_word_embeddings": False,
        },
    },
    "opt": {
        "plain": _OPT,
        "norms on sums, narrow tokens": {**_OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 20},
    },
    "stablelm": {
        "plain": _STABLE,
        "side by side, norms of heads, biases, tied": {
            **_STABLE,
            "use_parallel_residual": True,
            "qk_layernorm": True,
            "use_qkv_bias": True,
            "tie_word_embeddings": True,
        },
    },
    "xglm": {"plain": _XGLM},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "ctrl": {
        "odd sizes, other epsilon, untied": {
            **_CTRL,
            "n_embd": 33,
            "n_head": 3,
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": False,
        }
    },
    "gpt2": {
        "summary of the first state as it is": {**GPT2, "summary_type": "first", "summary_use_proj": False},
        "summary of the last state": {**GPT2, "summary_type": "last", "summary_activation": "relu"},
    },
    "openai-gpt": {"silu, summary of the last state": {**GPT2, "afn": "swish", "summary_type": "last"}},
    "opt": {
        "wide tokens, no biases, bare norms, gelu, untied": {
            **_OPT,
            "word_embed_proj_dim": 40,
            "enable_bias": False,
            "layer_norm_elementwise_affine": False,
            "activation_function": "gelu",
            "tie_word_embeddings": False,
        },
        "no last norm": {**_OPT, "_remove_final_layer_norm": True},
    },
    "stablelm": {
        "norms of heads in sequence, one head of keys, slower angles": {
            **_STABLE,
            "num_attention_heads": 6,
            "hidden_size": 48,
            "num_key_value_heads": 1,
            "qk_layernorm": True,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5},
        },
    },
    "xglm": {
        "unscaled, relu, untied": {
            **_XGLM,
            "scale_embedding": False,
            "activation_function": "relu",
            "tie_word_embeddings": False,
        },
    },
}
