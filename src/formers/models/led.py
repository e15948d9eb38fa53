"""LED (Beltagy et al. 2020, arXiv:2004.05150, section 7): BART whose encoder attends within windows."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family
from formers.models import bart, longformer
from formers.models.registry import register
from formers.nn import spec


class LEDConfig(bart.PairConfig):
    """Configuration of LED. `attention_window` counts both sides, for all layers or for each."""

    model_type = "led"
    attribute_map = {
        **bart.PairConfig.attribute_map,
        "attention_probs_dropout_prob": "attention_dropout",
        "initializer_range": "init_std",
    }
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    attention_window: int | list[int] = 512
    classifier_dropout: float = 0.0


ENCODER = bart.NAMES.with_(
    layer={
        **longformer.windows("self_attn.longformer_self_attn"),
        "o": "self_attn.output",
    }
)


def half(c: LEDConfig, decoder: bool) -> spec.Stack:
    """The encoder, within windows, or the decoder. Positions are counted from 0."""
    count = c.max_decoder_position_embeddings if decoder else c.max_encoder_position_embeddings
    stem = replace(bart.tokens(c), positions=spec.LearnedPositions(count), table_scale=1.0)
    made = bart.stack(c, decoder, "LED", stem, bart.NAMES if decoder else ENCODER)
    return made if decoder else longformer.within(made, c.attention_window)


LED = register(
    Family(
        model_type="led",
        name="LED",
        config=LEDConfig,
        base="led",
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True, marks=True),
        order=bart.BART.order,
        heads={
            "ForConditionalGeneration": bart.GENERATION,
            "ForQuestionAnswering": bart.BART.heads["ForQuestionAnswering"],
        },
    )
)
