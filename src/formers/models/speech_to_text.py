"""S2T (Wang et al. 2020, arXiv:2010.05171): a pre-norm encoder-decoder that hears spectra of any length."""

from __future__ import annotations

from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class Speech2TextConfig(PretrainedConfig):
    """Configuration. Nothing reads `max_source_positions` and `max_target_positions`: places are computed.

    Raises:
        ValueError: for another number of kernels than of convolutions.
    """

    model_type = "speech_to_text"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
    }
    vocab_size: int = 10000
    encoder_layers: int = 12
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 4
    decoder_layers: int = 6
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 4
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "relu"
    d_model: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    scale_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    max_source_positions: int = 6000
    max_target_positions: int = 1024
    num_conv_layers: int = 2
    conv_kernel_sizes: list[int] = [5, 5]  # noqa: RUF012  (fields declare defaults)
    conv_channels: int = 1024
    input_feat_per_channel: int = 80
    input_channels: int = 1
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if len(self.conv_kernel_sizes) != self.num_conv_layers:
            raise ValueError(
                f"conv_kernel_sizes={self.conv_kernel_sizes} are not those of num_conv_layers="
                f"{self.num_conv_layers} convolutions"
            )


ENCODER = bart.PRE_NORM.with_(embeddings={"token": None, "thinning": "conv"})


def sounds(c: Speech2TextConfig) -> spec.GatedSubsampling:
    """The encoder's stem."""
    return spec.GatedSubsampling(
        c.input_feat_per_channel * c.input_channels,
        c.d_model,
        tuple(c.conv_kernel_sizes),
        c.conv_channels,
        scale=bart.scale_of(c),
        padding_idx=c.pad_token_id or 0,
        dropout=c.dropout,
    )


def tokens(c: Speech2TextConfig) -> spec.Tokens:
    """The decoder's stem."""
    return spec.Tokens(
        c.vocab_size,
        c.d_model,
        spec.ComputedPositions(c.pad_token_id),
        scale=bart.scale_of(c),
        scale_given=False,
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )


def half(c: Speech2TextConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    stem, names = (tokens(c), bart.PRE_NORM) if decoder else (sounds(c), ENCODER)
    return bart.stack(c, decoder, "Speech2Text", stem, names, "pre")


SPEECH_TO_TEXT = register(
    Family(
        model_type="speech_to_text",
        name="Speech2Text",
        config=Speech2TextConfig,
        base="model",
        assembly=EncoderDecoder(half, stem=spec.GatedSubsampling),
        heads={"ForConditionalGeneration": Head("speech_seq2seq", lambda c: Words("lm_head", bias=False))},
        ignored=(r"embed_positions\.weights?$",),
        order=bart.ORDER,
    )
)
