"""Shapes of models of long texts."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import ENCODER

_LONGFORMER = {**ENCODER, "pad_token_id": 1, "attention_window": [4, 12, 6]}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "longformer": {"three windows": _LONGFORMER},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "longformer": {
        "one window, longer than texts, relu, untied": {
            **_LONGFORMER,
            "attention_window": 24,
            "pad_token_id": 0,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
}
