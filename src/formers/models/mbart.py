"""mBART (Liu et al. 2020, arXiv:2001.08210) and PLBART for programs (Ahmad et al. 2021, arXiv:2103.06333).

Both end texts in the code of their language; the decoder begins with it.
"""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec


class MBartConfig(bart.PairConfig):
    """Configuration of mBART. Nothing reads `decoder_start_token_id` in training: see above."""

    model_type = "mbart"
    classifier_dropout: float = 0.0
    decoder_start_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = 2


class PLBartConfig(bart.PairConfig):
    """Configuration of PLBART."""

    model_type = "plbart"
    attribute_map = {**bart.PairConfig.attribute_map, "initializer_range": "init_std"}
    vocab_size: int = 50005
    encoder_layers: int = 6
    encoder_ffn_dim: int = 3072
    encoder_attention_heads: int = 12
    decoder_layers: int = 6
    decoder_ffn_dim: int = 3072
    decoder_attention_heads: int = 12
    d_model: int = 768
    attention_dropout: float = 0.1
    classifier_dropout: float = 0.0
    scale_embedding: bool = True
    decoder_start_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = 2


NAMES = bart.NAMES.with_(stack={"final_norm": "layer_norm"})


def pre_norm(c: MBartConfig, decoder: bool) -> spec.Stack:
    """The encoder or decoder of mBART: norms stand before the sub-layers, and at both ends."""
    return bart.stack(c, decoder, "MBart", bart.tokens(c), NAMES, "pre")


def post_norm(c: PLBartConfig, decoder: bool) -> spec.Stack:
    """The encoder or decoder of PLBART: as BART's."""
    return bart.stack(c, decoder, "PLBart", bart.tokens(c))


MBART = register(
    replace(
        bart.BART,
        model_type="mbart",
        name="MBart",
        config=MBartConfig,
        assembly=EncoderDecoder(pre_norm, shifts_inputs=True, may_untie=True, wraps=True),
        order=(*bart.ORDER, ("layers", "layernorm_embedding", "layer_norm")),
    )
)
PLBART = register(
    replace(
        bart.BART,
        model_type="plbart",
        name="PLBart",
        config=PLBartConfig,
        assembly=EncoderDecoder(post_norm, shifts_inputs=True, may_untie=True, wraps=True),
        heads={ending: head for ending, head in bart.BART.heads.items() if ending != "ForQuestionAnswering"},
    )
)
