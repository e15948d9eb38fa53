"""MVP (Tang et al. 2022, arXiv:2206.12131): BART, trained on many labelled tasks of generation."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec


class MvpConfig(bart.PairConfig):
    """Configuration of MVP."""

    model_type = "mvp"
    vocab_size: int = 50267
    classifier_dropout: float = 0.0
    use_prompt: bool = False
    prompt_length: int = 100
    prompt_mid_dim: int = 800


NAMES = bart.NAMES.with_(
    stack={
        "prompts": "self_attn_prompt",
        "cross_prompts": "cross_attn_prompt",
        "prompt_table": "prompt_embedding",
        "prompt_up": "prompt_trans.0",
        "prompt_act": "prompt_trans.1",
        "prompt_down": "prompt_trans.2",
        "prompt_dropout": "dropout",
    }
)


def prompted(c: MvpConfig, layer: spec.Layer) -> spec.Layer:
    """A layer that sees prompts."""
    made = spec.Prompts(c.prompt_length, c.prompt_mid_dim, dropout=c.dropout)
    parts = (
        replace(part, mixer=replace(part.mixer, prompts=made))
        if isinstance(part.mixer, spec.Attention)
        else part
        for part in layer.parts
    )
    return replace(layer, parts=tuple(parts))


def half(c: MvpConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder: vectors given in place of tokens are not scaled."""
    stem = replace(bart.tokens(c), table_scale=1.0, scale=bart.scale_of(c), scale_given=False)
    made = bart.stack(c, decoder, "Mvp", stem, NAMES)
    if not c.use_prompt or not made.layers:
        return made
    return replace(made, layers=(prompted(c, made.layers[0]),) * len(made.layers))


MVP = register(
    replace(
        bart.BART,
        model_type="mvp",
        name="Mvp",
        config=MvpConfig,
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True),
    )
)
