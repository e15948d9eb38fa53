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
_CROPS: dict[str, Any] = {
    **{"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20},
    **{"image_size": 8, "patch_size": 2, "crop_size": 8, "num_channels": 2},
    "image_token_id": VOCABULARY - 1,
}
_CONFORMER: dict[str, Any] = {
    **{"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 20, "num_blocks": 2},
    **{"ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16, "nemo_conv_channels": 6},
    **{"input_size": 7, "time_reduction": 4, "bias_max_distance": 2, "audio_token_id": VOCABULARY - 2},
}
# what the reference's model of sounds returns is no record, so that it is compared within the whole
WITHIN = {"phi4_multimodal_audio": _CONFORMER}
_BOTH: dict[str, Any] = {
    **{**DECODER, "num_hidden_layers": 2, "vision_config": _CROPS, "audio_config": _CONFORMER},
    **{"original_max_position_embeddings": 28, "max_position_embeddings": 48},
    "rope_parameters": {
        **{"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75},
        **{"short_factor": [1.0, 1.1, 1.2], "long_factor": [1.0, 2.0, 3.0]},
    },
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "colpali": {
        "pages": {"vlm_config": {"model_type": "paligemma", **_PAGES}, "embedding_dim": 20},
    },
    "phi4_multimodal": {"pictures and sounds in every text": _BOTH},
    "phi4_multimodal_vision": {"parts of rooms": _CROPS},
    "qwen2_audio": {"sounds of several lengths": _AUDIO},
    "qwen2_audio_encoder": {"plain": _HEARD},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "phi4_multimodal": {
        "three patches a side, two sides alike, tied": {
            **{**_BOTH, "tie_word_embeddings": True, "sliding_window": 9},
            "vision_config": {**_CROPS, "image_size": 6, "crop_size": 6, "feature_layer": -1},
            "audio_config": {
                **{**_CONFORMER, "time_reduction": 2, "bias_symmetric": True, "kernel_size": 4},
                **{"bias_max_distance": 600, "depthwise_multiplier": 2, "conv_glu_type": "sigmoid"},
                **{"activation": "gelu", "conv_activation": "relu", "nemo_activation": "silu"},
            },
        },
        "sounds alone": {**_BOTH, "rope_parameters": None},
    },
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


SHOWN_AND_HEARD = 30  # tokens of a row


def shown_and_heard(config: Any, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """A picture and a sound in each row of a batch, which are all that `ids` and `mask` say; or sounds alone.

    Their tokens stand from the fourth column on, and two rows have padding on the side where there was some.
    """
    left, (vision, audio) = bool((mask[:, 0] == 0).any()), (config.vision_config, config.audio_config)
    mask.fill_(1)
    mask[1:3, slice(2) if left else slice(-2, None)] = 0
    ids[:] = 5 + torch.arange(ids.shape[1]) % 70
    draw, edge = torch.Generator().manual_seed(1), vision.image_size // vision.patch_size
    frames = torch.tensor([10, 7, 4, 9])
    fills = (-(-frames // audio.time_reduction)).clamp(max=3)
    real = torch.arange(int(frames.max())) < frames[:, None]
    features = torch.randn(4, int(frames.max()), audio.input_size, generator=draw)
    for row, count in enumerate(fills.tolist()):
        ids[row, 4 : 4 + count] = audio.audio_token_id
    heard = {"audio_input_features": features, "audio_embed_sizes": fills, "audio_attention_mask": real}
    if config.rope_parameters["rope_type"] == "default":
        return heard
    grids, half = torch.tensor([[1, 2], [1, 1], [2, 1], [1, 1]]), -(-edge // 2)
    seen = torch.ones(4, 3, edge, edge)
    seen[1, 1, 2:], seen[2, 1:, :, 2:] = 0, 0  # the lower half, and the right one
    useful = [(half, 2 * half), (1, half), (2 * half, 1), (half, half)]
    for row, (down, across) in enumerate(useful):
        ids[row, 8 : 9 + down * (across + 1) + half * (half + 1)] = vision.image_token_id
    size = vision.crop_size
    return {
        "image_pixel_values": torch.randn(4, 3, vision.num_channels, size, size, generator=draw),
        "image_sizes": grids * size,
        "image_attention_mask": seen,
        **heard,
    }
