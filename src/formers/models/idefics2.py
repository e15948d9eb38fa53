"""Idefics 2 (Laurençon et al. 2024, arXiv:2405.02246): few vectors that ask pictures of any form."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.multimodal.image_text import Connector
from formers.assemblies.multimodal.padded_images import PaddedImages
from formers.configs import PretrainedConfig
from formers.models import idefics3, llava
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.resampling import Perceiver, resampled


class Idefics2VisionConfig(idefics3.Idefics3VisionConfig):
    """Configuration of Idefics 2's image model."""

    model_type = "idefics2_vision"
    hidden_size: int = 768
    num_attention_heads: int = 12


class Idefics2PerceiverConfig(PretrainedConfig):
    """Configuration of what asks Idefics 2's image model."""

    model_type = "idefics2_perceiver"
    base_config_key = "perceiver_config"
    hidden_act: str = "silu"
    hidden_size: int = 4096
    rms_norm_eps: float = 1e-06
    resampler_n_latents: int = 64
    resampler_depth: int = 3
    resampler_n_heads: int = 16
    resampler_head_dim: int = 96
    num_key_value_heads: int = 4
    attention_dropout: float = 0.0
    initializer_range: float = 0.02


class Idefics2Config(PretrainedConfig):
    """Configuration of Idefics 2."""

    model_type = "idefics2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": Idefics2VisionConfig,
        "perceiver_config": Idefics2PerceiverConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {
            "model_type": "mistral",
            "max_position_embeddings": 4096 * 8,
            "rms_norm_eps": 1e-5,
            "pad_token_id": 0,
        },
        "vision_config": {},
        "perceiver_config": {},
    }
    image_token_id: int = 32001
    tie_word_embeddings: bool = False
    use_cache: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        text, perceiver = self.text_config, self.perceiver_config
        if text.hidden_size != perceiver.hidden_size:  # older files leave both to the text model
            perceiver.hidden_size, perceiver.rms_norm_eps = text.hidden_size, text.rms_norm_eps


def connector(c: Idefics2Config) -> Connector:
    """Layers of the text model's form, and vectors that ask what they made."""
    asks, text = c.perceiver_config, c.text_config
    perceiver = Perceiver(
        count=asks.resampler_n_latents,
        depth=asks.resampler_depth,
        heads=spec.Heads(asks.resampler_n_heads, asks.num_key_value_heads, asks.resampler_head_dim),
        norm=spec.Norm("rms", asks.rms_norm_eps),
        act=asks.hidden_act,
        dropout=asks.attention_dropout,
    )
    paths = {
        "connect_whole": "connector",
        "connect": "connector.modality_projection",
        "connect_asking": "connector.perceiver_resampler",
    }
    made = resampled(perceiver, text.intermediate_size, text.hidden_act)
    return Connector(made, paths, c.image_token_id)


IMAGE = register(idefics3.image_family("idefics2_vision", "Idefics2", Idefics2VisionConfig))
IDEFICS2 = register(
    Family(
        model_type="idefics2",
        name="Idefics2",
        config=Idefics2Config,
        base="model",
        assembly=PaddedImages(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            connector=connector,
            whole_patches=True,
        ),
        heads={"ForConditionalGeneration": llava.WORDS},
    )
)
