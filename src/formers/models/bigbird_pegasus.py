"""BigBird-PEGASUS (Zaheer et al. 2020, arXiv:2007.14062, section 4): PEGASUS with BigBird's encoder."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import bart, bert, big_bird
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class BigBirdPegasusConfig(bart.PairConfig):
    """Configuration of BigBird-PEGASUS. `attention_type` is the encoder's."""

    model_type = "bigbird_pegasus"
    _available = {"attention_type": ("block_sparse", "original_full")}
    attribute_map = {
        **bart.PairConfig.attribute_map,
        "attention_probs_dropout_prob": "attention_dropout",
    }
    vocab_size: int = 96103
    max_position_embeddings: int = 4096
    encoder_layers: int = 16
    decoder_layers: int = 16
    activation_function: str = "gelu_new"
    classifier_dropout: float = 0.0
    scale_embedding: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 1
    attention_type: str = "block_sparse"
    block_size: int = 64
    num_random_blocks: int = 3
    use_bias: bool = False


NAMES = bart.NAMES.with_(embeddings={"embedding_norm": None}, stack={"final_norm": "layernorm_embedding"})
_ROLES = ("q", "k", "v", "weights_dropout")
ENCODER = NAMES.with_(
    layer={**{role: f"self_attn.{bert.ATTENTION[role]}" for role in _ROLES}, "o": "self_attn.output"}
)


def half(c: BigBirdPegasusConfig, decoder: bool) -> spec.Stack:
    """The decoder; or the encoder, which drops no weights by blocks, and nothing within a feed-forward."""
    stem = replace(bart.tokens(c), positions=spec.LearnedPositions(c.max_position_embeddings), norm=None)
    names = NAMES if decoder else ENCODER
    made = bart.stack(c, decoder, "BigBirdPegasus", stem, names, "pre", bias=c.use_bias)
    if decoder or not made.layers:
        return made
    attending, feeding = made.layers[0].parts
    full, inner = attending.mixer, feeding.mixer
    assert isinstance(full, spec.Attention)
    assert isinstance(inner, spec.FeedForward)
    feeding = replace(feeding, mixer=replace(inner, dropout=0.0))
    if c.attention_type == "block_sparse":
        attending = replace(attending, mixer=big_bird.sparse(c, full))
        names = names.with_(layer={"weights_dropout": None})
    return replace(made, layers=(spec.Layer((attending, feeding)),) * len(made.layers), names=names)


def words(c: BigBirdPegasusConfig) -> Words:
    """BART's; the decoder alone has an output table of its own."""
    return Words("lm_head", bias=False, shifts=False, tied=False)


BIGBIRD_PEGASUS = register(
    replace(
        bart.BART,
        model_type="bigbird_pegasus",
        name="BigBirdPegasus",
        config=BigBirdPegasusConfig,
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True),
        order=(bart.BART.order[0],),
        heads={**bart.BART.heads, "ForCausalLM": replace(bart.DECODER, spec=words)},
    )
)
