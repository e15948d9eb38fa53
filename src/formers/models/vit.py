"""ViT (Dosovitskiy et al. 2020, arXiv:2010.11929): a pre-norm encoder over the patches of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.masked_image import Spec as Pixels
from formers.tasks.specs import Sequences


class EncoderConfig(PretrainedConfig):
    """What configurations of ViT and its kin have in common."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    qkv_bias: bool = True


class ViTConfig(EncoderConfig):
    """Configuration of ViT."""

    model_type = "vit"
    encoder_stride: int = 16
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"


NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        "attention_norm": "layernorm_before",
        **{name[0]: f"attention.attention.{name}" for name in ("query", "key", "value")},
        "o": "attention.output.dense",
        "attention_dropout": "attention.output.dropout",
        "feedforward_norm": "layernorm_after",
        "up": "intermediate.dense",
        "act": "intermediate.intermediate_act_fn",
        "down": "output.dense",
        "feedforward_dropout": "output.dropout",
        "feedforward_add": "output",
    },
    embeddings={
        "class": "embeddings.cls_token",
        "mask": "embeddings.mask_token",
        "position": "embeddings.position_embeddings",
        "patch": "embeddings.patch_embeddings.projection",
        "embedding_dropout": "embeddings.dropout",
    },
    stack={"final_norm": "layernorm"},
)
POOLER = {"pooler": "pooler.dense", "pooler_act": "pooler.activation"}
# where newer versions of the ecosystem have what its files keep under the names above
NEWER = {
    "layers.{i}": "encoder.layer.{i}",
    **{f"layers.{{i}}.attention.{role}_proj": f"encoder.layer.{{i}}.{NAMES.layer[role]}" for role in "qkvo"},
    "layers.{i}.mlp.fc1": "encoder.layer.{i}.intermediate.dense",
    "layers.{i}.mlp.fc2": "encoder.layer.{i}.output.dense",
}


def layer(
    c: Any, feedforward: spec.FeedForward | None = None, dropout: float = 0.0, **own: Any
) -> spec.Layer:
    """A layer; `own` are fields of its attention."""
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    attention = spec.Attention(heads, dropout=c.attention_probs_dropout_prob, **own)
    inside = feedforward or spec.FeedForward(c.intermediate_size, c.hidden_act)
    return spec.layer(attention, inside, spec.Norm("layer", c.layer_norm_eps), "pre", dropout=dropout)


def patches(c: Any, **fields: Any) -> spec.Patches:
    """The stem, of which fields may be given."""
    std, image, patch = c.initializer_range, spec.pair(c.image_size), spec.pair(c.patch_size)
    return spec.Patches(c.num_channels, image, patch, c.hidden_size, **{"std": std, **fields})


def encoder(
    c: Any, name: str, layers: tuple[spec.Layer, ...], stem: spec.Patches, names: spec.Names = NAMES
) -> spec.Stack:
    """A stem, and layers whose class has that name."""
    return spec.Stack(
        stem=stem,
        layers=layers,
        names=names,
        width=c.hidden_size,
        layer_class=name,
        final_norm=spec.Norm("layer", c.layer_norm_eps),
        reports="plain",
        initial_std=c.initializer_range,
    )


def plain(c: Any, name: str, stem: spec.Patches, names: spec.Names = NAMES) -> spec.Stack:
    """Layers that are all alike."""
    one = layer(c, dropout=c.hidden_dropout_prob, bias=c.qkv_bias)
    return encoder(c, name, (one,) * c.num_hidden_layers, stem, names)


def pooled(c: Any, name: str, stem: spec.Patches, names: spec.Names = NAMES) -> spec.Stack:
    """The same with a pooler."""
    return replace(
        plain(c, name, stem, names.with_(stack=POOLER)),
        pooler=c.pooler_output_size or c.hidden_size,
        pooler_act=c.pooler_act,
    )


def stack(c: ViTConfig) -> spec.Stack:
    """The encoder."""
    return pooled(c, "ViTLayer", patches(c, dropout=c.hidden_dropout_prob))


LABELS = Head("image_classification", lambda c: Sequences("classifier", pool="first"))
PIXELS = Head("masked_image_modeling", lambda c: Pixels("decoder", c.encoder_stride))
HEADS = {"ForImageClassification": LABELS, "ForMaskedImageModeling": PIXELS}
ORDER = (("attention", "layernorm_before", "layernorm_after"),)
VIT = register(
    Family(
        model_type="vit",
        name="ViT",
        config=ViTConfig,
        base="vit",
        assembly=Single(stack, spec.Patches),
        heads=HEADS,
        order=ORDER,
        aliases=NEWER,
    )
)
