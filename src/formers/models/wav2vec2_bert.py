"""w2v-BERT 2.0 (Seamless Communication 2023, arXiv:2312.05187): conformer layers over filter banks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family
from formers.configs import PretrainedConfig
from formers.models import wav2vec2, wav2vec2_conformer
from formers.models.registry import register
from formers.models.whisper import hidden
from formers.nn import spec


class Wav2Vec2BertConfig(PretrainedConfig):
    """Configuration."""

    model_type = "wav2vec2-bert"
    vocab_size: int | None = None
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    feature_projection_input_dim: int = 160
    hidden_act: str = "swish"
    hidden_dropout: float = 0.0
    activation_dropout: float = 0.0
    attention_dropout: float = 0.0
    feat_proj_dropout: float = 0.0
    final_dropout: float = 0.1
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    ctc_loss_reduction: str = "sum"
    ctc_zero_infinity: bool = False
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 768
    tdnn_dim: list[int] = [512, 512, 512, 512, 1500]  # noqa: RUF012  (fields declare defaults)
    tdnn_kernel: list[int] = [5, 3, 3, 1, 1]  # noqa: RUF012
    tdnn_dilation: list[int] = [1, 2, 3, 1, 1]  # noqa: RUF012
    xvector_output_dim: int = 512
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 1
    adapter_act: str = "relu"
    use_intermediate_ffn_before_adapter: bool = False
    output_hidden_size: int | None = None
    position_embeddings_type: str | None = "relative_key"
    rotary_embedding_base: int = 10000
    max_source_positions: int = 5000
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    conv_depthwise_kernel_size: int = 31
    conformer_conv_dropout: float = 0.1

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.output_hidden_size = self.output_hidden_size or self.hidden_size

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples from one row to the next, at 16000 in a second."""
        return self.feature_projection_input_dim * 2


NAMES = wav2vec2_conformer.NAMES.with_(
    layer={"conv_along_norm": "conv_module.depthwise_layer_norm"},
    embeddings={"features": None, "features_projection": "feature_projection"},
    stack={"idle_near": None, "final_norm": None, "rotary": None},
)


BEHIND = {
    **{"conv_norm": "self_attn_layer_norm", "conv": "self_attn_conv", "conv_gate": "activation"},
    **{"beside_norm": "residual_layer_norm", "beside_conv": "residual_conv"},
    **{role: f"self_attn.linear_{role}" for role in "qkv"},
    **{"o": "self_attn.linear_out", "weights_dropout": "self_attn.dropout"},
    **{"attention_dropout": "self_attn_dropout", "feedforward_norm": "ffn_layer_norm"},
    **wav2vec2_conformer.halves("", "ffn"),
    "feedforward_dropout": "ffn.output_dropout",
}
FIRST = {
    **wav2vec2_conformer.halves("first_", "intermediate_ffn"),
    "first_dropout": "intermediate_ffn.output_dropout",
}


def behind(c: Wav2Vec2BertConfig) -> spec.PostEncoder | None:
    """Layers with attention behind the encoder, and a feed-forward before them, where the config has them."""
    between = c.use_intermediate_ffn_before_adapter
    if not (c.add_adapter or between):
        return None
    wide, count = c.output_hidden_size or c.hidden_size, c.num_adapter_layers
    wide, count = (wide, count) if c.add_adapter else (c.hidden_size, 0)
    rate, norm = c.hidden_dropout, spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(wide, c.num_attention_heads)
    widened = spec.FeedForward(c.intermediate_size, c.adapter_act, dropout=c.activation_dropout)
    mixer = spec.Attention(heads, dropout=c.attention_dropout)
    return spec.PostEncoder(
        *(c.hidden_size, wide, count),
        *(c.adapter_kernel_size, c.adapter_stride, c.adapter_stride // 2),
        "adapter" if c.add_adapter else "",
        "Wav2Vec2BertAdapterLayer",
        BEHIND,
        norm,
        layer=spec.Layer(
            (
                spec.Part(mixer, "attention", dropout=c.conformer_conv_dropout),
                spec.Part(widened, "feedforward", norm, dropout=rate),
            )
        ),
        first=replace(widened, activation="relu") if between else None,
        first_dropout=rate,
        own=FIRST,
    )


def stack(c: Wav2Vec2BertConfig) -> spec.Stack:
    """The encoder, which has no norm behind it."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    along = spec.GatedConvolution(
        c.conv_depthwise_kernel_size,
        norm,
        c.hidden_act,
        dropout=c.conformer_conv_dropout,
        looks_back=True,
        hides=True,
    )
    one = wav2vec2_conformer.layer(c, wav2vec2_conformer.attention(c, False), along, norm)
    return spec.Stack(
        stem=spec.Bands(
            *((c.feature_projection_input_dim,), (), (), c.hidden_size),
            eps=c.layer_norm_eps,
            dropout=c.feat_proj_dropout,
            hidden=hidden(c, c.mask_time_prob, c.mask_time_length, c.mask_time_min_masks),
            hidden_features=hidden(c, c.mask_feature_prob, c.mask_feature_length, c.mask_feature_min_masks),
            masked=c.mask_time_prob > 0 or c.mask_feature_prob > 0,
        ),
        layers=(one,) * c.num_hidden_layers,
        names=NAMES.with_(layer=wav2vec2_conformer.PLACES.get(c.position_embeddings_type, {})),
        width=c.hidden_size,
        layer_class="Wav2Vec2BertEncoderLayer",
        near=spec.ConvolutionalPositions(0, 1, dropout=c.hidden_dropout, idle=True),
        layer_drop=c.layerdrop,
        behind=behind(c),
        reports="plain",
        initial_std=c.initializer_range,
    )


WAV2VEC2_BERT = register(
    Family(
        model_type="wav2vec2-bert",
        name="Wav2Vec2Bert",
        config=Wav2Vec2BertConfig,
        base="wav2vec2_bert",
        assembly=WaveformEncoder(stack, spec.Bands),
        heads=wav2vec2.HEADS,
    )
)
