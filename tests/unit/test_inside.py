"""Models are ordinary PyTorch modules, also for those who look inside: hooks, parts, dropouts, gradients."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.utils.flop_counter import FlopCounterMode

import formers
from formers.assemblies.multimodal.bridged_towers import BridgedTowers
from formers.assemblies.multimodal.captioning import Captioning
from formers.assemblies.multimodal.contrastive import DualTowers
from formers.assemblies.multimodal.query_bridge import QueryBridge
from formers.assemblies.multimodal.single_stream import Pictured
from formers.assemblies.vision.grounded_detection import GroundedQueryDetection
from formers.models.classes import class_of, endings
from formers.models.registry import family_of
from formers.models.table import FAMILIES
from formers.nn import attend, passing
from formers.nn.attend import choose
from formers.nn.interface import Own
from formers.nn.watch import watched
from formers.stacks import stack

IDS = torch.tensor([[2, 10, 11, 12, 3], [2, 20, 21, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
FULL = torch.tensor([[2, 10, 11, 12, 3], [2, 20, 21, 22, 3]])  # without padding

_BERT = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "initializer_range": 0.3,
}
_OTHERS = {
    "gpt2": {"vocab_size": 50, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 32},
    "distilbert": {"vocab_size": 50, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
    "t5": {
        "vocab_size": 50,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "eos_token_id": 3,
    },
    "bart": {
        "vocab_size": 50,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 40,
    },
}
_GROUPED = {**_BERT, "num_key_value_heads": 2}
_MIXED = {
    **_GROUPED,
    **{"num_experts": 4, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "first_k_dense_replace": 1},
}
_OTHERS |= dict.fromkeys(("exaone4", "llama", "mistral", "qwen2", "qwen3", "stablelm"), _GROUPED)
_OTHERS |= dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), _MIXED)
_OTHERS |= dict.fromkeys(
    ("gpt_oss", "granitemoe", "granitemoeshared", "jetmoe", "phimoe"),
    {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
)
_OTHERS["llama4_text"] = {**_OTHERS["gpt_oss"], "num_experts_per_tok": 1, "intermediate_size_mlp": 64}
_OTHERS["dbrx"] = {
    **{"vocab_size": 50, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 40},
    **{"attn_config": {"kv_n_heads": 2}, "ffn_config": {"ffn_hidden_size": 16}},
}
_OTHERS |= dict.fromkeys(("deepseek_v2", "deepseek_v3", "minicpm3"), {**_MIXED, "num_key_value_heads": 4})
_OTHERS |= dict.fromkeys(
    (
        *("cohere", "cohere2", "gemma", "gemma2", "glm", "glm4", "helium", "ministral", "phi3", "smollm3"),
        "vaultgemma",
    ),
    {**_GROUPED, "head_dim": 8, "pad_token_id": 0},
)
_OTHERS["gpt_neo"] = {**_BERT, "attention_types": [[["global"], 3]]}
_OTHERS["luke"] = {**_BERT, "entity_vocab_size": 20, "entity_emb_size": 16}
_OTHERS["mobilebert"] = {**_BERT, "embedding_size": 12, "intra_bottleneck_size": 16}
_OTHERS["squeezebert"] = {**_BERT, "embedding_size": 32}
_OTHERS["bloom"] = {"vocab_size": 50}
_OTHERS["modernbert"] = _OTHERS["eurobert"] = {**_BERT, "pad_token_id": 0}
_OTHERS["xmod"] = {**_BERT, "default_language": "en_XX"}
_OTHERS["canine"] = {**{k: v for k, v in _BERT.items() if k != "vocab_size"}, "num_hash_buckets": 50}
_OTHERS["splinter"] = {**_BERT, "question_token_id": 2}
_OTHERS |= dict.fromkeys(
    ("deberta", "deberta-v2"), {**_BERT, "relative_attention": True, "pos_att_type": "c2p|p2c"}
)
_OTHERS["gpt_bigcode"] = _OTHERS["gpt2"]
_OTHERS["ctrl"] = _OTHERS["openai-gpt"] = _OTHERS["gpt2"]
_OTHERS["xglm"] = {**_OTHERS["bart"], "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}
_OTHERS["gptj"] = _OTHERS["codegen"] = {**_OTHERS["gpt2"], "rotary_dim": 4}
_OTHERS["whisper"] = {**_OTHERS["bart"], "num_mel_bins": 8, "max_source_positions": 6, "pad_token_id": 0}
_OTHERS["speech_to_text"] = {
    **{**_OTHERS["bart"], "pad_token_id": 1, "input_feat_per_channel": 8, "conv_channels": 12},
}
_OTHERS["moonshine"] = {
    **{"vocab_size": 50, "hidden_size": 40, "intermediate_size": 64, "encoder_num_attention_heads": 4},
    **{"encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 4},
}
_WAVES = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 64, "conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2]},
    **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0},
    **{"tdnn_dim": [8, 8], "tdnn_kernel": [2, 1], "tdnn_dilation": [1, 1]},
}
_OTHERS |= dict.fromkeys(
    ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wavlm"), _WAVES
)
_OTHERS |= dict.fromkeys(("sew", "sew-d"), _WAVES)
_OTHERS["wav2vec2-conformer"] = {**_WAVES, "conv_depthwise_kernel_size": 3}
_FAST = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
    **{"subsampling_conv_channels": 6, "num_mel_bins": 8, "layerdrop": 0.0},
}
_OTHERS |= {"parakeet_encoder": _FAST, "parakeet_ctc": {"encoder_config": _FAST, "vocab_size": 50}}
_OTHERS["wav2vec2-bert"] = {**_OTHERS["wav2vec2-conformer"], "feature_projection_input_dim": 6}
_OTHERS["audio-spectrogram-transformer"] = {
    **{name: value for name, value in _BERT.items() if name != "vocab_size"},
    **{"patch_size": 4, "frequency_stride": 3, "time_stride": 2, "max_length": 15, "num_mel_bins": 11},
}
_OTHERS["clap_text_model"] = _BERT
_OTHERS["clap_audio_model"] = {
    **{"num_mel_bins": 8, "spec_size": 32, "window_size": 4, "patch_embeds_hidden_size": 8},
    **{"depths": [1, 1], "num_attention_heads": [2, 4], "hidden_size": 16, "enable_fusion": True},
}
_OTHERS["clap"] = {"text_config": _BERT, "audio_config": _OTHERS["clap_audio_model"]}
_OTHERS |= dict.fromkeys(("mbart", "mvp", "plbart"), _OTHERS["bart"])
_OTHERS |= dict.fromkeys(
    ("pegasus", "blenderbot", "blenderbot-small", "m2m_100", "marian"), {**_OTHERS["bart"], "pad_token_id": 0}
)
_OTHERS["fsmt"] = {**_OTHERS["bart"], "src_vocab_size": 50, "tgt_vocab_size": 50}
_OTHERS["longformer"] = {**_BERT, "attention_window": 4}
_OTHERS["big_bird"] = {**_BERT, "attention_type": "original_full"}
_OTHERS["bigbird_pegasus"] = {**_OTHERS["bart"], "attention_type": "original_full", "eos_token_id": 3}
_OTHERS["pegasus_x"] = {**_OTHERS["bart"], "block_size": 4, "num_global_tokens": 2, "pad_token_id": 0}
_OTHERS["led"] = {**_OTHERS["bart"], "attention_window": 4}
_OTHERS["prophetnet"] = {
    "vocab_size": 50,
    "hidden_size": 32,
    **dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64),
}
_OTHERS |= dict.fromkeys(("longt5", "mt5", "umt5"), _OTHERS["t5"])
_OTHERS["funnel"] = {"vocab_size": 50, "block_sizes": [2, 1], "d_model": 32, "n_head": 4, "d_head": 8}
_OTHERS["xlnet"] = {"vocab_size": 50, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 64}
_OTHERS["flaubert"] = _OTHERS["xlm"] = {
    "vocab_size": 50,
    "emb_dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "init_std": 0.3,
}
_OTHERS["nllb-moe"] = {**_OTHERS["bart"], "pad_token_id": 0, "num_experts": 4, "encoder_sparse_step": 2}
_OTHERS["switch_transformers"] = {**_OTHERS["t5"], "num_sparse_encoder_layers": 1, "num_experts": 4}
_IMAGE = {name: value for name, value in _BERT.items() if name != "vocab_size"} | {
    "image_size": 12,
    "patch_size": 4,
}
_OTHERS |= dict.fromkeys(
    ("vit", "beit", "clip_vision_model", "data2vec-vision", "deit", "ijepa", "vit_mae", "vit_msn"), _IMAGE
)
_OTHERS |= dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit", "siglip_vision_model"), _IMAGE)
_OTHERS |= dict.fromkeys(("chinese_clip_vision_model", "owlvit_vision_model", "owlv2_vision_model"), _IMAGE)
_OTHERS["yolos"] = {**_IMAGE, "image_size": [12, 12], "num_detection_tokens": 3}
_SHALLOW = {"embedding_size": 8, "hidden_sizes": [16, 24], "depths": [1, 1], "num_stages": 2}
_OTHERS["detr"] = _OTHERS["table-transformer"] = {
    **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 8},
    **{"decoder_attention_heads": 8, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_queries": 3},
    "backbone_config": {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        **{"layer_type": "basic", "out_features": ["stage1", "stage2", "stage3", "stage4"]},
    },
}
_OTHERS["conditional_detr"] = _OTHERS["detr"]
_OTHERS["deformable_detr"] = {
    **_OTHERS["detr"],
    "backbone_config": {**_OTHERS["detr"]["backbone_config"], "out_features": ["stage4"]},
}
_OTHERS["rt_detr"] = {
    **{"d_model": 16, "encoder_hidden_dim": 16, "encoder_in_channels": [8, 8, 8], "encoder_ffn_dim": 24},
    **{"decoder_in_channels": [16, 16, 16], "decoder_ffn_dim": 24, "decoder_layers": 1, "num_queries": 3},
    "backbone_config": {
        **{"model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 8, 8]},
        **{"depths": [1, 1, 1, 1], "layer_type": "basic", "out_indices": [2, 3, 4]},
    },
}
_OTHERS["grounding-dino"] = {
    **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4},
    **{"decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_queries": 3},
    "backbone_config": {
        **{"model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1] * 4},
        **{"num_heads": [2] * 4, "window_size": 4, "out_indices": [2, 3, 4]},
    },
    "text_config": {"model_type": "bert", **_BERT},
}
_OTHERS["rt_detr_v2"] = _OTHERS["rt_detr"]
_OTHERS["superpoint"] = {"encoder_hidden_sizes": [4, 6, 8, 8], "decoder_hidden_size": 8}
_OTHERS["superglue"] = {
    **{"hidden_size": 8, "keypoint_encoder_sizes": [8], "gnn_layers_types": ["self", "cross"]},
    "keypoint_detector_config": {**_OTHERS["superpoint"], "descriptor_decoder_dim": 8},
}
_OTHERS["timm_backbone"] = {"backbone": "test_resnet"}
_OTHERS["resnet"] = _OTHERS["regnet"] = _OTHERS["rt_detr_resnet"] = _SHALLOW
_OTHERS["bit"] = {**_SHALLOW, "hidden_sizes": [16, 32], "num_groups": 4}
_OTHERS["convnext"] = _OTHERS["convnextv2"] = {**_SHALLOW, "patch_size": 2}
_OTHERS["poolformer"] = {**_SHALLOW, "num_encoder_blocks": 2}
_OTHERS["swin"] = {"image_size": 12, "patch_size": 2, "embed_dim": 8, "window_size": 3, "encoder_stride": 4}
_OTHERS["swin"] |= {"depths": [1, 1], "num_heads": [2, 4]}
_OTHERS["swinv2"] = _OTHERS["swin"]
_OTHERS["swin2sr"] = {**_OTHERS["swin"], "patch_size": 1, "window_size": 4}
_OTHERS["mobilenet_v1"] = {"depth_multiplier": 0.02}
_OTHERS["efficientnet"] = {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128}
_OTHERS["mobilenet_v2"] = {"depth_multiplier": 0.02, "expand_ratio": 1.0}
_OTHERS["mobilevit"] = {"hidden_sizes": [8, 8, 8], "neck_hidden_sizes": [8] * 7, "expand_ratio": 1.0}
_OTHERS["mobilevit"] |= {"num_attention_heads": 2}
_OTHERS["dpt"] = {**_IMAGE, "neck_hidden_sizes": [8] * 3, "backbone_out_indices": [0, 1, 2]}
_OTHERS["dpt"] |= {"fusion_hidden_size": 8, "reassemble_factors": [2, 1, 0.5]}
MAPS = {
    "bit",
    "convnext",
    "convnextv2",
    "efficientnet",
    "mobilenet_v1",
    "poolformer",
    "regnet",
    "resnet",
    "swin",
}
MAPS |= {"clap", "clap_audio_model", "rt_detr_resnet", "swin2sr", "swinv2"}
# the rest are made by another package, which computes them (tests/roundtrip/test_timm.py)
OWN_NETWORKS = [kind for kind in FAMILIES if kind != "timm_wrapper"]
MAPS |= {"mobilenet_v2", "mobilevit", "upernet", "donut-swin", "superpoint", "timm_backbone"}
MAPS |= {"mask2former", "maskformer", "maskformer-swin", "oneformer"}
_FOUR = {"out_indices": [0, 1, 2, 3], "pool_scales": [1], "auxiliary_channels": 8}
_OTHERS["beit"] = _OTHERS["data2vec-vision"] = {**_IMAGE, **_FOUR}
_OTHERS["depth_anything"] = {**_OTHERS["dpt"], "patch_size": 4, "reassemble_hidden_size": 32}
_OTHERS["depth_anything"]["backbone_config"] = {
    **{**_IMAGE, "model_type": "dinov2", "out_indices": [1, 2, 3], "reshape_hidden_states": False}
}
_OTHERS["zoedepth"] = {
    "backbone_config": {**_IMAGE, "model_type": "beit", "out_indices": [1, 2, 3], "num_hidden_layers": 3},
    **{"neck_hidden_sizes": [8] * 3, "fusion_hidden_size": 8, "reassemble_factors": [2, 1, 0.5]},
    **{"bottleneck_features": 8, "num_attractors": [2] * 3, "bin_embedding_dim": 8},
}
_OTHERS["zoedepth"]["backbone_config"]["reshape_hidden_states"] = False
_OTHERS["upernet"] = {"hidden_size": 8, "pool_scales": [1], "auxiliary_channels": 8}
_OTHERS["upernet"]["backbone_config"] = {
    **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8] * 4, "depths": [1] * 4},
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_OTHERS |= dict.fromkeys(("videomae", "vivit"), {**_IMAGE, "num_frames": 2, "tubelet_size": 2})
_OTHERS["timesformer"] = {**_IMAGE, "num_frames": 2}
_OTHERS["vivit"] = {**_OTHERS["vivit"], "tubelet_size": [2, 4, 4]}
_OTHERS["glpn"] = _OTHERS["segformer"] = {
    **{"num_encoder_blocks": 3, "depths": [1, 1, 1], "sr_ratios": [2, 2, 1], "hidden_sizes": [8, 16, 32]},
    **{"num_attention_heads": [2, 2, 4], "decoder_hidden_size": 16},
}
_OTHERS["sam_vision_model"] = {**_IMAGE, "output_channels": 8, "window_size": 2, "global_attn_indexes": [1]}
_PROMPTED = {"hidden_size": 8, "image_size": 12, "patch_size": 4, "mask_input_channels": 4}
_OTHERS["sam"] = {
    "vision_config": {**_OTHERS["sam_vision_model"], "num_pos_feats": 4},
    "prompt_encoder_config": _PROMPTED,
    "mask_decoder_config": {"hidden_size": 8, "num_attention_heads": 2, "mlp_dim": 16},
}
_OTHERS["sam2_hiera_det_model"] = {
    **{"hidden_size": 8, "image_size": 12, "patch_kernel_size": 3, "patch_stride": 2, "patch_padding": 1},
    **{"blocks_per_stage": [1, 1, 1], "embed_dim_per_stage": [8, 16, 32], "window_size_per_stage": [2, 2, 2]},
    **{"num_attention_heads_per_stage": [1, 2, 2], "global_attention_blocks": [2]},
    "num_query_pool_stages": 2,
}
_OTHERS["sam2_vision_model"] = {
    **{"backbone_config": _OTHERS["sam2_hiera_det_model"], "fpn_hidden_size": 8},
    **{"backbone_channel_list": [32, 16, 8], "backbone_feature_sizes": [[6, 6], [3, 3], [1, 1]]},
    "fpn_top_down_levels": [],
}
_OTHERS["sam2"] = {
    "vision_config": _OTHERS["sam2_vision_model"],
    "prompt_encoder_config": {**_PROMPTED, "patch_size": 12},
    "mask_decoder_config": {"hidden_size": 8, "num_attention_heads": 2, "mlp_dim": 16},
}
_OTHERS["sam2_video"] = {
    **{"vision_config": {**_OTHERS["sam2_vision_model"], "fpn_hidden_size": 16}, "image_size": 12},
    "prompt_encoder_config": {**_PROMPTED, "hidden_size": 16, "patch_size": 12},
    "mask_decoder_config": {"hidden_size": 16, "num_attention_heads": 2, "mlp_dim": 16},
    **{"memory_attention_hidden_size": 16, "memory_attention_rope_feat_sizes": [1, 1]},
    **{"memory_encoder_hidden_size": 16, "mask_downsampler_embed_dim": 16, "memory_fuser_embed_dim": 16},
    **{"memory_encoder_output_channels": 8, "memory_attention_feed_forward_hidden_size": 16},
}
_OTHERS["mamba2"] = {**_BERT, "num_heads": 4, "head_dim": 16, "n_groups": 2}
_OTHERS["jamba"] = {**_MIXED, "attn_layer_period": 2, "attn_layer_offset": 1}
_OTHERS["bamba"] = {**_GROUPED, "mamba_n_heads": 4, "mamba_d_state": 8, "attn_layer_indices": [1]}
_OTHERS["falcon_h1"] = {**_OTHERS["bamba"], "mamba_d_ssm": 32}
_OTHERS["lfm2"] = {**_GROUPED, "full_attn_idxs": [1]}
_OTHERS["recurrent_gemma"] = _OTHERS["gemma"]
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_value_head_dim": 8}
_OTHERS["qwen3_next"] = {
    **_MIXED,
    **_LINEAR,
    "head_dim": 8,
    "layer_types": ["linear_attention"] * 2 + ["full_attention"],
}
_OTHERS["chinese_clip"] = _OTHERS["clip"] = _OTHERS["siglip"] = _OTHERS["llava"] = {
    "text_config": _BERT,
    "vision_config": _IMAGE,
}
_OTHERS["altclip"] = _OTHERS["clip"]
_OTHERS["altclip_text_model"], _OTHERS["altclip_vision_model"] = _BERT, _IMAGE
_OTHERS["owlvit"] = _OTHERS["owlv2"] = {**_OTHERS["clip"], "projection_dim": 32}
_OTHERS["clipseg_vision_model"] = _IMAGE
_OTHERS["clipseg"] = {**_OTHERS["clip"], "extract_layers": [0, 2], "reduce_dim": 8}
_OTHERS["siglip2_vision_model"] = {**{k: v for k, v in _IMAGE.items() if k != "image_size"}, "num_patches": 9}
_OTHERS["siglip2"] = {"text_config": _BERT, "vision_config": _OTHERS["siglip2_vision_model"]}
_OTHERS["gemma3"] = {
    "text_config": {**_OTHERS["gemma"], "model_type": "gemma3_text"},
    "vision_config": _IMAGE,
    "mm_tokens_per_image": 9,
}
_OTHERS["llava_next_video"] = _OTHERS["llava_next"] = _OTHERS["llava"]
_OTHERS["vipllava"] = {**_OTHERS["llava"], "vision_feature_layer": [-2, 1]}
_OTHERS["llava_onevision"] = {"text_config": _GROUPED, "vision_config": _IMAGE}
_OTHERS["idefics3"] = _OTHERS["smolvlm"] = {
    "text_config": _GROUPED,
    "vision_config": {**_IMAGE, "image_size": 16},
}
_OTHERS["got_ocr2_vision"] = {**_OTHERS["sam_vision_model"], "mlp_dim": 16}
_OTHERS["got_ocr2"] = {"text_config": _GROUPED, "vision_config": _OTHERS["got_ocr2_vision"]}
_OTHERS["idefics2"] = {
    "text_config": _GROUPED,
    "vision_config": {**_IMAGE, "image_size": 16},
    "perceiver_config": {"resampler_n_latents": 4, "resampler_depth": 1},
}
_OTHERS["idefics2_vision"] = _IMAGE
_OTHERS["pixtral"] = {**_IMAGE, "image_size": 8}
_OTHERS["mistral3"] = {"text_config": _GROUPED, "vision_config": _OTHERS["pixtral"]}
_OTHERS["internvl_vision"] = {**_IMAGE, "image_size": [16, 16], "patch_size": [4, 4]}
_OTHERS["internvl"] = {"text_config": _GROUPED, "vision_config": _OTHERS["internvl_vision"]}
_OTHERS["aya_vision"] = {"text_config": _GROUPED, "vision_config": {**_IMAGE, "image_size": 16}}
_OTHERS["cohere2_vision"] = {**_OTHERS["aya_vision"], "alignment_intermediate_size": 32}
_OTHERS["idefics3_vision"] = _OTHERS["smolvlm_vision"] = _IMAGE
_OTHERS["paligemma"] = {
    "text_config": {**_OTHERS["gemma"], "model_type": "gemma"},
    "vision_config": _IMAGE,
    "projection_dim": 32,
}
_OTHERS["colpali"] = {"vlm_config": {"model_type": "paligemma", **_OTHERS["paligemma"]}}
_TURNED = {**_GROUPED, "rope_parameters": {"rope_theta": 1e4, "mrope_section": [2, 1, 1]}, "head_dim": 8}
_SHOWN = {
    **{"depth": 2, "num_heads": 2, "hidden_size": 16, "embed_dim": 16, "out_hidden_size": 32},
    **{"intermediate_size": 24, "patch_size": 4, "window_size": 8, "deepstack_visual_indexes": [0]},
    **{"num_position_embeddings": 9, "fullatt_block_indexes": [1]},
}
for _name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
    _OTHERS[f"{_name}_text"], _OTHERS[f"{_name}_vision"] = _TURNED, _SHOWN
    _OTHERS[_name] = {"text_config": _TURNED, "vision_config": _SHOWN}
_OTHERS["chameleon_vqgan"] = {
    **{"embed_dim": 8, "num_embeddings": 16, "latent_channels": 8, "base_channels": 32},
    **{"channel_multiplier": [1, 1], "num_res_blocks": 1, "resolution": 8},
}
_OTHERS["chameleon"] = {**_GROUPED, "vq_config": _OTHERS["chameleon_vqgan"]}
_OTHERS["mllama_text_model"] = {**_GROUPED, "cross_attention_layers": [1], "pad_token_id": 0}
_OTHERS["mllama_vision_model"] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 4},
    **{"intermediate_size": 48, "image_size": 12, "patch_size": 4, "vision_output_dim": 64},
    "intermediate_layers_indices": [0],
}
_OTHERS["mllama"] = {f"{part}_config": _OTHERS[f"mllama_{part}_model"] for part in ("text", "vision")}
_OTHERS["colqwen2"] = {"vlm_config": {"model_type": "qwen2_vl", **_OTHERS["qwen2_vl"]}}
_OTHERS["qwen2_audio_encoder"] = {
    **{"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48},
    **{"num_mel_bins": 8, "max_source_positions": 10},
}
_OTHERS["qwen2_audio"] = {"text_config": _GROUPED, "audio_config": _OTHERS["qwen2_audio_encoder"]}
_OTHERS["phi4_multimodal_vision"] = _IMAGE
_OTHERS["phi4_multimodal_audio"] = {
    **{"hidden_size": 32, "num_blocks": 2, "num_attention_heads": 4, "intermediate_size": 48},
    **{"ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 4},
    "input_size": 32,
}
_OTHERS["phi4_multimodal"] = {
    **{**_GROUPED, "pad_token_id": 0, "vision_config": _OTHERS["phi4_multimodal_vision"]},
    "audio_config": _OTHERS["phi4_multimodal_audio"],
}
_HALF = {**_GROUPED, "head_dim": 8, "pad_token_id": 0}
_OTHERS["t5gemma"] = {"encoder": _HALF, "decoder": _HALF}
_TOWER = {"model_type": "bert", **_BERT, "pad_token_id": 0}
_OTHERS["encoder-decoder"] = {
    "encoder": _TOWER,
    "decoder": {**_TOWER, "is_decoder": True, "add_cross_attention": True},
}
_OTHERS["donut-swin"] = {name: value for name, value in _OTHERS["swin"].items() if name != "encoder_stride"}
_SEGMENTED = {"model_type": "swin", "image_size": 16, "patch_size": 2, "embed_dim": 8, "window_size": 2}
_SEGMENTED |= {
    "depths": [1] * 4,
    "num_heads": [2] * 4,
    "out_features": _OTHERS["upernet"]["backbone_config"]["out_features"],
}
_OTHERS["maskformer"] = {"backbone_config": _SEGMENTED, "fpn_feature_size": 32, "mask_feature_size": 8}
_OTHERS["maskformer"]["decoder_config"] = {
    **{"model_type": "detr", "d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2},
    **{"decoder_ffn_dim": 16, "num_queries": 3},
}
_OTHERS["mask2former"] = {
    **{"backbone_config": _SEGMENTED, "feature_size": 32, "mask_feature_size": 8, "hidden_dim": 16},
    **{"encoder_feedforward_dim": 16, "dim_feedforward": 16, "encoder_layers": 1, "decoder_layers": 2},
    **{"num_attention_heads": 2, "num_queries": 3, "train_num_points": 20},
}
_OTHERS["oneformer"] = {
    **{"backbone_config": _SEGMENTED, "conv_dim": 32, "mask_dim": 32, "hidden_dim": 32, "task_seq_len": 5},
    **{"encoder_feedforward_dim": 16, "dim_feedforward": 16, "encoder_layers": 1, "decoder_layers": 2},
    **{"num_attention_heads": 2, "num_queries": 3, "train_num_points": 20, "query_dec_layers": 1},
}
_OTHERS["maskformer-swin"] = {**_OTHERS["donut-swin"], "out_features": ["stage1", "stage2"]}
_OTHERS["git_vision_model"] = _IMAGE
_OTHERS["git"] = {**_BERT, "vision_config": _IMAGE}
_OTHERS["vilt"] = {**_BERT, **_IMAGE, "num_images": 1}
_OTHERS["florence_vision"] = {
    **{"depths": [1, 1], "patch_size": [3, 3], "patch_stride": [2, 2], "patch_padding": [1, 1]},
    **{"patch_prenorm": [False, True], "embed_dim": [8, 12], "num_heads": [2, 3], "num_groups": [2, 3]},
    **{"window_size": 2, "projection_dim": 32},
}
_OTHERS["florence2"] = {
    "text_config": {"model_type": "bart", **_OTHERS["bart"]},
    "vision_config": _OTHERS["florence_vision"],
}
_FLAT = {"hidden_size": 32, "d_kv": 8, "d_ff": 24}
_OTHERS["kosmos_2_text_model"] = {
    **{"vocab_size": 60, "embed_dim": 16, "layers": 2, "ffn_dim": 24, "attention_heads": 2},
}
_OTHERS["kosmos_2_vision_model"] = {
    **{"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3},
    **{"image_size": 12, "patch_size": 4},
}
_OTHERS["kosmos-2"] = {
    "text_config": _OTHERS["kosmos_2_text_model"],
    "vision_config": _OTHERS["kosmos_2_vision_model"],
    "latent_query_num": 3,
}
_OTHERS["pix2struct_vision_model"] = {
    **{**_FLAT, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_embed_hidden_size": 12},
    "seq_len": 8,
}
_OTHERS["pix2struct_text_model"] = {**_FLAT, "num_layers": 2, "num_heads": 4, "vocab_size": 60}
_OTHERS["pix2struct"] = {
    "text_config": _OTHERS["pix2struct_text_model"],
    "vision_config": _OTHERS["pix2struct_vision_model"],
}
_OTHERS |= dict.fromkeys(("flava_text_model", "flava_multimodal_model"), _BERT)
_OTHERS["bridgetower_text_model"] = _BERT
_OTHERS["bridgetower_vision_model"] = {
    **{"hidden_size": 64, "num_hidden_layers": 3, "image_size": 12, "patch_size": 4},
}
_OTHERS["bridgetower"] = {
    **{f"{name}_config": _OTHERS[f"bridgetower_{name}_model"] for name in ("text", "vision")},
    **{"hidden_size": 32, "num_hidden_layers": 2},
}
_OTHERS["flava_image_model"] = {**_BERT, **_IMAGE}
_OTHERS["flava_image_codebook"] = {"hidden_size": 8, "vocab_size": 50}
_OTHERS["flava"] = {
    **{f"{name}_config": _OTHERS[f"flava_{name}_model"] for name in ("text", "image", "multimodal")},
    **{"image_codebook_config": _OTHERS["flava_image_codebook"], "hidden_size": 32, "projection_dim": 16},
}
_OTHERS["lxmert"] = {**_BERT, "l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 8}
_OTHERS["visual_bert"] = {**_BERT, "visual_embedding_dim": 8}
_OTHERS["blip_vision_model"] = _IMAGE
_OTHERS["blip_text_model"] = {**_BERT, "encoder_hidden_size": 32}
_OTHERS["blip"] = {
    "text_config": _OTHERS["blip_text_model"],
    "vision_config": {**_IMAGE, "hidden_size": 32},
}
_OTHERS["blip_2_vision_model"] = _IMAGE
_OTHERS["blip-2"] = {
    "vision_config": _IMAGE,
    "qformer_config": {**_BERT, "use_qformer_text_input": True},
    "text_config": {"model_type": "opt", **_BERT, "word_embed_proj_dim": 32, "ffn_dim": 24},
    "num_query_tokens": 3,
}
_OTHERS["instructblip_vision_model"] = _IMAGE
_OTHERS["instructblip"] = {
    "vision_config": _IMAGE,
    "qformer_config": _BERT,
    "text_config": _OTHERS["blip-2"]["text_config"],
    "num_query_tokens": 3,
}
_OTHERS["layoutlmv2"] = {
    **{key: value for key, value in _BERT.items() if key != "hidden_size"},
    **{"hidden_size": 24, "num_attention_heads": 2, "coordinate_size": 5, "shape_size": 2},
    **{"image_feature_pool_shape": [2, 2, 6]},
    "detectron2_config_args": {
        **{"MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone", "MODEL.PIXEL_STD": [57.375, 57.120, 58.395]},
        **{"MODEL.RESNETS.NUM_GROUPS": 2, "MODEL.RESNETS.WIDTH_PER_GROUP": 2},
        **{"MODEL.RESNETS.RES2_OUT_CHANNELS": 8, "MODEL.RESNETS.STEM_OUT_CHANNELS": 4},
        **{"MODEL.FPN.OUT_CHANNELS": 6, "MODEL.FPN.IN_FEATURES": ["res2", "res3"]},
        "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3"],
    },
}
_OTHERS["layoutlmv3"] = {
    **{key: value for key, value in _BERT.items() if key != "hidden_size"},
    **{"hidden_size": 24, "num_attention_heads": 2, "coordinate_size": 5, "shape_size": 2},
    **{"input_size": 12, "patch_size": 4},
}
_OTHERS["trocr"] = {**_OTHERS["bart"], "pad_token_id": 0}
_OTHERS["vision-encoder-decoder"] = {
    "encoder": {"model_type": "vit", **_IMAGE},
    "decoder": _OTHERS["encoder-decoder"]["decoder"],
}
_OTHERS["dac"] = {
    **{"encoder_hidden_size": 2, "decoder_hidden_size": 8, "downsampling_ratios": [2, 2], "n_codebooks": 2},
    **{"codebook_size": 8, "codebook_dim": 2},
}
_OTHERS["encodec"] = {"hidden_size": 8, "num_filters": 2, "upsampling_ratios": [2, 2], "codebook_size": 16}
_STAGE = {"num_layers": 1, "num_heads": 2, "hidden_size": 16, "block_size": 40}
_STAGE |= {"input_vocab_size": 60, "output_vocab_size": 60}
_OTHERS |= dict.fromkeys(("semantic", "coarse_acoustics", "fine_acoustics"), _STAGE)
_OTHERS["bark"] = {
    **{f"{one}_config": _STAGE for one in ("semantic", "coarse_acoustics", "fine_acoustics")},
    "codec_config": {"model_type": "encodec", **_OTHERS["encodec"]},
}
_OTHERS["musicgen_decoder"] = {
    **{"vocab_size": 60, "num_hidden_layers": 1, "ffn_dim": 24, "num_attention_heads": 2, "hidden_size": 16},
    **{"num_codebooks": 2, "bos_token_id": 60, "pad_token_id": 60},
}
_OTHERS["musicgen"] = {
    "text_encoder": {"model_type": "t5", **_OTHERS["t5"]},
    "audio_encoder": {"model_type": "encodec", **_OTHERS["encodec"]},
    "decoder": _OTHERS["musicgen_decoder"],
}
_OTHERS["mimi"] = {
    **{
        "hidden_size": 8,
        "num_filters": 2,
        "upsampling_ratios": [2, 2],
        "codebook_size": 8,
        "codebook_dim": 4,
    },
    **{"vector_quantization_hidden_dimension": 4, "num_quantizers": 3, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 8, "upsample_groups": 8},
}
_OTHERS |= dict.fromkeys(("mimi_decoder", "mimi_encoder"), _OTHERS["mimi"])
_OTHERS["vits"] = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64},
    **{"flow_size": 8, "upsample_initial_channel": 8, "upsample_rates": [4], "upsample_kernel_sizes": [8]},
    **{"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]], "prior_encoder_num_flows": 1},
    **{"posterior_encoder_num_wavenet_layers": 1, "noise_scale": 0.0, "noise_scale_duration": 0.0},
}
_OTHERS["seamless_m4t"] = {
    **{"vocab_size": 50, "hidden_size": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 64},
    **{"decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"speech_encoder_layers": 1, "speech_encoder_attention_heads": 4, "feature_projection_input_dim": 6},
    **{"speech_encoder_intermediate_size": 64, "conv_depthwise_kernel_size": 3, "t2u_encoder_layers": 1},
    **{"t2u_decoder_layers": 1, "t2u_encoder_ffn_dim": 64, "t2u_decoder_ffn_dim": 64, "t2u_vocab_size": 40},
    **{"upsample_initial_channel": 8, "upsample_rates": [2], "upsample_kernel_sizes": [4]},
    **{"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]], "unit_embed_dim": 8},
    **{"unit_hifi_gan_vocab_size": 36, "lang_embed_dim": 4, "spkr_embed_dim": 4, "pad_token_id": 0},
}
_OTHERS["seamless_m4t_v2"] = {
    **_OTHERS["seamless_m4t"],
    **{"char_vocab_size": 30, "t2u_variance_predictor_hidden_dim": 8, "left_max_position_embeddings": 3},
}
_OTHERS["speecht5"] = {
    **{"vocab_size": 50, "hidden_size": 32, "encoder_layers": 1, "decoder_layers": 2, "num_mel_bins": 8},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "conv_dim": [8, 8]},
    **{"decoder_ffn_dim": 64, "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_conv_pos_embeddings": 4},
    **{"num_conv_pos_embedding_groups": 2, "speech_decoder_prenet_units": 8, "speaker_embedding_dim": 6},
    **{"speech_decoder_postnet_units": 8, "speech_decoder_postnet_layers": 2, "pad_token_id": 0},
}
_OTHERS["speecht5_hifigan"] = {
    **{"model_in_dim": 4, "upsample_initial_channel": 8, "upsample_rates": [2], "upsample_kernel_sizes": [4]},
    **{"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]]},
}
_OTHERS["vision-text-dual-encoder"] = {
    "vision_config": {"model_type": "vit", **_IMAGE},
    "text_config": {"model_type": "bert", **_BERT},
}
MORE = {"t5": {"decoder_input_ids": FULL}, "bart": {"decoder_input_ids": FULL}}


def model(ending: str = "ForSequenceClassification", kind: str = "bert", **values: Any) -> Any:
    """A small model in evaluation mode."""
    torch.manual_seed(0)
    family = family_of(kind)
    fields = _OTHERS.get(kind, _BERT)
    known = {name: value for name, value in fields.items() if hasattr(family.config(), name)}
    return class_of(family, ending)(family.config(**{**known, **values}, num_labels=3)).eval()


def run(made: Any, **more: Any) -> Any:
    """One pass over two texts, one of them padded."""
    return made(IDS, attention_mask=MASK, **more)


def logits(made: Any) -> Tensor:
    """Of that pass, without a graph."""
    with torch.no_grad():
        return run(made).logits


def close(one: Tensor, two: Tensor) -> bool:
    """Equal but for rounding."""
    return torch.allclose(one, two, atol=1e-5)


# -- dropout ----------------------------------------------------------------------------------------


def test_monte_carlo_dropout_spreads() -> None:
    made = model()
    for part in made.modules():
        if isinstance(part, nn.Dropout):
            part.train()
    assert torch.stack([logits(made) for _ in range(4)]).std(0).max() > 0.01


@pytest.mark.filterwarnings("ignore:the model is in training mode")
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_dropouts_set_to_nothing_give_what_evaluation_gives(kind: str) -> None:
    made = model(kind=kind, pad_token_id=0)
    expected = logits(made)
    rates = [part.p for part in made.train().modules() if isinstance(part, nn.Dropout)]
    assert rates
    assert not close(logits(made), expected)
    for part in made.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    assert close(logits(made), expected)


def test_a_part_in_evaluation_drops_nothing() -> None:
    made = model("Model").train()
    made.embeddings.eval()
    made.encoder.eval()
    assert torch.equal(run(made).last_hidden_state, run(made).last_hidden_state)
    made.encoder.layer[1].output.dropout.train()
    assert not torch.equal(run(made).last_hidden_state, run(made).last_hidden_state)


@pytest.mark.filterwarnings("ignore:the model is in training mode")
def test_a_dropout_of_ones_own_is_the_one_that_drops() -> None:
    made = model().train()
    made.dropout = nn.Dropout(1.0)
    assert close(logits(made), made.classifier.bias.expand(2, -1))
    made.dropout.p = 0.0
    assert not close(logits(made), made.classifier.bias.expand(2, -1))

    class Own(formers.BertForSequenceClassification):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.dropout = nn.Dropout(1.0)

    own = Own(made.config).train()
    assert close(logits(own), own.classifier.bias.expand(2, -1))


# -- parts that somebody replaced -------------------------------------------------------------------


class MeanPooling(nn.Module):
    """The mean of all places."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states.mean(1)


