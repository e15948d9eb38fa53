"""Shapes of models of long texts."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import ENCODER

_LONGFORMER = {**ENCODER, "pad_token_id": 1, "attention_window": [4, 12, 6]}
_BIG_BIRD = {**ENCODER, "block_size": 1, "num_random_blocks": 2, "sep_token_id": 9}
_CANINE = {
    **{name: value for name, value in ENCODER.items() if name != "vocab_size"},
    "num_hash_buckets": 47,
    "downsampling_rate": 3,
    "local_transformer_stride": 16,
}
_XLNET = {
    "vocab_size": 101,
    "d_model": 32,
    "n_layer": 3,
    "n_head": 4,
    "d_inner": 48,
    "start_n_top": 3,
    "end_n_top": 2,
}
_FUNNEL = {
    "vocab_size": 101,
    "block_sizes": [2, 1, 1],
    "num_decoder_layers": 1,
    "d_model": 32,
    "n_head": 4,
    "d_head": 6,
    "d_inner": 48,
    "initializer_range": 0.5,
    "hidden_dropout": 0.0,
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "big_bird": {
        "blocks, two of them at random": _BIG_BIRD,
        "one at random, larger embeddings": {
            **_BIG_BIRD,
            "num_random_blocks": 1,
            "rescale_embeddings": True,
        },
    },
    "canine": {"one block": _CANINE},
    "funnel": {
        "three blocks, a layer over all tokens": _FUNNEL,
        "factors, two runs, no pair left out, maxima": {
            **_FUNNEL,
            "attention_type": "factorized",
            "block_sizes": [1, 1],
            "block_repeats": [2, 1],
            "truncate_seq": False,
            "pool_q_only": False,
            "pooling_type": "max",
        },
    },
    "longformer": {"three windows": _LONGFORMER},
    "xlnet": {
        "both ways": _XLNET,
        "short distances, half of the rows backwards": {
            **_XLNET,
            "clamp_len": 3,
            "bi_data": True,
            "tie_word_embeddings": False,
        },
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "big_bird": {
        "no biases, relu, five heads, untied": {
            **_BIG_BIRD,
            "hidden_size": 30,
            "num_attention_heads": 5,
            "use_bias": False,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
        "all see all": {**_BIG_BIRD, "attention_type": "original_full", "pad_token_id": 3},
    },
    "canine": {
        "blocks of four, groups of four, a short reach": {
            **_CANINE,
            "local_transformer_stride": 4,
            "downsampling_rate": 4,
            "upsampling_kernel_size": 3,
            "num_hash_functions": 4,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
        },
        "blocks of two, groups of two, sixteen hashes": {
            **_CANINE,
            "local_transformer_stride": 2,
            "downsampling_rate": 2,
            "num_hash_functions": 16,
            "num_hidden_layers": 1,
        },
    },
    "funnel": {
        "the first token in a pair, relu, untied": {
            **_FUNNEL,
            "separate_cls": False,
            "hidden_act": "relu",
            "num_decoder_layers": 2,
            "tie_word_embeddings": False,
        },
        "one block": {**_FUNNEL, "block_sizes": [2], "d_head": 8},
        "four blocks, layers that run twice": {
            **_FUNNEL,
            "block_sizes": [1, 1, 1, 1],
            "block_repeats": [1, 2, 1, 2],
            "layer_norm_eps": 1e-5,
        },
    },
    "longformer": {
        "one window, longer than texts, relu, untied": {
            **_LONGFORMER,
            "attention_window": 24,
            "pad_token_id": 0,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "xlnet": {
        "summary of all columns as it is, relu": {
            **_XLNET,
            "summary_type": "mean",
            "summary_use_proj": False,
            "ff_activation": "relu",
        },
        "summary of the first column, short memory": {
            **_XLNET,
            "summary_type": "first",
            "mem_len": 4,
            "reuse_len": 6,
            "layer_norm_eps": 1e-3,
        },
    },
}
