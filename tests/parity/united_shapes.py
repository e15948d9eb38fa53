"""Shapes of models of texts, images and both, with inputs and labels that fit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LAYERS = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
_TEXT = {**_LAYERS, "vocab_size": 101, "max_position_embeddings": 20}
_IMAGE = {**_LAYERS, "image_size": 12, "patch_size": 4, "vocab_size": 30}
_CODES = {"hidden_size": 8, "vocab_size": 30}
_FLAVA = {
    **{"text_config": _TEXT, "image_config": _IMAGE, "image_codebook_config": _CODES},
    **{"multimodal_config": {**_LAYERS, "num_hidden_layers": 1}, "hidden_size": 24, "projection_dim": 16},
}
_OTHER = {"hidden_act": "relu", "qkv_bias": False, "num_hidden_layers": 1, "intermediate_size": 28}
# heads of images are 64 wide
_TOWERS: dict[str, Any] = {
    "text_config": {
        **{"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 20},
        **{"vocab_size": 101, "max_position_embeddings": 20, "hidden_dropout_prob": 0.0},
        "attention_probs_dropout_prob": 0.0,
    },
    "vision_config": {"hidden_size": 64, "num_hidden_layers": 3, "image_size": 12, "patch_size": 4},
    **{"hidden_size": 64, "num_hidden_layers": 2, "contrastive_hidden_size": 12},
    "logit_scale_init_value": 2.6592,
}
# compared within these alone: the reference's towers have no names of their own, its codebook no record
PARTS = {
    "bridgetower_text_model": "bridgetower",
    "bridgetower_vision_model": "bridgetower",
    "flava_image_codebook": "flava",
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "bridgetower": {"plain": _TOWERS},
    "flava": {"plain": _FLAVA},
    "flava_image_model": {"plain": _IMAGE},
    "flava_multimodal_model": {"plain": _LAYERS},
    "flava_text_model": {"plain": _TEXT},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "bridgetower": {
        "every layer for texts, scaled, tied, norms apart": {
            **_TOWERS,
            **{"num_hidden_layers": 4, "link_tower_type": "scaled_add", "tie_word_embeddings": True},
            "vision_config": {**_TOWERS["vision_config"], "share_layernorm": False},
        },
        "mixed, one block less, relu": {
            **_TOWERS,
            **{"link_tower_type": "interpolate", "hidden_act": "relu"},
            "vision_config": {
                **_TOWERS["vision_config"],
                **{"remove_last_layer": True, "num_hidden_layers": 4},
            },
        },
    },
    "flava": {
        "another text tower, other weights": {
            **_FLAVA,
            **{"text_config": {**_TEXT, **_OTHER}, "mlm_weight": 0.5, "itm_weight": 2.0},
            **{"mmm_image_weight": 0.0, "global_contrastive_weight": 0.3, "mmm_text_weight": 0.7},
        },
        "no codebook, both read as they are too": {
            **_FLAVA,
            **{"init_codebook": False, "skip_unmasked_multimodal_encoder": False, "return_loss": False},
        },
        "no row before both": {**_FLAVA, "multimodal_config": {**_LAYERS, "use_cls_token": False}},
    },
    "flava_image_model": {"no mask token, relu": {**_IMAGE, "mask_token": False, "hidden_act": "relu"}},
    "flava_multimodal_model": {"no row before": {**_LAYERS, "use_cls_token": False}},
}


def of_a_part(model: Any) -> dict[str, Tensor]:
    """Inputs of a part that reads no texts."""
    generator = torch.Generator().manual_seed(1)
    if hasattr(model.config, "use_cls_token"):
        return {"hidden_states": torch.randn(4, 9, model.config.hidden_size, generator=generator)}
    return {"pixel_values": torch.randn(4, 3, 12, 12, generator=generator)}


def hidden(ids: Tensor) -> dict[str, Tensor]:
    """Texts with a word hidden, images as the codebook reads them, and which of their patches are hidden."""
    generator = torch.Generator().manual_seed(5)
    return {
        "input_ids_masked": ids.index_fill(1, torch.tensor([2]), 4),
        "codebook_pixel_values": torch.rand(4, 3, 24, 24, generator=generator),
        "bool_masked_pos": torch.rand(4, 3, 3, generator=generator) > 0.5,
    }


def labels(class_name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The hidden word of every text, the words of patches, and which texts fit."""
    ids = inputs.get("input_ids")
    if class_name.endswith("MaskedLM"):
        return {"labels": ids}
    if class_name.endswith("Retrieval"):
        return {"labels": torch.tensor([0, 1, 1, 0])}
    if class_name.endswith("ContrastiveLearning"):
        return {"return_loss": True}
    if not class_name.endswith("PreTraining") or ids is None:
        return {}
    told = torch.where(torch.arange(ids.shape[1]) == 2, ids, -100)
    codes = torch.randint(30, (4, 9), generator=torch.Generator().manual_seed(6))
    fit = torch.tensor([1, 0, 1, 1])
    return {"mlm_labels": told, "mim_labels": codes, "itm_labels": fit, "return_loss": True}
