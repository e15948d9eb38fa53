"""Idefics 3 (Laurençon et al. 2024, arXiv:2408.12637): pictures in tiles, whose patches become few tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.multimodal.image_text import Connector
from formers.assemblies.multimodal.padded_images import PaddedImages
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llava, siglip
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import shuffled_layer


class Idefics3VisionConfig(PretrainedConfig):
    """Configuration of Idefics 3's image model."""

    model_type = "idefics3_vision"
    base_config_key = "vision_config"
    hidden_size: int = 1152
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 32
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 0.02


class Idefics3Config(PretrainedConfig):
    """Configuration of Idefics 3."""

    model_type = "idefics3"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": Idefics3VisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "llama", "rms_norm_eps": 1e-5},
        "vision_config": {},
    }
    image_token_id: int = 128257
    tie_word_embeddings: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 128002
    scale_factor: int = 2


def image_of(layer_class: str) -> Any:
    """Config -> SigLIP's layers over patches of pictures of any form, and a norm."""

    def image(c: Idefics3VisionConfig) -> spec.Stack:
        size, patch = spec.pair(c.image_size), spec.pair(c.patch_size)
        stem = spec.SharedPatches(c.num_channels, size, patch, c.hidden_size, flat=True, leads=())
        made = siglip.tower(c, stem=stem, names=siglip.PATCH_NAMES, pooler=None)
        return replace(made, layer_class=layer_class, initial_std=c.initializer_range, init={})

    return image


def connector(c: Idefics3Config) -> Connector:
    """Squares of patches as one each, through one layer."""
    paths = {"connect_whole": "connector", "connect": "connector.modality_projection.proj"}
    return Connector(shuffled_layer(c.scale_factor, bias=False), paths, c.image_token_id)


def image_family(model_type: str, name: str, config: type[PretrainedConfig]) -> Family:
    """The image model by itself."""
    return Family(
        model_type=model_type,
        name=f"{name}Vision",
        config=config,
        base="model",
        assembly=Single(
            image_of(f"{name}EncoderLayer"),
            spec.SharedPatches,
            reads=("pixel_values", "patch_attention_mask"),
            mask="patch_attention_mask",
        ),
        heads={},
        spelt={"Model": f"{name}VisionTransformer"},
        order=siglip.ORDER,
    )


def family(model_type: str, name: str, config: type[PretrainedConfig], films: bool = False) -> Family:
    """Both as one model."""
    return Family(
        model_type=model_type,
        name=name,
        config=config,
        base="model",
        assembly=PaddedImages(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            connector=connector,
            empty=films,
            records=films,
        ),
        heads={"ForConditionalGeneration": llava.WORDS},
    )


IMAGE = register(image_family("idefics3_vision", "Idefics3", Idefics3VisionConfig))
IDEFICS3 = register(family("idefics3", "Idefics3", Idefics3Config))
