"""Qwen2-Audio (Chu et al. 2024, arXiv:2407.10759): what Whisper's encoder hears, in Qwen2's embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.audio_text import AudioText, AveragedStack
from formers.assemblies.multimodal.image_text import Connector
from formers.configs import PretrainedConfig
from formers.models import bart, llava, whisper
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import one_layer
from formers.tasks.specs import Words


class Qwen2AudioEncoderConfig(PretrainedConfig):
    """Configuration of Qwen2-Audio's model of sounds."""

    model_type = "qwen2_audio_encoder"
    attribute_map: ClassVar[dict[str, str]] = {
        "num_hidden_layers": "encoder_layers",
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "intermediate_size": "encoder_ffn_dim",
    }
    num_mel_bins: int = 128
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    encoder_layerdrop: float = 0.0
    d_model: int = 1280
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_function: str = "gelu"
    activation_dropout: float = 0.0
    scale_embedding: bool = False
    initializer_range: float = 0.02
    max_source_positions: int = 1500


class Qwen2AudioConfig(PretrainedConfig):
    """Configuration of Qwen2-Audio."""

    model_type = "qwen2_audio"
    attribute_map: ClassVar[dict[str, str]] = {"audio_token_id": "audio_token_index"}
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "audio_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "qwen2"},
        "audio_config": {"model_type": "qwen2_audio_encoder"},
    }
    audio_token_index: int = 151646


NAMES = whisper.NAMES.with_(
    stack={"final_norm": None, "averaged": "avg_pooler", "averaged_norm": "layer_norm"}
)


def sounds(c: Qwen2AudioEncoderConfig) -> spec.Stack:
    """The model of sounds: no silence is read, and two rows make one."""
    stem = spec.Frames(c.num_mel_bins, c.d_model, c.max_source_positions, dropout=c.dropout, masked=True)
    return spec.Stack(
        stem=stem,
        layers=(bart.layer(c, False, "pre", key_bias=False),) * c.encoder_layers,
        names=NAMES,
        width=c.d_model,
        layer_class="Qwen2AudioEncoderLayer",
        pooler=spec.Averaged(2, bart.NORM),
        layer_drop=c.encoder_layerdrop,
        initial_std=c.initializer_range,
    )


def connector(c: Qwen2AudioConfig) -> Connector:
    """One linear layer."""
    return Connector(one_layer, {"connect": "multi_modal_projector.linear"}, c.audio_token_index)


ENCODER = register(
    Family(
        model_type="qwen2_audio_encoder",
        name="Qwen2AudioEncoder",
        config=Qwen2AudioEncoderConfig,
        base="model",
        assembly=AveragedStack(sounds, spec.Frames),
        heads={},
        bare="Qwen2AudioEncoder",
        order=whisper.WHISPER.order,
    )
)
QWEN2_AUDIO = register(
    Family(
        model_type="qwen2_audio",
        name="Qwen2Audio",
        config=Qwen2AudioConfig,
        base="model",
        assembly=AudioText(
            base_class,
            text=("language_model", "text_config"),
            sound=("audio_tower", "audio_config"),
            connector=connector,
        ),
        heads={
            "ForConditionalGeneration": Head(
                "audio_text_to_text", lambda c: Words("lm_head", bias=False, tied=False, real_only=True)
            )
        },
        renames=llava.files("audio_tower"),
        ignored=llava.LLAVA.ignored,
        order=whisper.WHISPER.order,
    )
)
