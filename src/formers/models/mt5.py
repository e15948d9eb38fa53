"""mT5 (Xue et al. 2020, arXiv:2010.11934) and umT5 (Chung et al. 2023, arXiv:2304.09151): T5 version 1.1.

umT5 has a table of relative positions in every layer.
"""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.models import t5
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class _Config(t5.T5Config):
    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    decoder_start_token_id: int | None = 0


class MT5Config(_Config):
    """Configuration of mT5. States are never scaled before the output table."""

    model_type = "mt5"
    scale_decoder_outputs: bool | None = False


class UMT5Config(_Config):
    """Configuration of umT5. States are scaled before an output table that is tied."""

    model_type = "umt5"


def shared_tables(c: MT5Config, decoder: bool) -> spec.Stack:
    """The encoder or decoder of mT5."""
    return replace(t5.half(c, decoder), layer_class="MT5Block")


def own_tables(c: UMT5Config, decoder: bool) -> spec.Stack:
    """The encoder or decoder of umT5."""
    return replace(t5.half(c, decoder, shared=False), layer_class="UMT5Block")


MT5 = register(
    replace(t5.T5, model_type="mt5", name="MT5", config=MT5Config, assembly=EncoderDecoder(shared_tables))
)


def words(c: UMT5Config) -> Words:
    """The token table over scaled states; files may hold a table of their own all the same."""
    return replace(t5.words(c), apart=True)


UMT5 = register(
    replace(
        t5.T5,
        model_type="umt5",
        name="UMT5",
        config=UMT5Config,
        assembly=EncoderDecoder(own_tables),
        heads={**t5.T5.heads, "ForConditionalGeneration": Head("seq2seq_lm", words, flat=True)},
    )
)
