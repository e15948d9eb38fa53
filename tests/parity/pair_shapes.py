"""Shapes of pairs of text models that read pictures."""

from __future__ import annotations

from typing import Any

_BART = {
    **{"model_type": "bart", "d_model": 16, "vocab_size": 102, "max_position_embeddings": 40, "dropout": 0.0},
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 20 for side in ("encoder", "decoder")},
}
_DAVIT = {
    **{"depths": [1, 2], "patch_size": [3, 3], "patch_stride": [2, 2], "patch_padding": [1, 1]},
    **{"patch_prenorm": [False, True], "embed_dim": [8, 12], "num_heads": [2, 3], "num_groups": [2, 3]},
    **{"window_size": 2, "drop_path_rate": 0.0, "projection_dim": 16, "max_position_embeddings": 5},
}
_KOSMOS2 = {
    "text_config": {
        **{"vocab_size": 101, "embed_dim": 16, "layers": 2, "ffn_dim": 24, "attention_heads": 2},
        **{"dropout": 0.0, "attention_dropout": 0.0},
    },
    "vision_config": {
        **{"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3},
        **{"image_size": 12, "patch_size": 4},
    },
    "latent_query_num": 3,
}
_FLORENCE2 = {"text_config": _BART, "vision_config": _DAVIT, "image_token_id": 101}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "florence2": {"windows that do not fit": _FLORENCE2},
    "florence_vision": {"windows that do not fit": _DAVIT},
    "kosmos-2": {"plain": _KOSMOS2},
    "kosmos_2_text_model": {"plain": _KOSMOS2["text_config"]},
    "kosmos_2_vision_model": {"plain": _KOSMOS2["vision_config"]},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "florence2": {
        "untied, no biases, norms behind": {
            **{**_FLORENCE2, "tie_word_embeddings": False},
            "vision_config": {**_DAVIT, "qkv_bias": False, "patch_prenorm": [False, False]},
        }
    },
    "kosmos-2": {
        "plain scale, fine patches": {
            **_KOSMOS2,
            "text_config": {
                **_KOSMOS2["text_config"],
                "scale_embedding": False,
                "activation_function": "relu",
            },
            "vision_config": {**_KOSMOS2["vision_config"], "patch_size": 3, "hidden_act": "gelu"},
            "latent_query_num": 2,
        }
    },
}
