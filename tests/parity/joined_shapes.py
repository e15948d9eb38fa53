"""Shapes of models that join sounds or pictures with texts in ways of their own."""

from __future__ import annotations

from typing import Any

import torch

from tests.parity.plain_shapes import DECODER, VOCABULARY

_HEARD: dict[str, Any] = {
    **{"num_mel_bins": 6, "d_model": 24, "encoder_layers": 2, "encoder_attention_heads": 3},
    **{"encoder_ffn_dim": 40, "max_source_positions": 10},
}
_TEXT: dict[str, Any] = {
    **DECODER,
    **{"model_type": "qwen2", "vocab_size": VOCABULARY + 2, "num_hidden_layers": 2},
}
_AUDIO = {
    "text_config": _TEXT,
    "audio_config": {"model_type": "qwen2_audio_encoder", **_HEARD},
    "audio_token_index": VOCABULARY + 1,
}
_PAGES = {
    "text_config": {
        **{**DECODER, "model_type": "gemma", "vocab_size": VOCABULARY + 2, "num_hidden_layers": 2},
        "head_dim": 12,
    },
    "vision_config": {
        **{"model_type": "siglip_vision_model", "hidden_size": 24, "num_hidden_layers": 2, "image_size": 16},
        **{"num_attention_heads": 2, "intermediate_size": 20, "patch_size": 4, "vision_use_head": False},
    },
    **{"image_token_index": VOCABULARY + 1, "projection_dim": 32, "hidden_size": 32},
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "colpali": {
        "pages": {"vlm_config": {"model_type": "paligemma", **_PAGES}, "embedding_dim": 20},
    },
    "qwen2_audio": {"sounds of several lengths": _AUDIO},
    "qwen2_audio_encoder": {"plain": _HEARD},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "qwen2_audio": {
        "LLaMA, relu": {
            **_AUDIO,
            "text_config": {**_TEXT, "model_type": "llama"},
            "audio_config": {**_AUDIO["audio_config"], "activation_function": "relu"},
        },
    },
}


def frames(config: Any, count: int = 4) -> torch.Tensor:
    """Spectra of so many sounds."""
    size = (count, config.num_mel_bins, 2 * config.max_source_positions)
    return torch.randn(*size, generator=torch.Generator().manual_seed(1))


def heard(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """A sound in each row of a batch, of 20, 13, 8 and 6 frames; its tokens are written into the row."""
    lengths = torch.tensor([20, 13, 8, 6])
    real = (torch.arange(2 * config.audio_config.max_source_positions) < lengths[:, None]).long()
    for row, length in enumerate(lengths.tolist()):
        ids[row, 1 : 1 + ((length - 1) // 2 + 1) // 2] = config.audio_token_index
    mask[:, :7] = 1
    ids[(mask == 1) & (ids == 0)] = 7  # what is read is no padding
    return {"input_features": frames(config.audio_config), "feature_attention_mask": real}
