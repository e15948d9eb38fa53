"""Shapes of models with scans, linear attention and other states."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import VOCABULARY

_MAMBA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "state_size": 6,
    "pad_token_id": 0,
}
_MAMBA2 = {**_MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 2, "chunk_size": 8}

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
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
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
