"""TimeSformer (Bertasius et al. 2021, arXiv:2102.05095): ViT over films, by turns over time and space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec


class TimesformerConfig(PretrainedConfig):
    """Configuration of TimeSformer.

    Raises:
        ValueError: for an attention type that is not known.
    """

    model_type = "timesformer"
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    num_frames: int = 8
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    attention_type: str = "divided_space_time"
    drop_path_rate: float = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.attention_type not in TYPES:
            raise ValueError(f"attention_type is one of {', '.join(TYPES)}, not {self.attention_type!r}")


TYPES = ("divided_space_time", "space_only", "joint_space_time")
NAMES = vit.NAMES.with_(
    layer={
        **dict.fromkeys(("q", "k", "v", "feedforward_add")),
        "qkv": "attention.attention.qkv",
        "weights_dropout": "attention.attention.attn_drop",
        "inner_dropout": "intermediate.dropout",
        **dict.fromkeys(("attention_skip", "feedforward_skip"), "drop_path"),
    },
    embeddings={
        "embedding_dropout": "embeddings.pos_drop",
        "time": "embeddings.time_embeddings",
        "time_dropout": "embeddings.time_drop",
    },
)
TIME = {
    "time_norm": "temporal_layernorm",
    "time_qkv": "temporal_attention.attention.qkv",
    "time_weights_dropout": "temporal_attention.attention.attn_drop",
    "time_o": "temporal_attention.output.dense",
    "time_dropout": "temporal_attention.output.dropout",
    "time_skip": "drop_path",
    "time_dense": "temporal_dense",
}
ORDER = (
    *("attention", "intermediate", "output", "layernorm_before", "layernorm_after"),
    *("temporal_layernorm", "temporal_attention", "temporal_dense"),
)


def layer(c: TimesformerConfig, number: int) -> spec.Layer:
    """A layer: over time and then over space, or over all that its rows hold."""
    skip = c.drop_path_rate * number / max(c.num_hidden_layers - 1, 1)
    inside = spec.FeedForward(c.intermediate_size, c.hidden_act, dropout=c.hidden_dropout_prob)
    plain = vit.layer(c, inside, c.hidden_dropout_prob, fused="blocks", bias=c.qkv_bias)
    first, last = (replace(part, skip=skip) for part in plain.parts)
    if c.attention_type != "divided_space_time":
        return spec.Layer((first, last))
    fields: dict[str, Any] = {
        **{"dropout": c.attention_probs_dropout_prob, "bias": c.qkv_bias, "fused": "blocks"},
        **{"frames": c.num_frames, "norm": first.before, "after": c.hidden_dropout_prob, "skip": skip},
    }
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    time, space = (spec.Divided(heads, over=over, **fields) for over in ("time", "space"))
    return spec.Layer((spec.Part(time, "over_time"), spec.Part(space, "over_space"), last))


def stack(c: TimesformerConfig) -> spec.Stack:
    """The encoder."""
    kept = vit.patches(c, dropout=c.hidden_dropout_prob, stretch="nearest")
    stem = spec.Films(**vars(kept), frames=c.num_frames, apart=c.attention_type == "space_only")
    names = NAMES.with_(layer=TIME) if c.attention_type == "divided_space_time" else NAMES
    layers = tuple(layer(c, i) for i in range(c.num_hidden_layers))
    return vit.encoder(c, "TimesformerLayer", layers, stem, names)


TIMESFORMER = register(
    Family(
        model_type="timesformer",
        name="Timesformer",
        config=TimesformerConfig,
        base="timesformer",
        assembly=Single(stack, spec.Films, reads=("pixel_values",)),
        heads={"ForVideoClassification": Head("video_classification", vit.LABELS.spec)},
        order=(ORDER,),
    )
)
