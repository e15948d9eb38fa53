"""VITS (Kim et al. 2021, arXiv:2106.06103): speech of a text in one pass; MMS has it for many languages."""

from __future__ import annotations

import math
from typing import Any

from formers.assemblies.audio.end_to_end_speech import EndToEndSpeech
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models.hubert import RENAMES
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec.speech_synthesis import Durations, Gated, Separable, SplineFlow, Vocoder, Voice


class VitsConfig(PretrainedConfig):
    """Configuration of VITS."""

    model_type = "vits"
    vocab_size: int = 38
    hidden_size: int = 192
    num_hidden_layers: int = 6
    num_attention_heads: int = 2
    window_size: int = 4
    use_bias: bool = True
    ffn_dim: int = 768
    layerdrop: float = 0.1
    ffn_kernel_size: int = 3
    flow_size: int = 192
    spectrogram_bins: int = 513
    hidden_act: str = "relu"
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_stochastic_duration_prediction: bool = True
    num_speakers: int = 1
    speaker_embedding_size: int = 0
    upsample_initial_channel: int = 512
    upsample_rates: list[int] = [8, 8, 2, 2]  # noqa: RUF012  (fields declare defaults)
    upsample_kernel_sizes: list[int] = [16, 16, 4, 4]  # noqa: RUF012
    resblock_kernel_sizes: list[int] = [3, 7, 11]  # noqa: RUF012
    resblock_dilation_sizes: list[list[int]] = [[1, 3, 5], [1, 3, 5], [1, 3, 5]]  # noqa: RUF012
    leaky_relu_slope: float = 0.1
    depth_separable_channels: int = 2
    depth_separable_num_layers: int = 3
    duration_predictor_flow_bins: int = 10
    duration_predictor_tail_bound: float = 5.0
    duration_predictor_kernel_size: int = 3
    duration_predictor_dropout: float = 0.5
    duration_predictor_num_flows: int = 4
    duration_predictor_filter_channels: int = 256
    prior_encoder_num_flows: int = 4
    prior_encoder_num_wavenet_layers: int = 4
    posterior_encoder_num_wavenet_layers: int = 16
    wavenet_kernel_size: int = 5
    wavenet_dilation_rate: int = 1
    wavenet_dropout: float = 0.0
    speaking_rate: float = 1.0
    noise_scale: float = 0.667
    noise_scale_duration: float = 0.8
    sampling_rate: int = 16_000
    pad_token_id: int | None = None


NAMES = spec.Names(
    layers="encoder.layers",
    layer={
        **{"q": "attention.q_proj", "k": "attention.k_proj", "v": "attention.v_proj"},
        **{"o": "attention.out_proj", "offset_k": "attention.emb_rel_k", "offset_v": "attention.emb_rel_v"},
        **{"attention_dropout": "dropout", "attention_norm": "layer_norm"},
        **{"up": "feed_forward.conv_1", "act": "feed_forward.act_fn", "down": "feed_forward.conv_2"},
        "inner_dropout": "feed_forward.dropout",
        **{"feedforward_dropout": "dropout", "feedforward_norm": "final_layer_norm"},
    },
    embeddings={"token": "embed_tokens"},
)
PATHS = {
    **{"text": "text_encoder", "prior": "project", "flow": "flow", "vocoder": "decoder"},
    **{"durations": "duration_predictor", "speakers": "embed_speaker", "posterior": "posterior_encoder"},
}


def stack(c: Any) -> spec.Stack:
    """What reads the text."""
    heads, rates = spec.Heads.split(c.hidden_size, c.num_attention_heads), {"dropout": c.attention_dropout}
    biases = {"bias": c.use_bias, "out_bias": c.use_bias}
    mixer = spec.Attention(heads, **rates, **biases)
    if c.window_size:
        mixer = spec.Offsets(heads, **rates, **biases, reach=c.window_size)
    feed = spec.ConvolvedFeedForward(c.ffn_dim, c.ffn_kernel_size, c.hidden_act, c.activation_dropout)
    norm = spec.Norm("layer", c.layer_norm_eps)
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            scale=math.sqrt(c.hidden_size),
            padding_idx=c.pad_token_id,
            hides_padding=True,
        ),
        layers=(spec.layer(mixer, feed, norm, dropout=c.hidden_dropout),) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="VitsEncoderLayer",
        layer_drop=c.layerdrop,
        reports="plain",
        initial_std=c.initializer_range,
    )


def gated(c: Any, layers: int) -> Gated:
    """Convolutions with gates."""
    reach = c.wavenet_kernel_size, c.wavenet_dilation_rate
    return Gated(c.hidden_size, layers, *reach, c.wavenet_dropout, c.speaker_embedding_size)


def durations(c: Any) -> SplineFlow | Durations:
    """How long tokens last."""
    kernel, last = c.duration_predictor_kernel_size, (c.duration_predictor_dropout, c.speaker_embedding_size)
    if not c.use_stochastic_duration_prediction:
        width = c.duration_predictor_filter_channels
        return Durations(c.hidden_size, width, kernel, c.layer_norm_eps, *last)
    separable = Separable(c.hidden_size, c.depth_separable_num_layers, kernel)
    spline = c.duration_predictor_flow_bins, c.duration_predictor_tail_bound
    return SplineFlow(separable, c.depth_separable_channels, c.duration_predictor_num_flows, *spline, *last)


def vocoder(c: Any) -> Vocoder:
    """Waves."""
    return Vocoder(
        c.flow_size,
        c.upsample_initial_channel,
        tuple(c.upsample_rates),
        tuple(c.upsample_kernel_sizes),
        tuple(c.resblock_kernel_sizes),
        tuple(map(tuple, c.resblock_dilation_sizes)),
        c.leaky_relu_slope,
        c.speaker_embedding_size,
        bias=False,
    )


def voice(c: Any) -> Voice:
    """Everything behind the text."""
    return Voice(
        paths=PATHS,
        width=c.flow_size,
        text=c.hidden_size,
        durations=durations(c),
        flows=c.prior_encoder_num_flows,
        gated=gated(c, c.prior_encoder_num_wavenet_layers),
        vocoder=vocoder(c),
        posterior=gated(c, c.posterior_encoder_num_wavenet_layers),
        bins=c.spectrogram_bins,
        speakers=c.num_speakers,
    )


VITS = register(
    Family(
        model_type="vits",
        name="Vits",
        config=VitsConfig,
        base="vits",
        assembly=EndToEndSpeech(stack, voice),
        heads={"Model": Head("text_to_waveform", lambda c: None)},
        renames=RENAMES,
    )
)