class Twice(nn.Module):
    """An attention that does not attend."""

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, None]:
        return hidden_states * 2, None


class Sum(nn.Module):
    """What stands behind an attention, without its norm."""

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        return hidden_states + input_tensor


class Negated(nn.Module):
    """The other sign."""

    def forward(self, x: Tensor) -> Tensor:
        return -x


class Looked(nn.Module):
    """Embeddings that look up a table of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 32)

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        return self.table(input_ids)


class Within(nn.Module):
    """A layer inside another module."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.held, self.calls = held, 0

    def forward(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> Any:
        self.calls += 1
        return self.held(hidden_states, *args, **keywords)


REPLACED = {
    "bert.embeddings": Looked(),
    "bert.embeddings.dropout": nn.Dropout1d(0.0),
    "bert.embeddings.LayerNorm": nn.RMSNorm(32),
    "bert.encoder": Twice(),
    "bert.encoder.layer.0.intermediate.intermediate_act_fn": nn.ReLU(),
    "bert.encoder.layer.0.output.dropout": nn.Threshold(0.5, 0.0),
    "bert.encoder.layer.0.output.LayerNorm": nn.Identity(),
    "bert.encoder.layer.0.attention": Twice(),
    "bert.encoder.layer.0.attention.self": Twice(),
    "bert.encoder.layer.0.attention.output": Sum(),
    "bert.encoder.layer.2": nn.Identity(),
    "bert.encoder.layer.1.output.dropout": nn.Linear(32, 32),
    "bert.pooler": MeanPooling(),
    "bert.pooler.activation": nn.Identity(),
    "bert.encoder.layer.1.output.dense": nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 32)),
    "classifier": nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3)),
    "dropout": nn.Threshold(0.5, 0.0),
}


