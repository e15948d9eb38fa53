"""InternVL (Zhu et al. 2025, arXiv:2504.10479): tiles of pictures, four patches to a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from formers.assemblies.family import Family
from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llava, vit
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import shuffled_layers

NORMS: dict[str, Literal["layer", "rms"]] = {"layer_norm": "layer", "rms_norm": "rms"}


class InternVLVisionConfig(PretrainedConfig):
    """Configuration of InternVL's image model."""

    model_type = "internvl_vision"
    base_config_key = "vision_config"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"norm_type": tuple(NORMS)}
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    attention_bias: bool = False
    use_qk_norm: bool = False
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_dropout: float = 0.0
    projection_dropout: float = 0.0
    initializer_range: float = 0.02
    norm_type: str = "layer_norm"
    layer_norm_eps: float = 1e-6
    image_size: int | list[int] = [448, 448]  # noqa: RUF012  # a default, which every config copies
    patch_size: int | list[int] = [14, 14]  # noqa: RUF012
    num_channels: int = 3
    use_mask_token: bool = False
    use_absolute_position_embeddings: bool = True
    layer_scale_init_value: float = 0.1
    use_mean_pooling: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.image_size, self.patch_size = [*spec.pair(self.image_size)], [*spec.pair(self.patch_size)]


class InternVLConfig(PretrainedConfig):
    """Configuration of InternVL."""

    model_type = "internvl"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": InternVLVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "qwen2"},
        "vision_config": {},
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"vision_feature_select_strategy": ImageText.chosen}
    image_token_id: int = 151667
    image_seq_length: int = 256
    downsample_ratio: float = 0.5
    projector_hidden_act: str = "gelu"
    vision_feature_layer: int | list[int] = -1
    vision_feature_select_strategy: str = "default"
    tie_word_embeddings: bool = True


NAMES = vit.NAMES.with_(
    layer={
        **{role: f"attention.{role}_proj" for role in "qkv"},
        "q_norm": "attention.q_norm",
        "k_norm": "attention.k_norm",
        "o": "attention.projection_layer",
        "attention_dropout": "attention.projection_dropout",
        "attention_gain": "lambda_1",
        "up": "mlp.fc1",
        "act": "mlp.activation_fn",
        "down": "mlp.fc2",
        "feedforward_dropout": "dropout",
        "feedforward_add": None,
        "feedforward_gain": "lambda_2",
    },
    stack={"pooler": None},  # a model that is shown pictures puts what stands for them there
)


def image(c: InternVLVisionConfig) -> spec.Stack:
    """Layers with gains over patches of pictures of any size."""
    norm = spec.Norm(NORMS[c.norm_type], c.layer_norm_eps)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_dropout,
        bias=c.attention_bias,
        out_bias=True,
        qk_norm=spec.Norm("rms", 1e-6) if c.use_qk_norm else spec.Norm("none"),
        qk_norm_over="all",
    )
    plain = spec.layer(attention, spec.FeedForward(c.intermediate_size, c.hidden_act), norm, "pre")
    drops = (c.projection_dropout, c.hidden_dropout_prob)
    parts = tuple(
        replace(part, gain=c.layer_scale_init_value, dropout=rate)
        for part, rate in zip(plain.parts, drops, strict=True)
    )
    stem = vit.patches(
        c,
        dropout=c.hidden_dropout_prob,
        std=0.0,
        masked=c.use_mask_token,
        placed=c.use_absolute_position_embeddings,
        free=True,
    )
    made = vit.encoder(c, "InternVLVisionLayer", (spec.Layer(parts),) * c.num_hidden_layers, stem, NAMES)
    return replace(made, final_norm=spec.Norm("none")) if c.use_mean_pooling else made


def connector(c: InternVLConfig) -> Connector:
    """Squares of patches as one each, a norm, two layers.

    Raises:
        ValueError: for a ratio of which no squares follow.
    """
    square = round(1 / c.downsample_ratio)
    if abs(square * c.downsample_ratio - 1) > 1e-6:
        raise ValueError(f"downsample_ratio is one over a whole number, not {c.downsample_ratio}")
    roles = {
        "connect_norm": "layer_norm",
        "connect": "linear_1",
        "connect_act": "act",
        "connect_out": "linear_2",
    }
    return Connector(
        shuffled_layers(square, spec.Norm("layer", 1e-5), c.projector_hidden_act),
        paths={role: f"multi_modal_projector.{path}" for role, path in roles.items()},
        token=c.image_token_id,
        layer=c.vision_feature_layer,
        keeps=c.vision_feature_select_strategy,
        normed=True,
    )


IMAGE = register(
    Family(
        model_type="internvl_vision",
        name="InternVLVision",
        config=InternVLVisionConfig,
        base="internvl_vision",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "bool_masked_pos")),
        heads={},
    )
)
INTERNVL = register(
    Family(
        model_type="internvl",
        name="InternVL",
        config=InternVLConfig,
        base="model",
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            whole=True,
        ),
        heads={"ForConditionalGeneration": llava.WORDS},
        renames=llava.FILES,
        ignored=llava.LLAVA.ignored,
    )
)
