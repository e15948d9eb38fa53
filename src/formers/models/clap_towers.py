"""CLAP's towers (Wu et al. 2023, arXiv:2211.06687): RoBERTa; HTS-AT (Chen et al. 2022, arXiv:2202.00874)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.spectrogram_windows import SpectrogramWindows
from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert, swin
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec.shifted_windows import Spectra, Windows
from formers.tasks.projection import Spec as Projected


class ClapTextConfig(PretrainedConfig):
    """Configuration of CLAP's text tower."""

    model_type = "clap_text_model"
    base_config_key = "text_config"
    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    initializer_factor: float = 1.0
    layer_norm_eps: float = 1e-12
    projection_dim: int = 512
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    projection_hidden_act: str = "relu"


class ClapAudioConfig(PretrainedConfig):
    """Configuration of CLAP's audio tower."""

    model_type = "clap_audio_model"
    base_config_key = "audio_config"
    _available = {"flatten_patch_embeds": (True,)}  # layers read rows
    window_size: int = 8
    num_mel_bins: int = 64
    spec_size: int = 256
    hidden_act: str = "gelu"
    patch_size: int | list[int] = 4
    patch_stride: int | list[int] = [4, 4]  # noqa: RUF012  (fields declare defaults)
    num_classes: int = 527
    hidden_size: int = 768
    projection_dim: int = 512
    depths: list[int] = [2, 2, 6, 2]  # noqa: RUF012
    num_attention_heads: list[int] = [4, 8, 16, 32]  # noqa: RUF012
    enable_fusion: bool = False
    hidden_dropout_prob: float = 0.1
    fusion_type: str | None = None
    patch_embed_input_channels: int = 1
    flatten_patch_embeds: bool = True
    patch_embeds_hidden_size: int = 96
    enable_patch_layer_norm: bool = True
    drop_path_rate: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    qkv_bias: bool = True
    mlp_ratio: float = 4.0
    aff_block_r: int = 4
    num_hidden_layers: int = 4
    projection_hidden_act: str = "relu"
    layer_norm_eps: float = 1e-5
    initializer_factor: float = 1.0


def deviation(c: Any) -> float:
    """Of fresh matrices."""
    return float(c.initializer_factor * (c.hidden_size * 2 * c.num_hidden_layers) ** -0.5)


def text(c: ClapTextConfig) -> spec.Stack:
    """BERT, whose positions count the tokens that are not padding; files keep their numbers, and types."""
    made = bert.encoder(c, "ClapTextLayer", std=deviation(c))
    assert isinstance(made.stem, spec.Tokens)
    positions = spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id, numbers=True)
    return replace(
        made,
        stem=replace(made.stem, positions=positions, type_numbers=True),
        names=made.names.with_(
            embeddings={
                "position_numbers": "embeddings.position_ids",
                "type_numbers": "embeddings.token_type_ids",
            }
        ),
        init={"embeddings.weight": 0.02 * c.initializer_factor},
    )


SOUND_NAMES = {
    **{"encoder": "audio_encoder", "stages": "layers", "layers": "blocks"},
    **{"merge": "downsample", "merged": "reduction", "merge_norm": "norm"},
    **{"bins_norm": "batch_norm", "final_norm": "norm", "pooler": "avgpool"},
    **{"patches": "patch_embed", "patch": "proj", "embedding_norm": "norm", "crops": "mel_conv2d"},
    **{"fusion": "fusion_model", "near": "local_att", "far": "global_att", "gate": "sigmoid"},
}
LAYER = {**swin.LAYER, "index": "relative_position_index"}


def sound(c: ClapAudioConfig) -> Windows:
    """The audio tower.

    Raises:
        ValueError: for crops that are read as channels.
    """
    if c.enable_fusion and c.fusion_type == "channel_map":
        raise ValueError("enable_fusion reads crops beside one spectrum: fusion_type='channel_map' has none")
    return Windows(
        stem=Spectra(
            c.num_mel_bins,
            c.spec_size,
            spec.pair(c.patch_size),
            spec.pair(c.patch_stride),
            c.patch_embeds_hidden_size,
            c.patch_embed_input_channels,
            c.enable_patch_layer_norm,
            c.patch_embeds_hidden_size // c.aff_block_r if c.enable_fusion else 0,
        ),
        heads=tuple(c.num_attention_heads),
        **swin.common(c),
        out_dropout=c.attention_probs_dropout_prob,
        drop_path=c.drop_path_rate,
        positions=False,
        embeddings={},
        layers=LAYER,
        names=SOUND_NAMES,
        classes=("ClapAudioLayer", "ClapAudioStage"),
        std=deviation(c),
    )


def projection(part: str) -> Head:
    """The vector in the shared space."""
    return Head(
        "projection",
        lambda c: Projected(
            f"{part}_projection", c.projection_dim, f"{part}_embeds", deviation(c), c.projection_hidden_act
        ),
        pooler=True,
    )


READS = ("input_ids", "attention_mask", "position_ids")
TEXT = register(
    Family(
        model_type="clap_text_model",
        name="ClapText",
        config=ClapTextConfig,
        base="text_model",
        assembly=Single(text, reads=(*READS[:2], "token_type_ids", "position_ids", "inputs_embeds")),
        heads={"ModelWithProjection": projection("text")},
    )
)
AUDIO = register(
    Family(
        model_type="clap_audio_model",
        name="ClapAudio",
        config=ClapAudioConfig,
        base="audio_model",
        assembly=SpectrogramWindows(sound),
        heads={"ModelWithProjection": projection("audio")},
    )
)
