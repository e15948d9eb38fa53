"""Shapes of models that hear waves."""

from __future__ import annotations

from typing import Any

import torch

_CONVOLUTIONS = {
    "conv_dim": [16, 20, 16],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
WAVES: dict[str, Any] = {
    **_CONVOLUTIONS,
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "classifier_proj_size": 12,
    # nothing is left to chance, so that training compares
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    **dict.fromkeys(
        ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "final_dropout"),
        0.0,
    ),
}
_PRE_TRAINED = {
    "num_codevectors_per_group": 6,
    "codevector_dim": 8,
    "proj_codevector_dim": 12,
    "num_negatives": 3,
}
_VOICES = {
    "tdnn_dim": [12, 12, 18],
    "tdnn_kernel": [3, 2, 1],
    "tdnn_dilation": [1, 2, 1],
    "xvector_output_dim": 10,
}
STABLE = {
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "use_weighted_layer_sum": True,
}

_CONFORMER = {"conv_depthwise_kernel_size": 5, "conformer_conv_dropout": 0.0}
_BANDS: dict[str, Any] = {
    **{name: WAVES[name] for name in WAVES if name not in _CONVOLUTIONS},
    **{**_VOICES, **_CONFORMER, "feature_projection_input_dim": 6},
    **{"left_max_position_embeddings": 4, "right_max_position_embeddings": 2},
}
_FEWER: dict[str, Any] = {
    **{name: value for name, value in WAVES.items() if name not in ("layerdrop", "apply_spec_augment")},
    **{"max_position_embeddings": 10, "mask_time_prob": 0.0},
}
_FAST: dict[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37},
    **{"conv_kernel_size": 5, "subsampling_factor": 4, "subsampling_conv_channels": 6, "num_mel_bins": 12},
    **{"layerdrop": 0.0, "dropout": 0.0, "activation_dropout": 0.0, "attention_dropout": 0.0},
}
# without a row of zeros for padding: the reference writes one over what it loads
_SAID: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    **{"vocab_size": 101, "max_position_embeddings": 24, "pad_token_id": 0, "projection_dim": 12},
    **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
}
_HEARD: dict[str, Any] = {
    **{"num_mel_bins": 8, "spec_size": 32, "window_size": 4, "patch_embeds_hidden_size": 8},
    **{"depths": [2, 1], "num_attention_heads": [2, 4], "hidden_size": 16, "num_hidden_layers": 2},
    **{"projection_dim": 12, "hidden_dropout_prob": 0.0},
}
_FUSED = {**_HEARD, "enable_fusion": True, "drop_path_rate": 0.0, "patch_size": [6, 4]}

