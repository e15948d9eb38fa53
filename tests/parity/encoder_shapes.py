"""Shapes of encoders."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import ENCODER, SPECIAL

_ESM = {**ENCODER, **SPECIAL, "mask_token_id": 32}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "esm": {
        "turned, hidden tokens erased": {**_ESM, "position_embedding_type": "rotary", "token_dropout": True},
        "a table of positions, a norm first": {**_ESM, "emb_layer_norm_before": True},
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "esm": {
        "turned, looking back": {**_ESM, "position_embedding_type": "rotary", "is_decoder": True},
        "a table, hidden tokens erased": {**_ESM, "token_dropout": True, "layer_norm_eps": 0.1},
    },
}
