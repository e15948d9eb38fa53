"""ViViT (Arnab et al. 2021, arXiv:2103.15691): ViT over patches that reach over several frames of a film."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec


class VivitConfig(PretrainedConfig):
    """Configuration of ViViT."""

    model_type = "vivit"
    image_size: int | list[int] = 224
    num_frames: int = 32
    tubelet_size: list[int] = [2, 16, 16]
    num_channels: int = 3
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_fast"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"


def stack(c: VivitConfig) -> spec.Stack:
    """The encoder."""
    depth, *patch = c.tubelet_size
    stem = spec.Tubelets(
        c.num_channels,
        spec.pair(c.image_size),
        spec.pair(patch),
        c.hidden_size,
        c.hidden_dropout_prob,
        std=0.0,
        frames=c.num_frames,
        depth=depth,
    )
    return vit.pooled(c, "VivitLayer", stem)


VIVIT = register(
    Family(
        model_type="vivit",
        name="Vivit",
        config=VivitConfig,
        base="vivit",
        assembly=Single(
            stack, spec.Tubelets, reads=("pixel_values", "interpolate_pos_encoding", "attention_mask")
        ),
        heads={"ForVideoClassification": Head("video_classification", vit.LABELS.spec)},
        order=vit.ORDER,
        aliases=vit.NEWER,
    )
)
