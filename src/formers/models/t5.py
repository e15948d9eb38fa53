"""T5 (Raffel et al. 2019, arXiv:1910.10683): pre-RMS encoder-decoder, no biases, relative-position buckets.

T5 v1.1 and Flan-T5 have a gated feed-forward and an output table of their own, which is not scaled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.heads import Head
from formers.nn.masks import Causal, Full
from formers.nn.positions import Buckets
from formers.stacks.family import Family


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
        gate, _, name = self.feed_forward_proj.rpartition("-")
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

    @property
    def output_scale(self) -> float:
        """Factor on the decoder's states before the output table."""
        return self.d_model**-0.5 if self.scale_decoder_outputs else 1.0

    @property
    def output_apart(self) -> bool:
        """Newer writers declare every output table tied; version 1.1 is known by what is not scaled."""
        return not self.scale_decoder_outputs


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
            **(cross if decoder else {}),
            "cross_norm": "layer.1.layer_norm",
            "gate": f"{last}.DenseReluDense.wi_0",
            "up": f"{last}.DenseReluDense.wi",
            "down": f"{last}.DenseReluDense.wo",
            "feedforward_norm": f"{last}.layer_norm",
        },
        embeddings={"token": "embed_tokens"},
        stack={"final_norm": "final_layer_norm"},
    )


def layer(c: T5Config, i: int, decoder: bool) -> spec.Layer:
    """Layer `i`; the first one holds the table of relative positions for the whole stack."""
    attention = spec.Attention(
        heads=spec.Heads(c.num_heads, c.num_heads, c.d_kv),
        dropout=c.dropout_rate,
        scale=1.0,
        bias=False,
        out_bias=False,
    )
    buckets = Buckets(c.relative_attention_num_buckets, c.relative_attention_max_distance, not decoder)
    mask = Causal() if decoder else Full()
    return spec.Layer(
        replace(attention, mask=mask, score_bias=buckets, owns_score_bias=i == 0),
        spec.FeedForward(
            c.d_ff, str(c.dense_act_fn), gated=bool(c.is_gated_act), bias=False, dropout=c.dropout_rate
        ),
        spec.Norm("rms", c.layer_norm_epsilon),
        order="pre",
        cross=attention if decoder else None,
        dropout=c.dropout_rate,
    )


def half(c: T5Config, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    count = c.num_decoder_layers if decoder else c.num_layers
    named = names(decoder)
    up = {"up": named.layer["up"] + "_1"} if c.is_gated_act else {}
    return spec.Stack(
        embeddings=spec.Embeddings(c.vocab_size, c.d_model, dropout=c.dropout_rate),
        layers=tuple(layer(c, i, decoder) for i in range(count or 0)),
        names=named.with_(layer=up),
        width=c.d_model,
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


def stack(c: T5Config) -> tuple[spec.Stack, spec.Stack]:
    """Encoder and decoder."""
    return half(c, decoder=False), half(c, decoder=True)


T5 = register(
    Family(
        model_type="t5",
        name="T5",
        config=T5Config,
        base="transformer",
        stack=stack,
        encoder_decoder=True,
        heads={
            "ForConditionalGeneration": Head(
                "seq2seq_lm",
                {"out": "lm_head"},
                tied=True,
                bias=False,
                scale="output_scale",
                apart="output_apart",
                flat=True,
            ),
            "EncoderModel": Head("encoder"),
            "ForSequenceClassification": Head(
                "sequence_classification",
                {"dense": "classification_head.dense", "out": "classification_head.out_proj"},
                pool="eos",
                activation="tanh",
                dropout=("classifier_dropout",),
                drop_first=True,
            ),
            "ForTokenClassification": Head(
                "token_classification", {"out": "classifier"}, dropout=("classifier_dropout",)
            ),
            "ForQuestionAnswering": Head("question_answering", {"out": "qa_outputs"}, flat=True),
        },
        # tables that no version of the architecture reads
        ignored=(r"EncDecAttention\.relative_attention_bias\.weight$",),
    )
)
