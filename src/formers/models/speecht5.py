"""SpeechT5 (Ao et al. 2021, arXiv:2110.07205): a pair of stacks that hears or reads, and writes or speaks."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from formers.assemblies.audio.speech_pair import SpeechPair
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart, hubert
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.spec.speech_synthesis import Refined
from formers.tasks.specs import Words
from formers.tasks.text_to_spectrogram import Guide, Spec


class SpeechT5Config(PretrainedConfig):
    """Configuration of SpeechT5."""

    model_type = "speecht5"
    attribute_map = {"num_attention_heads": "encoder_attention_heads", "num_hidden_layers": "encoder_layers"}
    vocab_size: int = 81
    hidden_size: int = 768
    encoder_layers: int = 12
    encoder_attention_heads: int = 12
    encoder_ffn_dim: int = 3072
    encoder_layerdrop: float = 0.1
    decoder_layers: int = 6
    decoder_ffn_dim: int = 3072
    decoder_attention_heads: int = 12
    decoder_layerdrop: float = 0.1
    hidden_act: str = "gelu"
    positional_dropout: float = 0.1
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    scale_embedding: bool = False
    feat_extract_norm: str = "group"
    feat_proj_dropout: float = 0.0
    feat_extract_activation: str = "gelu"
    conv_dim: list[int] = [512, 512, 512, 512, 512, 512, 512]  # noqa: RUF012  (fields declare defaults)
    conv_stride: list[int] = [5, 2, 2, 2, 2, 2, 2]  # noqa: RUF012
    conv_kernel: list[int] = [10, 3, 3, 3, 3, 2, 2]  # noqa: RUF012
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 2
    num_mel_bins: int = 80
    speech_decoder_prenet_layers: int = 2
    speech_decoder_prenet_units: int = 256
    speech_decoder_prenet_dropout: float = 0.5
    speaker_embedding_dim: int = 512
    speech_decoder_postnet_layers: int = 5
    speech_decoder_postnet_units: int = 256
    speech_decoder_postnet_kernel: int = 5
    speech_decoder_postnet_dropout: float = 0.5
    reduction_factor: int = 2
    max_speech_positions: int = 4000
    max_text_positions: int = 450
    encoder_max_relative_position: int = 160
    use_guided_attention_loss: bool = True
    guided_attention_loss_num_heads: int = 2
    guided_attention_loss_sigma: float = 0.4
    guided_attention_loss_scale: float = 10.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.num_feat_extract_layers = len(self.conv_dim)
        if {len(self.conv_stride), len(self.conv_kernel)} != {len(self.conv_dim)}:
            raise ValueError(
                f"conv_dim, conv_stride and conv_kernel speak of one number of convolutions, not of "
                f"{len(self.conv_dim)}, {len(self.conv_stride)} and {len(self.conv_kernel)}"
            )

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples from one row of the encoder to the next."""
        return prod(self.conv_stride)


WAVES = {"waves": "prenet.encode_positions"}
HEARS = {
    **{"features": "prenet.feature_encoder", "features_projection": "prenet.feature_projection"},
    **{"mask": "prenet.masked_spec_embed", "near": "prenet.pos_conv_embed"},
    "position": "prenet.pos_sinusoidal_embed",
}
WRITES = {
    **{"token": "prenet.embed_tokens", "position": "prenet.embed_positions"},
    "embedding_dropout": "prenet.dropout",
}
SPEAKS = {
    **{"narrow": "prenet.layers", "wide": "prenet.final_layer", "speaker": "prenet.speaker_embeds_layer"},
    **WAVES,
}
ENCODER = spec.Names(
    layers="wrapped_encoder.layers",
    embeddings={},
    layer=hubert.NAMES.layer,
    stack={
        **{"near_norm": "wrapped_encoder.layer_norm", "near_dropout": "wrapped_encoder.dropout"},
        "offsets": "wrapped_encoder.embed_positions",
    },
)
DECODER = spec.Names(
    layers="wrapped_decoder.layers",
    embeddings={},
    layer={
        **{role: path for role, path in bart.NAMES.layer.items() if role not in ("up", "act", "down")},
        **{"attention_dropout": "dropout", "cross_dropout": "dropout"},
        **{"up": "feed_forward.intermediate_dense", "act": "feed_forward.intermediate_act_fn"},
        **{"down": "feed_forward.output_dense", "inner_dropout": "feed_forward.intermediate_dropout"},
        "feedforward_dropout": "feed_forward.output_dropout",
    },
)


def layer(c: Any, decoder: bool) -> spec.Layer:
    """One of the encoder or the decoder."""
    heads = spec.Heads.split(
        c.hidden_size, c.decoder_attention_heads if decoder else c.encoder_attention_heads
    )
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    usual = spec.Attention(heads, dropout=c.attention_dropout)
    near = spec.SharedOffsets(heads, dropout=c.attention_dropout, reach=c.encoder_max_relative_position)
    return spec.layer(
        replace(usual, mask=Causal()) if decoder else near,
        spec.FeedForward(inner, c.hidden_act, dropout=c.activation_dropout),
        spec.Norm("layer", c.layer_norm_eps),
        cross=replace(usual, cross=True) if decoder else None,
        dropout=c.hidden_dropout,
    )


