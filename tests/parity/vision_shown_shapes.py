"""Shapes of models whose texts show pictures of one size, by tokens that see each other."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import DECODER, VOCABULARY

_IMAGE: dict[str, Any] = {
    **{"model_type": "siglip_vision_model", "hidden_size": 24, "num_hidden_layers": 2, "image_size": 16},
    **{"num_attention_heads": 2, "intermediate_size": 20, "patch_size": 4, "vision_use_head": False},
}
_TEXT = {
    **{**DECODER, "vocab_size": VOCABULARY + 2, "num_hidden_layers": 3, "head_dim": 12},
    **{"query_pre_attn_scalar": 20, "sliding_window": 3, "sliding_window_pattern": 2},
}
_PLAIN = {**DECODER, "vocab_size": VOCABULARY + 2, "num_hidden_layers": 2, "head_dim": 12}
_CODER: dict[str, Any] = {
    **{"embed_dim": 12, "num_embeddings": 32, "latent_channels": 20, "resolution": 8, "base_channels": 32},
    **{"channel_multiplier": [1, 2, 1], "num_res_blocks": 1, "attn_resolutions": [4]},
}


# what the reference cannot call by itself, only within a model
WITHIN = {"chameleon_vqgan": _CODER}


def _letters(number: int) -> str:
    return "".join(chr(ord("A") + int(digit)) for digit in str(number))


WORDS = {"<image>": 3, **{f"IMGIMG{_letters(code)}Z": 10 + code for code in range(32)}}
_CODED: dict[str, Any] = {
    **{**DECODER, "num_hidden_layers": 2},
    **{"vq_config": WITHIN["chameleon_vqgan"], "vocabulary_map": WORDS},
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "chameleon": {"pictures as words": _CODED},
    "gemma3": {
        "pictures wider than the window": {
            **{"text_config": {**_TEXT, "model_type": "gemma3_text"}, "vision_config": _IMAGE},
            **{"image_token_index": VOCABULARY + 1, "mm_tokens_per_image": 4},
        },
    },
    "paligemma": {
        "Gemma behind one layer": {
            **{"text_config": {**_PLAIN, "model_type": "gemma"}, "vision_config": _IMAGE},
            **{"image_token_index": VOCABULARY + 1, "projection_dim": 32, "hidden_size": 32},
        },
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "chameleon": {
        "norms behind, biases, nothing looks": {
            **{**_CODED, "swin_norm": True, "attention_bias": True, "mlp_bias": True},
            "vq_config": {**_CODER, "attn_type": "none", "attn_resolutions": None, "num_res_blocks": 2},
            "tie_word_embeddings": True,
        }
    },
    "gemma3": {
        "a query, biases, one mean each": {
            "text_config": {**_TEXT, "model_type": "gemma3_text", "attention_bias": True},
            "vision_config": {**_IMAGE, "patch_size": 8, "vision_use_head": True},
            **{"image_token_index": VOCABULARY, "mm_tokens_per_image": 1},
        },
    },
    "paligemma": {
        "Gemma 2, whose windows are shorter": {
            "text_config": {**_PLAIN, "model_type": "gemma2", "sliding_window": 3},
            "vision_config": {**_IMAGE, "patch_size": 8},
            **{"image_token_index": VOCABULARY + 1, "projection_dim": 32, "hidden_size": 32},
        },
    },
}


def coded(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """A picture in each of four rows, whose words are written there."""
    ids[:, 2:6], mask[:, :7] = config.vocabulary_map["<image>"], 1
    ids[(mask == 1) & (ids == 0)] = 7  # what is read is no padding
    size = config.vq_config.resolution
    return {"pixel_values": torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))}


def shown(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Token types of four rows into which one picture each is written, which are all `ids` and `mask` say."""
    vision = config.vision_config
    count = getattr(config, "mm_tokens_per_image", (vision.image_size // vision.patch_size) ** 2)
    ids[:, 2 : 2 + count], mask[:, : 3 + count] = config.image_token_index, 1
    ids[(mask == 1) & (ids == 0)] = 7  # what is read is no padding
    if not hasattr(config, "mm_tokens_per_image"):  # types say what is to be written
        return {"token_type_ids": (torch.arange(ids.shape[1]) >= count + 4).long().expand_as(ids) * mask}
    return {"token_type_ids": (ids == config.image_token_index).long()}
