"""SEW and SEW-D (Wu et al. 2021, arXiv:2109.06870): wav2vec 2.0 whose layers read fewer rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family, Head
from formers.models import deberta_v2, hubert
from formers.models.registry import register
from formers.models.whisper import labels
from formers.nn import spec
from formers.tasks.audio_classification import Spec as Sounds


class FewerConfig(hubert.WaveConfig):
    """What the configurations of both share."""

    squeeze_factor: int = 2
    ctc_loss_reduction: str = "mean"
    conv_dim: list[int] = [64, *[128] * 4, *[256] * 4, *[512] * 4]  # noqa: RUF012  (fields declare defaults)
    conv_stride: list[int] = [5, *[2, 1] * 6]  # noqa: RUF012
    conv_kernel: list[int] = [10, *[3, 1] * 4, *[2, 1] * 2]  # noqa: RUF012


class SEWConfig(FewerConfig):
    """Configuration of SEW."""

    model_type = "sew"


class SEWDConfig(FewerConfig):
    """Configuration of SEW-D."""

    model_type = "sew-d"
    max_position_embeddings: int = 512
    max_relative_positions: int = -1
    position_buckets: int = 256
    share_att_key: bool = True
    relative_attention: bool = True
    pos_att_type: list[str] = ["p2c", "c2p"]  # noqa: RUF012
    norm_rel_ebd: str = "layer_norm"
    hidden_act: str = "gelu_python"
    layer_norm_eps: float = 1e-7
    feature_layer_norm_eps: float = 1e-5


FEATURES = {
    **{"features": "feature_extractor", "features_norm": "layer_norm"},
    **{"features_projection": "feature_projection", "features_dropout": "feature_dropout"},
}
FEWER = {"near_pool": "encoder.pool", "widen": "encoder.upsample"}
NAMES = hubert.NAMES.with_(embeddings=FEATURES, stack=FEWER)


def stem(c: Any, eps: float) -> spec.Waves:
    """The convolutions, and what makes their features as wide as the layers."""
    made = hubert.waves(c, tells=False, each=c.feat_extract_norm == "layer")
    return replace(made, apart=True, eps=eps)


def near(c: FewerConfig, norm: spec.Norm | None, dropout: float | None) -> spec.ConvolutionalPositions:
    """The convolution that makes rows fewer.

    Raises:
        ValueError: for a factor that leaves all rows.
    """
    if c.squeeze_factor < 2:
        raise ValueError(f"squeeze_factor is 2 or more, not {c.squeeze_factor}: layers read fewer rows")
    reach = c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups
    return spec.ConvolutionalPositions(
        *reach, None, c.feat_extract_activation, norm, dropout, c.squeeze_factor
    )


def stack(c: SEWConfig) -> spec.Stack:
    """The encoder of SEW."""
    made = hubert.stack(c, "SEW", near=near(c, spec.Norm("layer", c.layer_norm_eps), c.hidden_dropout))
    return replace(made, stem=stem(c, c.layer_norm_eps), names=NAMES)


LAYERS = spec.Names(
    layers="encoder.encoder.layer",
    layer={role: path for role, path in deberta_v2.NAMES.layer.items() if path},
    embeddings={**FEATURES, "mask": "masked_spec_embed"},
    stack={
        **{"near": "encoder.pos_conv_embed", **FEWER},
        **{"relative": "encoder.encoder.rel_embeddings", "relative_norm": "encoder.encoder.LayerNorm"},
    },
)


def disentangled(c: SEWDConfig) -> spec.Stack:
    """The encoder of SEW-D, whose layers are those of DeBERTa."""
    norm, rate = spec.Norm("layer", c.layer_norm_eps), c.activation_dropout
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.layer(deberta_v2.relations(c, c.attention_dropout, rate), feedforward, norm, dropout=rate)
    return spec.Stack(
        stem=stem(c, c.feature_layer_norm_eps),
        layers=(layer,) * c.num_hidden_layers,
        names=LAYERS,
        width=c.hidden_size,
        layer_class="SEWDLayer",
        near=near(c, None, None),
        relative_norm=norm if deberta_v2.norms_table(c) else None,
        reports="plain",
        initial_std=c.initializer_range,
    )


def sounds(c: FewerConfig) -> Sounds:
    """A label by the mean of the last states.

    Raises:
        ValueError: where the states of all layers are to be mixed.
    """
    if c.use_weighted_layer_sum:
        raise ValueError(
            "use_weighted_layer_sum=True: the layers' states are fewer than the rows that tell which are "
            "padding; leave it out"
        )
    return labels(c)


HEADS = {"ForCTC": hubert.LETTERS, "ForSequenceClassification": Head("audio_classification", sounds)}
SEW = register(
    Family(
        model_type="sew",
        name="SEW",
        config=SEWConfig,
        base="sew",
        assembly=WaveformEncoder(stack),
        heads=HEADS,
        renames=hubert.RENAMES,
    )
)
SEWD = register(
    Family(
        model_type="sew-d",
        name="SEWD",
        config=SEWDConfig,
        base="sew_d",
        assembly=WaveformEncoder(disentangled),
        heads=HEADS,
        renames=hubert.RENAMES,
    )
)
