"""DINOv3 (Simeoni et al. 2025, arXiv:2508.10104): a ViT that turns queries and keys by rows and columns."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import BackboneConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.nn.grids import Axial
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps
from formers.tasks.backbone import of_patches


class DINOv3ViTConfig(BackboneConfig):
    """Configuration of DINOv3."""

    model_type = "dinov3_vit"
    patch_size: int | list[int] = 16
    hidden_size: int = 384
    intermediate_size: int = 1536
    num_hidden_layers: int = 12
    num_attention_heads: int = 6
    hidden_act: str = "gelu"
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    rope_theta: float = 100.0
    image_size: int | list[int] = 224
    num_channels: int = 3
    query_bias: bool = True
    key_bias: bool = False
    value_bias: bool = True
    proj_bias: bool = True
    mlp_bias: bool = True
    layerscale_value: float = 1.0
    drop_path_rate: float = 0.0
    use_gated_mlp: bool = False
    num_register_tokens: int = 0
    pos_embed_shift: float | None = None
    pos_embed_jitter: float | None = None
    pos_embed_rescale: float | None = 2.0
    apply_layernorm: bool = True
    reshape_hidden_states: bool = True


NAMES = spec.Names(
    layers="layer",
    layer={
        "attention_norm": "norm1",
        **{role: f"attention.{role}_proj" for role in "qkvo"},
        "attention_gain": "layer_scale1.lambda1",
        "attention_skip": "drop_path",
        "feedforward_norm": "norm2",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "act": "mlp.act_fn",
        "down": "mlp.down_proj",
        "feedforward_gain": "layer_scale2.lambda1",
        "feedforward_skip": "drop_path",
    },
    embeddings={
        "class": "embeddings.cls_token",
        "mask": "embeddings.mask_token",
        "registers": "embeddings.register_tokens",
        "patch": "embeddings.patch_embeddings",
    },
    stack={"final_norm": "norm", "axial": "rope_embeddings"},
)


def stack(c: DINOv3ViTConfig) -> spec.Stack:
    """The encoder."""
    heads, count = spec.Heads.split(c.hidden_size, c.num_attention_heads), c.num_register_tokens
    turns = Axial(
        heads.width,
        c.rope_theta,
        spec.pair(c.patch_size),
        1 + count,
        c.pos_embed_shift,
        c.pos_embed_jitter,
        c.pos_embed_rescale,
    )
    attention = spec.Attention(
        heads,
        dropout=c.attention_dropout,
        biases=(c.query_bias, c.key_bias, c.value_bias),
        out_bias=c.proj_bias,
        rotary=turns,
    )
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=c.use_gated_mlp, bias=c.mlp_bias)
    plain = spec.layer(attention, feedforward, spec.Norm("layer", c.layer_norm_eps), "pre")
    one = spec.Layer(tuple(replace(p, gain=c.layerscale_value, skip=c.drop_path_rate) for p in plain.parts))
    std = c.initializer_range
    stem = vit.patches(c, masked=True, placed=False, free=True, registers=count, registers_std=std)
    made = vit.encoder(c, "DINOv3ViTLayer", (one,) * c.num_hidden_layers, stem, NAMES)
    return replace(made, pooler=spec.Summary())


def maps(c: DINOv3ViTConfig) -> Maps:
    """Normed states of patches, as maps or as rows."""
    shaped = of_patches(spec.pair(c.patch_size), 1 + c.num_register_tokens, c.reshape_hidden_states)
    return Maps(
        [c.hidden_size] * (c.num_hidden_layers + 1),
        norm=lambda width: nets.ChannelNorm(width, c.layer_norm_eps, rows=True),
        shared="norm",
        applied=c.apply_layernorm,
        last=True,
        shaped=shaped,
    )


DINOV3_VIT = register(
    Family(
        model_type="dinov3_vit",
        name="DINOv3ViT",
        config=DINOv3ViTConfig,
        base="model",
        assembly=Single(stack, spec.Patches, reads=("pixel_values", "bool_masked_pos")),
        heads={"Backbone": Head("backbone", maps, over="layers", flat=True)},
        aliases={"model.layer.{i}": "layer.{i}"},
    )
)
