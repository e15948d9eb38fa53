"""PEGASUS-X (Phang et al. 2022, arXiv:2208.04347): PEGASUS whose encoder attends in staggered chunks."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.models import bart, pegasus
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class PegasusXConfig(pegasus.PegasusConfig):
    """Configuration of PEGASUS-X."""

    model_type = "pegasus_x"
    vocab_size: int = 96103
    max_position_embeddings: int = 16384
    encoder_layers: int = 16
    decoder_layers: int = 16
    scale_embedding: bool = True
    num_global_tokens: int = 32
    block_size: int = 512
    stagger_local_blocks: bool = True


BESIDE = bart.PRE_NORM.with_(
    layer={"attention_norm_beside": "global_self_attn_layer_norm"}, stack={"beside": "embed_global"}
)


def half(c: PegasusXConfig, decoder: bool) -> spec.Stack:
    """The decoder, or the encoder, every second layer of which has chunks that begin half a chunk earlier."""
    stem = replace(bart.tokens(c), positions=spec.ComputedPositions(), norm=None)
    names = bart.PRE_NORM if decoder else BESIDE
    made = bart.stack(c, decoder, "PegasusX", stem, names, "pre", bias=False)
    if decoder or not made.layers:
        return made
    attending, feeding = made.layers[0].parts
    each = [
        spec.Layer((replace(attending, mixer=chunked(c, attending, shift)), feeding))
        for shift in (0, c.block_size // 2 if c.stagger_local_blocks else 0)
    ]
    layers = tuple(each[i % 2] for i in range(len(made.layers)))
    return replace(made, layers=layers, beside=c.num_global_tokens)


def chunked(c: PegasusXConfig, attending: spec.Part, shift: int) -> spec.Chunked:
    """The same attention, within chunks."""
    full = attending.mixer
    assert isinstance(full, spec.Attention)
    return spec.Chunked(**vars(full), size=c.block_size, shift=shift)


def words(c: PegasusXConfig) -> Words:
    """The shared table."""
    return replace(bart.WORDS, logits_bias=None)


PEGASUS_X = register(
    replace(
        pegasus.PEGASUS,
        model_type="pegasus_x",
        name="PegasusX",
        config=PegasusXConfig,
        assembly=EncoderDecoder(half, may_untie=True),
        heads={"ForConditionalGeneration": Head("seq2seq_lm", words)},
    )
)
