"""Audio Spectrogram Transformer (Gong et al. 2021, arXiv:2104.01778): a ViT over patches of a spectrogram."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import deit, vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences
from formers.tasks.transform import Transform


class ASTConfig(PretrainedConfig):
    """Configuration of the Audio Spectrogram Transformer."""

    model_type = "audio-spectrogram-transformer"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    patch_size: int | list[int] = 16
    qkv_bias: bool = True
    frequency_stride: int = 10
    time_stride: int = 10
    max_length: int = 1024
    num_mel_bins: int = 128


def stack(c: ASTConfig) -> spec.Stack:
    """The encoder; the mean of its two first tokens stands for a sound."""
    stem = spec.Spectrograms(
        1,
        (c.num_mel_bins, c.max_length),
        spec.pair(c.patch_size),
        c.hidden_size,
        leads=("class", "distillation"),
        std=0.0,
        dropout=c.hidden_dropout_prob,
        strides=(c.frequency_stride, c.time_stride),
    )
    return replace(vit.plain(c, "ASTLayer", stem, deit.NAMES), pooler=spec.Summary("pair"))


def labels(c: ASTConfig) -> Sequences:
    """A label by that mean."""
    norm = Transform(norm="classifier.layernorm", normed=spec.Norm("layer", c.layer_norm_eps))
    return Sequences("classifier.dense", before=norm)


AST = register(
    Family(
        model_type="audio-spectrogram-transformer",
        name="AST",
        config=ASTConfig,
        base="audio_spectrogram_transformer",
        assembly=Single(stack, spec.Spectrograms),
        heads={"ForAudioClassification": Head("spectrogram_classification", labels, pooler=True)},
        order=vit.ORDER,
        aliases=vit.NEWER,
    )
)
