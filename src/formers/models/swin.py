"""Swin (Liu et al. 2021, arXiv:2103.14030): windows of patches attend within themselves, and merge."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.shifted_windows import ShiftedWindows
from formers.configs import BackboneConfig, PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec.nets import ChannelNorm
from formers.nn.spec.shifted_windows import Windows
from formers.tasks.backbone import Spec as Maps
from formers.tasks.masked_image import Spec as Pixels
from formers.tasks.specs import Sequences


class Sizes(PretrainedConfig):
    """What the configurations of Swin and its kin have in common."""

    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 4
    num_channels: int = 3
    embed_dim: int = 96
    depths: list[int] = [2, 2, 6, 2]
    num_heads: list[int] = [3, 6, 12, 24]
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.1
    hidden_act: str = "gelu"
    use_absolute_embeddings: bool = False
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    num_layers: int = 4
    hidden_size: int = 768

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_layers = len(self.depths)
        self.hidden_size = self.embed_dim * 2 ** (self.num_layers - 1)


class SwinConfig(Sizes, BackboneConfig):
    """Configuration of Swin."""

    model_type = "swin"
    encoder_stride: int = 32


EMBEDDINGS = {
    "patch": "patch_embeddings.projection",
    "embedding_norm": "norm",
    "mask": "mask_token",
    "position": "position_embeddings",
    "embedding_dropout": "dropout",
}
LAYER = {
    "attention_norm": "layernorm_before",
    "attention": "attention",
    "mix": "self",
    **{name[0]: name for name in ("query", "key", "value")},
    "weights_dropout": "dropout",
    "bias": "relative_position_bias_table",
    "out": "output",
    "feedforward_norm": "layernorm_after",
    "up": "intermediate",
    "act": "intermediate_act_fn",
    "down": "output",
    "dense": "dense",
    "dropout": "dropout",
    "drop_path": "drop_path",
}
NAMES = {
    **{"embeddings": "embeddings", "encoder": "encoder", "stages": "layers", "layers": "blocks"},
    **{"merge": "downsample", "merged": "reduction", "merge_norm": "norm"},
    **{"final_norm": "layernorm", "pooler": "pooler"},
}
_BLOCK = "encoder.layers.{i}.blocks.{i}"
# where newer versions of the ecosystem have what its files keep under the names above
NEWER = {
    **{
        f"{_BLOCK}.attention.{name[0]}_proj": f"{_BLOCK}.attention.self.{name}"
        for name in ("query", "key", "value")
    },
    f"{_BLOCK}.attention.o_proj": f"{_BLOCK}.attention.output.dense",
    f"{_BLOCK}.attention.relative_position_bias": f"{_BLOCK}.attention.self",
    f"{_BLOCK}.mlp.fc1": f"{_BLOCK}.intermediate.dense",
    f"{_BLOCK}.mlp.activation_fn": f"{_BLOCK}.intermediate.intermediate_act_fn",
    f"{_BLOCK}.mlp.fc2": f"{_BLOCK}.output.dense",
}


def common(c: Any) -> dict[str, Any]:
    """What configs of windows name alike."""
    return {
        "depths": tuple(c.depths),
        "window": c.window_size,
        **{"inner": c.mlp_ratio, "act": c.hidden_act, "bias": c.qkv_bias, "eps": c.layer_norm_eps},
        "dropout": c.hidden_dropout_prob,
        "attention_dropout": c.attention_probs_dropout_prob,
    }


def net(c: Sizes) -> Windows:
    """The network."""
    return Windows(
        stem=spec.Patches(c.num_channels, spec.pair(c.image_size), spec.pair(c.patch_size), c.embed_dim),
        heads=tuple(c.num_heads),
        **common(c),
        drop_path=c.drop_path_rate,
        positions=c.use_absolute_embeddings,
        embeddings=EMBEDDINGS,
        layers=LAYER,
        names=NAMES,
        classes=("SwinLayer", "SwinStage"),
        std=c.initializer_range,
    )


def maps(c: SwinConfig) -> Maps:
    """The map of the patches, and those of the stages before they merge."""
    widths = [c.embed_dim * 2**i for i in range(len(c.depths))]
    return Maps(
        [c.embed_dim, *widths],
        "hidden_states_norms",
        lambda wide: ChannelNorm(wide, 1e-5, rows=True),
        rows=True,
    )


SWIN = register(
    Family(
        model_type="swin",
        name="Swin",
        config=SwinConfig,
        base="swin",
        assembly=ShiftedWindows(net),
        heads={
            "ForImageClassification": Head(
                "image_classification", lambda c: Sequences("classifier"), pooler=True
            ),
            "ForMaskedImageModeling": Head(
                "masked_image_modeling", lambda c: Pixels("decoder", c.encoder_stride)
            ),
            "Backbone": Head("backbone", maps, flat=True),
        },
        ignored=(r"attention\.self\.relative_position_index$",),
        aliases=NEWER,
    )
)