@pytest.mark.parametrize("path", REPLACED)
def test_a_part_that_is_replaced_is_the_one_that_computes(path: str) -> None:
    made = model()
    before = logits(made)
    calls: list[int] = []
    new = copy.deepcopy(REPLACED[path])
    made.set_submodule(path, new)
    after = logits(made)
    assert path == "bert.embeddings.dropout" or not close(before, after)
    new.register_forward_hook(lambda *_: calls.append(1))
    assert close(logits(made), after)  # [B, T, E] with a hook and without one
    assert calls == [1]


def test_a_subclass_of_a_part_computes_its_own() -> None:
    made = model()
    before = logits(made)

    class Halved(type(made.bert.encoder.layer[0])):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> Any:
            return super().forward(hidden_states, *args, **keywords) / 2

    made.bert.encoder.layer[1].__class__ = Halved
    assert not close(logits(made), before)


def test_a_parametrised_leaf_computes_with_what_it_is_made_of() -> None:
    made = model()
    before = logits(made)
    leaf = made.bert.encoder.layer[0].output.dense
    nn.utils.parametrize.register_parametrization(leaf, "weight", Negated())
    turned = logits(made)
    nn.utils.parametrize.remove_parametrizations(leaf, "weight")
    assert not close(turned, before)
    assert close(logits(made), turned)


