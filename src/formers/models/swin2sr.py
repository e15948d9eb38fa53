"""Swin2SR (Conde et al. 2022, arXiv:2209.11345): windows of Swin V2 make pictures larger, or clearer."""

from __future__ import annotations

from math import log2
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.restoration import Restoration
from formers.configs import PretrainedConfig
from formers.models import swin, swinv2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import multi_scale, nets
from formers.nn.spec.shifted_windows import Restoration as Around
from formers.nn.spec.shifted_windows import Windows
from formers.tasks.image_to_image import Spec

_COLOURS = (0.4488, 0.4371, 0.4040)  # means of the pictures that it was trained on
_INNER = 64  # channels between the last map and the pixels


class Swin2SRConfig(PretrainedConfig):
    """Configuration of Swin2SR."""

    model_type = "swin2sr"
    attribute_map = {
        "hidden_size": "embed_dim",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
    }
    # with others no picture can be read
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {
        "patch_size": (1, [1, 1]),
        "use_absolute_embeddings": (False,),
        "resi_connection": ("1conv", "3conv"),
        "upscale": (1, 2, 3, 4, 8, 16),
    }
    image_size: int | list[int] = 64
    patch_size: int | list[int] = 1
    num_channels: int = 3
    num_channels_out: int | None = None
    embed_dim: int = 180
    depths: list[int] = [6, 6, 6, 6, 6, 6]
    num_heads: list[int] = [6, 6, 6, 6, 6, 6]
    window_size: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.1
    hidden_act: str = "gelu"
    use_absolute_embeddings: bool = False
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    upscale: int = 2
    img_range: float = 1.0
    resi_connection: str = "1conv"
    upsampler: str | None = "pixelshuffle"
    num_layers: int = 6

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.num_channels_out is None:
            self.num_channels_out = self.num_channels
        self.num_layers = len(self.depths)

    def validate(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: when a value cannot be used.
        """
        super().validate()
        if self.upsampler == "nearest+conv" and self.upscale != 4:
            raise ValueError(f"upsampler='nearest+conv' makes pictures 4 times as large, not {self.upscale}")
        if self.upsampler == "pixelshuffle_aux" and self.num_channels != 3:
            raise ValueError(f"upsampler='pixelshuffle_aux' reads 3 channels, not {self.num_channels}")


def mean(c: Swin2SRConfig) -> tuple[float, ...]:
    """What is taken off the pixels: of colours that stay colours, their means."""
    return _COLOURS if c.num_channels == c.num_channels_out == 3 else (0.0,)


def conv(read: int, made: int, kernel: int = 3) -> nets.Conv:
    """A convolution with a bias."""
    return nets.Conv(read, made, kernel, bias=True)


def residual(c: Swin2SRConfig) -> Any:
    """What convolves the last map of a stage."""
    wide, inner, act = c.embed_dim, c.embed_dim // 4, nets.Act("leaky_relu", 0.2)
    if c.resi_connection == "1conv":
        return conv(wide, wide)
    return nets.row(conv(wide, inner), act, conv(inner, inner, 1), act, conv(inner, wide))


def net(c: Swin2SRConfig) -> Windows:
    """The network."""
    sides = spec.pair(c.image_size)
    return Windows(
        stem=spec.Patches(c.embed_dim, sides, spec.pair(c.patch_size), c.embed_dim),
        heads=tuple(c.num_heads),
        **swin.common(c),
        out_dropout=c.attention_probs_dropout_prob,
        drop_path=0.0,  # published without
        positions=False,
        embeddings={**swin.EMBEDDINGS, "embedding_norm": "layernorm"},
        layers=swinv2.LAYER,
        names={
            **{"embeddings": "embeddings", "encoder": "encoder", "stages": "stages", "layers": "layers"},
            **{"final_norm": "layernorm", "first": "first_convolution", "closing": "conv_after_body"},
            **{"conv": "conv", "patched": "patch_embed", "patch": "projection"},
            "unpatched": "patch_unembed",
        },
        classes=("Swin2SRLayer", "Swin2SRStage"),
        std=c.initializer_range,
        scaled=(0,) * len(c.depths),
        restoring=Around(c.num_channels, mean(c), c.img_range, residual(c)),
    )


def shuffled(factor: int) -> nets.Node:
    """A map made larger: by three at once, else by two again and again."""
    if factor == 3:
        return nets.Node({"convolution": conv(_INNER, 9 * _INNER), "pixelshuffle": nets.Shuffled(3)})
    twice: dict[str, Any] = {"convolution": conv(_INNER, 4 * _INNER), "pixelshuffle": nets.Shuffled()}
    return nets.Node({f"{name}_{i}": part for i in range(int(log2(factor))) for name, part in twice.items()})


def upsampler(c: Swin2SRConfig) -> nets.Node | None:
    """What makes pixels of the last map, by its name; None where they stay as many."""
    made, wide = c.num_channels_out or c.num_channels, c.embed_dim
    before: dict[str, Any] = {
        "conv_before_upsample": conv(wide, _INNER),
        "activation": nets.Act("leaky_relu"),
    }
    last = {"final_convolution": conv(_INNER, made)}
    if c.upsampler == "pixelshuffle":
        return nets.Node({**before, "upsample": shuffled(c.upscale), **last})
    if c.upsampler == "pixelshuffledirect":
        many = c.upscale**2 * made
        return nets.Node({"conv": conv(wide, many), "pixel_shuffle": nets.Shuffled(c.upscale)})
    if c.upsampler == "nearest+conv":
        between = dict.fromkeys(("conv_up1", "conv_up2", "conv_hr"), conv(_INNER, _INNER))
        parts = {**before, **between, **last, "lrelu": nets.Act("leaky_relu", 0.2)}
        larger = [(multi_scale.Repeated(), name, "lrelu") for name in ("conv_up1", "conv_up2")]
        return nets.Node(parts, (*before, *larger[0], *larger[1], "conv_hr", "lrelu", *last))
    if c.upsampler == "pixelshuffle_aux":
        again = nets.row(conv(3, _INNER), nets.Act("leaky_relu"))
        aside: dict[str, Any] = {"conv_aux": conv(_INNER, c.num_channels), "conv_after_aux": again}
        beside = {"conv_bicubic": conv(c.num_channels, _INNER)}
        parts = {**beside, **before, **aside, "upsample": shuffled(c.upscale), **last}
        cut, seen = multi_scale.CutTo(c.upscale), nets.Plus("conv_bicubic")
        return nets.Node(parts, (*before, *aside, "upsample", cut, seen, *last))
    return None


def head(c: Swin2SRConfig) -> Spec:
    """Pixels of the last map."""
    found, beside = upsampler(c), c.upsampler == "pixelshuffle_aux"
    if found is None:
        last = {"final_convolution": conv(c.embed_dim, c.num_channels_out or c.num_channels)}
        return Spec(last, (*last,), c.upscale, mean(c), c.img_range, added=True)
    run = (nets.Within("upsample") if beside else "upsample",)
    return Spec({"upsample": found}, run, c.upscale, mean(c), c.img_range, bicubic=beside)


SWIN2SR = register(
    Family(
        model_type="swin2sr",
        name="Swin2SR",
        config=Swin2SRConfig,
        base="swin2sr",
        assembly=Restoration(net),
        heads={"ForImageSuperResolution": Head("image_to_image", head)},
        ignored=(r"attention\.self\.relative_(position_index|coords_table)$", r"^mean$", r"^swin2sr\.mean$"),
    )
)
