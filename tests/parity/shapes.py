"""Tiny random checkpoints in many shapes, written by the reference."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
import transformers

from formers.model.structure import parts_of
from formers.models.classes import endings
from formers.models.registry import family_of
from formers.nn import spec
from formers.nn.tree import wiring
from tests.parity import (
    decoder_shapes,
    encoder_shapes,
    expert_shapes,
    flat_shapes,
    joined_shapes,
    long_shapes,
    mixing_shapes,
    multi_shapes,
    pair_shapes,
    recurrent_shapes,
    region_shapes,
    speech_shapes,
    united_shapes,
    vision_conv_shapes,
    vision_cross_shapes,
    vision_dense_shapes,
    vision_detect_shapes,
    vision_detr_shapes,
    vision_looking_shapes,
    vision_masks_shapes,
    vision_points_shapes,
    vision_see_shapes,
    vision_segment_shapes,
    vision_shown_shapes,
    vision_talk_shapes,
    vision_tiled_shapes,
    vision_vit_shapes,
    vision_words_shapes,
    voice_shapes,
)
from tests.parity.plain_shapes import DECODER, ENCODER, GPT2, PLAIN, SPECIAL, VOCABULARY

CAUSAL = ("LMHeadModel", "ForCausalLM", "GenerationDecoder")

_BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4, "pad_token_id": 0}
_FALCON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
_MPT = {
    "vocab_size": VOCABULARY,
    "d_model": 36,
    "n_layers": 3,
    "n_heads": 6,
    "max_seq_len": 40,
    "pad_token_id": 0,
}
_LATENT = {
    **DECODER,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 24,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "q_lora_rank": 20,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 12,
    "v_head_dim": 10,
    "first_k_dense_replace": 1,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "mscale": 1.0,
    "mscale_all_dim": 0.7,
    "original_max_position_embeddings": 10,
}
_MAMBA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "state_size": 6,
    "pad_token_id": 0,
}
_VIT = {
    **{
        name: value
        for name, value in ENCODER.items()
        if name not in ("vocab_size", "max_position_embeddings")
    },
    "image_size": 12,
    "patch_size": 4,
    "encoder_stride": 4,
    "num_channels": 2,
}
_QFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "encoder_hidden_size": 24,
}
_CLIP_TEXT = {**ENCODER, "projection_dim": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 99}
_CLIP_IMAGE = {**_VIT, "hidden_size": 24, "projection_dim": 20}
_CLIP_IMAGE.pop("encoder_stride")
_LLAVA = {
    "text_config": {**DECODER, "model_type": "llama", "vocab_size": VOCABULARY + 2, "num_hidden_layers": 2},
    "vision_config": {**_CLIP_IMAGE, "model_type": "clip_vision_model"},
    "image_token_index": VOCABULARY + 1,
}
_DROPPED = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

# model_type -> shapes: each a name and the fields that differ from the reference's defaults
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "bert": {
        "plain": ENCODER,
        "tanh-gelu, other epsilon, one layer": {
            **ENCODER,
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "num_hidden_layers": 1,
            "type_vocab_size": 3,
        },
        "untied, relu, two heads": {
            **ENCODER,
            "hidden_act": "relu",
            "num_attention_heads": 2,
            "tie_word_embeddings": False,
            "classifier_dropout": 0.0,
        },
    },
    "blip_2_qformer": {
        "asks in every other layer": _QFORMER,
        "asks in every third layer, as wide as what it asks, relu": {
            **_QFORMER,
            "num_hidden_layers": 4,
            "cross_attention_frequency": 3,
            "encoder_hidden_size": 32,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
        },
    },
    "electra": {
        "narrow embeddings": {**ENCODER, "embedding_size": 20},
        "embeddings as wide as states, tanh, untied": {
            **ENCODER,
            "embedding_size": 32,
            "hidden_act": "tanh",
            "num_hidden_layers": 2,
            "tie_word_embeddings": False,
        },
    },
    "mpnet": {
        "one table of distances": {**ENCODER, "pad_token_id": 1},
        "five heads, relu, padding id zero, untied": {
            **ENCODER,
            "hidden_size": 30,
            "num_attention_heads": 5,
            "hidden_act": "relu",
            "pad_token_id": 0,
            "tie_word_embeddings": False,
        },
    },
    "albert": {
        "one layer for all": {**ENCODER, "embedding_size": 20},
        "two groups of two layers, five steps, embeddings as wide as states": {
            **ENCODER,
            "embedding_size": 32,
            "num_hidden_layers": 5,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "data2vec-text": {"plain": {**ENCODER, "pad_token_id": 1, "type_vocab_size": 1}},
    "megatron-bert": {
        "norms before": ENCODER,
        "tanh-gelu, other epsilon, three kinds, untied": {
            **ENCODER,
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "type_vocab_size": 3,
            "num_hidden_layers": 2,
            "tie_word_embeddings": False,
        },
    },
    "xlm-roberta-xl": {"norms before": {**ENCODER, "pad_token_id": 1}},
    "roberta-prelayernorm": {
        "norms before": {**ENCODER, "pad_token_id": 1},
        "padding id zero, relu, untied": {
            **ENCODER,
            "pad_token_id": 0,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "ernie": {
        "no tasks": ENCODER,
        "kinds of tasks, relu, untied": {
            **ENCODER,
            "use_task_id": True,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "bert-generation": {
        "plain": ENCODER,
        "untied, relu": {**ENCODER, "hidden_act": "relu", "tie_word_embeddings": False},
    },
    "rembert": {
        "narrow in, wide out": {**ENCODER, "input_embedding_size": 20, "output_embedding_size": 44},
        "as wide as states": {
            **ENCODER,
            "input_embedding_size": 32,
            "output_embedding_size": 32,
            "hidden_act": "relu",
        },
    },
    "roberta": {
        "plain": {**ENCODER, "pad_token_id": 1, "type_vocab_size": 1},
        "padding id zero": {**ENCODER, "pad_token_id": 0},
    },
    "xlm-roberta": {"plain": {**ENCODER, "pad_token_id": 1, "type_vocab_size": 1}},
    "camembert": {"plain": {**ENCODER, "pad_token_id": 1, "type_vocab_size": 1}},
    "distilbert": {
        "plain": {
            "vocab_size": VOCABULARY,
            "dim": 32,
            "n_layers": 3,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 40,
        },
        "relu, sinusoidal start": {
            "vocab_size": VOCABULARY,
            "dim": 24,
            "n_layers": 2,
            "n_heads": 3,
            "hidden_dim": 40,
            "max_position_embeddings": 40,
            "activation": "relu",
            "sinusoidal_pos_embds": True,
        },
    },
    "deberta-v2": {
        "both kinds, buckets, a normed table, no places added": {
            **ENCODER,
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_buckets": 6,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
        },
        "shared projections, a short reach, segments": {
            **ENCODER,
            "num_attention_heads": 2,
            "relative_attention": True,
            "pos_att_type": "p2c|c2p",
            "max_relative_positions": 5,
            "share_att_key": True,
            "type_vocab_size": 2,
            "pooler_hidden_act": "tanh",
        },
        "one kind, a convolution beside the first layer": {
            **ENCODER,
            "relative_attention": True,
            "pos_att_type": ["p2c"],
            "conv_kernel_size": 3,
            "conv_groups": 2,
            "conv_act": "gelu",
        },
        "places added alone": {**ENCODER, "num_hidden_layers": 2},
    },
    "deberta": {
        "both kinds": {
            **ENCODER,
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_biased_input": False,
        },
        "one kind, a short reach, segments": {
            **ENCODER,
            "relative_attention": True,
            "pos_att_type": "c2p",
            "max_relative_positions": 5,
            "type_vocab_size": 2,
        },
    },
    "modernbert": {
        "windows in two layers of three": {
            **ENCODER,
            "num_hidden_layers": 4,
            "local_attention": 6,
            **SPECIAL,
        },
        "mean, biases, older names, no window, untied, logits where labels are": {
            **ENCODER,
            **SPECIAL,
            "sparse_prediction": True,
            "num_attention_heads": 2,
            "classifier_pooling": "mean",
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "classifier_bias": True,
            "decoder_bias": False,
            "hidden_activation": "relu",
            "classifier_activation": "silu",
            "global_attn_every_n_layers": 1,
            "global_rope_theta": 500.0,
            "tie_word_embeddings": False,
        },
    },
    "bloom": {
        "six heads": {**_BLOOM, "n_head": 6, "hidden_size": 36},
        "sums of what is normed, untied": {
            **_BLOOM,
            "apply_residual_connection_post_layernorm": True,
            "tie_word_embeddings": False,
        },
    },
    "gpt2": {
        "plain": GPT2,
        "scaled by layer, own inner width": {
            "vocab_size": VOCABULARY,
            "n_embd": 24,
            "n_layer": 2,
            "n_head": 3,
            "n_inner": 20,
            "n_positions": 40,
            "scale_attn_by_inverse_layer_idx": True,
            "activation_function": "relu",
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    },
    "llama": {
        "grouped heads": {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 48,
            "max_position_embeddings": 40,
            "pad_token_id": 0,
        },
        "one shared head, own width, biases, tied, llama3 positions": {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "intermediate_size": 40,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    },
    "mistral": {
        "window of four, grouped heads": {**DECODER, "sliding_window": 4},
        "one shared head, own width, tied, no window": {
            **DECODER,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "tie_word_embeddings": True,
            "sliding_window": None,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
        },
        "window of one": {**DECODER, "num_hidden_layers": 2, "sliding_window": 1},
    },
    "mixtral": {
        "four experts, two a token": {**DECODER, "num_local_experts": 4},
    },
    "qwen2": {
        "biases, a window from the second layer on": {
            **DECODER,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
        },
    },
    "qwen3": {
        "own head width": {**DECODER, "head_dim": 12},
    },
    "qwen2_moe": {
        "shared expert, a dense layer in between": {
            **DECODER,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 40,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "mlp_only_layers": [1],
        },
    },
    "deepseek_v2": {
        "best groups, plain queries, biases, a longer context": {
            **_LATENT,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "q_lora_rank": None,
            "attention_bias": True,
            "mlp_bias": True,
            "routed_scaling_factor": 3.0,
            "n_shared_experts": 1,
            "rope_parameters": _YARN,
        },
    },
    "deepseek_v3": {
        "eight experts in four groups": {**_LATENT, "n_group": 4, "topk_group": 2},
    },
    "gptj": {
        "half turned": {**GPT2, "rotary_dim": 4},
        "all turned, relu, inner width, tied": {
            **GPT2,
            "n_head": 2,
            "rotary_dim": 16,
            "n_inner": 20,
            "activation_function": "relu",
            "tie_word_embeddings": True,
        },
    },
    "codegen": {"eight heads in four parts": {**GPT2, "n_head": 8, "rotary_dim": 2}},
    "persimmon": {
        "half turned, norms of heads": PLAIN,
        "no norms, tied": {**PLAIN, "qk_layernorm": False, "tie_word_embeddings": True},
    },
    "falcon": {
        "one key": {**_FALCON, "num_attention_heads": 4},
        "groups, two norms, biases": {
            **_FALCON,
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "bias": True,
            "ffn_hidden_size": 40,
        },
        "slopes, one after the other, a key for each of six heads, untied": {
            **_FALCON,
            "hidden_size": 36,
            "num_attention_heads": 6,
            "alibi": True,
            "multi_query": False,
            "parallel_attn": False,
            "tie_word_embeddings": False,
        },
    },
    "mpt": {
        "six heads, clipped, sharper": {
            **_MPT,
            "attn_config": {"clip_qkv": 0.5, "softmax_scale": 0.3},
        },
        "plain": {**_MPT, "d_model": 32, "n_heads": 4},
    },
    "biogpt": {
        "scaled": {**ENCODER, "pad_token_id": 0},
        "untied, relu, not scaled": {
            **ENCODER,
            "pad_token_id": 1,
            "hidden_act": "relu",
            "scale_embedding": False,
            "tie_word_embeddings": False,
        },
    },
    "gemma3_text": {
        "two rotary rules by turns": {
            **DECODER,
            "num_hidden_layers": 4,
            "sliding_window": 4,
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "sliding_window_pattern": 2,
        },
        "older settings, capped, biases, untied": {
            **DECODER,
            "head_dim": 8,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
            "rope_theta": 500.0,
            "rope_local_base_freq": 50.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "final_logit_softcapping": 3.0,
            "attention_bias": True,
            "tie_word_embeddings": False,
        },
    },
    "olmo3": {
        "windows, a longer context where all is seen": {
            **DECODER,
            "num_hidden_layers": 4,
            "sliding_window": 4,
            "rope_scaling": {**_YARN, "mscale": None, "mscale_all_dim": None},
        },
    },
    "exaone4": {
        "positions where windows are": {**DECODER, "sliding_window": 4, "sliding_window_pattern": 2},
        "no windows, tied": {
            **DECODER,
            "sliding_window": None,
            "layer_types": ["full_attention"] * 3,
            "tie_word_embeddings": True,
        },
    },
    "qwen3_moe": {
        "a dense layer in between, a window, own width": {
            **DECODER,
            "head_dim": 12,
            "moe_intermediate_size": 24,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "mlp_only_layers": [1],
            "use_sliding_window": True,
            "sliding_window": 4,
        },
    },
    "olmoe": {
        "clipped after norms, normalised": {
            **DECODER,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "clip_qkv": 0.7,
            "norm_topk_prob": True,
        },
    },
    "gemma2": {
        "capped, every other a window": {
            **DECODER,
            "sliding_window": 4,
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        "no caps, biases, untied, windows last": {
            **DECODER,
            "num_key_value_heads": 4,
            "head_dim": 8,
            "query_pre_attn_scalar": 5,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
        "capped scores alone": {
            **DECODER,
            "num_hidden_layers": 2,
            "head_dim": 12,
            "attn_logit_softcapping": 1.0,
            "final_logit_softcapping": None,
            "hidden_activation": "relu",
        },
    },
    "vaultgemma": {
        "capped, every other a window": {
            **DECODER,
            "sliding_window": 4,
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        "no caps, biases, untied, windows last": {
            **DECODER,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    },
    "arcee": {
        "grouped heads": DECODER,
        "biases, tied, own width": {
            **DECODER,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
            "head_dim": 12,
        },
    },
    "gemma": {
        "own width": {**DECODER, "head_dim": 12},
        "one shared head, untied, the older name of its activation": {
            **DECODER,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "hidden_act": "gelu",
        },
    },
    "gpt_bigcode": {
        "one key for all heads": GPT2,
        "a key for each head": {**GPT2, "multi_query": False, "n_inner": 20, "scale_attn_weights": False},
    },
    "gpt_neo": {
        "every other layer a window": {
            **ENCODER,
            "num_hidden_layers": 4,
            "attention_types": [[["global", "local"], 2]],
            # so that padding sees a real key: where there is none the reference mixes what is hidden
            "window_size": 7,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    },
    "gpt_neox": {
        "side by side": {**PLAIN, "partial_rotary_factor": 0.5},
        "one after the other, a quarter turned, relu, no biases": {
            **PLAIN,
            "num_attention_heads": 2,
            "use_parallel_residual": False,
            "attention_bias": False,
            "hidden_act": "relu",
            "tie_word_embeddings": True,
        },
    },
    "granite": {
        "four factors": {
            **DECODER,
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.3,
            "attention_multiplier": 0.2,
        },
        "plain": {**DECODER, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    },
    "nemotron": {
        "half turned": DECODER,
        "a quarter turned, biases, own width": {
            **DECODER,
            "partial_rotary_factor": 0.25,
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 16,
        },
    },
    "olmo": {
        "plain": DECODER,
        "clipped": {**DECODER, "clip_qkv": 0.3, "attention_bias": True, "tie_word_embeddings": True},
    },
    "cohere": {
        "one norm for both": DECODER,
        "norms of each head, biases, untied": {
            **DECODER,
            "use_qk_norm": True,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "logit_scale": 2.0,
        },
    },
    "cohere2": {
        "windows by turns": {**DECODER, "sliding_window": 4, "sliding_window_pattern": 2},
        "named kinds": {
            **DECODER,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    },
    "glm": {
        "half turned": {**DECODER, "head_dim": 8},
        "no biases, all turned, tied": {
            **DECODER,
            "head_dim": 12,
            "attention_bias": False,
            "partial_rotary_factor": 1.0,
            "tie_word_embeddings": True,
        },
    },
    "glm4": {"norms on both sides": {**DECODER, "head_dim": 8}},
    "helium": {
        "plain": {**DECODER, "head_dim": 8},
        "biases": {**DECODER, "head_dim": 8, "attention_bias": True, "mlp_bias": True},
    },
    "ministral": {
        "windows": {**DECODER, "head_dim": 8, "sliding_window": 4},
        "named kinds": {
            **DECODER,
            "head_dim": 12,
            "sliding_window": 4,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    },
    "olmo2": {
        "grouped heads": DECODER,
        "biases, tied": {**DECODER, "attention_bias": True, "tie_word_embeddings": True},
    },
    "phi": {
        "half turned": DECODER,
        "norms of heads, all turned": {**DECODER, "qk_layernorm": True, "partial_rotary_factor": 1.0},
    },
    "phi3": {
        "grouped heads": DECODER,
        "window, half turned": {**DECODER, "sliding_window": 4, "partial_rotary_factor": 0.5},
        "long positions": {
            **DECODER,
            "original_max_position_embeddings": 8,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 100.0,
                "short_factor": [1.0, 1.1, 1.2, 1.3],
                "long_factor": [1.5, 2.0, 3.0, 4.0],
            },
        },
    },
    "smollm3": {
        "every other layer without positions": {**DECODER, "no_rope_layer_interval": 2},
        "windows, untied": {
            **DECODER,
            "no_rope_layers": [0, 1, 0],
            "use_sliding_window": True,
            "sliding_window": 4,
            "tie_word_embeddings": False,
            "mlp_bias": True,
        },
    },
    "starcoder2": {
        "grouped heads": DECODER,
        "window, no biases, untied": {
            **DECODER,
            "sliding_window": 4,
            "use_bias": False,
            "tie_word_embeddings": False,
        },
    },
    "mamba": {
        "plain": _MAMBA,
        "biases, short reach, rank of its own, untied": {
            **_MAMBA,
            "use_bias": True,
            "conv_kernel": 2,
            "time_step_rank": 5,
            "expand": 3,
            "tie_word_embeddings": False,
        },
        "no bias at all, one number remembered": {
            **_MAMBA,
            "num_hidden_layers": 2,
            "state_size": 1,
            "conv_kernel": 3,
            "use_conv_bias": False,
            "hidden_act": "gelu",
        },
    },
    "vit": {
        "plain": _VIT,
        "wide images of oblong patches, no biases, own pooler": {
            **_VIT,
            "image_size": [8, 12],
            "patch_size": [2, 4],
            "num_channels": 3,
            "qkv_bias": False,
            "hidden_act": "relu",
            "pooler_output_size": 20,
            "pooler_act": "gelu",
        },
    },
    "clip_text_model": {
        "the end by its id": _CLIP_TEXT,
        "the end by the highest id, gelu": {**_CLIP_TEXT, "eos_token_id": 2, "hidden_act": "gelu"},
    },
    "clip_vision_model": {
        "plain": _CLIP_IMAGE,
        "fine patches, other epsilon, gelu": {
            **_CLIP_IMAGE,
            "patch_size": 3,
            "layer_norm_eps": 1e-3,
            "hidden_act": "gelu",
        },
    },
    "clip": {
        "plain": {"text_config": _CLIP_TEXT, "vision_config": _CLIP_IMAGE, "projection_dim": 20},
        "an end of older files, a wide space, colder": {
            "text_config": {**_CLIP_TEXT, "eos_token_id": 2},
            "vision_config": {**_CLIP_IMAGE, "patch_size": 6},
            "projection_dim": 40,
            "logit_scale_init_value": 1.0,
        },
    },
    "llava": {
        "CLIP and LLaMA": _LLAVA,
        "ViT and Mistral, two layers, the class token too, tied, no bias": {
            "text_config": {**_LLAVA["text_config"], "model_type": "mistral", "tie_word_embeddings": True},
            "vision_config": {**_VIT, "model_type": "vit"},
            "image_token_index": VOCABULARY + 1,
            "vision_feature_layer": [-2, -1],
            "vision_feature_select_strategy": "full",
            "multimodal_projector_bias": False,
            "projector_hidden_act": "relu",
        },
        "what the first layer makes of images": {**_LLAVA, "vision_feature_layer": 1},
    },
}

# further shapes of families that derive from others, which `benchmarks/parity.py` compares
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "mixtral": {
        "window, five experts, three a token, routers' logits, tied": {
            **DECODER,
            "num_hidden_layers": 2,
            "num_local_experts": 5,
            "num_experts_per_tok": 3,
            "sliding_window": 4,
            "output_router_logits": True,
            "router_aux_loss_coef": 0.3,
            "tie_word_embeddings": True,
        },
    },
    "qwen2": {
        "no window, tied": {**DECODER, "num_key_value_heads": None, "tie_word_embeddings": True},
    },
    "qwen3": {
        "biases, a window in the first layer": {
            **DECODER,
            "head_dim": 8,
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        },
    },
    "qwen2_moe": {
        "every other layer, normalised, windows, routers' logits, no biases": {
            **DECODER,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 40,
            "num_experts": 4,
            "num_experts_per_tok": 3,
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
            "qkv_bias": False,
            "use_sliding_window": True,
            "sliding_window": 4,
            "output_router_logits": True,
            "router_aux_loss_coef": 0.3,
        },
    },
    "deepseek_v2": {
        "best of all experts": _LATENT,
    },
    "deepseek_v3": {
        "weights as they are, halves turned, plain queries, biases, a longer context, routers' logits": {
            **_LATENT,
            "n_group": 2,
            "topk_group": 1,
            "norm_topk_prob": False,
            "rope_interleave": False,
            "q_lora_rank": None,
            "attention_bias": True,
            "n_shared_experts": 2,
            "first_k_dense_replace": 0,
            "output_router_logits": True,
            "rope_parameters": _YARN,
        },
    },
}


for _room in (
    decoder_shapes,
    encoder_shapes,
    expert_shapes,
    flat_shapes,
    joined_shapes,
    long_shapes,
    mixing_shapes,
    multi_shapes,
    pair_shapes,
    recurrent_shapes,
    region_shapes,
    speech_shapes,
    united_shapes,
    vision_dense_shapes,
    vision_detect_shapes,
    vision_detr_shapes,
    vision_looking_shapes,
    vision_masks_shapes,
    vision_points_shapes,
    vision_see_shapes,
    vision_segment_shapes,
    vision_shown_shapes,
    vision_talk_shapes,
    vision_tiled_shapes,
    vision_conv_shapes,
    vision_cross_shapes,
    vision_vit_shapes,
    vision_words_shapes,
    voice_shapes,
):
    SHAPES.update(_room.SHAPES)
    for _kind, _more in _room.MORE.items():
        MORE[_kind] = {**MORE.get(_kind, {}), **_more}


def class_names(family: Any) -> list[str]:
    """The classes of a family that the reference has too."""
    names = [family.class_name(ending) for ending in endings(family) if ending != "PreTrainedModel"]
    apart = vision_masks_shapes.READS_SESSIONS
    return [name for name in names if hasattr(transformers, name) and name not in apart]


# others leave the cap, or weights, out, or hide patches from those before them where none is padding
EAGER = ("gemma2", "data2vec-vision", "phi4_multimodal_vision")


def reference_config(model_type: str, shape: str, class_name: str) -> Any:
    """The reference's own config class, filled for one shape; no dropout, so that training compares."""
    values = dict({**SHAPES[model_type], **MORE.get(model_type, {})}[shape])
    config = transformers.AutoConfig.for_model(model_type, **values)
    for field in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "dropout",
        "attention_dropout",
        "seq_classif_dropout",
        "summary_last_dropout",
        "classifier_dropout",
        "classifier_dropout_prob",
        "qa_dropout",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
    ):
        if hasattr(config, field):
            setattr(config, field, 0.0)
    unread = "megatron-bert rembert bert-generation roformer layoutlm layoutlmv2 splinter tapas dpr"
    if model_type not in unread.split():  # their heads read no such field
        config.classifier_dropout = 0.0
    two = "QuestionAnswering" in class_name or class_name == "AlbertForPreTraining"
    config.num_labels = 2 if two else 5
    if hasattr(config, "is_decoder") and class_name.endswith(CAUSAL):
        config.is_decoder = True
        if model_type == "big_bird":  # by blocks the reference's decoder sees what is to come
            config.attention_type = "original_full"
    if model_type in EAGER:
        config._attn_implementation = "eager"
    return config


