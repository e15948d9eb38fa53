"""Shapes of models that make sounds. Nothing is drawn, so that what two models say compares."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import VOCABULARY

VITS: dict[str, Any] = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 37},
    **{"num_attention_heads": 2, "flow_size": 16, "spectrogram_bins": 9},
    **{"upsample_initial_channel": 16, "upsample_rates": [4, 2]},
    **{"upsample_kernel_sizes": [8, 4], "resblock_kernel_sizes": [3, 5], "initializer_range": 0.2},
    **{"resblock_dilation_sizes": [[1, 3], [1, 3]], "prior_encoder_num_flows": 2, "pad_token_id": 0},
    **dict.fromkeys(("prior_encoder_num_wavenet_layers", "posterior_encoder_num_wavenet_layers"), 2),
    **{"duration_predictor_num_flows": 3, "duration_predictor_flow_bins": 6, "layerdrop": 0.0},
    **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout"), 0.0),
    **dict.fromkeys(("duration_predictor_dropout", "noise_scale", "noise_scale_duration"), 0.0),
}

# model_type -> shapes: the first of each is compared in every head
SHAPES: dict[str, dict[str, dict[str, Any]]] = {"vits": {"durations by splines": VITS}}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "vits": {
        "durations that follow, an even reach, gelu, no biases": {
            **VITS,
            **{"use_stochastic_duration_prediction": False, "window_size": 2, "ffn_kernel_size": 4},
            **{"hidden_act": "gelu", "use_bias": False, "duration_predictor_filter_channels": 24},
        },
        "several speakers, growing dilations": {
            **VITS,
            **{
                "num_speakers": 4,
                "speaker_embedding_size": 6,
                "wavenet_dilation_rate": 2,
                "speaking_rate": 3.0,
            },
        },
    }
}

_SMALL: dict[str, Any] = {
    **{"hidden_size": 12, "num_filters": 4, "upsampling_ratios": [4, 2], "codebook_size": 16},
    **{"target_bandwidths": [8.0, 20.0, 48.0], "sampling_rate": 16_000},
}
_CHUNKS = {"chunk_length_s": 0.02, "overlap": 0.1}
# of models that make codes of sounds; they have no hidden states, and are compared by themselves
CODES: dict[str, dict[str, dict[str, Any]]] = {
    "encodec": {
        "plain": _SMALL,
        "stereo in chunks, normed sounds, nothing causal": {
            **{**_SMALL, **_CHUNKS, "audio_channels": 2, "normalize": True, "norm_type": "time_group_norm"},
            **{"use_causal_conv": False, "use_conv_shortcut": False},
        },
        "zeros around, cut on both sides, two units": {
            **{**_SMALL, "pad_mode": "constant", "trim_right_ratio": 0.5, "num_residual_layers": 2},
            "codebook_dim": 12,
        },
    },
    "dac": {
        "plain": {
            **{"encoder_hidden_size": 4, "decoder_hidden_size": 32, "downsampling_ratios": [2, 3, 4]},
            **{"n_codebooks": 4, "codebook_size": 16, "codebook_dim": 3, "quantizer_dropout": 0.5},
        }
    },
}

# of models that hear or read, and write or speak; what they say is drawn, so they are compared by themselves
SPOKEN: dict[str, dict[str, Any]] = {
    "seamless_m4t": {
        **{"vocab_size": 101, "t2u_vocab_size": 60, "hidden_size": 32, "feature_projection_input_dim": 10},
        **dict.fromkeys(
            ("encoder_layers", "decoder_layers", "t2u_decoder_layers", "speech_encoder_layers"), 2
        ),
        **{
            "t2u_encoder_layers": 1,
            "encoder_ffn_dim": 40,
            "decoder_ffn_dim": 56,
            "conv_depthwise_kernel_size": 5,
        },
        **dict.fromkeys(
            ("t2u_encoder_ffn_dim", "t2u_decoder_ffn_dim", "speech_encoder_intermediate_size"), 48
        ),
        **dict.fromkeys(("encoder_attention_heads", "speech_encoder_attention_heads"), 4),
        **dict.fromkeys(("t2u_encoder_attention_heads", "t2u_decoder_attention_heads"), 4),
        **{
            "decoder_attention_heads": 2,
            "adaptor_kernel_size": 4,
            "adaptor_stride": 4,
            "initializer_range": 0.2,
        },
        **{"upsample_initial_channel": 16, "upsample_rates": [3, 2], "upsample_kernel_sizes": [7, 4]},
        **{"resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [1, 2]]},
        **{"unit_hifi_gan_vocab_size": 56, "unit_embed_dim": 12, "lang_embed_dim": 6, "spkr_embed_dim": 4},
        **{"vocoder_num_langs": 5, "vocoder_num_spkrs": 3, "max_source_positions": 60},
        **dict.fromkeys(("dropout", "attention_dropout", "adaptor_dropout", "encoder_layerdrop"), 0.0),
        **dict.fromkeys(("decoder_layerdrop", "speech_encoder_layerdrop", "var_pred_dropout"), 0.0),
    },
    "speecht5": {
        **{"vocab_size": 62, "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2, "num_mel_bins": 8},
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 37),
        **dict.fromkeys(("encoder_layerdrop", "decoder_layerdrop", "positional_dropout"), 0.0),
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout"), 0.0),
        **{"conv_dim": [16, 20, 16], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2]},
        **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "apply_spec_augment": False},
        **{"speech_decoder_prenet_units": 12, "speaker_embedding_dim": 10, "initializer_range": 0.2},
        **{"speech_decoder_postnet_layers": 3, "speech_decoder_postnet_units": 12},
        **{"speech_decoder_postnet_dropout": 0.0, "encoder_max_relative_position": 5},
        **{"max_text_positions": 60, "max_speech_positions": 400},
    },
    "speecht5_hifigan": {
        **{"model_in_dim": 8, "upsample_initial_channel": 16, "upsample_rates": [4, 2]},
        **{"upsample_kernel_sizes": [8, 4], "resblock_kernel_sizes": [3, 5], "initializer_range": 0.2},
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
    },
}

_STAGE: dict[str, Any] = {
    **{"block_size": 96, "num_layers": 2, "num_heads": 4, "hidden_size": 32, "initializer_range": 0.3},
}
_STAGES: dict[str, dict[str, Any]] = {
    "semantic": {**_STAGE, "input_vocab_size": 200, "output_vocab_size": 60},
    "coarse_acoustics": {**_STAGE, "input_vocab_size": 120, "output_vocab_size": 120, "bias": False},
    "fine_acoustics": {
        **{**_STAGE, "input_vocab_size": 33, "output_vocab_size": 33},
        **{"n_codes_total": 4, "n_codes_given": 1},
    },
}
# of models that speak in stages; no stage has a loss, and so they are compared by themselves
STAGED: dict[str, dict[str, Any]] = {
    **_STAGES,
    "bark": {
        **{f"{name}_config": stage for name, stage in _STAGES.items()},
        "codec_config": {
            **{"model_type": "encodec", "hidden_size": 12, "num_filters": 4, "upsampling_ratios": [4, 2]},
            **{"codebook_size": 32, "target_bandwidths": [8.0, 40.0], "sampling_rate": 16_000},
        },
    },
}

_SCORES: dict[str, Any] = {
    **{"vocab_size": 16, "num_hidden_layers": 2, "ffn_dim": 37, "num_attention_heads": 4, "hidden_size": 32},
    **{"pad_token_id": 16, "bos_token_id": 16, "initializer_factor": 0.3, "dropout": 0.0},
}
# of models that make music of texts; their rows are books of codes, and so they are compared by themselves
COMPOSED: dict[str, dict[str, Any]] = {
    "musicgen_decoder": _SCORES,
    "musicgen": {
        "text_encoder": {
            **{"model_type": "t5", "vocab_size": 50, "d_model": 24, "d_kv": 8, "d_ff": 37},
            **{"num_layers": 2, "num_heads": 4, "dropout_rate": 0.0},
        },
        "audio_encoder": {
            **{"model_type": "encodec", "hidden_size": 12, "num_filters": 4, "upsampling_ratios": [4, 2]},
            **{"codebook_size": 16, "sampling_rate": 16_000, "target_bandwidths": [32.0]},
        },
        "decoder": _SCORES,
    },
}

_FRAMES: dict[str, Any] = {
    **{"hidden_size": 16, "num_filters": 4, "upsampling_ratios": [4, 2], "codebook_size": 16},
    **{"codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 4},
    **{"num_hidden_layers": 2, "intermediate_size": 20, "num_attention_heads": 2, "num_key_value_heads": 2},
    **{"upsample_groups": 16, "sampling_rate": 16_000, "sliding_window": 10},
}
# of models that make codes of sounds, also of streams
FRAMED: dict[str, dict[str, dict[str, Any]]] = {
    "mimi": {
        "plain": _FRAMES,
        "replicated, two books of what is said, wide codes, shared heads, biases": {
            **{**_FRAMES, "pad_mode": "replicate", "num_semantic_quantizers": 2, "codebook_dim": 16},
            **{"vector_quantization_hidden_dimension": 16, "num_key_value_heads": 1, "attention_bias": True},
            **{"num_residual_layers": 2, "upsample_groups": 4},
        },
        "nothing causal, stereo, shortcuts": {
            **{**_FRAMES, "use_causal_conv": False, "audio_channels": 2, "use_conv_shortcut": True},
        },
    }
}
SPOKEN |= {
    "seamless_m4t_v2": {
        **{name: value for name, value in SPOKEN["seamless_m4t"].items() if name != "max_source_positions"},
        **{"char_vocab_size": 40, "left_max_position_embeddings": 3, "right_max_position_embeddings": 2},
        **{"t2u_variance_predictor_embed_dim": 32, "t2u_variance_predictor_hidden_dim": 12},
        **{"t2u_variance_pred_dropout": 0.0, "speech_encoder_chunk_size": 6},
        "speech_encoder_left_chunk_num": 1,
    },
}
# either side of that codec alone, by its kind
SIDES = {
    "mimi_encoder": "Encoder",
    "mimi_decoder": "Decoder",
}
