"""SigLIP (Zhai et al. 2023, arXiv:2303.15343): two towers; every pair of text and image is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.clip_towers import IGNORED, IMAGE_NAMES, NAMES
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences


class SiglipTextConfig(PretrainedConfig):
    """Configuration of SigLIP's text tower."""

    model_type = "siglip_text_model"
    base_config_key = "text_config"
    vocab_size: int = 32000
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 64
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int | list[int] | None = 49407
    projection_size: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.projection_size is None:
            self.projection_size = self.hidden_size


class SiglipVisionConfig(PretrainedConfig):
    """Configuration of SigLIP's image tower."""

    model_type = "siglip_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    vision_use_head: bool = True


class SiglipConfig(PretrainedConfig):
    """Configuration of SigLIP."""

    model_type = "siglip"
    sub_configs: ClassVar = {"text_config": SiglipTextConfig, "vision_config": SiglipVisionConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    pairwise: ClassVar[bool] = True
    initializer_factor: float = 1.0


POOLER = {
    "query": "head.probe",
    "asked": "head.attention",
    "asked_norm": "head.layernorm",
    "up": "head.mlp.fc1",
    "act": "head.mlp.activation_fn",
    "down": "head.mlp.fc2",
    "pool": "head",
}
ORDER = (("k_proj", "v_proj", "q_proj", "out_proj"), ("patch_embedding", "position_embedding"))
TEXT_NAMES = NAMES.with_(stack={"pooler_dense": "head"})
PATCH_NAMES = IMAGE_NAMES.with_(stack={"final_norm": "post_layernorm", **POOLER})


WIDENED = 0.87962566  # what a cut at two deviations leaves of one; nothing is cut, and yet it is made up for


def tower(c: Any, **parts: Any) -> spec.Stack:
    """The layers of either tower; every token sees all."""
    norm, wide, inner = spec.Norm("layer", c.layer_norm_eps), c.hidden_size, c.intermediate_size
    attention = spec.Attention(spec.Heads.split(wide, c.num_attention_heads), dropout=c.attention_dropout)
    one = spec.layer(attention, spec.FeedForward(inner, c.hidden_act), norm, "pre")
    plain = wide**-0.5 / WIDENED
    between = (2 / (wide + inner)) ** 0.5
    return spec.Stack(
        layers=(one,) * c.num_hidden_layers,
        width=wide,
        layer_class="SiglipEncoderLayer",
        reports="plain",
        final_norm=norm,
        initial_std=wide**-0.5,
        init={
            **{f"{role}.weight": plain for role in ("head", "head.attention.out_proj")},
            **{f"mlp.{name}.weight": between for name in ("fc1", "fc2")},
        },
        **parts,
    )


def text(c: SiglipTextConfig) -> spec.Stack:
    """What stands in the last column stands for a text, be it padding: texts are padded to one length."""
    return tower(
        c,
        stem=spec.Tokens(c.vocab_size, c.hidden_size, spec.LearnedPositions(c.max_position_embeddings)),
        names=TEXT_NAMES,
        pooler=spec.Summary("last", projected=c.projection_size),
    )


def over_patches(c: Any, stem: spec.Stem, read: int) -> spec.Stack:
    """Patches alone, of `read` numbers; a query that asks all of them makes what stands for an image."""
    norm, inside = spec.Norm("layer", c.layer_norm_eps), spec.FeedForward(c.intermediate_size, c.hidden_act)
    query = spec.Asked(c.num_attention_heads, inside, norm) if c.vision_use_head else None
    made = tower(c, stem=stem, names=PATCH_NAMES, pooler=query)
    return replace(made, init={**made.init, "patch_embedding.weight": read**-0.5 / WIDENED})


def image(c: SiglipVisionConfig) -> spec.Stack:
    """Patches of images of one size."""
    size, patch = spec.pair(c.image_size), spec.pair(c.patch_size)
    stem = spec.Patches(c.num_channels, size, patch, c.hidden_size, flat=True, leads=())
    return over_patches(c, stem, c.num_channels * patch[0] * patch[1])


TEXT = register(
    Family(
        model_type="siglip_text_model",
        name="SiglipText",
        config=SiglipTextConfig,
        base="text_model",
        assembly=Single(text, reads=("input_ids", "attention_mask", "position_ids")),
        heads={"Model": Head("encoder", lambda c: None)},
        ignored=IGNORED,
        order=ORDER,
    )
)
IMAGE = register(
    Family(
        model_type="siglip_vision_model",
        name="SiglipVision",
        config=SiglipVisionConfig,
        base="vision_model",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
        ignored=IGNORED,
        order=ORDER,
    )
)


def labels(c: SiglipConfig) -> Sequences:
    """Of the mean of all patches."""
    return Sequences("classifier", pool="mean")


def shared(c: Any) -> Shared:
    """The towers' own space."""
    return Shared(None, 0.0, pairwise=True)


LABELS = Head("image_classification", labels, IMAGE.base, over=IMAGE.base, flat=True)
SIGLIP = register(
    Family(
        model_type="siglip",
        name="Siglip",
        config=SiglipConfig,
        base="siglip",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=shared,
        ),
        heads={
            "Model": Head("zero_shot_image_classification", lambda c: None),
            "ForImageClassification": LABELS,
        },
        ignored=IGNORED,
        order=ORDER,
    )
)