def write_checkpoint(model_type: str, shape: str, class_name: str, folder: Path, seed: int = 0) -> Any:
    """Make a random model with the reference, save it, and return it in evaluation mode."""
    torch.manual_seed(seed)
    if model_type == "mra":  # without the kernel all that it mixes is zeros
        transformers.models.mra.modeling_mra.mra_cuda_kernel = BlockProducts
    if model_type == "vilt":
        transformers.models.vilt.modeling_vilt.torch = multi_shapes.InOrder()
    model = getattr(transformers, class_name)(reference_config(model_type, shape, class_name))
    if model_type == "oneformer":  # one number of it has twice the bits
        model.float()
    with torch.no_grad():  # biases and norms start at constants, which would hide a mix-up
        for value in model.state_dict(keep_vars=True).values():
            if value.is_floating_point():
                value.add_(torch.randn_like(value) * 0.05)
    model.save_pretrained(folder)
    return model.eval()


class BlockProducts:
    """What the reference's kernel for MRA does, in plain torch: products of chosen pairs of blocks.

    Pairs are [M, c], row * blocks + column; blocks are [M, n, D, 32], products [M, c, key, query].
    """

    @staticmethod
    def mm_to_sparse(query: torch.Tensor, key: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """Products of the chosen pairs."""
        each, pairs = torch.arange(len(query))[:, None], pairs.long()
        rows, columns = pairs // key.shape[1], pairs % key.shape[1]
        return torch.einsum("mcdk,mcdq->mckq", key[each, columns], query[each, rows])

    @staticmethod
    def sparse_dense_mm(
        products: torch.Tensor, pairs: torch.Tensor, key: torch.Tensor, rows: int
    ) -> torch.Tensor:
        """Sums over the pairs of a row: [M, rows, D, 32]."""
        each, pairs = torch.arange(len(key))[:, None], pairs.long()
        mixed = torch.einsum("mckq,mcdk->mcdq", products, key[each, pairs % key.shape[1]])
        out = mixed.new_zeros(len(key), rows, *mixed.shape[2:])
        return out.index_put((each, pairs // key.shape[1]), mixed, accumulate=True)

    @staticmethod
    def index_max(
        values: torch.Tensor, pairs: torch.Tensor, rows: int, columns: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The largest of [M, 32, c] in each row, [M, rows * 32], and that of each pair, [M, 32, c]."""
        at = (pairs.long() // columns)[:, None].expand_as(values)
        top = values.new_full((*values.shape[:2], rows), -1e8).scatter_reduce(2, at, values, "amax")
        return top.transpose(1, 2).flatten(1), top.gather(2, at)


def learned(record: Any) -> Any:
    """The first value that gradients go through."""
    return next(one for one in record.to_tuple() if not isinstance(one, torch.Tensor) or one.requires_grad)


def images(config: Any, seed: int = 1) -> dict[str, Any]:
    """Four images; which patches are hidden, for a model that predicts them."""
    generator = torch.Generator().manual_seed(seed)
    whole = config
    config = getattr(config, "vlm_config", config)
    config = getattr(config, "image_config", config)
    config = getattr(config, "vision_config", None) or getattr(config, "backbone_config", None) or config
    config = getattr(config, "encoder", config)
    if not hasattr(config, "image_size"):
        config = getattr(config, "backbone_config", None) or config
    if hasattr(config, "max_temporal_embeddings"):
        return {"pixel_values": torch.randn(4, 3, 12, 12, generator=generator)}
    if hasattr(config, "visual_embed"):
        size = (config.num_channels, config.input_size, config.input_size)
        return {"pixel_values": torch.randn(4, *size, generator=generator)} if config.visual_embed else {}
    if not hasattr(config, "image_size"):  # pictures of any size are read
        channels = getattr(config, "num_channels", 3)
        pair = (2,) if hasattr(whole, "keypoint_detector_config") else ()
        return {"pixel_values": torch.randn(4, *pair, channels, 64, 80, generator=generator)}
    size = config.image_size if isinstance(config.image_size, (list, tuple)) else [config.image_size] * 2
    count = getattr(whole, "num_image_with_embedding", None) or getattr(config, "num_frames", None)
    frames = () if count is None else (count,)
    return {
        "pixel_values": torch.randn(
            4, *frames, getattr(config, "num_channels", 3), *size, generator=generator
        )
    }


def inputs_of(model: Any, **options: Any) -> dict[str, Any]:
    """Inputs that fit the model."""
    names = inspect.signature(model.forward).parameters
    if "flava" in model.config.model_type and "input_ids" not in names:
        return united_shapes.of_a_part(model)
    if "query_embeds" in names:
        return queries(model.config, instructed="input_ids" in names)
    if "flattened_patches" in names:
        ids = {"decoder_input_ids": batch("", 0, length=7)["input_ids"]}
        return flat_shapes.patches(model.config) | (ids if "decoder_input_ids" in names else {})
    if "input_values" in names:
        return speech_shapes.sounds(model.config)
    config = model.config
    if hasattr(config, "feature_projection_input_dim"):
        return speech_shapes.bands(config)
    if "hidden_states" in names and hasattr(config, "max_temporal_embeddings"):
        return {"hidden_states": images(config)["pixel_values"]}
    if "output_attention_mask" in names or type(model).__name__ == "ParakeetForCTC":
        return speech_shapes.frames(getattr(config, "encoder_config", config))
    heard = "input_features" in names and "decoder_input_ids" not in names
    if heard and hasattr(config, "encoder_layerdrop"):
        return {"input_features": joined_shapes.frames(config)}
    if "grid_thw" in names:
        return vision_talk_shapes.patches(config)
    if config.model_type == "pixtral":
        return vision_tiled_shapes.sized()
    if "patch_attention_mask" in names:
        return vision_tiled_shapes.parts(config)
    if "aspect_ratio_ids" in names and "input_ids" not in names:
        return vision_cross_shapes.tiles(config)
    if "spatial_shapes" in names:
        seen = vision_words_shapes.patches(getattr(config, "vision_config", config), "input_ids" not in names)
    else:
        seen = images(config) if "pixel_values" in names and "aspect_ratio_ids" not in names else {}
    if "is_longer" in names:
        seen = speech_shapes.spectra(config)
    if "noise" in names:  # which patches are hidden is the same for both
        seen["noise"] = torch.rand(4, 9, generator=torch.Generator().manual_seed(3))
    if type(model).__name__ == "VideoMAEForPreTraining":  # as many patches are hidden in every film
        order = torch.rand(4, 18, generator=torch.Generator().manual_seed(3)).argsort(1)
        seen["bool_masked_pos"] = order < 11
    if "task_inputs" in names:
        seen |= vision_segment_shapes.tasks(config)
    if "input_points" in names:
        seen |= vision_masks_shapes.prompts(config.prompt_encoder_config.image_size)
    if config.model_type == "grounding-dino":
        return seen | vision_looking_shapes.named(config)
    if "input_ids" not in names:
        ids = batch("", 0, length=7)["input_ids"] if "decoder_input_ids" in names else None
        return seen if ids is None else {**seen, "decoder_input_ids": ids}
    text = config.get_text_config()
    pad = text.pad_token_id
    found = batch(
        type(model).__name__,
        0 if pad is None else pad,
        **{"length": _length(config), "longer": _longer(config), **options},
    )
    ids, mask = found["input_ids"], found["attention_mask"]
    if text.model_type == "fnet":  # it reads padding as text
        del found["attention_mask"]
    if "image_embeds" in names and "image_embeds_position_mask" not in names:  # behind those of the text
        mask.fill_(1)
    if "visual_embeds" in names or "visual_feats" in names:  # likewise
        mask.fill_(1)
        seen |= region_shapes.seen(model, ids)
    if config.model_type == "florence2":
        ids[:, 1:11] = config.image_token_id
        mask[:, :12] = 1
        seen["decoder_input_ids"] = ids[:, 11:16].clone()
    if "image_embeds_position_mask" in names:
        places = mask.all(0).nonzero()[1 : 1 + config.latent_query_num, 0]  # which all rows have
        seen["image_embeds_position_mask"] = torch.zeros_like(ids).index_fill(1, places, 1)
    if "image_grid_thw" in names:
        pages = getattr(config, "vlm_config", None)
        shown, pages = (vision_talk_shapes.pages, pages) if pages else (vision_talk_shapes.shown, config)
        seen = shown(pages, ids, mask)
    if "feature_attention_mask" in names:
        seen = joined_shapes.heard(config, ids, mask)
    if "audio_embed_sizes" in names:
        seen = joined_shapes.shown_and_heard(config, ids, mask)
    if _segmented(config) or hasattr(config, "block_per_row"):
        # there the reference fails, or hides another row's keys
        mask.fill_(1)
    if text.model_type in (
        "clip_text_model",
        "clipseg_text_model",
    ):  # every text ends in the token that says so
        ids[torch.arange(4), mask.sum(1) - 1] = 99
    if type(model).__name__.startswith("Owl") and "Detection" in type(model).__name__:
        seen["pixel_values"], ids[3, 0] = (
            seen["pixel_values"][:2],
            0,
        )  # two texts each, one of which says nothing
    if getattr(getattr(model, "_head", None), "marks", "") in ("question", "choice"):
        ids[..., 2:5] = config.sep_token_id  # of which the first ends the question
    config = getattr(config, "vlm_config", config)
    if config.model_type in vision_tiled_shapes.SHAPES or _sized(config):
        seen = vision_tiled_shapes.shown(config, ids, mask)
    elif "cross_attention_states" in names:
        whole = "aspect_ratio_ids" in names
        shapes = vision_cross_shapes
        seen = shapes.crossed(config, ids, mask) if whole else shapes.states(config, ids.shape[1])
    elif hasattr(config, "vocabulary_map"):
        ids[ids == config.vocabulary_map["<image>"]] = 7
        seen = vision_shown_shapes.coded(config, ids, mask)
    elif hasattr(config, "mm_tokens_per_image") or config.model_type == "paligemma":
        seen |= vision_shown_shapes.shown(config, ids, mask)
    elif hasattr(config, "num_query_tokens") and "pixel_values" in names:
        ids[:, :3], mask[:, :5] = config.image_token_index, 1
        if "decoder_input_ids" not in names:
            mask.fill_(1)  # it returns states of texts without the image tokens' columns
        elif config.is_encoder_decoder:
            seen["decoder_input_ids"] = ids[:, 3:7].clone()
        if "qformer_input_ids" in names:
            seen |= {"qformer_input_ids": ids[:, 3:9].clone(), "qformer_attention_mask": mask[:, 3:9].clone()}
    elif hasattr(config, "vision_feature_select_strategy"):
        each = 10 if config.vision_feature_select_strategy == "full" else 9
        ids[:, 1 : 1 + each], mask[:, : 5 + each] = config.image_token_index, 1
    if hasattr(config, "type_vocab_sizes"):
        seen["token_type_ids"] = tables(*ids.shape) * mask[..., None]
    if hasattr(config, "question_token_id"):
        ids[..., 1:4:2] = config.question_token_id
    if "entity_ids" in names:
        seen |= entities(type(model).__name__, config.entity_vocab_size)
    if "lang_ids" in names and ids.dim() == 2:  # the reference takes none for every choice
        seen["lang_ids"] = torch.tensor([0, 1, 1, 0])
    if type(model).__name__ == "BlipForQuestionAnswering":  # which writes answers
        mask.fill_(1)  # the reference's answers see the padding of questions
        seen["decoder_input_ids"] = ids[:, 1:6]
    if "image_attention_mask" in names and "audio_embed_sizes" not in names:
        mask.fill_(1)  # states of both have columns of padding too, which are compared by themselves
    if "codebook_pixel_values" in names:
        seen |= united_shapes.hidden(ids)
    if "image" in names:
        seen["image"] = 255 * torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    if "bbox" in names:
        corners = torch.randint(0, config.max_2d_position_embeddings // 2, (*ids.shape, 2))
        seen["bbox"] = torch.cat((corners, corners * 2), dim=-1)
    return {**found, **seen}


def entities(class_name: str, count: int, seed: int = 1) -> dict[str, Any]:
    """Three entities in each of four rows, named by one to three tokens, and where those begin and end."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.tensor([[1, -1, -1], [2, 3, -1], [2, 3, 4]])
    found = {
        "entity_ids": torch.randint(1, count, (4, 3), generator=generator),
        "entity_position_ids": at.expand(4, 3, 3) + 0,
        "entity_token_type_ids": torch.tensor([[0, 0, 1]] * 4),
    }
    if "MultipleChoice" in class_name:
        return {name: t[:, None].repeat(1, 3, *[1] * (t.dim() - 1)) for name, t in found.items()}
    if "EntitySpan" in class_name:
        found["entity_start_positions"] = torch.tensor([[0, 1, 1]] * 4)
        found["entity_end_positions"] = torch.tensor([[0, 2, 3]] * 4)
    return found


def tables(rows: int, length: int) -> torch.Tensor:
    """Seven types for every token: four of the question, then cells of two tokens each, in two columns."""
    place = torch.arange(length - 4)
    found = torch.zeros(length, 7, dtype=torch.long)
    found[4:, 0], found[4:, 1], found[4:, 2] = 1, place // 2 % 2 + 1, place // 4
    found[4:, 4], found[4:, 5], found[4:, 6] = place % 3, 2 - place % 3, place % 4
    return found.expand(rows, -1, -1)


SCANS = (
    *(spec.Scan, spec.HeadScan, spec.ShortConvolution, spec.GatedRecurrence, spec.DeltaRule),
    spec.TimeMixing,
)


def lets_padding_in(ours: Any) -> bool:
    """Whether the reference lets padding on the left into the first tokens.

    Through a recurrence's bias; or as zeros, which tokens that look back see among the others.
    """
    stack = ours._assembly.spec(ours.config)
    zeros = stack.causal and getattr(stack.stem, "tells_padding", False)
    return zeros or any(mixer.bias for mixer in stack.mixers if isinstance(mixer, SCANS))


def _segmented(config: Any) -> bool:
    """Whether landmarks stand for several tokens each."""
    return getattr(config, "num_landmarks", 0) != getattr(config, "segment_means_seq_len", 0)


def _sized(config: Any) -> bool:
    """Whether pictures of any size are read."""
    return getattr(getattr(config, "vision_config", None), "model_type", "") == "pixtral"


def _length(config: Any) -> int:
    """Tokens of a row: more where an image stands in it, a multiple where the reference would add padding."""
    config = getattr(config, "vlm_config", config)
    if config.model_type in vision_tiled_shapes.SHAPES or _sized(config):
        return vision_tiled_shapes.LENGTH
    if hasattr(config, "audio_config") and hasattr(config, "vision_config"):
        return joined_shapes.SHOWN_AND_HEARD
    if hasattr(config, "image_token_index") or config.model_type == "florence2":
        return 19 + 8 * (config.model_type == "paligemma")
    if hasattr(config, "block_per_row"):
        return int(config.max_position_embeddings)
    return 12 if _segmented(config) or hasattr(config, "attention_window") else 11


def _longer(config: Any) -> int:
    """Tokens more of every row: a place of a fourth block stands for eight, and some must all be real.

    Where none are, the reference takes 1e6 from all scores of a row, and float32 keeps sixteenths of them.
    """
    return 16 if len(getattr(config, "block_sizes", ())) > 3 else 0


def queries(config: Any, seed: int = 1, instructed: bool = False) -> dict[str, Any]:
    """Five vectors that ask six states, some of which may not be read; what they are told to ask for."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6, [0] * 3 + [1] * 3])
    told = {}
    if instructed:
        told["input_ids"] = torch.randint(4, config.vocab_size, (4, 4), generator=generator)
        told["attention_mask"] = torch.tensor([[1] * 9, [1] * 7 + [0] * 2, [1] * 9, [1] * 6 + [0] * 3])
    return {
        **told,
        "query_embeds": torch.randn(4, 5, config.hidden_size, generator=generator),
        "encoder_hidden_states": torch.randn(4, 6, config.encoder_hidden_size, generator=generator),
        "encoder_attention_mask": seen,
    }


def real_of(inputs: dict[str, Any]) -> torch.Tensor | None:
    """Which places hold tokens; None where all do."""
    mask = inputs.get("attention_mask", inputs.get("pixel_attention_mask"))
    return None if mask is None else mask.bool()


def batch(
    class_name: str, pad: int, seed: int = 1, length: int = 11, sided: str = "right", longer: int = 0
) -> dict[str, Any]:
    """Four sequences of different lengths, padded; three choices each for multiple choice."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (4, length + longer), generator=generator)
    mask = torch.ones_like(ids)
    for row, real in enumerate((length, 7, 5, 7)):
        hole = slice(real + longer, None) if sided == "right" else slice(0, length - real)
        mask[row, hole], ids[row, hole] = 0, pad
    inputs = {"input_ids": ids, "attention_mask": mask}
    if "MultipleChoice" in class_name:
        inputs = {name: t[:, None].repeat(1, 3, 1) for name, t in inputs.items()}
        inputs["input_ids"] = inputs["input_ids"].clone()
        inputs["input_ids"][:, :, 1] = torch.randint(3, VOCABULARY, (4, 3), generator=generator)
    return inputs


def labels(class_name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Labels that fit the head: -100 on padding, where tokens are labelled."""
    generator = torch.Generator().manual_seed(2)
    if class_name.startswith("Vilt"):
        return multi_shapes.labels(class_name, inputs["input_ids"])
    if class_name.startswith(("Lxmert", "VisualBert")):
        return region_shapes.labels(class_name, inputs["input_ids"])
    if class_name.startswith(("BridgeTower", "Flava")):
        return united_shapes.labels(class_name, inputs)
    if class_name.endswith("ForImageClassification"):
        return {"labels": torch.tensor([0, 4, 2, 2])}
    if class_name.endswith("ForRetrieval") or class_name == "InstructBlipModel":  # without a loss
        return {}
    if class_name.startswith("Owl") and class_name.endswith("Detection"):  # likewise
        return {}
    if class_name == "GroundingDinoForObjectDetection":  # as many labels as a text has phrases
        found = vision_detr_shapes.objects()
        return {"labels": [{**one, "class_labels": one["class_labels"] % 3} for one in found]}
    if class_name.endswith(("ForObjectDetection", "DetrForSegmentation")):
        return {"labels": vision_detr_shapes.objects("Segmentation" in class_name)}
    if class_name.endswith(("ForInstanceSegmentation", "ForUniversalSegmentation")):
        return dict(vision_segment_shapes.segments())
    if "input_values" in inputs or class_name.startswith(("Wav2Vec2Bert", "Parakeet")):
        return speech_shapes.labels(class_name)
    if "SemanticSegmentation" in class_name:
        size = inputs["pixel_values"].shape[2:] if "UperNet" in class_name else (30, 36)
        return {
            "labels": torch.tensor([0, 1, 2, 3, 4, 255])[torch.randint(6, (4, *size), generator=generator)]
        }
    if class_name.startswith(("DPTForDepth", "DepthAnything", "ZoeDepth")):  # which have no loss
        return {}
    if "DepthEstimation" in class_name:
        return {"labels": torch.rand(4, 64, 80, generator=generator) * 10 - 1}
    if "MaskedImage" in class_name:
        count = 36 if "Swin" in class_name else 9
        hidden = torch.rand(4, count, generator=generator) > 0.5
        codes = {"labels": torch.arange(int(hidden.sum())) % 20} if class_name.startswith("Beit") else {}
        return {"bool_masked_pos": hidden, **codes}
    if class_name.endswith("ForVideoClassification"):
        return {"labels": torch.tensor([0, 4, 2, 2])}
    if class_name == "VideoMAEForPreTraining":  # whose targets are the films
        return {"bool_masked_pos": inputs.pop("bool_masked_pos")}
    if class_name == "ViTMAEForPreTraining":  # likewise
        return {"interpolate_pos_encoding": False}
    if "decoder_input_ids" in inputs and class_name != "Florence2Model":
        return {"labels": inputs["decoder_input_ids"].clone().index_fill(1, torch.tensor([2]), -100)}
    if class_name in ("BlipForImageTextRetrieval", "Blip2ForImageTextRetrieval"):  # without a loss
        return {}
    if class_name in (
        "AltCLIPModel",
        "BlipModel",
        "ChineseCLIPModel",
        "CLIPModel",
        "CLIPSegModel",
        "Owlv2Model",
        "ClapModel",
        "OwlViTModel",
        "Siglip2Model",
        "SiglipModel",
        "VisionTextDualEncoderModel",
    ):
        return {"return_loss": True}
    if class_name == "CLIPSegForImageSegmentation":
        size = inputs["pixel_values"].shape[2:]
        return {"labels": torch.rand(4, *size, generator=generator)}
    if class_name.startswith("Owl"):  # without a loss
        return {}
    if "input_ids" not in inputs or "WithProjection" in class_name:
        return {}
    ids, mask = inputs["input_ids"], inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    rows = ids.shape[0]
    if class_name == "SplinterForPreTraining":
        spans = {
            "start_positions": [[2, 0], [4, 6], [4, 0], [0, 5]],
            "end_positions": [[2, 0], [5, 6], [4, 0], [0, 6]],
        }
        spans["question_positions"] = [[1, 3]] * 4
        return {name: torch.tensor(positions) for name, positions in spans.items()}
    if class_name.startswith("DPR"):
        return {}
    if class_name == "TapasForQuestionAnswering":
        chosen = torch.zeros_like(ids)
        chosen[0, 8:10] = chosen[2, 4] = 1
        return {
            "labels": chosen,
            "aggregation_labels": torch.tensor([0, 1, 2, 3]),
            "float_answer": torch.tensor([float("nan"), 3.0, 2.0, 7.5]),
            "numeric_values": torch.rand(ids.shape, generator=generator) * 4,
            "numeric_values_scale": torch.full(ids.shape, 2.0),
        }
    if "Entity" in class_name:
        shape = (rows, 3) if "Span" in class_name else (rows,)
        return {"labels": torch.randint(0, 5, shape, generator=generator)}
    if class_name == "LukeForMaskedLM":
        told = torch.randint(1, 20, (rows, 3), generator=generator)
        return {"labels": ids.masked_fill(mask == 0, -100), "entity_labels": told}
    if "QuestionAnswering" in class_name:
        return {"start_positions": torch.tensor([1, 2, 0, 3]), "end_positions": torch.tensor([4, 3, 2, 6])}
    if class_name in ("ElectraForPreTraining", "FunnelForPreTraining"):
        return {"labels": (ids % 2).masked_fill(mask == 0, -100)}
    if "PreTraining" in class_name:
        return {
            "labels": ids.masked_fill(mask == 0, -100),
            "sentence_order_label" if "Albert" in class_name else "next_sentence_label": torch.tensor(
                [0, 1, 1, 0]
            ),
        }
    if "NextSentence" in class_name:
        return {"labels": torch.tensor([0, 1, 1, 0])}
    if "SequenceClassification" in class_name:
        return {"labels": torch.randint(0, 5, (rows,), generator=generator)}
    if "MultipleChoice" in class_name:
        return {"labels": torch.randint(0, 3, (rows,), generator=generator)}
    if "TokenClassification" in class_name:
        return {"labels": torch.randint(0, 5, ids.shape, generator=generator).masked_fill(mask == 0, -100)}
    if class_name.endswith(("Model", "GenerationEncoder")) and "LMHead" not in class_name:
        return {}
    return {"labels": ids.masked_fill(mask == 0, -100)}


def in_training(*models: Any) -> None:
    """Models in training, but for routers and codes that draw: no two of them draw the same."""
    for model in models:
        model.train()
        for name, module in model.named_modules():
            theirs = type(model).__module__.startswith("transformers.")
            frozen = not any(parameter.requires_grad for parameter in module.parameters())
            if theirs and frozen and name.endswith(("backbone.model", "conv_encoder.model")):
                # it looks for "stage.1" to train, and finds none
                for path, parameter in module.named_parameters():
                    parameter.requires_grad_(".stages." in path and ".stages.0." not in path)
            if name == "quantizer":
                module.training = False
            if model.config.model_type == "phimoe" and name.endswith((".router", ".block_sparse_moe")):
                module.training = False
            if name.startswith("auxiliary_head") and hasattr(module, "p"):  # a dropout that no config says
                module.training = False


def in_the_file(theirs: Any, named: Iterable[tuple[str, Any]], ours: Any) -> Iterator[tuple[str, Any]]:
    """Tensors of the reference's tree (None for one that is missing) by their names in files.

    Its experts are two stacked tensors; files hold those of each expert by themselves. Its queries, keys and
    values may be three, which files hold as one.
    """
    known, apart = dict(ours.named_parameters(remove_duplicate=False)), {}
    for name, tensor in named:
        part = re.fullmatch(r"(.+\.)([qkv])_proj(\.\w+)", file_name(name, ours))
        if part is not None and part[0] not in known:
            apart[part[2] + part[3]] = tensor
            if part[2] == "v":
                whole = None if tensor is None else torch.cat([apart[one + part[3]] for one in "qkv"])
                yield f"{part[1]}Wqkv{part[3]}", whole
            continue
        half = re.fullmatch(r"(.+\.mlp\.)(gate|up)_proj(\.\w+)", name)
        if half is not None and f"{half[1]}weights_in{half[3]}" in known:
            apart[half[2] + half[3]] = tensor
            if half[2] == "up":
                whole = None if tensor is None else torch.cat((apart["gate" + half[3]], tensor))
                yield f"{half[1]}weights_in{half[3]}", whole
            continue
        place, _, last = file_name(name, ours).rpartition(".experts.")
        if last not in ("gate_up_proj", "down_proj"):
            yield file_name(name, ours), tensor
            continue
        paths = wiring(ours.base_model).facts["spec"].names.layer
        if "expert_gate_up" in paths:  # stacked in files too
            start = file_name(name, ours).partition(str(paths["mixture"]))[0]
            yield f"{start}{paths['expert_' + last.removesuffix('_proj')]}", tensor
            continue
        own = ("expert_gate", "expert_up") if last == "gate_up_proj" else ("expert_down",)
        for i in range(theirs.get_submodule(name.rpartition(".")[0]).num_experts):
            parts = [None] * len(own) if tensor is None else tensor[i].chunk(len(own))
            for role, part in zip(own, parts, strict=True):
                path = str(paths[role]).format(i=i).partition("experts.")[2]
                yield f"{place}.experts.{path}.weight", part


def file_name(name: str, ours: Any) -> str:
    """The name in files of a parameter that the reference knows by a newer one."""
    base, head = ours._family.base, getattr(ours, "_head", None)
    name = name.removeprefix(multi_shapes.HELD.get(ours._family.model_type, ""))
    if head is not None and head.flat and head.over != "maps":
        kept = (f"{base}.layernorm", f"{base}.shared_position_bias")
        if not name.startswith(kept):  # in the file what it is made of has no prefix
            name = name.removeprefix(f"{base}.")
    for start, part in known_parts(ours).items():
        if name.startswith(f"{start}."):
            return f"{start}.{file_name(name.removeprefix(f'{start}.'), part)}"
    for path, older in _newer_names(ours._family.model_type):
        found = path.match(name)
        if found:
            return found[1] + older.format(*found.groups()[1:]) + name[found.end() :]
    return name


_PARTS: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def known_parts(ours: Any) -> dict[str, Any]:
    """The models that are parts of this one, by path: found once, for that walks through the whole tree."""
    if ours not in _PARTS:
        _PARTS[ours] = parts_of(ours)
    return _PARTS[ours]


@functools.cache
def _newer_names(model_type: str) -> list[tuple[re.Pattern[str], str]]:
    """Newer paths of a family, the longest first, as patterns, and the older ones as templates."""
    family = family_of(model_type)
    known = {**family.aliases}
    rooms = (
        *(vision_dense_shapes, vision_detect_shapes, vision_detr_shapes),
        *(vision_looking_shapes, vision_segment_shapes),
    )
    for room in rooms:
        known |= room.NEWER.get(model_type, {})
    found = []
    for newer, older in sorted(known.items(), key=lambda pair: -len(pair[0])):
        path = re.sub(r"\\{(\w)\\}", "([0-9]+)", re.escape(newer))
        pattern = re.compile(rf"((?:{family.base}\.)?){path}(?=\.)")
        found.append((pattern, re.sub(r"\{\w\}", "{}", older)))
    return found
