"""Pixtral's image model (Agrawal et al. 2024, arXiv:2410.07073): pictures of any size in one row."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Rotary


class PixtralVisionConfig(PretrainedConfig):
    """Configuration of Pixtral's image model."""

    model_type = "pixtral"
    default_rope_type: ClassVar[str] = "axial"
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int | list[int] = 1024
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu"
    attention_dropout: float = 0.0
    rope_parameters: dict[str, Any] | None = None
    initializer_range: float = 0.02
    head_dim: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.head_dim = self.hidden_size // self.num_attention_heads


NAMES = spec.Names(
    layers="transformer.layers",
    layer={
        "attention_norm": "attention_norm",
        **{role: f"attention.{role}_proj" for role in "qkvo"},
        "feedforward_norm": "ffn_norm",
        **{role: f"feed_forward.{role}_proj" for role in ("gate", "up", "down")},
        "act": "feed_forward.act_fn",
    },
    embeddings={"patch": "patch_conv"},
    stack={"first_norm": "ln_pre", "rotary": "patch_positional_embedding", "pooler": None},
)
NORM = spec.Norm("rms", 1e-5)


def image(c: PixtralVisionConfig) -> spec.Stack:
    """Layers over the patches of all pictures, each of which sees itself alone.

    Raises:
        ValueError: for another rule by which patches are turned.
    """
    settings = c.rope_parameters or {}
    if settings.get("rope_type") != "axial":
        raise ValueError(
            f"Pixtral's patches are turned by their rows and columns: the rope_type in rope_parameters is "
            f"'axial', not {settings.get('rope_type')!r}"
        )
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    quarter = heads.width // 4
    attention = spec.Attention(
        heads,
        dropout=c.attention_dropout,
        bias=False,
        out_bias=False,
        rotary=Rotary(
            heads.width, float(settings["rope_theta"]), sections=(quarter, quarter), shared="strides"
        ),
        within="frames",
    )
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True, bias=False)
    return spec.Stack(
        stem=spec.SizedPatches(c.num_channels, spec.pair(c.patch_size), c.hidden_size),
        layers=(spec.layer(attention, feedforward, NORM, "pre"),) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="PixtralAttentionLayer",
        first_norm=NORM,
        initial_std=c.initializer_range,
    )


IMAGE = register(
    Family(
        model_type="pixtral",
        name="PixtralVision",
        config=PixtralVisionConfig,
        base="vision_encoder",
        assembly=Single(image, spec.SizedPatches, reads=("pixel_values", "image_sizes")),
        heads={},
    )
)