def test_what_a_class_is_told_to_compute_later_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    before = logits(made)
    kind = type(made.bert.encoder.layer[0])
    monkeypatch.setattr(kind, "forward", lambda self, hidden_states, **_: hidden_states, raising=False)
    assert not close(logits(made), before)
    monkeypatch.undo()
    assert torch.equal(logits(made), before)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_layer_inside_another_module_is_called_through_it(kind: str) -> None:
    made = model("Model", kind)
    layers = made.encoder.layer if kind == "bert" else made.layers
    with torch.no_grad():
        before = run(made).last_hidden_state
        layers[1] = Within(layers[1])
        after = run(made).last_hidden_state
    assert layers[1].calls == 1
    assert close(before[MASK.bool()], after[MASK.bool()])


ATTENTIONS = [
    ("ForSequenceClassification", "bert", "bert.encoder.layer.0.attention.self"),
    ("ForConditionalGeneration", "bart", "model.decoder.layers.0.self_attn"),
    ("ForConditionalGeneration", "bart", "model.decoder.layers.0.encoder_attn"),
    ("ForConditionalGeneration", "t5", "decoder.block.0.layer.1.EncDecAttention"),
]


@pytest.mark.parametrize(("ending", "kind", "path"), ATTENTIONS)
def test_an_attention_inside_another_module_reports_its_weights_once(
    ending: str, kind: str, path: str
) -> None:
    made, more = model(ending, kind), MORE.get(kind, {})
    before = run(made, output_attentions=True, output_hidden_states=True, **more)
    held = Within(made.get_submodule(path))
    made.set_submodule(path, held)
    after = run(made, output_attentions=True, output_hidden_states=True, **more)
    assert held.calls == 1
    assert list(after) == list(before)
    for name, values in before.items():
        if isinstance(values, tuple):
            assert len(after[name]) == len(values)
            assert all(map(close, after[name], values))


