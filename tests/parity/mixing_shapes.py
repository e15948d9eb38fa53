"""Shapes of encoders that mix tokens in ways of their own."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import ENCODER

# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "fnet": {
        "plain": {**ENCODER, "pad_token_id": 0},
    },
    "convbert": {
        "narrow embeddings, two groups": {
            **ENCODER,
            "embedding_size": 20,
            "num_groups": 2,
            "conv_kernel_size": 5,
        },
    },
    "mobilebert": {
        "bottlenecks, three feed-forwards": {
            **ENCODER,
            "embedding_size": 12,
            "intra_bottleneck_size": 16,
            "num_feedforward_networks": 3,
        },
    },
    "mra": {
        "three of nine pairs, narrow heads": {
            **ENCODER,
            "max_position_embeddings": 96,
            "block_per_row": 1,
            "type_vocab_size": 2,
        },
    },
    "nystromformer": {
        "twelve tokens by four landmarks": {
            **ENCODER,
            "segment_means_seq_len": 12,
            "num_landmarks": 4,
            "conv_kernel_size": 5,
        },
    },
    "squeezebert": {
        "groups of every size": {
            **ENCODER,
            "embedding_size": 32,
            "q_groups": 2,
            "v_groups": 1,
            "post_attention_groups": 8,
        },
    },
    "yoso": {
        "a convolution beside": {**ENCODER, "conv_window": 5, "type_vocab_size": 2},
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "fnet": {
        "odd width, relu, untied": {
            **ENCODER,
            "hidden_size": 31,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
            "type_vocab_size": 2,
            "tie_word_embeddings": False,
        },
    },
    "convbert": {
        "one head, a projected summary of the first token, relu, untied": {
            **ENCODER,
            "embedding_size": 32,
            "head_ratio": 8,
            "hidden_act": "relu",
            "summary_type": "first",
            "summary_use_proj": True,
            "summary_activation": "gelu",
            "tie_word_embeddings": False,
        },
    },
    "mobilebert": {
        "no bottlenecks, one feed-forward, norms, single tokens, no pooler, untied": {
            **ENCODER,
            "embedding_size": 20,
            "use_bottleneck": False,
            "num_feedforward_networks": 1,
            "normalization_type": "layer_norm",
            "trigram_input": False,
            "classifier_activation": False,
            "tie_word_embeddings": False,
        },
        "narrow attention": {
            **ENCODER,
            "embedding_size": 12,
            "intra_bottleneck_size": 16,
            "use_bottleneck_attention": True,
            "normalization_type": "layer_norm",
            "layer_norm_eps": 1e-6,
        },
    },
    "mra": {
        "sparse, wide heads, chosen ones first, relu, untied": {
            **ENCODER,
            "max_position_embeddings": 96,
            "num_attention_heads": 1,
            "hidden_size": 40,
            "approx_mode": "sparse",
            "block_per_row": 2,
            "initial_prior_diagonal_n_blocks": 1,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
        "the first block with all others": {
            **ENCODER,
            "max_position_embeddings": 128,
            "block_per_row": 3,
            "initial_prior_first_n_blocks": 1,
        },
    },
    "nystromformer": {
        "plain attention, relu, untied": {
            **ENCODER,
            "conv_kernel_size": 3,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-6,
            "tie_word_embeddings": False,
        },
    },
    "squeezebert": {
        "other epsilon, relu, untied": {
            **ENCODER,
            "embedding_size": 32,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
    },
    "yoso": {
        "three bits, no convolution, relu, untied": {
            **ENCODER,
            "hash_code_len": 3,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
    },
}
