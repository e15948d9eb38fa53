"""LongT5 (Guo et al. 2021, arXiv:2112.07916): T5 whose encoder sees what is near, and sums of blocks."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import t5
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Window


class LongT5Config(t5.T5Config):
    """Configuration of LongT5."""

    model_type = "longt5"
    _available = {"encoder_attention_type": ("local", "transient-global")}
    local_radius: int = 127
    global_block_size: int = 16
    encoder_attention_type: str = "local"


def local(c: LongT5Config, attention: spec.Part) -> spec.Part:
    """The same attention, to what is near."""
    full = attention.mixer
    assert isinstance(full, spec.Attention)
    mixer = spec.Local(
        **{**vars(full), "mask": Window(c.local_radius)},
        block=c.global_block_size if c.encoder_attention_type == "transient-global" else 0,
        norm=spec.Norm("rms", c.layer_norm_epsilon),
    )
    return replace(attention, mixer=mixer)


def half(c: LongT5Config, decoder: bool) -> spec.Stack:
    """T5's decoder, or the encoder."""
    made = replace(t5.half(c, decoder), layer_class="LongT5Block")
    if decoder:
        return made
    node = "LocalSelfAttention" if c.encoder_attention_type == "local" else "TransientGlobalSelfAttention"
    paths = {role: path and path.replace("SelfAttention", node) for role, path in made.names.layer.items()}
    sums = {"sum_bias": "global_relative_attention_bias", "sum_norm": "global_input_layer_norm"}
    paths |= {role: f"layer.0.{node}.{path}" for role, path in sums.items()}
    layers = tuple(spec.Layer((local(c, one.parts[0]), *one.parts[1:])) for one in made.layers)
    return replace(made, layers=layers, names=made.names.with_(layer=paths))


LONGT5 = register(
    replace(
        t5.T5,
        model_type="longt5",
        name="LongT5",
        config=LongT5Config,
        assembly=EncoderDecoder(half),
        heads={ending: t5.T5.heads[ending] for ending in ("ForConditionalGeneration", "EncoderModel")},
    )
)