def test_a_pooler_can_be_taken_out() -> None:
    made = model("Model")
    before = run(made)
    made.pooler = None
    after = run(made)
    assert after.pooler_output is None
    for ending in ("ForSequenceClassification", "ForNextSentencePrediction", "ForPreTraining"):
        headed = model(ending)
        headed.bert = made
        with pytest.raises(ValueError, match="has no pooler"):
            run(headed)
    assert close(after.last_hidden_state, before.last_hidden_state)


def test_layers_can_be_taken_out() -> None:
    made = model()
    made.bert.encoder.layer = nn.ModuleList(list(made.bert.encoder.layer)[:2])
    found = run(made, output_hidden_states=True)
    assert len(found.hidden_states) == 3
    assert len(run(made, output_attentions=True).attentions) == 2
    two = model(num_hidden_layers=2)
    two.load_state_dict(made.state_dict())
    assert close(logits(two), found.logits)
    del made.bert.encoder.layer[0]
    assert len(run(made, output_hidden_states=True).hidden_states) == 2


def test_a_decoder_without_its_first_layer_still_keeps_a_cache() -> None:
    made = model("ForCausalLM", "llama")
    made.model.layers = nn.ModuleList(list(made.model.layers)[1:])
    with torch.no_grad():
        whole = made(FULL).logits
        begun = made(FULL[:, :3], use_cache=True)
        more = made(FULL[:, 3:], past_key_values=begun.past_key_values)
    assert close(whole[:, 3:], more.logits)


# -- parts that are called by hand ------------------------------------------------------------------


def test_the_parts_of_bert_can_be_called_one_by_one() -> None:
    bert = model("Model")
    expected = bert(IDS, MASK)
    vectors = bert.embeddings(IDS)
    assert vectors.shape == (2, 5, 32)
    assert torch.equal(vectors, bert.embeddings(input_ids=IDS, token_type_ids=torch.zeros_like(IDS)))
    hidden = (1 - MASK[:, None, None, :].float()) * torch.finfo(torch.float32).min
    for mask in (MASK, hidden):
        states = bert.encoder(vectors, attention_mask=mask)[0]
        assert close(states[MASK.bool()], expected.last_hidden_state[MASK.bool()])
        x = vectors
        for layer in bert.encoder.layer:
            x = layer(x, mask)
        assert close(x, states)
    assert close(bert.pooler(states), expected.pooler_output)
    layer = bert.encoder.layer[0]
    attended, weights = layer.attention(vectors)
    assert attended.shape == (2, 5, 32)
    assert weights is None
    behind = layer.attention.output(layer.attention.self(vectors)[0], vectors)
    assert close(attended, behind)
    assert close(layer.output(layer.intermediate(behind), behind), layer(vectors))


