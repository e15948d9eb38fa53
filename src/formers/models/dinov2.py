"""DINOv2 (Oquab et al. 2023, arXiv:2304.07193), and with registers (Darcet et al. 2023, arXiv:2309.16588)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import BackboneConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps
from formers.tasks.backbone import of_patches
from formers.tasks.specs import Sequences


class DinoConfig(BackboneConfig):
    """What both have."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: int = 4
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 14
    num_channels: int = 3
    qkv_bias: bool = True
    layerscale_value: float = 1.0
    drop_path_rate: float = 0.0
    use_swiglu_ffn: bool = False
    apply_layernorm: bool = True
    reshape_hidden_states: bool = True


class Dinov2Config(DinoConfig):
    """Configuration of DINOv2."""

    model_type = "dinov2"
    use_mask_token: bool = True


class Dinov2WithRegistersConfig(DinoConfig):
    """Configuration of DINOv2 with registers."""

    model_type = "dinov2_with_registers"
    patch_size: int | list[int] = 16
    num_register_tokens: int = 4


NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        "attention_norm": "norm1",
        **{name[0]: f"attention.attention.{name}" for name in ("query", "key", "value")},
        "o": "attention.output.dense",
        "attention_gain": "layer_scale1.lambda1",
        "attention_skip": "drop_path",
        "feedforward_norm": "norm2",
        "up": "mlp.fc1",
        "act": "mlp.activation_fn",
        "down": "mlp.fc2",
        "feedforward_gain": "layer_scale2.lambda1",
        "feedforward_skip": "drop_path",
    },
    embeddings={**vit.NAMES.embeddings, "registers": "embeddings.register_tokens"},
    stack={"final_norm": "layernorm"},
)
GATED = {"gate_up": "mlp.weights_in", "act": "mlp.act_fn", "down": "mlp.weights_out"}
NEWER = {
    **{
        f"encoder.layer.{{i}}.attention.{role}_proj": f"encoder.layer.{{i}}.{NAMES.layer[role]}"
        for role in "qkvo"
    },
    "encoder.layer.{i}.mlp.down_proj": "encoder.layer.{i}.mlp.weights_out",
}


def gated(width: int) -> int:
    """Width of the inner values of a gated feed-forward: two thirds, in eights."""
    return -(-(width * 2 // 3) // 8) * 8


def encoder(c: Any, name: str, **stem: Any) -> spec.Stack:
    """The layers, and a stem, of which fields may be given."""
    names, inner = NAMES, int(c.hidden_size * c.mlp_ratio)
    feedforward = spec.FeedForward(inner, c.hidden_act)
    if c.use_swiglu_ffn:
        feedforward = spec.FeedForward(gated(inner), "silu", gated=True, fused=True)
        names = NAMES.with_(layer={**GATED, "up": None})
    made = vit.layer(c, feedforward, bias=c.qkv_bias)
    one = spec.Layer(tuple(replace(p, gain=c.layerscale_value, skip=c.drop_path_rate) for p in made.parts))
    layers = (one,) * c.num_hidden_layers
    patches = vit.patches(c, free=True, dropout=c.hidden_dropout_prob, **stem)
    return replace(vit.encoder(c, name, layers, patches, names), pooler=spec.Summary())


def stack(c: Dinov2Config) -> spec.Stack:
    """The encoder."""
    return encoder(c, "Dinov2Layer", masked=c.use_mask_token, narrow_mask=True)


def with_registers(c: Dinov2WithRegistersConfig) -> spec.Stack:
    """The same with tokens that hold what belongs to no patch."""
    return encoder(
        c,
        "Dinov2WithRegistersLayer",
        masked=True,
        narrow_mask=True,
        registers=c.num_register_tokens,
        smooth=True,
    )


def labels(c: Any) -> Sequences:
    """The class token beside the mean of the patches."""
    return Sequences("classifier", pool="joined", lead=1 + getattr(c, "num_register_tokens", 0))


def maps(c: Any) -> Maps:
    """Normed states as maps, or as they are."""
    before = 1 + getattr(c, "num_register_tokens", 0)
    return Maps(
        [c.hidden_size] * (c.num_hidden_layers + 1),
        norm=lambda width: nets.ChannelNorm(width, c.layer_norm_eps, rows=True),
        shared="layernorm",
        applied=c.apply_layernorm,
        shaped=of_patches(spec.pair(c.patch_size), before) if c.reshape_hidden_states else None,
    )


BACKBONE = Head("backbone", maps, over="layers", flat=True)
READS = ("pixel_values", "bool_masked_pos", "attention_mask")
DINOV2, DINOV2_WITH_REGISTERS = (
    register(
        Family(
            model_type=config.model_type,
            name=name,
            config=config,
            base=config.model_type,
            assembly=Single(made, spec.Patches, reads=READS),
            heads={"ForImageClassification": Head("image_classification", labels), "Backbone": BACKBONE},
            aliases=NEWER,
        )
    )
    for name, config, made in (
        ("Dinov2", Dinov2Config, stack),
        ("Dinov2WithRegisters", Dinov2WithRegistersConfig, with_registers),
    )
)
