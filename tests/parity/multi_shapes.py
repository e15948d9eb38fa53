"""Shapes of models of images and texts together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.parity import page_backbone

page_backbone.install()
_TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_VIT = {**_TOWER, "model_type": "vit", "image_size": 12, "patch_size": 4, "num_channels": 2}
_DONUT = {
    **{"image_size": 12, "patch_size": 2, "num_channels": 2, "embed_dim": 8, "window_size": 3},
    **{"depths": [2, 1], "num_heads": [2, 4], "drop_path_rate": 0.0},
}
_DECODES = {"is_decoder": True, "add_cross_attention": True}
_GPT2 = {
    **{"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 101, "n_positions": 20},
    **{"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, **_DECODES},
}
_TROCR = {
    **{"d_model": 24, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 20},
    **{"vocab_size": 101, "max_position_embeddings": 20, "dropout": 0.0},
}
_MBART = {
    **{
        "model_type": "mbart",
        "d_model": 16,
        "vocab_size": 101,
        "max_position_embeddings": 20,
        "dropout": 0.0,
    },
    **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 20 for side in ("encoder", "decoder")},
    **_DECODES,
}
_SEEN = {key: value for key, value in _VIT.items() if key != "model_type"}
_GIT = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"vocab_size": 101, "max_position_embeddings": 30, "pad_token_id": 0, "bos_token_id": 1},
    **{"eos_token_id": 2, "vision_config": _SEEN},
}
_VILT = {**_SEEN, "hidden_size": 24, "vocab_size": 101, "max_position_embeddings": 20, "num_images": 1}
_PAGE = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"vocab_size": 101, "max_position_embeddings": 20, "coordinate_size": 5, "shape_size": 2},
    **{"input_size": 12, "patch_size": 4, "max_2d_position_embeddings": 1024},
    **{"rel_pos_bins": 8, "max_rel_pos": 6, "rel_2d_pos_bins": 12, "max_rel_2d_pos": 40},
}
MAPPED = {
    **{name: value for name, value in _PAGE.items() if name not in ("input_size", "patch_size")},
    "image_feature_pool_shape": [2, 3, 6],
    "detectron2_config_args": {
        **{"MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone", "MODEL.PIXEL_STD": [57.375, 57.120, 58.395]},
        **{"MODEL.RESNETS.DEPTH": 50, "MODEL.RESNETS.NUM_GROUPS": 2, "MODEL.RESNETS.WIDTH_PER_GROUP": 2},
        **{"MODEL.RESNETS.RES2_OUT_CHANNELS": 8, "MODEL.RESNETS.STEM_OUT_CHANNELS": 4},
        **{"MODEL.RESNETS.STRIDE_IN_1X1": False, "MODEL.FPN.OUT_CHANNELS": 6},
        **{f"MODEL.{one}_FEATURES": ["res2", "res3", "res4", "res5"] for one in ("FPN.IN", "RESNETS.OUT")},
    },
}
_SHALLOW = {
    **MAPPED["detectron2_config_args"],
    **{"MODEL.RESNETS.DEPTH": 18, "MODEL.RESNETS.NUM_GROUPS": 1, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64},
    **{"MODEL.FPN.FUSE_TYPE": "avg", "MODEL.BACKBONE.FREEZE_AT": 0},
    **{f"MODEL.{one}_FEATURES": ["res2", "res3"] for one in ("FPN.IN", "RESNETS.OUT")},
}
_EARLY = {
    **MAPPED["detectron2_config_args"],
    **{"MODEL.RESNETS.STRIDE_IN_1X1": True, "MODEL.BACKBONE.FREEZE_AT": 4},
}
_BLIP_TEXT = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"vocab_size": 101, "max_position_embeddings": 20, "encoder_hidden_size": 24, "pad_token_id": 0},
    **{"bos_token_id": 1, "sep_token_id": 3},
}
_BLIP_IMAGE = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"image_size": 12, "patch_size": 4, "initializer_range": 0.02},
}
_BLIP = {
    **{"text_config": _BLIP_TEXT, "vision_config": _BLIP_IMAGE, "projection_dim": 12},
    "image_text_hidden_size": 8,
}
_OPT = {
    **{"model_type": "opt", "hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "ffn_dim": 24, "vocab_size": 102, "max_position_embeddings": 40},
    **{"dropout": 0.0, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2},
}
_T5 = {
    **{"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
    **{"vocab_size": 102, "dropout_rate": 0.0, "decoder_start_token_id": 0},
}
_BLIP_2 = {
    "vision_config": _BLIP_IMAGE,
    "qformer_config": {
        **{"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
        **{"vocab_size": 102, "max_position_embeddings": 40, "use_qformer_text_input": True},
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    },
    **{"text_config": _OPT, "num_query_tokens": 3, "image_token_index": 101, "image_text_hidden_size": 8},
}
_INSTRUCTED = {name: value for name, value in _BLIP_2.items() if name != "image_text_hidden_size"}
_INSTRUCTED["qformer_config"] = {
    name: value for name, value in _BLIP_2["qformer_config"].items() if name != "use_qformer_text_input"
}
_PAIR = {
    "vision_config": {**_VIT, "num_hidden_layers": 1},
    "text_config": {
        **{"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 20, "vocab_size": 101, "max_position_embeddings": 20},
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    },
}
_ALTCLIP = {
    "text_config": {
        **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
        **{"vocab_size": 101, "max_position_embeddings": 20, "project_dim": 12, "pad_token_id": 0},
        "hidden_dropout_prob": 0.0,
    },
    "vision_config": _BLIP_IMAGE,
    "projection_dim": 8,
}
_JOINT = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 1}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "altclip": {"plain": _ALTCLIP},
    "altclip_text_model": {"plain": _ALTCLIP["text_config"]},
    "altclip_vision_model": {"plain": _BLIP_IMAGE},
    "blip": {"plain": _BLIP},
    "blip-2": {"asks for OPT": _BLIP_2},
    "blip_2_vision_model": {"no biases": {**_BLIP_IMAGE, "qkv_bias": False}},
    "blip_text_model": {"plain": _BLIP_TEXT},
    "blip_vision_model": {"plain": _BLIP_IMAGE},
    "donut-swin": {"windows that are moved, and one": _DONUT},
    "git": {"plain": _GIT},
    "git_vision_model": {"plain": _SEEN},
    "instructblip": {"asks for OPT": _INSTRUCTED},
    "instructblip_qformer": {"told texts": {**_INSTRUCTED["qformer_config"], "encoder_hidden_size": 24}},
    "instructblip_vision_model": {"plain": _BLIP_IMAGE},
    "layoutlmv2": {"words, boxes and a map": MAPPED},
    "layoutlmv3": {"words, boxes and a page": _PAGE},
    "trocr": {"of other states": _TROCR},
    "vilt": {"plain": _VILT},
    "vision-encoder-decoder": {
        "ViT and TrOCR": {
            "encoder": _VIT,
            "decoder": {**_TROCR, "model_type": "trocr", "cross_attention_hidden_size": 16},
            **_JOINT,
        },
    },
    "vision-text-dual-encoder": {"ViT and BERT": {**_PAIR, "projection_dim": 12}},
}
# nodes that stand in the reference around all of a model
HELD = {"git_vision_model": "vision_model."}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "altclip": {"finer patches": {**_ALTCLIP, "vision_config": {**_BLIP_IMAGE, "patch_size": 3}}},
    "blip-2": {"asks for T5": {**_BLIP_2, "text_config": _T5}},
    "donut-swin": {"cut windows, no bias": {**_DONUT, "image_size": 10, "window_size": 2, "qkv_bias": False}},
    "git": {"tied, of films": {**_GIT, "tie_word_embeddings": True, "num_image_with_embedding": 3}},
    "git_vision_model": {"fine patches, gelu": {**_SEEN, "patch_size": 3, "hidden_act": "gelu"}},
    "instructblip": {"asks for T5": {**_INSTRUCTED, "text_config": _T5}},
    "layoutlmv2": {
        "apart, a kind, early strides, no biases of boxes": {
            **{**MAPPED, "fast_qkv": False, "has_visual_segment_embedding": True},
            **{"has_spatial_attention_bias": False, "detectron2_config_args": _EARLY},
        },
        "two stages, means, no biases of order": {
            **{**MAPPED, "has_relative_attention_bias": False, "detectron2_config_args": _SHALLOW},
        },
    },
    "layoutlmv3": {
        "no biases of boxes, relu": {**_PAGE, "has_spatial_attention_bias": False, "hidden_act": "relu"},
        "no biases of order": {**_PAGE, "has_relative_attention_bias": False},
        "no page": {**_PAGE, "visual_embed": False},
    },
    "trocr": {
        "sinusoids, no norm, scaled": {
            **_TROCR,
            **{"use_learned_position_embeddings": False, "layernorm_embedding": False},
            **{"scale_embedding": True, "tie_word_embeddings": False},
        }
    },
    "vilt": {
        "relu, no biases, three kinds": {
            **_VILT,
            **{"qkv_bias": False, "hidden_act": "relu", "modality_type_vocab_size": 3, "patch_size": 6},
        }
    },
    "vision-text-dual-encoder": {
        "CLIP's image tower": {
            **{**_PAIR, "vision_config": {**_SEEN, "model_type": "clip_vision_model"}},
            "projection_dim": 8,
        }
    },
    "vision-encoder-decoder": {
        "ViT and GPT-2": {"encoder": _VIT, "decoder": _GPT2, **_JOINT},
        "Donut": {"encoder": {**_DONUT, "model_type": "donut-swin"}, "decoder": _MBART, **_JOINT},
        "narrower": {"encoder": _VIT, "decoder": {**_GPT2, "n_embd": 12}, **_JOINT},
    },
}


class InOrder:
    """Torch, where patches are drawn from the first on: the reference shuffles them in every pass."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def multinomial(weights: Tensor, count: int, replacement: bool = False) -> Tensor:
        """The first, and again the first where there are no more."""
        return torch.arange(int(count)) % len(weights)


def labels(class_name: str, ids: Tensor) -> dict[str, Any]:
    """Labels of texts [4, T] about pictures, for the heads of ViLT; the last token has none."""
    if class_name in ("ViltModel", "ViltForImageAndTextRetrieval"):  # which have no loss
        return {}
    if class_name == "ViltForQuestionAnswering":
        return {"labels": torch.tensor([[0.0, 1.0], [0.3, 0.6], [1.0, 0.0], [0.0, 0.0]])}
    if class_name == "ViltForImagesAndTextClassification":
        return {"labels": torch.tensor([0, 4, 2, 2])}
    told = ids % 5 if class_name == "ViltForTokenClassification" else ids.clone()
    told[:, -1] = -100
    return {"labels": told}