def test_a_bias_in_a_mask_that_a_part_is_given_by_hand_is_added_to_the_scores() -> None:
    bert = model("Model")
    bias = torch.randn(2, 1, 5, 5)
    expected = bert(IDS, attention_mask=bias).last_hidden_state
    assert close(bert.encoder(bert.embeddings(IDS), bias).last_hidden_state, expected)


def test_the_parts_of_decoders_can_be_called_one_by_one() -> None:
    llama = model("Model", "llama")
    x = llama.embed_tokens(FULL)
    turned = llama.rotary_emb(x, torch.arange(5)[None])
    for layer in llama.layers:
        x = layer(x, position_embeddings=turned)
    assert close(llama.norm(x), llama(FULL).last_hidden_state)
    assert llama.layers[0].self_attn(x, position_embeddings=turned)[0].shape == x.shape
    assert llama.layers[0].mlp(x).shape == x.shape
    gpt2 = model("Model", "gpt2")
    x = gpt2.wte(FULL) + gpt2.wpe(torch.arange(5))
    for block in gpt2.h:
        x = block(x)
    assert close(gpt2.ln_f(x), gpt2(FULL).last_hidden_state)


# -- hooks ------------------------------------------------------------------------------------------


def test_a_hook_in_a_layer_steers_what_comes_after_it() -> None:
    made, v, shapes = model(), torch.randn(32), []
    before = logits(made)

    def steer(_layer: nn.Module, _args: Any, x: Tensor) -> None:
        shapes.append(tuple(x.shape))
        x[:, 0] += v

    handle = made.bert.encoder.layer[1].register_forward_hook(steer)
    steered = logits(made)
    handle.remove()
    bert = made.bert
    x = bert.encoder.layer[1](bert.encoder.layer[0](bert.embeddings(IDS), MASK), MASK).detach()
    x[:, 0] += v
    by_hand = made.classifier(bert.pooler(bert.encoder.layer[2](x, MASK)))
    assert shapes == [(2, 5, 32)]
    assert not close(steered, before)
    assert close(steered, by_hand)
    assert torch.equal(logits(made), before)


def test_hooks_on_all_modules_see_every_module() -> None:
    made, seen = model(), []
    register = nn.modules.module.register_module_forward_hook
    handle = register(lambda module, _args, _out: seen.append(module))
    logits(made)
    handle.remove()
    silent = {id(part) for part in made.modules()} - {id(part) for part in seen}
    assert {type(part) for part in made.modules() if id(part) in silent} == {nn.ModuleList}


def test_a_hook_on_the_whole_model_leaves_padding_out() -> None:
    made = model()
    made.register_forward_hook(lambda *_: None)
    assert not watched(made)
    made.bert.register_forward_hook(lambda *_: None)
    assert watched(made)


@pytest.mark.parametrize("kind", OWN_NETWORKS)
def test_nobody_watches_a_model_as_it_was_built(kind: str) -> None:
    for ending in endings(family_of(kind)):
        if ending != "PreTrainedModel":
            assert not watched(model(ending, kind)), ending


def _given(made: Any) -> dict[str, Any]:
    """Something of every kind that a model reads."""
    config, names = made.config, inspect.signature(made.forward).parameters
    image = getattr(config, "vision_config", None) or getattr(config, "backbone_config", None) or config
    image = getattr(image, "encoder", image)
    targets = {"decoder_input_ids": FULL} if "decoder_input_ids" in names else {}
    if isinstance(made._assembly, QueryBridge) and not config.is_encoder_decoder:
        targets = {}
    if "decoder_input_values" in names:
        bare = "speaker_embeddings" not in names
        targets["decoder_input_values"] = torch.randn(
            2, 3, config.hidden_size if bare else config.num_mel_bins
        )
        if bare:
            return {"input_values": torch.randn(2, 5, config.hidden_size), **targets}
    if "codebook_idx" in names:
        return {"codebook_idx": 2, "input_ids": FULL[..., None].expand(-1, -1, 8), "attention_mask": MASK}
    if "num_quantizers" in names or "padding_cache" in names:
        return {"input_values": torch.randn(2, 1, 64)}
    if "aspect_ratio_ids" in names and "input_ids" not in names:
        forms = torch.ones(2, 1, dtype=torch.long)
        pixels = torch.randn(2, 1, 4, 3, 12, 12)
        real = torch.ones(2, 1, 4, dtype=torch.long)
        return {"pixel_values": pixels, "aspect_ratio_ids": forms, "aspect_ratio_mask": real}
    if "latents" in names:
        return {"latents": torch.randn(2, config.hidden_size, 4)}
    if hasattr(config, "num_codebooks"):
        return {"input_ids": FULL.repeat_interleave(config.num_codebooks, 0), "attention_mask": MASK}
    if "padding_mask" in names and targets:
        return {"input_ids": FULL, "attention_mask": MASK, "decoder_input_ids": FULL.repeat_interleave(2, 0)}
    if "input_ids" in names:
        text = {"input_ids": FULL, "attention_mask": MASK}
        if "global_attention_mask" in names:
            text["global_attention_mask"] = torch.zeros_like(MASK).index_fill(1, torch.tensor([0]), 1)
        if "entity_ids" in names:
            places = [name for name in names if name.startswith(("entity_start", "entity_end"))]
            text |= dict.fromkeys(("entity_ids", *places), torch.ones(2, 2, dtype=torch.long))
            text["entity_position_ids"] = torch.ones(2, 2, 1, dtype=torch.long)
        if "MultipleChoice" in type(made).__name__:
            text = {name: t[:, None] for name, t in text.items()}
        looks = isinstance(made._assembly, QueryBridge) and made._assembly.looks
        compared = looks or isinstance(made._assembly, (Captioning, DualTowers, Pictured, BridgedTowers))
        images = {"pixel_values": torch.randn(2, 3, 12, 12)} if compared and "image" not in names else {}
        if "image" in names:
            images = {"image": 255 * torch.rand(2, 3, 32, 32)}
        if "image_embeds_position_mask" in names:
            where = torch.zeros_like(FULL).index_fill(1, torch.arange(config.latent_query_num), 1)
            images = {"pixel_values": torch.randn(2, 3, 12, 12), "image_embeds_position_mask": where}
        if "visual_feats" in names:
            images = {"visual_feats": torch.randn(2, 3, 8), "visual_pos": torch.rand(2, 3, 4)}
        if "region_to_phrase_position" in names:
            images["visual_embeds"] = torch.randn(2, 3, config.visual_embedding_dim)
            images["region_to_phrase_position"] = torch.ones(2, 1, dtype=torch.long)
        if isinstance(made._assembly, GroundedQueryDetection):
            images = {"pixel_values": torch.randn(2, 3, 64, 64)}
        if "spatial_shapes" in names:
            images = {"pixel_values": torch.randn(2, 6, 48), "spatial_shapes": torch.tensor([[2, 3], [1, 4]])}
        if "codebook_pixel_values" in names:
            images |= {"return_loss": False, "input_ids_masked": FULL}
        if "qformer_input_ids" in names:
            images["qformer_input_ids"] = text["input_ids"]
        return text | targets | images
    if "flattened_patches" in names:
        return {"flattened_patches": torch.ones(2, 3, 14), **targets}
    if "spatial_shapes" in names:
        return {"pixel_values": torch.randn(2, 6, 48), "spatial_shapes": torch.tensor([[2, 3], [1, 4]])}
    if "pixel_values" in names:
        frames = (image.num_frames,) if hasattr(image, "num_frames") else ()
        frames = (2,) if hasattr(config, "keypoint_detector_config") else frames
        size = 12 if hasattr(image, "image_size") else 32
        found = {"pixel_values": torch.randn(2, *frames, getattr(image, "num_channels", 3), size, size)}
        if frames and "bool_masked_pos" in names:
            found["bool_masked_pos"] = torch.arange(9)[None].expand(2, 9) > 4
        return found | targets
    if "grid_thw" in names:
        return {"hidden_states": torch.randn(8, 96), "grid_thw": torch.tensor([[1, 2, 2], [1, 2, 2]])}
    if "hidden_states" in names:
        return {"hidden_states": torch.randn(2, 3, 32)}
    if "query_embeds" in names:
        return {"query_embeds": torch.randn(2, 3, 32), "encoder_hidden_states": torch.randn(2, 4, 1408)}
    if "input_values" in names:
        size = (15, 11) if hasattr(config, "patch_size") else (1200,)
        return {"input_values": torch.randn(2, *size)} | targets
    if hasattr(config, "feature_projection_input_dim"):
        return {"input_features": torch.randn(2, 12, 6)}
    fast = getattr(config, "encoder_config", config)
    if hasattr(fast, "subsampling_factor"):
        return {"input_features": torch.randn(2, 70, fast.num_mel_bins), **targets}
    if hasattr(config, "conv_kernel_sizes"):
        return {"input_features": torch.randn(2, 12, 8), **targets}
    heard = {"input_features": torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions)}
    return heard | targets


