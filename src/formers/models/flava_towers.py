"""FLAVA's parts, each a family that can stand alone: texts, images, both, and the words of images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.assemblies.vision.visual_codebook import VisualCodebook
from formers.configs import PretrainedConfig
from formers.models import bert, vit
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import nets
from formers.nn.spec.visual_codebook import Words


class FlavaLayersConfig(PretrainedConfig):
    """What the three models have."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True


class FlavaImageConfig(FlavaLayersConfig):
    """Configuration of FLAVA's image model."""

    model_type = "flava_image_model"
    base_config_key = "image_config"
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    mask_token: bool = True
    vocab_size: int = 8192


class FlavaTextConfig(FlavaLayersConfig):
    """Configuration of FLAVA's text model."""

    model_type = "flava_text_model"
    base_config_key = "text_config"
    vocab_size: int = 30522
    type_vocab_size: int = 2
    max_position_embeddings: int = 512
    pad_token_id: int | None = 0


class FlavaMultimodalConfig(FlavaLayersConfig):
    """Configuration of FLAVA's model of both."""

    model_type = "flava_multimodal_model"
    base_config_key = "multimodal_config"
    num_hidden_layers: int = 6
    use_cls_token: bool = True


class FlavaImageCodebookConfig(PretrainedConfig):
    """Configuration of what says the words of patches."""

    model_type = "flava_image_codebook"
    num_groups: int = 4
    input_channels: int = 3
    num_blocks_per_group: int = 2
    hidden_size: int = 256
    vocab_size: int = 8192
    freeze: bool = True
    initializer_range: float = 0.02


NAMES = replace(vit.NAMES, layer={**vit.NAMES.layer, "weights_dropout": "attention.attention.dropout"})


def layers(c: Any, stem: Any, embeddings: dict[str, Any]) -> spec.Stack:
    """ViT's layers, and a pooler, over any stem."""
    names = replace(NAMES, embeddings=embeddings).with_(stack=vit.POOLER)
    made = vit.plain(c, "FlavaLayer", stem, names)
    return replace(made, pooler=c.hidden_size)


def text(c: FlavaTextConfig) -> spec.Stack:
    """Tokens as BERT embeds them."""
    return layers(c, bert.encoder(c, "FlavaLayer").stem, dict(bert.NAMES.embeddings))


def image(c: FlavaImageConfig) -> spec.Stack:
    """Patches as ViT does."""
    stem = vit.patches(c, dropout=c.hidden_dropout_prob, masked=c.mask_token, std=0.0)
    return layers(c, stem, dict(vit.NAMES.embeddings))


def both(c: FlavaMultimodalConfig) -> spec.Stack:
    """What the other two made."""
    return layers(c, spec.StateRows(c.hidden_size, led=c.use_cls_token), {"lead": "cls_token"})


def codebook(c: FlavaImageCodebookConfig) -> nets.Net:
    """DALL-E's."""
    layers = c.num_groups * c.num_blocks_per_group
    return Words(
        c.input_channels, c.hidden_size, c.num_blocks_per_group, layers, c.vocab_size, c.initializer_range
    ).net()


READS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
TEXT, IMAGE, BOTH = (
    register(
        Family(
            model_type=config.model_type,
            name=name,
            config=config,
            base=f"flava.{path}",
            assembly=made,
            heads={},
            order=vit.ORDER,
        )
    )
    for name, config, path, made in (
        ("FlavaText", FlavaTextConfig, "text_model", Single(text, reads=READS)),
        ("FlavaImage", FlavaImageConfig, "image_model", Single(image, spec.Patches)),
        ("FlavaMultimodal", FlavaMultimodalConfig, "multimodal_model", Single(both, spec.StateRows)),
    )
)
CODEBOOK = register(
    Family(
        model_type="flava_image_codebook",
        name="FlavaImageCodebook",
        config=FlavaImageCodebookConfig,
        base="model",
        assembly=VisualCodebook(codebook, lambda c: c.freeze),
        heads={},
        spelt={"Model": "FlavaImageCodebook"},
    )
)
