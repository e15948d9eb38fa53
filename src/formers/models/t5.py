"""T5 (Raffel et al. 2019, arXiv:1910.10683): pre-RMS encoder-decoder, no biases, relative-position buckets.

T5 v1.1 and Flan-T5 have a gated feed-forward and an output table of their own, which is not scaled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.nn.positions import Buckets
from formers.tasks.specs import Labels, Spans, Words


class T5Config(PretrainedConfig):
    """Configuration of T5. What is None by default follows from the other fields."""

    model_type = "t5"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    dense_act_fn: str | None = None
    is_gated_act: bool | None = None
    scale_decoder_outputs: bool | None = None
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    classifier_dropout: float = 0.0
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        gate, _, name = str(self.feed_forward_proj).rpartition("-")
        if gate not in ("", "gated"):
            raise ValueError(
                f"feed_forward_proj={self.feed_forward_proj!r} is neither an activation, such as 'relu', "
                f"nor 'gated-' and an activation, such as 'gated-gelu'"
            )
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.dense_act_fn is None:
            self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else name
        if self.is_gated_act is None:
            self.is_gated_act = gate == "gated"
        if self.scale_decoder_outputs is None:
            # checkpoints say by this field that they are of version 1.1
            self.scale_decoder_outputs = self.tie_word_embeddings


def names(decoder: bool) -> spec.Names:
    """Sub-layers are numbered; a decoder has one more."""
    cross = {
        role: f"layer.1.EncDecAttention.{role[-1]}" for role in ("cross_q", "cross_k", "cross_v", "cross_o")
    }
    last = "layer.2" if decoder else "layer.1"
    return spec.Names(
        layers="block",
        layer={
            **{role: f"layer.0.SelfAttention.{role}" for role in ("q", "k", "v", "o")},
            "score_bias": "layer.0.SelfAttention.relative_attention_bias",
            "attention_norm": "layer.0.layer_norm",
            "attention_dropout": "layer.0.dropout",
            "attention_add": "layer.0",
            **(cross if decoder else {}),
            "cross_norm": "layer.1.layer_norm",
            "cross_dropout": "layer.1.dropout",
            "cross_add": "layer.1",
            "gate": f"{last}.DenseReluDense.wi_0",
            "up": f"{last}.DenseReluDense.wi",
            "act": f"{last}.DenseReluDense.act",
            "inner_dropout": f"{last}.DenseReluDense.dropout",
            "down": f"{last}.DenseReluDense.wo",
            "feedforward_norm": f"{last}.layer_norm",
            "feedforward_dropout": f"{last}.dropout",
            "feedforward_add": last,
        },
        embeddings={"token": "embed_tokens", "embedding_dropout": "dropout"},
        stack={"final_norm": "final_layer_norm", "final_dropout": "dropout"},
    )


def layer(c: Any, owns: bool, decoder: bool, gated: bool) -> spec.Layer:
    """A layer, which may own a table of relative positions for itself and those after it."""
    attention = spec.Attention(
        heads=spec.Heads(c.num_heads, c.num_heads, c.d_kv),
        dropout=c.dropout_rate,
        scale=1.0,
        bias=False,
        out_bias=False,
    )
    buckets = Buckets(c.relative_attention_num_buckets, c.relative_attention_max_distance, not decoder)
    mask = Causal() if decoder else Full()
    return spec.layer(
        replace(attention, mask=mask, score_bias=buckets, owns_score_bias=owns),
        spec.FeedForward(c.d_ff, str(c.dense_act_fn), gated=gated, bias=False, dropout=c.dropout_rate),
        spec.Norm("rms", c.layer_norm_epsilon),
        order="pre",
        cross=replace(attention, cross=True) if decoder else None,
        dropout=c.dropout_rate,
    )


def half(c: T5Config, decoder: bool, shared: bool = True) -> spec.Stack:
    """The encoder or the decoder. A `shared` table of relative positions lies in the first layer."""
    count = c.num_decoder_layers if decoder else c.num_layers
    named = names(decoder)
    up = {"up": f"{named.layer['up']}_1"} if c.is_gated_act else {}
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.d_model, dropout=c.dropout_rate),
        layers=tuple(
            layer(c, i == 0 or not shared, decoder, bool(c.is_gated_act)) for i in range(count or 0)
        ),
        names=named.with_(layer=up),
        width=c.d_model,
        layer_class="T5Block",
        decoder=decoder,
        final_norm=spec.Norm("rms", c.layer_norm_epsilon),
        final_dropout=c.dropout_rate,
        initial_std=c.initializer_factor,
        init=deviations(c),
    )


def deviations(c: T5Config) -> dict[str, float]:
    """Fresh weights by the width that they read; q is smaller, because nothing divides the scores."""
    factor, model = c.initializer_factor, c.initializer_factor * c.d_model**-0.5
    by_model = (
        ".k",
        ".v",
        ".wi",
        ".wi_0",
        ".wi_1",
        "relative_attention_bias",
        "qa_outputs",
        "dense",
        "out_proj",
    )
    return {
        **{f"{name}.weight": model for name in by_model},
        ".q.weight": model * c.d_kv**-0.5,
        ".o.weight": factor * (c.num_heads * c.d_kv) ** -0.5,
        ".wo.weight": factor * c.d_ff**-0.5,
    }


def words(c: T5Config) -> Words:
    """The token table over scaled states, or (version 1.1) a table of its own.

    Newer writers declare every output table tied; version 1.1 is known by what is not scaled.
    """
    scaled = bool(c.scale_decoder_outputs)
    return Words("lm_head", bias=False, scale=c.d_model**-0.5 if scaled else 1.0, apart=not scaled)


T5 = register(
    Family(
        model_type="t5",
        name="T5",
        config=T5Config,
        base="transformer",
        assembly=EncoderDecoder(half),
        heads={
            "ForConditionalGeneration": Head("seq2seq_lm", words, flat=True),
            "EncoderModel": Head("encoder", lambda c: None, over="encoder"),
            "ForSequenceClassification": Head("sequence_classification", bart.sequences),
            "ForTokenClassification": Head(
                "token_classification",
                lambda c: Labels("classifier", c.classifier_dropout),
                over="encoder",
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans(two_labels=True), flat=True),
        },
        order=(
            ("SelfAttention", "EncDecAttention", "DenseReluDense", "layer_norm", "dropout"),
            ("q", "k", "v", "o", "relative_attention_bias"),
        ),
        # tables that no version of the architecture reads
        ignored=(r"EncDecAttention\.relative_attention_bias\.weight$",),
    )
)