# Families whose scores are capped, or have sinks, which one backend alone can do.
MIXED_OTHERWISE = {
    *("bark", "dac", "encodec", "fnet", "sam", "sam_vision_model", "speecht5_hifigan", "superglue"),
    *MAPS,
}
MIXED_OTHERWISE |= {"sam2", "sam2_video", "sam2_hiera_det_model", "sam2_vision_model"}
MIXED_OTHERWISE |= {
    "bridgetower_vision_model",
    "chameleon_vqgan",
    "flava_image_codebook",
    "florence_vision",
    "got_ocr2_vision",
    "seamless_m4t",
    "seamless_m4t_v2",
}
CAPPED = {"gemma2", "gpt_oss", "t5gemma", "vaultgemma"}


@pytest.mark.parametrize(
    "kind", [kind for kind in OWN_NETWORKS if "mamba" not in kind and kind not in MIXED_OTHERWISE]
)
def test_every_head_attends_as_it_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str | None] = []
    for runs in (stack, passing):
        monkeypatch.setattr(runs, "choose", lambda name, needs: told.append(name) or choose(name, needs))
    for ending in set(endings(family_of(kind))) - {"PreTrainedModel"}:
        made = model(ending, kind)
        for name in ("eager",) if kind in CAPPED else ("eager", "sdpa"):
            made.set_attn_implementation(name)
            told.clear()
            with torch.no_grad():
                made(**_given(made))
            assert set(told) == {name}, ending


# attention in windows, by hashes, by blocks, over maps, of two sides; and none at all
@pytest.mark.parametrize(
    ("kind", "called"),
    [
        *[("bert", True), ("grounding-dino", True), ("prophetnet", True), ("longformer", False)],
        *[("yoso", False), ("longt5", True), ("lxmert", False), ("swin", False), ("mamba", False)],
    ],
)
def test_an_attention_function_of_ones_own_is_called_or_it_is_said_that_it_is_not(
    kind: str, called: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def mine(*tensors: Any, **options: Any) -> Any:
        calls.append(1)
        return formers.eager_attention_forward(*tensors, **options)

    monkeypatch.setitem(attend.BACKENDS, "mine", Own("mine", mine))
    monkeypatch.setitem(attend._CAN, "mine", attend._CAN["eager"])
    made = model("Model", kind)
    given = _given(made)
    made.set_attn_implementation("mine")
    with torch.no_grad(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made(**given)
    assert bool(calls) is called
    passed = [w for w in said if "'mine' is a function of your own, and is not called here" in str(w.message)]
    assert bool(passed) is (kind != "bert")  # all whose attention is of the form of such functions


def test_hooks_fire_in_compiled_models() -> None:
    made, seen = model(), []
    expected = logits(made)
    assert close(torch.compile(made, backend="eager")(IDS, attention_mask=MASK).logits, expected)
    made.bert.encoder.layer[1].register_forward_hook(lambda *_: seen.append(1))
    torch._dynamo.reset()
    assert close(torch.compile(made, backend="eager")(IDS, attention_mask=MASK).logits, expected)
    assert seen == [1]


# -- gradients and transforms -----------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True], ids=["no padding", "padding"])
@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("bert", "ForSequenceClassification"),
        ("bert", "ForMaskedLM"),
        ("roberta", "ForSequenceClassification"),
        ("distilbert", "ForTokenClassification"),
        ("gpt2", "LMHeadModel"),
        ("llama", "ForCausalLM"),
        ("llama", "ForSequenceClassification"),
        ("t5", "ForConditionalGeneration"),
        ("bart", "ForConditionalGeneration"),
    ],
)
def test_hidden_states_lie_in_the_graph(kind: str, ending: str, padded: bool) -> None:
    made = model(ending, kind, pad_token_id=0, initializer_range=0.1)
    given = {"input_ids": IDS, "attention_mask": MASK} if padded else {"input_ids": FULL}
    found = made(**given, **MORE.get(kind, {}), output_hidden_states=True, output_attentions=True)
    states = list(found.get("hidden_states") or (*found.encoder_hidden_states, *found.decoder_hidden_states))
    attentions = list(found.get("attentions") or (*found.encoder_attentions, *found.decoder_attentions))
    gradients = torch.autograd.grad(found.logits.square().sum(), [*states, *attentions], retain_graph=True)
    assert all(bool(g.any()) for g in gradients)
    for kept in (*states, *attentions):
        kept.retain_grad()
    found.logits.square().sum().backward()
    for kept, gradient in zip((*states, *attentions), gradients, strict=True):
        torch.testing.assert_close(kept.grad, gradient, rtol=1e-4, atol=1e-4)


# stacks that callers see otherwise than layers do: turned, in two streams, as maps, over fewer places
@pytest.mark.parametrize(
    "kind", ["canine", "fsmt", "funnel", "glpn", "grounding-dino", "luke", "pegasus_x", "segformer"]
)
def test_states_that_callers_see_otherwise_than_layers_lie_in_the_graph(kind: str) -> None:
    made = model("Model", kind)
    found = made(**_given(made), output_hidden_states=True)
    states = [
        x for name, held in found.items() if "hidden_states" in name for x in held if held.__class__ is tuple
    ]
    states = states[2:] if kind == "grounding-dino" else states  # the decoder's are normed for callers alone
    assert states
    learned = [x for x in found.values() if isinstance(x, Tensor) and x.requires_grad]
    target = sum(x.nan_to_num(0, 0, 0).square().sum() for x in learned)
    assert all(g is not None for g in torch.autograd.grad(target, states, allow_unused=True))


def test_what_is_pooled_follows_from_the_last_states() -> None:
    found = model("Model")(IDS, MASK)
    (gradient,) = torch.autograd.grad(found.pooler_output.sum(), found.last_hidden_state)
    assert gradient[:, 0].any()
    assert not gradient[:, 1:].any()


def test_functions_of_a_model_can_be_transformed() -> None:
    made = model().double()
    params = {name: p.detach() for name, p in made.named_parameters()}
    vectors = made.bert.embeddings.word_embeddings(IDS).detach()

    def of_vectors(x: Tensor) -> Tensor:
        return made(inputs_embeds=x, attention_mask=MASK).logits

    def of_params(p: Any, ids: Tensor, mask: Tensor) -> Tensor:
        return functional_call(made, p, (ids,), {"attention_mask": mask}).logits.sum()

    x = vectors.clone().requires_grad_()
    of_vectors(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(grad(lambda v: of_vectors(v).sum())(vectors), x.grad)
    made.zero_grad()
    run(made).logits.sum().backward()
    found = grad(of_params)(params, IDS, MASK)
    for name, p in made.named_parameters():
        torch.testing.assert_close(found[name], p.grad)
    each = vmap(grad(of_params), in_dims=(None, 0, 0))(params, IDS[:, None], MASK[:, None])
    for name in params:
        torch.testing.assert_close(each[name].sum(0), found[name])
    along = torch.randn_like(vectors)
    _, slope = jvp(of_vectors, (vectors,), (along,))
    step = 1e-6
    steep = (of_vectors(vectors + step * along) - of_vectors(vectors - step * along)) / (2 * step)
    torch.testing.assert_close(slope, steep, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "ending"), [("gpt2", "LMHeadModel"), ("llama", "ForCausalLM"), ("t5", "Model"), ("vit", "Model")]
)
def test_gradients_of_each_row_are_those_of_the_row_alone(kind: str, ending: str) -> None:
    made = model(ending, kind)
    params = {name: p.detach() for name, p in made.named_parameters()}
    given = {name: value for name, value in _given(made).items() if isinstance(value, Tensor)}
    given |= {name: FULL for name in given if name.endswith("input_ids")}
    given |= {name: torch.ones_like(FULL) for name in given if name.endswith("attention_mask")}

    def total(p: Any, row: dict[str, Tensor]) -> Tensor:
        return functional_call(made, p, (), {name: x[None] for name, x in row.items()})[0].square().sum()

    found = vmap(grad(total), in_dims=(None, 0))(params, given)
    for i in range(2):
        made.zero_grad()
        made(**{name: x[i : i + 1] for name, x in given.items()})[0].square().sum().backward()
        for name, p in made.named_parameters():
            expected = torch.zeros_like(p) if p.grad is None else p.grad
            assert (found[name][i] - expected).abs().max() <= 1e-5 * (1 + expected.abs().max()), name


def test_an_ensemble_runs_as_one_model() -> None:
    many = [model(initializer_range=deviation) for deviation in (0.1, 0.3)]
    base = copy.deepcopy(many[0]).to("meta")

    def one(params: Any, buffers: Any) -> Tensor:
        return functional_call(base, (params, buffers), (IDS,), {"attention_mask": MASK}).logits

    found = vmap(one)(*stack_module_state(many))
    for each, expected in zip(found, many, strict=True):
        assert close(each, logits(expected))


def test_a_counter_sees_every_product() -> None:
    made, rows, width, inner = model(), FULL.numel(), 32, 64
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        made(FULL)
    projections = 3 * 2 * rows * (4 * width * width + 2 * width * inner)
    attention = 3 * 2 * 2 * FULL.shape[0] * FULL.shape[1] ** 2 * width
    head = 2 * FULL.shape[0] * width * (width + 3)
    assert counter.get_total_flops() == projections + attention + head


