"""Blenderbot (Roller et al. 2020, arXiv:2004.13637): pre-norm; its small model is post-norm, as BART is."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import bart, pegasus
from formers.models.registry import register
from formers.nn import spec


class _Config(bart.PairConfig):
    decoder_start_token_id: int | None = 1
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    forced_eos_token_id: int | list[int] | None = 2


class BlenderbotConfig(_Config):
    """Configuration of Blenderbot. `encoder_no_repeat_ngram_size` is a default of generation."""

    model_type = "blenderbot"
    vocab_size: int = 8008
    max_position_embeddings: int = 128
    encoder_layers: int = 2
    encoder_ffn_dim: int = 10240
    encoder_attention_heads: int = 32
    decoder_layers: int = 24
    decoder_ffn_dim: int = 10240
    decoder_attention_heads: int = 32
    d_model: int = 2560
    encoder_no_repeat_ngram_size: int = 3


class BlenderbotSmallConfig(_Config):
    """Configuration of the small Blenderbot."""

    model_type = "blenderbot-small"
    max_position_embeddings: int = 512
    encoder_layers: int = 8
    encoder_ffn_dim: int = 2048
    decoder_layers: int = 8
    decoder_ffn_dim: int = 2048
    d_model: int = 512


def large(c: BlenderbotConfig, decoder: bool) -> spec.Stack:
    """Blenderbot's encoder or decoder: no norm of what enters."""
    positions = spec.LearnedPositions(c.max_position_embeddings)
    stem = replace(bart.tokens(c), norm=None, positions=positions)
    return bart.stack(c, decoder, "Blenderbot", stem, bart.PRE_NORM, "pre")


def small(c: BlenderbotSmallConfig, decoder: bool) -> spec.Stack:
    """The small one's. What the decoder looks up is never scaled, and normed before positions are added."""
    stem = replace(
        bart.tokens(c),
        positions=spec.LearnedPositions(c.max_position_embeddings),
        norm_of="tokens" if decoder else "sum",
        table_scale=1.0,
        scale=1.0 if decoder else bart.scale_of(c),
        scale_given=False,
    )
    return bart.stack(c, decoder, "BlenderbotSmall", stem)


LARGE = register(
    replace(
        pegasus.PEGASUS,
        model_type="blenderbot",
        name="Blenderbot",
        config=BlenderbotConfig,
        assembly=EncoderDecoder(large, may_untie=True),
    )
)
SMALL = register(
    replace(
        pegasus.PEGASUS,
        model_type="blenderbot-small",
        name="BlenderbotSmall",
        config=BlenderbotSmallConfig,
        assembly=EncoderDecoder(small, may_untie=True),
        order=bart.BART.order,
    )
)
