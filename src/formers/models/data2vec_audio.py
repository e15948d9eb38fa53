"""The audio model of data2vec (Baevski et al. 2022, arXiv:2202.03555): several convolutions tell places."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family
from formers.models import hubert, wav2vec2
from formers.models.registry import register
from formers.nn import spec


class Data2VecAudioConfig(hubert.SoundConfig, wav2vec2.VoicesConfig, wav2vec2.AdapterConfig):
    """Configuration of data2vec's audio model."""

    model_type = "data2vec-audio"
    conv_pos_kernel_size: int = 19
    num_conv_pos_embeddings: int = 5


def stack(c: Data2VecAudioConfig) -> spec.Stack:
    """The encoder."""
    near = spec.ConvolutionalPositions(
        c.conv_pos_kernel_size,
        c.num_conv_pos_embedding_groups,
        c.num_conv_pos_embeddings,
        c.feat_extract_activation,
        spec.Norm("layer", c.layer_norm_eps),
        c.hidden_dropout,
    )
    made = hubert.stack(c, "Data2VecAudio", tells=True, near=near)
    return replace(made, behind=wav2vec2.behind(c, "Data2VecAudio"))


DATA2VEC_AUDIO = register(
    Family(
        model_type="data2vec-audio",
        name="Data2VecAudio",
        config=Data2VecAudioConfig,
        base="data2vec_audio",
        assembly=WaveformEncoder(stack),
        heads=wav2vec2.HEADS,
    )
)
