"""HuBERT (Hsu et al. 2021, arXiv:2106.07447): an encoder over what convolutions hear in a wave."""

from __future__ import annotations

from math import prod
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family, Head
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.models.whisper import hidden, labels
from formers.nn import spec
from formers.tasks.frame_classification import Spec as Moments


class SoundConfig(PretrainedConfig):
    """What the configurations of all models of this kind share."""

    vocab_size: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    final_dropout: float = 0.1
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    feat_extract_activation: str = "gelu"
    conv_dim: list[int] = [512, 512, 512, 512, 512, 512, 512]  # noqa: RUF012  (fields declare defaults)
    conv_stride: list[int] = [5, 2, 2, 2, 2, 2, 2]  # noqa: RUF012
    conv_kernel: list[int] = [10, 3, 3, 3, 3, 2, 2]  # noqa: RUF012
    conv_bias: bool = False
    num_conv_pos_embedding_groups: int = 16
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    ctc_loss_reduction: str = "sum"
    ctc_zero_infinity: bool = False
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.num_feat_extract_layers = len(self.conv_dim)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples from one row to the next."""
        return prod(self.conv_stride)


class WaveConfig(SoundConfig):
    """Norms may stand elsewhere, and nothing need be hidden in training."""

    feat_extract_norm: str = "group"
    num_conv_pos_embeddings: int = 128
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True


class HubertConfig(WaveConfig):
    """Configuration of HuBERT. A batch norm before the positions (`conv_pos_batch_norm`) is refused."""

    model_type = "hubert"
    _available = {"conv_pos_batch_norm": (False,)}
    feat_proj_layer_norm: bool = True
    conv_pos_batch_norm: bool = False


NAMES = spec.Names(
    layers="encoder.layers",
    layer={
        **{"q": "attention.q_proj", "k": "attention.k_proj", "v": "attention.v_proj"},
        **{"o": "attention.out_proj", "attention_dropout": "dropout"},
        "attention_norm": "layer_norm",
        "up": "feed_forward.intermediate_dense",
        "act": "feed_forward.intermediate_act_fn",
        "inner_dropout": "feed_forward.intermediate_dropout",
        "down": "feed_forward.output_dense",
        "feedforward_dropout": "feed_forward.output_dropout",
        "feedforward_norm": "final_layer_norm",
    },
    embeddings={
        **{"features": "feature_extractor", "features_projection": "feature_projection"},
        "mask": "masked_spec_embed",
    },
    stack={
        **{"near": "encoder.pos_conv_embed", "near_norm": "encoder.layer_norm"},
        "near_dropout": "encoder.dropout",
    },
)


def waves(c: Any, tells: bool, each: bool) -> spec.Waves:
    """The stem, which may tell what was projected, and whose convolutions may each have a norm."""
    shape = tuple(c.conv_dim), tuple(c.conv_kernel), tuple(c.conv_stride), c.hidden_size
    return spec.Waves(
        *shape,
        each=each,
        bias=c.conv_bias,
        eps=c.layer_norm_eps,
        activation=c.feat_extract_activation,
        dropout=c.feat_proj_dropout,
        hidden=hidden(c, c.mask_time_prob, c.mask_time_length, c.mask_time_min_masks),
        hidden_features=hidden(c, c.mask_feature_prob, c.mask_feature_length, c.mask_feature_min_masks),
        masked=c.mask_time_prob > 0 or c.mask_feature_prob > 0,
        normed=getattr(c, "feat_proj_layer_norm", True),
        tells=tells,
    )


def attention(c: Any) -> spec.Attention:
    """That of a layer."""
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    return spec.Attention(heads, dropout=c.attention_dropout)


def layer(c: Any, mixer: spec.Attention, stable: bool) -> spec.Layer:
    """Norms after the parts, or ("stable") before them."""
    return spec.layer(
        mixer,
        spec.FeedForward(c.intermediate_size, c.hidden_act, dropout=c.activation_dropout),
        spec.Norm("layer", c.layer_norm_eps),
        "pre" if stable else "post",
        dropout=c.hidden_dropout,
    )


def stack(
    c: Any, name: str = "Hubert", tells: bool = False, near: spec.ConvolutionalPositions | None = None
) -> spec.Stack:
    """The encoder of a family of that name; if it says what is `near`, its norms are in one place.

    Raises:
        ValueError: for layers behind the encoder that the family does not have, and unknown norms.
    """
    if getattr(c, "add_adapter", False) and not hasattr(c, "num_adapter_layers"):
        raise ValueError(f"add_adapter=True: {name} models have no layers behind the encoder; leave it out")
    if near is None and c.feat_extract_norm not in ("group", "layer"):
        raise ValueError(f"feat_extract_norm is group or layer, not {c.feat_extract_norm!r}")
    norm, stable = spec.Norm("layer", c.layer_norm_eps), near is None and c.do_stable_layer_norm
    each = near is not None or c.feat_extract_norm == "layer"
    reach = c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups
    act, after = c.feat_extract_activation, None if stable else norm
    near = near or spec.ConvolutionalPositions(*reach, None, act, after, c.hidden_dropout)
    return spec.Stack(
        stem=waves(c, tells, each),
        layers=(layer(c, attention(c), stable),) * c.num_hidden_layers,
        names=NAMES.with_(stack={"near_norm": None, "final_norm": "encoder.layer_norm"}) if stable else NAMES,
        width=c.hidden_size,
        layer_class=f"{name}EncoderLayer{'StableLayerNorm' if stable else ''}",
        final_norm=norm if stable else None,
        near=near,
        layer_drop=c.layerdrop,
        reports="plain",
        initial_std=c.initializer_range,
    )


LETTERS = Head("ctc", lambda c: Moments("lm_head", c.final_dropout))
LABELS = Head("audio_classification", labels)
RENAMES = (
    Rename("{path}.weight_g", "{path}.parametrizations.weight.original0"),
    Rename("{path}.weight_v", "{path}.parametrizations.weight.original1"),
)
HUBERT = register(
    Family(
        model_type="hubert",
        name="Hubert",
        config=HubertConfig,
        base="hubert",
        assembly=WaveformEncoder(stack),
        heads={"ForCTC": LETTERS, "ForSequenceClassification": LABELS},
        renames=RENAMES,
    )
)