# -- copies, sharding, names ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "llama", "t5"])
def test_models_survive_pickling_and_copying_after_a_pass(kind: str) -> None:
    made = model("Model", kind)
    with torch.no_grad():
        expected = made(FULL, **MORE.get(kind, {})).last_hidden_state
        for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert torch.equal(twin(FULL, **MORE.get(kind, {})).last_hidden_state, expected)
            assert [type(a) for a in twin.modules()] == [type(b) for b in made.modules()]


# halves of a pair, heads whose specs hold functions, steps within steps, and a layer named as a kind of node
@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        *[("detr", "ForSegmentation"), ("table-transformer", "ForObjectDetection"), ("marian", "Model")],
        *[("rt_detr", "ForObjectDetection"), ("swin", "Backbone"), ("deberta", "Model")],
        ("openai-gpt", "Model"),
    ],
)
def test_whole_models_are_saved_by_torch(kind: str, ending: str, tmp_path: Path) -> None:
    made = model(ending, kind)
    torch.save(made, tmp_path / "whole.pt")
    twin = torch.load(tmp_path / "whole.pt", weights_only=False)
    given = _given(made)
    with torch.no_grad():
        expected, found = (one(**given) for one in (made, twin))
    first, again = (next(iter(out.values())) for out in (expected, found))
    first, again = (one[-1] if isinstance(one, tuple) else one for one in (first, again))
    assert torch.equal(first, again)
    assert type(twin) is type(made)


def test_a_copy_of_a_watched_model_is_watched_for_itself() -> None:
    made, seen = model(), []
    handle = made.bert.pooler.register_forward_hook(lambda module, _args, _out: seen.append(module))
    expected = logits(made)
    twin = copy.deepcopy(made)
    handle.remove()
    assert torch.equal(logits(twin), expected)
    assert close(logits(made), expected)
    assert seen[1:] == [twin.bert.pooler]


LAYERS = {
    "bert": ["BertLayer"],
    "roberta": ["RobertaLayer"],
    "distilbert": ["TransformerBlock"],
    "gpt2": ["GPT2Block"],
    "llama": ["LlamaDecoderLayer"],
    "t5": ["T5Block"],
    "bart": ["BartEncoderLayer", "BartDecoderLayer"],
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_found_by_the_ecosystems_names(kind: str) -> None:
    from accelerate import infer_auto_device_map
    from accelerate.utils.dataclasses import get_module_class_from_name

    made = model("Model", kind)
    assert made._no_split_modules == LAYERS[kind]
    layers = [name for name, part in made.named_modules() if type(part).__name__ in LAYERS[kind]]
    assert layers
    assert all(get_module_class_from_name(made, name).__name__ == name for name in LAYERS[kind])
    whole = sum(p.numel() * p.element_size() for p in made.parameters())
    for share in (4, 7):
        placed = infer_auto_device_map(
            made,
            max_memory={"cpu": whole // share, "disk": whole * 9},
            no_split_module_classes=made._no_split_modules,
        )
        assert not [name for name in placed for layer in layers if name.startswith(f"{layer}.")]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["bert", "bart", "gpt2", "llama", "t5", "vit"])
def test_what_finds_no_room_goes_to_the_disk_and_computes_the_same(kind: str, tmp_path: Path) -> None:
    ending = {"bart": "ForConditionalGeneration", "gpt2": "LMHeadModel", "llama": "ForCausalLM"}.get(
        kind, "Model"
    )
    made = model(ending, kind)
    made.save_pretrained(tmp_path / "saved")
    spread = type(made).from_pretrained(
        tmp_path / "saved",
        device_map="auto",
        max_memory={"cpu": made.get_memory_footprint() * 3 // 4},
        offload_folder=tmp_path / "away",
    )
    assert {str(place) for place in spread.hf_device_map.values()} == {"cpu", "disk"}
    given = _given(made)
    given |= {name: torch.ones_like(MASK) for name in given if name.endswith("attention_mask")}
    assert close(spread(**given)[0], made(**given)[0])


FREE = """
head family place leaf has settle unread evaluating load_report spec roles states record width out scorer
steps program stem wiring facts flow layers norm pool run task ask watched assembly inputs encode names part
parts node mixer stack layout shape kept rows index owner kind main halves given slots
"""


@pytest.mark.parametrize("name", FREE.split())
def test_names_of_ones_own_are_free(name: str, tmp_path: Path) -> None:
    class Own(formers.BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.bert = formers.BertModel(config)
            setattr(self, name, nn.Linear(32, 7))
            self.post_init()

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            found: Tensor = getattr(self, name)(self.bert(ids, attention_mask=mask)[1])
            return found

    class Sub(formers.BertForSequenceClassification):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            setattr(self, name, nn.Linear(32, 7))

        def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
            pooled = self.bert(ids, attention_mask=attention_mask)[1]
            both: Tensor = getattr(self, name)(pooled).sum() + super().forward(ids, attention_mask).logits
            return both

    for kind in (Own, Sub):
        made = kind(model().config).eval()
        expected = made(IDS, MASK)
        made.save_pretrained(tmp_path / kind.__name__)
        assert torch.equal(kind.from_pretrained(tmp_path / kind.__name__)(IDS, MASK), expected)
    plain = model()
    expected = logits(plain)
    object.__setattr__(plain, name, "a word of one's own")
    assert torch.equal(logits(plain), expected)


# what the ecosystem's model classes offer, over the years
ECOSYSTEM = """
accepts_loss_kwargs active_adapter active_adapters add_adapter delete_adapter disable_adapters enable_adapters
get_adapter_state_dict load_adapter peft_config set_adapter
activation_checkpointing_disable activation_checkpointing_enable all_tied_weights_keys
base_model base_model_prefix can_generate config config_class device disable_input_require_grads dtype
enable_input_require_grads framework freeze_base freeze_embeddings freeze_encoder from_config
from_encoder_decoder_pretrained
from_pretrained generate get_image_features get_text_features generation_config get_decoder get_encoder
get_input_embeddings get_memory_footprint
get_output_embeddings gradient_checkpointing gradient_checkpointing_disable gradient_checkpointing_enable
init_weights initialize_weights is_gradient_checkpointing main_input_name name_or_path num_labels
num_parameters post_init prepare_decoder_input_ids_from_labels push_to_hub register_for_auto_class
compute_transition_scores generate heal_tokens prepare_inputs_for_generation
freeze_embeddings_and_language_adapters set_default_language
generate_speech get_conditional_embeddings get_image_embeddings get_prompt_embeddings
get_image_wide_positional_embeddings image_guided_detection detect_language freeze_feature_encoder
freeze_base_model freeze_feature_extractor set_gumbel_temperature
patchify unpatchify predict_contacts get_entity_embeddings set_entity_embeddings set_lightweight_tuning
resize_token_embeddings save_pretrained set_attn_implementation set_input_embeddings set_output_embeddings
channels num_features out_feature_channels out_features out_indices stage_names
supports_gradient_checkpointing tie_weights warnings_issued
speaking_rate noise_scale noise_scale_duration
apply_delay_pattern_mask build_delay_pattern_mask codec_decode freeze_audio_encoder freeze_text_encoder
get_audio_codes_mask get_encoded_length
from_sub_models_pretrained get_unconditional_inputs num_codebooks
add_model_tags model_tags decode encode from_vision_text_pretrained init_adapter_layers
forward_with_filtered_kwargs has_attentions
get_audio_features get_multimodal_features get_qformer_features get_rope_index get_video_features
get_image_tokens get_qa_logit_layer resize_num_qa_labels is_backend_compatible
supports_tp_plan tp_plan tp_size get_codebook_indices get_codebook_probs
propagate_in_video_iterator current_modality set_modality
beam_sample beam_search constrained_beam_search contrastive_search greedy_search group_beam_search sample
dummy_inputs enable_peft_hotswap get_extended_attention_mask get_head_mask get_position_embeddings
invert_attention_mask is_parallelizable loss_function model_parallel resize_position_embeddings
set_decoder set_encoder vocab_size
"""
# ours: told in the README, or read of any model that has them; a part of that name comes first
TOLD = {"load_adapter_weights", "load_report", "shifts_labels", "initialise_weights", "settings_of_parts"}


def test_model_classes_have_no_public_names_but_the_ecosystems() -> None:
    for kind in OWN_NETWORKS:
        family = family_of(kind)
        for ending in endings(family):
            cls = class_of(family, ending)
            found = {name for name in dir(cls) if not name.startswith("_")} - set(dir(nn.Module))
            assert found - set(ECOSYSTEM.split()) - TOLD == set(), cls
        made = model(next(one for one in endings(family) if one != "PreTrainedModel"), kind)
        kept = {name for name in vars(made) if not name.startswith("_")}
        kept -= {"training", "pooler"}  # the latter is None where there is none, as scripts ask
        assert kept - set(ECOSYSTEM.split()) == set(), kind


def test_a_model_that_nobody_holds_is_gone_at_once() -> None:
    """Weights do not wait for the garbage collector."""
    import gc
    import weakref

    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = formers.BertModel(formers.BertConfig(**sizes)).eval()
    with torch.no_grad():
        model(torch.ones(1, 3, dtype=torch.long))
    gone = weakref.ref(model.encoder.layer[0].output.dense.weight)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_forward_says_which_records_it_returns(kind: str) -> None:
    made = model("Model", kind)
    assert type(run(made)) in typing.get_args(typing.get_type_hints(made.forward)["return"])
