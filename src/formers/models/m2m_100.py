"""M2M-100 (Fan et al. 2020, arXiv:2010.11125) and NLLB: pre-norm, sinusoids of any length, in no file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.models import bart, pegasus
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class M2M100Config(bart.PairConfig):
    """Configuration of M2M-100. Nothing reads `max_position_embeddings`: positions are computed."""

    model_type = "m2m_100"
    vocab_size: int = 128112
    encoder_layerdrop: float = 0.05
    decoder_layerdrop: float = 0.05
    activation_function: str = "relu"
    attention_dropout: float = 0.1
    scale_embedding: bool = True


def tokens(c: Any) -> spec.Tokens:
    """The stem of either stack."""
    return replace(bart.tokens(c), norm=None, positions=spec.ComputedPositions(c.pad_token_id))


def half(c: M2M100Config, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    return bart.stack(c, decoder, "M2M100", tokens(c), bart.PRE_NORM, "pre")


M2M100 = register(
    replace(
        pegasus.PEGASUS,
        model_type="m2m_100",
        name="M2M100",
        config=M2M100Config,
        assembly=EncoderDecoder(half, may_untie=True),
        heads={"ForConditionalGeneration": Head("seq2seq_lm", lambda c: Words("lm_head", bias=False))},
        # fixed sinusoids that older files hold
        ignored=(r"embed_positions\.weights?$",),
    )
)
