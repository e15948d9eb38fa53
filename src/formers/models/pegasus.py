"""PEGASUS (Zhang et al. 2019, arXiv:1912.08777): pre-norm, fixed sinusoids, made for summaries."""

from __future__ import annotations

from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec


class PegasusConfig(bart.PairConfig):
    """Configuration of PEGASUS."""

    model_type = "pegasus"
    decoder_start_token_id: int | None = 0
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 1
    forced_eos_token_id: int | list[int] | None = 1


def tokens(c: Any, decoder: bool, count: int) -> spec.Tokens:
    """The stem over `count` tokens. Vectors given in their place are scaled where the decoder reads them."""
    return spec.Tokens(
        count,
        c.d_model,
        positions=spec.LearnedPositions(c.max_position_embeddings, fixed=True),
        scale=bart.scale_of(c),
        scale_given=decoder,
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )


def half(c: PegasusConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    stem = tokens(c, decoder, c.vocab_size)
    return bart.stack(c, decoder, "Pegasus", stem, bart.PRE_NORM, "pre")


PEGASUS = register(
    Family(
        model_type="pegasus",
        name="Pegasus",
        config=PegasusConfig,
        base="model",
        assembly=EncoderDecoder(half, may_untie=True),
        order=bart.ORDER,
        heads={"ForConditionalGeneration": bart.GENERATION, "ForCausalLM": bart.DECODER},
        renames=bart.BART.renames,
    )
)