# model_type -> shapes: the first of each is compared in every head
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "audio-spectrogram-transformer": {
        "uneven steps": {
            **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
            **{"patch_size": 4, "frequency_stride": 3, "time_stride": 2, "max_length": 15},
            "num_mel_bins": 11,
        }
    },
    "clap": {"plain": {"text_config": _SAID, "audio_config": _HEARD, "projection_dim": 12}},
    "clap_audio_model": {"plain": _HEARD},
    "clap_text_model": {"plain": _SAID},
    "data2vec-audio": {
        "two convolutions tell places": {
            **{name: value for name, value in WAVES.items() if name != "apply_spec_augment"},
            **_VOICES,
            **{"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5, "mask_time_prob": 0.0},
        }
    },
    "hubert": {"without a norm before the projection": {**WAVES, "feat_proj_layer_norm": False}},
    "parakeet_ctc": {"plain": {"encoder_config": _FAST, "vocab_size": 20, "pad_token_id": 0}},
    "parakeet_encoder": {"plain": _FAST},
    "sew": {"plain": {**WAVES, "mask_time_prob": 0.0}},
    "sew-d": {"distances in buckets, by the projections of contents": {**_FEWER, "position_buckets": 4}},
    "unispeech": {"plain": {**WAVES, **_PRE_TRAINED, "num_ctc_classes": 9}},
    "unispeech-sat": {
        "norms before the parts": {**WAVES, **_PRE_TRAINED, **_VOICES, **STABLE, "num_clusters": 9}
    },
    "wav2vec2-bert": {"plain": _BANDS},
    "wav2vec2-conformer": {"plain": {**WAVES, **_PRE_TRAINED, **_VOICES, **_CONFORMER}},
    "wavlm": {"plain": {**WAVES, **_VOICES, "num_buckets": 8, "max_bucket_distance": 12}},
    "wav2vec2": {
        "plain": {**WAVES, **_PRE_TRAINED, **_VOICES},
        "norms before the parts, of every convolution, with biases; heads mix all layers": {
            **WAVES,
            **_PRE_TRAINED,
            **_VOICES,
            **STABLE,
            "num_conv_pos_embeddings": 7,
        },
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "audio-spectrogram-transformer": {
        "no biases of queries, other activation and epsilon, patches side by side": {
            **SHAPES["audio-spectrogram-transformer"]["uneven steps"],
            **{"qkv_bias": False, "hidden_act": "relu", "layer_norm_eps": 1e-5},
            **{"frequency_stride": 4, "time_stride": 4},
        }
    },
    "clap": {"fused": {"text_config": _SAID, "audio_config": _FUSED, "projection_dim": 12}},
    "clap_audio_model": {
        "fused": _FUSED,
        "two spectra, no norm of patches, no biases of queries": {
            **_HEARD,
            **{"patch_embed_input_channels": 2, "enable_patch_layer_norm": False, "qkv_bias": False},
            **{"hidden_act": "relu", "layer_norm_eps": 1e-3, "mlp_ratio": 2.0, "num_attention_heads": [1, 2]},
        },
    },
    "data2vec-audio": {
        "one convolution, of an even kernel, heads mix all layers": {
            **SHAPES["data2vec-audio"]["two convolutions tell places"],
            **{"num_conv_pos_embeddings": 1, "conv_pos_kernel_size": 4, "use_weighted_layer_sum": True},
        }
    },
    "parakeet_encoder": {
        "without biases, inputs as they are, steps of another reach": {
            **{**_FAST, "attention_bias": False, "convolution_bias": False, "scale_input": False},
            **{"subsampling_factor": 8, "subsampling_conv_kernel_size": 5, "num_mel_bins": 16},
            **{"hidden_act": "relu", "conv_kernel_size": 3},
        }
    },
    "sew": {
        "one row of three, features as wide as layers, norms of every convolution": {
            **{**WAVES, "squeeze_factor": 3, "conv_dim": [16, 20, 32], "feat_extract_norm": "layer"},
            **{"num_conv_pos_embeddings": 7, "conv_bias": True, "mask_time_prob": 0.0},
        }
    },
    "sew-d": {
        "every distance, by projections of their own, one of two terms, no norm of the table": {
            **{**_FEWER, "position_buckets": -1, "share_att_key": False, "pos_att_type": ["c2p"]},
            **{"norm_rel_ebd": "none", "squeeze_factor": 3},
        },
        "no distances": {**_FEWER, "relative_attention": False, "norm_rel_ebd": "none"},
    },
    "unispeech": {"norms before the parts": {**WAVES, **_PRE_TRAINED, **STABLE}},
    "unispeech-sat": {"plain": {**WAVES, **_PRE_TRAINED, **_VOICES, "mask_time_prob": 0.0}},
    "wav2vec2": {
        "adapters of languages": {**WAVES, **_PRE_TRAINED, **_VOICES, **STABLE, "adapter_attn_dim": 6}
    },
    "wav2vec2-bert": {
        **{
            f"positions {kind}": {**_BANDS, "position_embeddings_type": kind, "use_weighted_layer_sum": True}
            for kind in ("relative", "rotary", None)
        },
        "a feed-forward behind the encoder": {**_BANDS, "use_intermediate_ffn_before_adapter": True},
    },
    "wav2vec2-conformer": {
        f"positions {kind}": {
            **{**WAVES, **_PRE_TRAINED, **_VOICES, **_CONFORMER, "position_embeddings_type": kind},
            **{
                "feat_extract_norm": "layer",
                "conv_bias": True,
                "layer_norm_eps": 1e-3,
                "hidden_act": "swish",
            },
        }
        for kind in ("rotary", None)
    },
    "wavlm": {"norms before the parts": {**WAVES, **_VOICES, **STABLE}},
}


def bands(config: Any) -> dict[str, Any]:
    """Four sounds as 19 frames, of which two are shorter."""
    wide = config.feature_projection_input_dim
    mask = (torch.arange(19) < torch.tensor([19, 14, 19, 9])[:, None]).long()
    made = torch.randn(4, 19, wide, generator=torch.Generator().manual_seed(1))
    return {"input_features": made, "attention_mask": mask}


def frames(config: Any) -> dict[str, Any]:
    """Four sounds as 45 frames."""
    return {
        "input_features": torch.randn(4, 45, config.num_mel_bins, generator=torch.Generator().manual_seed(1))
    }


def sounds(config: Any) -> dict[str, Any]:
    """Four sounds: waves, or spectrograms."""
    size = (config.max_length, config.num_mel_bins) if hasattr(config, "num_mel_bins") else (400,)
    return {"input_values": torch.randn(4, *size, generator=torch.Generator().manual_seed(1))}


def spectra(config: Any) -> dict[str, Any]:
    """Four spectra, or a sound's whole and three crops; two sounds are long."""
    config = getattr(config, "audio_config", config)
    count = 4 if config.enable_fusion else config.patch_embed_input_channels
    made = torch.randn(4, count, 101, config.num_mel_bins, generator=torch.Generator().manual_seed(1))
    return {"input_features": made, "is_longer": torch.tensor([[True], [False], [True], [False]])}


def labels(class_name: str) -> dict[str, Any]:
    """Labels that fit the head, for four sounds that make 19 rows each."""
    generator = torch.Generator().manual_seed(2)
    if class_name.endswith("CTC"):
        found = torch.randint(1, 20, (4, 5), generator=generator)
        found[1, 3:] = -100
        if class_name.startswith("Parakeet"):  # the reference counts rows by a mask alone
            return {"labels": found, "attention_mask": torch.ones(4, 45, dtype=torch.long)}
        return {"labels": found}
    if class_name.endswith("AudioFrameClassification"):
        return {"labels": torch.nn.functional.one_hot(torch.randint(5, (4, 19), generator=generator), 5)}
    if class_name.startswith("Wav2Vec2ForPreTraining"):  # those of its kin have no loss
        others = torch.randint(4 * 19, (4, 19, 3), generator=generator)
        hidden = torch.rand(4, 19, generator=generator) > 0.5
        return {"mask_time_indices": hidden, "sampled_negative_indices": others}
    if class_name.endswith(("AudioClassification", "SequenceClassification", "XVector")):
        return {"labels": torch.tensor([0, 1, 1, 0])}
    return {}
