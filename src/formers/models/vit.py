"""ViT (Dosovitskiy et al. 2020, arXiv:2010.11929): a pre-norm encoder over the patches of an image."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.masked_image import Spec as Pixels
from formers.tasks.specs import Sequences


class ViTConfig(PretrainedConfig):
    """Configuration of ViT."""

    model_type = "vit"
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
    stack={"final_norm": "layernorm", "pooler": "pooler.dense", "pooler_act": "pooler.activation"},
)
# where newer versions of the ecosystem have what its files keep under the names above
NEWER = {
    "layers.{i}": "encoder.layer.{i}",
    **{f"layers.{{i}}.attention.{role}_proj": f"encoder.layer.{{i}}.{NAMES.layer[role]}" for role in "qkvo"},
    "layers.{i}.mlp.fc1": "encoder.layer.{i}.intermediate.dense",
    "layers.{i}.mlp.fc2": "encoder.layer.{i}.output.dense",
}


def stack(c: ViTConfig) -> spec.Stack:
    """The encoder."""
    norm, dropout, std = spec.Norm("layer", c.layer_norm_eps), c.hidden_dropout_prob, c.initializer_range
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    attention = spec.Attention(heads, dropout=c.attention_probs_dropout_prob, bias=c.qkv_bias)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    image, patch = spec.pair(c.image_size), spec.pair(c.patch_size)
    return spec.Stack(
        stem=spec.Patches(c.num_channels, image, patch, c.hidden_size, dropout, std=std),
        layers=(spec.layer(attention, feedforward, norm, "pre", dropout=dropout),) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="ViTLayer",
        final_norm=norm,
        pooler=c.pooler_output_size or c.hidden_size,
        pooler_act=c.pooler_act,
        reports="plain",
        initial_std=std,
    )


LABELS = Head("image_classification", lambda c: Sequences("classifier", pool="first"))
PIXELS = Head("masked_image_modeling", lambda c: Pixels("decoder", c.encoder_stride))
VIT = register(
    Family(
        model_type="vit",
        name="ViT",
        config=ViTConfig,
        base="vit",
        assembly=Single(stack, spec.Patches),
        heads={"ForImageClassification": LABELS, "ForMaskedImageModeling": PIXELS},
        order=(("attention", "layernorm_before", "layernorm_after"),),
        aliases=NEWER,
    )
)
