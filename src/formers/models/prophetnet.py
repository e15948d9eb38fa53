"""ProphetNet (Qi et al. 2020, arXiv:2001.04063): a decoder that predicts the next n tokens at once."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.text.future_tokens import FutureTokensPair
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Buckets
from formers.tasks.language_model import Ahead
from formers.tasks.specs import Words


class ProphetNetConfig(PretrainedConfig):
    """Configuration of ProphetNet."""

    model_type = "prophetnet"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_attention_heads": "num_encoder_attention_heads"}
    activation_dropout: float = 0.1
    activation_function: str = "gelu"
    vocab_size: int = 30522
    hidden_size: int = 1024
    encoder_ffn_dim: int = 4096
    num_encoder_layers: int = 12
    num_encoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    num_decoder_layers: int = 12
    num_decoder_attention_heads: int = 16
    attention_dropout: float = 0.1
    dropout: float = 0.1
    max_position_embeddings: int = 512
    init_std: float = 0.02
    is_encoder_decoder: bool = True
    add_cross_attention: bool = True
    decoder_start_token_id: int | None = 0
    ngram: int = 2
    num_buckets: int = 32
    relative_max_distance: int = 128
    disable_ngram_loss: bool = False
    eps: float = 0.0
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the encoder."""
        return self.num_encoder_layers


_ATTENTION = {
    "k": "self_attn.key_proj",
    "v": "self_attn.value_proj",
    "q": "self_attn.query_proj",
    "o": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
}
_TABLES = {
    "token": "word_embeddings",
    "position": "position_embeddings",
    "embedding_norm": "embeddings_layer_norm",
}
ENCODER = spec.Names(
    layers="layers",
    layer={
        **_ATTENTION,
        "up": "feed_forward.intermediate",
        "act": "feed_forward.activation_fn",
        "down": "feed_forward.output",
        "feedforward_norm": "feed_forward_layer_norm",
    },
    embeddings=_TABLES,
)
DECODER = ENCODER.with_(
    layer={
        "relative": "self_attn.relative_pos_embeddings",
        **spec.crossed({role: path.replace("self", "cross") for role, path in _ATTENTION.items()}),
    },
    embeddings={"stream": "ngram_embeddings"},
)


def half(c: ProphetNetConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    norm, pad = spec.Norm("layer", 1e-5), c.pad_token_id or 0
    count = c.num_decoder_attention_heads if decoder else c.num_encoder_attention_heads
    heads = spec.Heads.split(c.hidden_size, count)
    plain = spec.Attention(heads, dropout=c.attention_dropout)
    positions = spec.LearnedPositions(c.max_position_embeddings, first=pad + 1)
    tokens = spec.Tokens(
        c.vocab_size,
        c.hidden_size,
        positions=positions,
        norm=norm,
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )
    stem, attention, cross = tokens, plain, None
    if decoder:
        stem = spec.FutureTokenStreams(**{**vars(tokens), "streams": c.ngram})
        buckets = Buckets(c.num_buckets, c.relative_max_distance, two_sided=False)
        attention = spec.FutureTokens(heads, Causal(), c.attention_dropout, streams=c.ngram, buckets=buckets)
        cross = replace(plain, cross=True) if c.add_cross_attention else None
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    feedforward = spec.FeedForward(inner, c.activation_function, dropout=c.activation_dropout)
    layer = spec.layer(attention, feedforward, norm, cross=cross, dropout=c.dropout)
    return spec.Stack(
        stem=stem,
        layers=(layer,) * (c.num_decoder_layers if decoder else c.num_encoder_layers),
        names=DECODER if decoder else ENCODER,
        width=c.hidden_size,
        layer_class="ProphetNetDecoderLayer" if decoder else "ProphetNetEncoderLayer",
        decoder=decoder,
        initial_std=c.init_std,
    )


def words(c: ProphetNetConfig) -> Words:
    """The token table, over the streams."""
    ahead = Ahead(c.ngram, 1 if c.disable_ngram_loss else c.ngram, c.eps)
    return Words("lm_head", bias=False, shifts=False, ahead=ahead)


PROPHETNET = register(
    Family(
        model_type="prophetnet",
        name="ProphetNet",
        config=ProphetNetConfig,
        base="prophetnet",
        assembly=FutureTokensPair(half, table="word_embeddings"),
        heads={
            "ForConditionalGeneration": Head("seq2seq_lm", words),
            "ForCausalLM": Head("causal_lm", words, over="decoder"),
            "Encoder": Head("stack", lambda c: None, over="bare encoder"),
            "Decoder": Head("stack", lambda c: None, over="bare decoder"),
        },
        order=(
            ("word_embeddings", "position_embeddings", "ngram_embeddings", "layers"),
            ("key_proj", "value_proj", "query_proj", "out_proj", "relative_pos_embeddings"),
        ),
    )
)