def stack(c: Any, decoder: bool, stem: Any, embeddings: spec.Paths) -> spec.Stack:
    """The encoder or the decoder, over a stem."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    return spec.Stack(
        stem=stem,
        layers=(layer(c, decoder),) * (c.decoder_layers if decoder else c.encoder_layers),
        names=replace(DECODER if decoder else ENCODER, embeddings=embeddings),
        width=c.hidden_size,
        layer_class=f"SpeechT5{'De' if decoder else 'En'}coderLayer",
        near=None if decoder else spec.ConvolutionalPositions(0, 1, norm=norm, dropout=c.hidden_dropout),
        decoder=decoder,
        layer_drop=c.decoder_layerdrop if decoder else c.encoder_layerdrop,
        reports="plain",
        initial_std=c.initializer_range,
    )


def heard(c: Any) -> spec.PlacedWaves:
    """What hears."""
    reach = c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups
    waves = hubert.waves(c, tells=False, each=c.feat_extract_norm == "layer")
    return spec.PlacedWaves(
        **vars(waves),
        near=spec.ConvolutionalPositions(*reach, activation=c.feat_extract_activation),
        padding_idx=c.pad_token_id,
    )


def read(c: Any) -> spec.WavedTokens:
    """What reads."""
    return spec.WavedTokens(
        c.vocab_size,
        c.hidden_size,
        count=c.max_text_positions,
        padding_idx=c.pad_token_id,
        dropout=c.positional_dropout,
    )


def written(c: Any) -> spec.Tokens:
    """What goes on with a text."""
    return spec.Tokens(
        c.vocab_size,
        c.hidden_size,
        spec.ComputedPositions(c.pad_token_id),
        scale=c.hidden_size**0.5 if c.scale_embedding else 1.0,
        dropout=c.positional_dropout,
        padding_idx=c.pad_token_id,
    )


def said(c: Any) -> spec.SaidFrames:
    """What goes on with speech."""
    return spec.SaidFrames(
        c.hidden_size,
        dropout=c.positional_dropout,
        bins=c.num_mel_bins,
        inner=c.speech_decoder_prenet_units,
        depth=c.speech_decoder_prenet_layers,
        rate=c.speech_decoder_prenet_dropout,
        voice=c.speaker_embedding_dim,
        count=c.max_speech_positions,
    )


def to_words(c: Any, decoder: bool) -> spec.Stack:
    """Speech to text."""
    return stack(c, True, written(c), WRITES) if decoder else stack(c, False, heard(c), HEARS)


def to_speech(c: Any, decoder: bool) -> spec.Stack:
    """Text to speech."""
    reads = {"token": "prenet.embed_tokens", **WAVES}
    return stack(c, True, said(c), SPEAKS) if decoder else stack(c, False, read(c), reads)


def to_another(c: Any, decoder: bool) -> spec.Stack:
    """Speech to speech."""
    return to_speech(c, True) if decoder else to_words(c, False)


def bare(c: Any, decoder: bool) -> spec.Stack:
    """The stacks over rows of their callers."""
    kind = spec.SaidRows if decoder else spec.HeardRows
    return stack(c, decoder, kind(c.hidden_size), {})


def spectra(c: Any) -> Spec:
    """What makes frames."""
    refined = Refined(
        c.hidden_size,
        c.num_mel_bins,
        c.reduction_factor,
        c.speech_decoder_postnet_units,
        c.speech_decoder_postnet_layers,
        c.speech_decoder_postnet_kernel,
        c.speech_decoder_postnet_dropout,
    )
    heads = c.guided_attention_loss_num_heads
    guide = Guide(heads, c.guided_attention_loss_sigma, c.guided_attention_loss_scale)
    wanted = guide if c.use_guided_attention_loss else None
    return Spec("speech_decoder_postnet", refined, wanted, c.speaker_embedding_dim)


PAIRS = {
    "words": SpeechPair(to_words, spec.PlacedWaves),
    "speech": SpeechPair(to_speech, spec.WavedTokens, spec.SaidFrames),
    "another": SpeechPair(to_another, spec.PlacedWaves, spec.SaidFrames),
}
SPEECHT5 = register(
    Family(
        model_type="speecht5",
        name="SpeechT5",
        config=SpeechT5Config,
        base="speecht5",
        assembly=SpeechPair(bare, spec.HeardRows, spec.SaidRows, PAIRS),
        heads={
            "ForSpeechToText": Head(
                "speech_seq2seq", lambda c: Words("text_decoder_postnet.lm_head", bias=False), over="words"
            ),
            "ForTextToSpeech": Head("text_to_spectrogram", spectra, over="speech"),
            "ForSpeechToSpeech": Head("sound_to_spectrogram", spectra, over="another"),
        },
        renames=hubert.RENAMES,
        ignored=(r"encode_positions\.pe$", r"embed_positions\.weights$", r"pos_sinusoidal_embed\.weights$"),
    )
)
